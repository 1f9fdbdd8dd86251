"""Noticing saves: which files of the watched folders differ from what they were, whatever an editor did to them.

Events only say where to look. What counts is the content: touching a file is no save, renaming another one over it is.
Folders are watched one by one rather than as a tree, because a tree may hold an environment of fifty thousand files.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

from watchfiles import Change, watch

from flowkit.dev.settings import IN_FORCE

__all__ = ["Files", "Watcher", "folders_of", "needs_polling"]

DEBOUNCE_MS = round(IN_FORCE.dev_debounce * 1_000)
STEP_MS = round(IN_FORCE.dev_watch_step * 1_000)
MOST_FOLDERS = 2_000
_NEVER = {"__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist"}
_POLLED = {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs", "fuse.sshfs", "fuse.grpcfuse", "vboxsf", "drvfs"}


class Files:
    """The content of the watched files, as hashes. `roots` are folders; `without` is the database's path."""

    def __init__(self, globs: Collection[str], without: str) -> None:
        self._globs = tuple(globs)
        self._without = without
        self._roots: set[str] = set()
        self._links: set[str] = set()
        self._known: dict[str, tuple[int, int, int, bytes]] = {}
        self.folders: set[str] = set()

    def add(self, roots: Iterable[str]) -> bool:
        """Watch these folders and what is below them; whether any of them is new. What lies in them now counts as known."""
        fresh = {root for root in roots if os.path.isdir(root)} - self._roots
        if not fresh:
            return False
        self._roots |= fresh
        self._links |= {os.path.dirname(link) for root in fresh for link in _links_in(root)}
        added = {path: found for path, found in self._look(()).items() if path not in self._known}
        self._known |= added
        _drop_caches(added)
        return True

    def changed(self, paths: Collection[str]) -> list[str]:
        """The files whose content differs from the last look; those in `paths` are read even if they look the same."""
        found = self._look(paths)
        changed = [path for path, now in found.items() if path not in self._known or self._known[path][3] != now[3]]
        gone = [path for path in self._known if path not in found]
        self._known = found
        _drop_caches(changed)
        return sorted({os.path.realpath(path) for path in changed + gone})

    def concerns(self, change: Change, path: str) -> bool:
        """Whether an event may mean a save: a file of ours, or a folder that came or went."""
        if self.is_ours(path):
            return True
        name = os.path.basename(path)
        return not _skipped(name) and (os.path.isdir(path) or (change == Change.deleted and path in self.folders))

    def is_ours(self, path: str) -> bool:
        """Whether saving this file counts."""
        name = os.path.basename(path)
        if path.startswith(self._without):
            return False
        return name.endswith(".py") or any(fnmatch.fnmatch(path, glob) or fnmatch.fnmatch(name, glob) for glob in self._globs)

    def _look(self, sure: Collection[str]) -> dict[str, tuple[int, int, int, bytes]]:
        found: dict[str, tuple[int, int, int, bytes]] = {}
        self.folders = set(self._links)
        for root in sorted(self._roots):
            for folder in _folders(root):
                if len(self.folders) >= MOST_FOLDERS:
                    break
                if folder in self.folders:
                    continue
                self.folders.add(folder)
                for path in _names(folder):
                    if self.is_ours(path) and (seen := self._read(path, path in sure)) is not None:
                        found[path] = seen
        return found

    def _read(self, path: str, sure: bool) -> tuple[int, int, int, bytes] | None:
        try:
            stat = os.stat(path)
            known = self._known.get(path)
            facts = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if known is not None and not sure and known[:3] == facts:
                return known
            return (*facts, hashlib.sha256(Path(path).read_bytes()).digest())
        except OSError:  # it went away, or may not be read
            return None


class Watcher:
    """A thread that calls `saved` with the files of each save."""

    def __init__(self, files: Files, saved: Callable[[list[str]], None]) -> None:
        self._files = files
        self._saved = saved
        self._stop = threading.Event()
        self._again = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="flowkit-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def add(self, roots: Iterable[str]) -> None:
        """Watch these folders, too."""
        with self._lock:
            if self._files.add(roots):
                self._again.set()

    def stop(self) -> None:
        """End, soon."""
        self._stop.set()
        self._again.set()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._again.clear()
            with self._lock:
                folders = sorted(folder for folder in self._files.folders if os.path.isdir(folder))
            if not folders:
                self._again.wait(IN_FORCE.dev_watch_again)
                continue
            self._look(())  # for what was saved while nobody watched
            try:
                self._follow(folders)
            except OSError:  # a folder went away meanwhile
                self._again.wait(IN_FORCE.dev_debounce_many)

    def _follow(self, folders: list[str]) -> None:
        begun = False
        for changes in watch(
            *folders, watch_filter=self._files.concerns, debounce=DEBOUNCE_MS, step=STEP_MS, stop_event=self._again,
            rust_timeout=round(IN_FORCE.dev_watch_wake * 1_000), yield_on_timeout=True, recursive=False, raise_interrupt=False,
            force_polling=needs_polling(folders) or None, ignore_permission_denied=True,
        ):  # fmt: skip
            if not changes and begun:
                continue
            begun = True  # the first time also for what was saved before the kernel was asked to tell
            if self._look([path for _, path in changes]) != folders:
                return

    def _look(self, paths: Collection[str]) -> list[str]:
        """Tell of what changed; the folders there are now."""
        with self._lock:
            changed = self._files.changed(paths)
            folders = sorted(self._files.folders)
        if changed:
            self._saved(changed)
        return folders


def folders_of(app: str) -> set[str]:
    """Where the APP is, or would be: a file's folder as given and as it really is, the working folder for a module."""
    if not app.endswith(".py") and not os.path.isfile(app):
        return {os.getcwd()}
    folder = os.path.dirname(os.path.abspath(app))
    return {folder, os.path.realpath(folder), os.path.dirname(os.path.realpath(app))}


def needs_polling(folders: Collection[str]) -> bool:
    """Whether the kernel tells nothing of changes there: network and shared folders."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines()]
    except OSError:
        return False
    points = {point.rstrip("/") + "/": kind for point, kind in mounts}
    kinds = {points[max((p for p in points if f"{folder}/".startswith(p)), key=len, default="/")] for folder in folders if points}
    return not kinds.isdisjoint(_POLLED)


def _links_in(path: str) -> Iterable[str]:
    """The parts of the path that are links: pointed elsewhere, other files stand under the same names."""
    while (above := os.path.dirname(path)) != path:
        if os.path.islink(path):
            yield path
        path = above


def _drop_caches(paths: Iterable[str]) -> None:
    """Remove these files' bytecode. Python takes it for current if a save has the same size and second as the one before."""
    for path in paths:
        if path.endswith(".py"):
            with suppress(OSError):
                os.unlink(cache_from_source(path))


def _folders(root: str) -> Iterable[str]:
    for folder, below, _ in os.walk(root):
        below[:] = sorted(name for name in below if not _skipped(name))
        yield folder


def _names(folder: str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(folder) if entry.is_file()]
    except OSError:
        return []


def _skipped(name: str) -> bool:
    return name.startswith(".") or name in _NEVER or name.endswith((".egg-info", "-locks"))
