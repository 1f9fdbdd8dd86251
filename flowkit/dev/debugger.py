"""`breakpoint()` in a child: the debugger gets the terminal for as long as it lasts, and the reload waits.

A child's own stdin is empty and its output is piped, so the debugger talks to the terminal itself. Two may not at a time.
"""

from __future__ import annotations

import pdb
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from flowkit.engine.source import shown_path

__all__ = ["Breakpoints"]

_TERMINAL = "/dev/tty"


class Breakpoints:
    """What `breakpoint()` calls. `ask` has the supervisor lend the terminal, which `lend` then does; `done` gives it back."""

    def __init__(self, *, terminal: bool, ask: Callable[[], None], done: Callable[[], None]) -> None:
        self._terminal = terminal
        self._ask = ask
        self._done = done
        self._one = threading.Lock()
        self._lent = threading.Event()
        sys.breakpointhook = self

    def lend(self) -> None:
        """The terminal may be used from here on."""
        self._lent.set()

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        frame = sys._getframe(1)
        if not self._terminal:
            place = f"{shown_path(frame.f_code.co_filename)}:{frame.f_lineno}"
            sys.stderr.write(f"flowkit: breakpoint() at {place} is passed over, as there is no terminal\n")
            return
        self._one.acquire()
        self._lent.clear()
        self._ask()
        self._lent.wait()
        stdin, stdout = open(_TERMINAL, encoding="utf-8"), open(_TERMINAL, "w", encoding="utf-8")  # noqa: SIM115  # the session's
        _Session(stdin, stdout, over=self._over).set_trace(frame)

    def _over(self) -> None:
        self._done()
        self._one.release()


class _Session(pdb.Pdb):
    """Ends when the code is let go, or quit."""

    def __init__(self, stdin: TextIO, stdout: TextIO, *, over: Callable[[], None]) -> None:
        super().__init__(stdin=stdin, stdout=stdout, nosigint=True, readrc=False)
        self._over: Callable[[], None] | None = over

    def set_continue(self) -> None:
        super().set_continue()
        if not self.breaks:  # else it will come back
            self._end()

    def set_quit(self) -> None:
        super().set_quit()
        self._end()

    def _end(self) -> None:
        over, self._over = self._over, None
        if over is not None:
            over()
