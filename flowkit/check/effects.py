"""That trying a run has no effects: while workflow code passes over its history for a check, what would reach out is refused.

A workflow should have no effects of its own, but nothing keeps one from opening a socket between two steps, and a check runs
it without anybody having asked for it. An audit hook sees such calls and refuses those made from within a check's pass, in
whatever thread, also one that was given up long ago. What was open before (a client made at import) it cannot stop.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from types import FrameType
from typing import Any

from flowkit.engine.scope import Scope, current
from flowkit.engine.source import PACKAGE, shown_path

__all__ = ["Effect", "refuse_effects"]

_EFFECTS = {
    "socket.connect": "opens a socket", "socket.bind": "opens a socket", "socket.sendto": "sends over a socket",
    "socket.sendmsg": "sends over a socket", "socket.getaddrinfo": "asks for a host's address",
    "subprocess.Popen": "starts a program", "os.system": "starts a program", "os.exec": "starts a program",
    "os.posix_spawn": "starts a program", "os.fork": "forks", "os.forkpty": "forks", "os.remove": "deletes a file",
    "os.rmdir": "deletes a folder", "os.rename": "renames a file", "os.mkdir": "makes a folder", "os.link": "makes a link",
    "os.symlink": "makes a link", "os.truncate": "changes a file", "sqlite3.connect": "opens a database", "open": "writes a file",
}  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NOT_THEIRS = (PACKAGE, "<frozen ", sysconfig.get_path("stdlib") + os.sep)
_lock = threading.Lock()
_installed = False


class Effect(BaseException):
    """Workflow code did what only a step may do. `except Exception` cannot catch it; its text says what and where."""


def refuse_effects() -> None:
    """From here on refuse effects in passes made for a check. It stays so: a hook cannot be taken back."""
    global _installed  # as the hook: once for the process
    with _lock:
        if not _installed:
            _installed = True
            sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    what = _EFFECTS.get(event)
    if what is None or (event == "open" and not _writes(args)):
        return
    scope = current.get(None)
    trial = scope.strand.running.journal.trial if isinstance(scope, Scope) else None
    if trial is None:
        return
    frame = sys._getframe(1)
    if frame.f_code.co_filename.startswith(PACKAGE):  # reading the history is ours
        return
    effect = Effect(f"{what} at {_place(frame)}")
    trial.effects.append(effect)
    raise effect


def _writes(args: tuple[Any, ...]) -> bool:
    path, _, flags = args
    return isinstance(path, str | bytes | os.PathLike) and bool(flags & _WRITING) and os.fspath(path) != os.devnull


def _place(frame: FrameType) -> str:
    """``file:line`` of the nearest frame of the user's own code."""
    nearest: FrameType | None = frame
    while nearest is not None:
        name = nearest.f_code.co_filename
        if not name.startswith(_NOT_THEIRS) and f"{os.sep}site-packages{os.sep}" not in name:
            return f"{shown_path(name)}:{nearest.f_lineno}"
        nearest = nearest.f_back
    return f"{shown_path(frame.f_code.co_filename)}:{frame.f_lineno}"
