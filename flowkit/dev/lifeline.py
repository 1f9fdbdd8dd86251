"""That no child outlives the supervisor, however the supervisor ends.

On Linux the kernel kills a child when the thread that started it is gone. Elsewhere, and for what user code has forked, a
thread waits for the end of a pipe whose other end only the supervisor holds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

__all__ = ["die_with", "guard_forks"]

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when the supervisor, process `parent`, is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)


def guard_forks(pipe: int) -> None:
    """Have processes that user code forks end, too, once nobody holds the other end of `pipe`.

    The kernel's signal will not do for them: it comes when the *thread* that forked ends, and a guest thread may end long
    before a pool of processes that was made on it.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: threading.Thread(target=_await_end, args=(pipe,), daemon=True).start())


def _await_end(pipe: int) -> None:
    import select

    poll = select.poll()
    poll.register(pipe, 0)  # only a hang-up is reported: what is written there is read by somebody else
    while not (events := sum(event for _, event in poll.poll())):
        continue
    if not events & select.POLLNVAL:  # it closed what it inherited: it wants to be on its own
        os._exit(1)
