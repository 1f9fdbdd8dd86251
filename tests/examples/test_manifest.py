"""`examples/manifest.py`: what `sha256sum` says, however often it is killed, and no recorded batch twice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import flowkit
from examples.manifest import Summary, manifest
from flowkit import CriticalError
from flowkit.testing import Lab, SimulatedCrash
from tests.support import require

ODD_NAMES = [
    b"plain",
    b"with space",
    b"new\nline",
    b"back\\slash",
    b"carriage\rreturn",
    b"not\xffutf8",
    "gr\u00fc\u00df \u2713".encode(),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with forty files, below the working folder."""
    monkeypatch.chdir(tmp_path)
    for number in range(40):
        path = tmp_path / "files" / f"part-{number % 4}" / f"{number:03}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * number)
    return Path("files")


def test_the_manifest_is_what_sha256sum_says(folder: Path) -> None:
    with Lab() as lab:
        summary = made(lab, folder)

    assert Path("manifest.sha256").read_bytes() == said_by_sha256sum(folder)
    assert (summary.files, summary.bytes, summary.batches) == (40, sum(range(40)), 8)


def test_names_are_escaped_as_sha256sum_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("odd").mkdir()
    for name in ODD_NAMES:
        Path(os.fsdecode(b"odd/" + name)).write_bytes(name)

    with Lab() as lab:
        made(lab, Path("odd"))

    assert Path("manifest.sha256").read_bytes() == said_by_sha256sum(Path("odd"))
    assert subprocess.run(["sha256sum", "--check", "--quiet", "manifest.sha256"]).returncode == 0


def test_links_and_pipes_are_skipped_and_counted(folder: Path) -> None:
    Path(folder, "link").symlink_to("part-0/000.txt")
    Path(folder, "folder-link").symlink_to("part-0")
    os.mkfifo(Path(folder, "pipe"))

    with Lab() as lab:
        summary = made(lab, folder)

    assert (summary.files, summary.skipped) == (40, 3)
    assert Path("manifest.sha256").read_bytes() == said_by_sha256sum(folder)


def test_a_file_that_cannot_be_read_is_left_out_counted_and_named(folder: Path) -> None:
    with Lab() as lab:
        lab.start("m", manifest, str(folder), batch=5)
        lab.crash_at(2, "after")
        with pytest.raises(SimulatedCrash):
            lab.run_once("m")
        Path(folder, "part-3/039.txt").unlink()

        summary = lab.run_to_end("m")

    assert (summary.files, summary.unreadable) == (39, 1)
    assert "unreadable: 'part-3/039.txt'" in Path("manifest.sha256.log").read_text()


def test_what_it_writes_is_not_in_it(folder: Path) -> None:
    with Lab() as lab:
        made(lab, folder, out=str(folder / "list"))
        again = made(lab, folder, out=str(folder / "list"), id="m-2")

    assert again.files == 40
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["list", "list.log"]


def test_folders_can_be_left_out(folder: Path) -> None:
    with Lab() as lab:
        lab.start("m", manifest, str(folder), skip=("part-0",))

        assert lab.run_to_end("m").files == 30


def test_an_empty_folder_has_an_empty_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()

    with Lab() as lab:
        summary = made(lab, Path("empty"))

    assert (summary.files, Path("manifest.sha256").read_bytes()) == (0, b"")


def test_a_folder_that_is_not_there_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with Lab() as lab, pytest.raises(CriticalError, match="is no folder"):
        made(lab, Path("nowhere"))


def test_its_history_does_not_grow_with_the_folder(folder: Path) -> None:
    with Lab() as lab:
        made(lab, folder, batch=1)

        assert len(lab.history("m")) < 30


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("commit", range(1, 14))
def test_a_crash_at_any_commit_changes_nothing(folder: Path, commit: int, when: str) -> None:
    with Lab() as lab:
        lab.start("m", manifest, str(folder), batch=5)
        lab.crash_at(commit, when)
        crashed = run_into_crash(lab)

        lab.run_to_end("m")

    assert Path("manifest.sha256").read_bytes() == said_by_sha256sum(folder)
    assert len(hashed()) - len(set(hashed())) <= crashed
    assert not list(Path().glob("*.work-*"))


@pytest.mark.slow
@pytest.mark.timeout(30)
@pytest.mark.parametrize("batch", [0, 3, 9, 19])
def test_a_killed_process_is_gone_on_with_and_no_recorded_batch_is_hashed_twice(folder: Path, batch: int) -> None:
    child = process(folder)
    await_batch(child, batch)
    child.kill()
    child.wait()
    recorded, before = recorded_batches(), len(hashed())

    second = process(folder)

    assert second.wait() == 0
    assert Path("manifest.sha256").read_bytes() == said_by_sha256sum(folder)
    assert hashed()[before:] == list(range(recorded, 20))


@pytest.mark.slow
@pytest.mark.timeout(30)
def test_the_demo_keeps_its_promise() -> None:
    demo = Path(__file__).parents[2] / "examples/demo.py"

    result = subprocess.run([sys.executable, demo], capture_output=True, text=True)

    assert (result.returncode, result.stderr) == (0, "")
    assert "agrees with all" in result.stdout


def made(lab: Lab, folder: Path, *, out: str = "manifest.sha256", id: str = "m", batch: int = 5) -> Summary:
    lab.start(id, manifest, str(folder), out=out, batch=batch)
    summary: Summary = lab.run_to_end(id)
    return summary


def run_into_crash(lab: Lab) -> int:
    """1 if the run came as far as the crash, 0 if it had ended before."""
    try:
        lab.run_once("m")
    except SimulatedCrash:
        return 1
    return 0


def said_by_sha256sum(folder: Path) -> bytes:
    require(shutil.which("sha256sum"), "the manifest is compared with sha256sum, which is not on this machine")
    command = f"find {folder} -type f -print0 | LC_ALL=C sort -z | xargs -0 --no-run-if-empty sha256sum"
    return subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout


def hashed() -> list[int]:
    """The batches that were begun, in order, by the log."""
    log = Path("manifest.sha256.log")
    return [int(number) for number in re.findall(r"hashing batch (\d+)$", log.read_text() if log.exists() else "", re.MULTILINE)]


def process(folder: Path) -> subprocess.Popen[str]:
    app = Path(__file__).parents[2] / "examples/manifest.py"
    command = ["run", f"{app}:manifest", f'"{folder}"', "--arg", "batch=2", "--id", "m", "--db", "flowkit.db"]
    return subprocess.Popen([sys.executable, "-m", "flowkit", *command], stdout=subprocess.DEVNULL, text=True)


def await_batch(child: subprocess.Popen[str], batch: int) -> None:
    """Look until the log has the batch; the process's own end bounds it."""
    while child.poll() is None and batch not in hashed():
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=0.002)


def recorded_batches() -> int:
    with flowkit.open("flowkit.db", worker=False) as fk:
        steps = [entry for entry in fk.get("m").history() if entry.kind == "step" and entry.status == "completed"]
    return max((entry.output["batches"] for entry in steps if entry.location.endswith("hash_batch")), default=0)
