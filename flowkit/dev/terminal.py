"""Lending the terminal to a child whose code has come to a `breakpoint()`.

A terminal listens to one process group, and stops every other that reads from it. The supervisor makes a child's group that
one for a while; until it is given back, Ctrl-C goes to the debugger.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from flowkit.dev.generation import Generation
from flowkit.dev.protocol import Debug

__all__ = ["Terminal"]


class Terminal:
    """`holder` is the child whose debugger has it; that process is neither replaced nor ended meanwhile."""

    def __init__(self) -> None:
        self.holder: Generation | None = None

    def lend(self, child: Generation) -> None:
        """Give it to a child that has asked for it."""
        self.holder = child
        _listen_to(child.pid)
        child.order(Debug())

    def take_back(self, child: Generation) -> None:
        """This child's debugger is done, or the child is gone."""
        if self.holder is child:
            self.holder = None
            _listen_to(os.getpgrp())


def _listen_to(group: int) -> None:
    """Have the terminal listen to this process group."""
    with suppress(OSError):
        descriptor = os.open("/dev/tty", os.O_RDWR)
        before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # or this process would be stopped for asking
        try:
            os.tcsetpgrp(descriptor, group)
        finally:
            signal.signal(signal.SIGTTOU, before)
            os.close(descriptor)
