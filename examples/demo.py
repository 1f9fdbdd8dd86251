"""What flowkit is for, in a few seconds: a workflow is killed in the middle of its work, and loses none of it.

    make demo               (or: python examples/demo.py)

It runs `examples/manifest.py` over the folder of the Python standard library in a process of its own, kills that process
with SIGKILL, starts another one, and has `sha256sum` check what came out. Everything happens in a temporary folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import flowkit

WORKFLOW = f"{Path(__file__).resolve().with_name('manifest.py')}:manifest"
LIBRARY = sysconfig.get_path("stdlib")
ARGUMENTS = (f'"{LIBRARY}"', "--arg", "batch=50", "--arg", 'skip=["site-packages", "dist-packages", "__pycache__"]')
RUN = "demo"
KILL_AFTER = 12
PATIENCE_SECONDS = 30.0


def main() -> int:
    """Run the demo; 0 if everything came out as promised."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="flowkit-demo-") as name:
        folder = Path(name)
        say(f"A workflow makes a list of all files in {LIBRARY}, each with its SHA-256.")
        say("It works in batches; flowkit records each finished one in flowkit.db, a SQLite file.\n")
        first = kill_half_way(folder)
        recorded = recorded_batches(folder)
        second = go_on(folder)
        well = report(folder, first, second, recorded) & verify(folder)
    say(f"\n{'That is what flowkit is for' if well else 'This should not have happened'}. ({time.monotonic() - began:.1f} s)")
    return 0 if well else 1


def kill_half_way(folder: Path) -> int:
    """Start the workflow and kill its process after some batches; the process's id."""
    command = ["flowkit", "run", "manifest.py:manifest", *ARGUMENTS[:1], "--id", RUN]
    say(f"1. Start:   $ {' '.join(command)}")
    child = begin(folder, *ARGUMENTS)
    for line in lines_of(folder / "manifest.sha256.log", child):
        if f"hashed batch {KILL_AFTER}:" in line:
            break
    child.kill()
    child.wait()
    say(f"2. Kill:    $ kill -9 {child.pid}        after {KILL_AFTER + 1} batches, without any warning")
    return child.pid


def recorded_batches(folder: Path) -> int:
    """How many batches the database holds as done: what was learned by looking, while no worker is alive."""
    with flowkit.open(folder / "flowkit.db", worker=False) as fk:
        steps = [entry for entry in fk.get(RUN).history() if entry.location.endswith("/hash_batch")]
        done: list[int] = [entry.output["batches"] for entry in steps if entry.status == "completed"]
    say(f"3. Look:    the run is unfinished, and {max(done)} batches are recorded as done")
    return max(done)


def go_on(folder: Path) -> int:
    """Start another process with the same run id; its id."""
    say(f"4. Go on:   $ flowkit run manifest.py:manifest --id {RUN}")
    child = begin(folder)
    output, _ = child.communicate(timeout=PATIENCE_SECONDS)
    if child.returncode != 0:
        raise SystemExit(f"the second process ended with exit code {child.returncode}")
    say("\n".join(f"            {line}" for line in output.splitlines()))
    return child.pid


def begin(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A process that works on the run."""
    command = [sys.executable, "-m", "flowkit", "run", WORKFLOW, *arguments, "--id", RUN, "--db", "flowkit.db"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def lines_of(log: Path, child: subprocess.Popen[str]) -> Iterator[str]:
    """The lines of the log as they come, until the process has ended."""
    end = time.monotonic() + PATIENCE_SECONDS
    seen = 0
    while child.poll() is None and time.monotonic() < end:
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        yield from lines[seen:]
        seen = len(lines)
        time.sleep(0.002)


def report(folder: Path, first: int, second: int, recorded: int) -> bool:
    """Say who hashed what, by the log that the steps wrote; whether no recorded batch was hashed twice."""
    log = (folder / "manifest.sha256.log").read_text("utf-8")
    begun = [(int(pid), int(batch)) for pid, batch in re.findall(r"^pid (\d+) hashing batch (\d+)$", log, re.MULTILINE)]
    before = [batch for pid, batch in begun if pid == first]
    after = [batch for pid, batch in begun if pid == second]
    again = sorted(set(before) & set(after))
    say(
        f"\nProcess {first} hashed batches {min(before)} to {max(before)}, process {second} batches {min(after)} to {max(after)}."
    )
    if again:
        say(f"Batch {again[0]} was under way when the first was killed and not recorded, so it was done again. No other was.")
    else:
        say("No batch was hashed twice.")
    return min(after) == recorded and len(again) <= 1 and sorted({*before, *after}) == list(range(max(after) + 1))


def verify(folder: Path) -> bool:
    """Have the manifest checked, by `sha256sum` where there is one."""
    manifest = folder / "manifest.sha256"
    count = len(manifest.read_bytes().splitlines())
    program = shutil.which("sha256sum")
    if program is not None:
        good = subprocess.run([program, "--check", "--quiet", manifest.name], cwd=folder).returncode == 0
    else:
        good = all(matches(line) for line in manifest.read_bytes().splitlines() if not line.startswith(b"\\"))
    say(f"{'sha256sum' if program else 'hashlib'} {'agrees with' if good else 'DOES NOT agree with'} all {count:,} lines.")
    return good and count > 0


def matches(line: bytes) -> bool:
    """Whether a line of the manifest is right."""
    digest, _, path = line.partition(b"  ")
    return hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest() == digest.decode()


def say(text: str) -> None:
    """Print at once, since others print too."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
