"""Lending the terminal to a child whose code has come to a `breakpoint()`.

A terminal listens to one process group, and stops every other that reads from it. The supervisor makes a child's group that
one for a while; until it is given back, Ctrl-C goes to the debugger.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

__all__ = ["lend_terminal", "take_terminal_back"]


def lend_terminal(group: int) -> None:
    """Have the terminal listen to this process group."""
    with suppress(OSError):
        descriptor = os.open("/dev/tty", os.O_RDWR)
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # or this process would be stopped for asking
        try:
            os.tcsetpgrp(descriptor, group)
        finally:
            signal.signal(signal.SIGTTOU, before)
            os.close(descriptor)


def take_terminal_back() -> None:
    """Have the terminal listen to this process again."""
    lend_terminal(os.getpgrp())
