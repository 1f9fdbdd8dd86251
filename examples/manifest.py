"""A manifest of a folder: the SHA-256 of every file in it, in the format of `sha256sum`, however often it is killed.

    flowkit run examples/manifest.py:manifest '"/usr/lib/python3"' --id my-manifest
    sha256sum --check --quiet manifest.sha256

A folder may hold a hundred thousand files, and a history must not grow with it. So the files are hashed in the turns of a
`loop`, whose old turns are forgotten, and what they found lies in files of its own, one for each batch. Each is written
under another name and renamed, before its step is recorded. A batch that was killed half-way is therefore simply done again,
a worker that was thought dead can do no harm by finishing late, and a batch that was recorded is never done twice: the log
beside the manifest proves it, since the bodies of the steps write it.

Only regular files are listed, as by `find -type f`: symbolic links, sockets and the like are counted as skipped. A file that
cannot be read is left out, as `sha256sum` does, and counted and named in the log.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowkit import Break, Continue, CriticalError, loop, run_info, step, workflow

BATCH_BYTES = 64_000_000
"""A batch ends early after so many bytes: whoever is stopped should not have to wait long."""


@dataclass(frozen=True)
class Survey:
    """What there is to do. `folder` is shown as it was given; the other paths are absolute."""

    folder: str
    root: str
    out: str
    work: str
    files: int
    skipped: int


@dataclass(frozen=True)
class Progress:
    """How far the batches are; `offset` is where the next one begins in the list of names."""

    batches: int = 0
    offset: int = 0
    files: int = 0
    bytes: int = 0
    unreadable: int = 0


@dataclass(frozen=True)
class Summary:
    """What came of it. `skipped` are no regular files, `unreadable` could not be opened or read."""

    manifest: str
    files: int
    bytes: int
    unreadable: int
    skipped: int
    batches: int


@workflow
def manifest(folder: str, out: str = "manifest.sha256", batch: int = 500, skip: tuple[str, ...] = ()) -> Summary:
    """Write the manifest of `folder` to `out`, `batch` files at a time; folders named in `skip` are left out."""
    found = survey(folder, out, skip)

    def next_batch(done: Progress) -> Continue[Progress] | Break[Progress]:
        if done.files + done.unreadable >= found.files:
            return Break(done)
        return Continue(hash_batch(found, done, batch))

    done = loop(next_batch, state=Progress(), name="batches")
    publish(found, done.batches)
    clean_up(found)
    return Summary(found.out, done.files, done.bytes, done.unreadable, found.skipped, done.batches)


# --- steps ----------------------------------------------------------------------------------------------------------
# None has a time limit: how long a folder takes is not theirs to know.


@step(timeout=None)
def survey(folder: str, out: str, skip: tuple[str, ...]) -> Survey:
    """List all files, in order, in a file of the work folder: the batches must agree on it, whatever is created meanwhile."""
    root, target = os.path.abspath(folder), os.path.abspath(out)
    if not os.path.isdir(root):
        raise CriticalError(f"{folder} is no folder")
    work = f"{target}.work-{hashlib.sha256(run_info().id.encode()).hexdigest()[:12]}"
    try:
        os.makedirs(work, exist_ok=True)
    except OSError as error:
        raise CriticalError(f"cannot write beside {target}: {error.strerror}") from error
    names, skipped = list_files(root, {target, work, f"{target}.log"}, frozenset(skip))
    write_durably(Path(work, "names"), b"".join(name + b"\0" for name in names))
    log(target, f"surveyed {len(names)} files in {root}")
    return Survey(folder, root, target, work, len(names), skipped)


@step(timeout=None)
def hash_batch(found: Survey, done: Progress, batch: int) -> Progress:
    """Hash the next files and put their lines in the batch's own file."""
    log(found.out, f"hashing batch {done.batches}")
    lines: list[bytes] = []
    offset, size, unreadable = done.offset, 0, 0
    for name in names_from(Path(found.work, "names"), done.offset, batch):
        offset += len(name) + 1
        try:
            digest, length = sha256_of(os.path.join(os.fsencode(found.root), name))
        except OSError as error:
            log(found.out, f"unreadable: {os.fsdecode(name)!r}: {error.strerror}")
            unreadable += 1
            continue
        lines.append(manifest_line(digest, os.path.join(os.fsencode(found.folder), name)))
        size += length
        if size >= BATCH_BYTES:
            break
    write_durably(part_of(found, done.batches), b"".join(lines))
    log(found.out, f"hashed batch {done.batches}: {len(lines)} files")
    return Progress(done.batches + 1, offset, done.files + len(lines), done.bytes + size, done.unreadable + unreadable)


@step(timeout=None)
def publish(found: Survey, batches: int) -> None:
    """Join the batches to the manifest, which appears whole or not at all."""
    joined = Path(found.work, "manifest")
    with joined.open("wb") as target:
        for number in range(batches):
            with part_of(found, number).open("rb") as part:
                shutil.copyfileobj(part, target)
        target.flush()
        os.fsync(target.fileno())
    shutil.copyfile(joined, f"{found.out}.new")
    os.replace(f"{found.out}.new", found.out)
    log(found.out, f"published {batches} batches")


@step(timeout=None)
def clean_up(found: Survey) -> None:
    """Remove the work folder; a step of its own, so that `publish` can be repeated as long as it is not recorded."""
    shutil.rmtree(found.work, ignore_errors=True)


# --- files ----------------------------------------------------------------------------------------------------------


def list_files(root: str, ours: set[str], skip: frozenset[str]) -> tuple[list[bytes], int]:
    """The names of all regular files below `root`, sorted, and how many other things were left out."""
    top = os.fsencode(root)
    leave_out = {os.fsencode(path) for path in ours}
    names: list[bytes] = []
    skipped = 0
    for here, folders, files in os.walk(top):
        for name in folders:
            skipped += os.path.islink(os.path.join(here, name))
        folders[:] = [name for name in folders if os.fsdecode(name) not in skip and os.path.join(here, name) not in leave_out]
        for name in files:
            path = os.path.join(here, name)
            if path in leave_out:
                continue
            if stat.S_ISREG(os.lstat(path).st_mode):
                names.append(os.path.relpath(path, top))
            else:
                skipped += 1
    return sorted(names), skipped


def names_from(path: Path, offset: int, count: int) -> Iterator[bytes]:
    """Up to `count` names of the list, from a place in it on."""
    with path.open("rb") as file:
        file.seek(offset)
        rest = b""
        while count and (block := file.read(65_536)):
            *names, rest = (rest + block).split(b"\0")
            yield from names[:count]
            count -= len(names[:count])


def sha256_of(path: bytes) -> tuple[str, int]:
    """The digest of a file, and its length."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


def manifest_line(digest: str, path: bytes) -> bytes:
    """A line as `sha256sum` writes it: one that had to escape its name begins with a backslash."""
    escaped = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if escaped != path else b"") + digest.encode() + b"  " + escaped + b"\n"


def part_of(found: Survey, number: int) -> Path:
    """The file with the lines of one batch."""
    return Path(found.work, f"{number:06}")


def write_durably(path: Path, body: bytes) -> None:
    """Write a file that is there whole or not at all, and stays when the power goes: it must outlive the step's record."""
    new = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    with new.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def log(out: str, line: str) -> None:
    """Append to the log beside the manifest."""
    with open(f"{out}.log", "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"pid {os.getpid()} {line}\n")
