"""The supervisor's handle on one child process: starting it, giving orders, hearing its words and output, killing it.

A child stands at the head of a process group of its own, so that Ctrl-C reaches the supervisor alone, and so that what user
code has forked goes with it. Everything heard is posted as an event; nothing is decided here.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import msgspec

from flowkit.dev.events import Ended, Event, Heard, Printed, Stalled
from flowkit.dev.protocol import Checked, Loaded, Order, Spec, decode_word, encode
from flowkit.dev.settings import IN_FORCE

__all__ = ["Generation"]

_CHUNK = 65_536
_LONGEST_LINE = 64_000_000
_TAIL = 20
_STACK_SECONDS = IN_FORCE.dev_stack


class Generation:
    """One child. The main thread must make it: on Linux a child dies with the thread that started it."""

    def __init__(
        self, number: int, app: str, db: str, *, import_seconds: float, terminal: bool, post: Callable[[Event], None],
        module: str = "flowkit.dev.child",
    ) -> None:  # fmt: skip
        self.number = number
        self.was_spare = False
        self.began = False
        self.loaded: Loaded | None = None
        self.checked: Checked | None = None
        self.claims = False
        self.drained = False
        self.leaving = False
        self.deadline: float | None = None
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._post = post
        self._ordering = threading.Lock()
        listens, self._orders = os.pipe()
        words, tells = os.pipe()
        stack, stacks = os.pipe()
        spec = Spec(
            app=app, db=db, parent=os.getpid(), listens=listens, tells=tells, stacks=stacks, import_seconds=import_seconds,
            terminal=terminal, number=number,
        )  # fmt: skip
        command = [sys.executable, "-B", "-u", "-X", "faulthandler", "-m", module, encode(spec).decode()]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=(listens, tells, stacks), process_group=0,
        )  # fmt: skip
        for descriptor in (listens, tells, stacks):
            os.close(descriptor)
        reader = threading.Thread(target=self._read, args=(words, stack), name=f"flowkit-child-{number}", daemon=True)
        reader.start()
        threading.Thread(target=self._wait, args=(reader,), name=f"flowkit-wait-{number}", daemon=True).start()

    @property
    def code(self) -> str:
        """The first digits of its code's hash, empty before it is known."""
        return "" if self.loaded is None else self.loaded.code[:6]

    @property
    def pid(self) -> int:
        """The child's process id, and its group's."""
        return self._process.pid

    def order(self, order: Order) -> None:
        """Tell the child to do something; a dead one hears nothing."""
        line = encode(order) + b"\n"
        with self._ordering, suppress(OSError):
            while line and self._orders >= 0:
                line = line[os.write(self._orders, line) :]

    def kill(self) -> None:
        """End the child and all that it has forked, now."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    # --- hearing ----------------------------------------------------------------------------------------------------

    def _wait(self, reader: threading.Thread) -> None:
        code = self._process.wait()
        self.kill()  # what it forked has no business without it, and holds its pipes open
        reader.join(IN_FORCE.dev_close)
        with self._ordering:
            os.close(self._orders)
            self._orders = -1  # the number may be given to another pipe from here on
        self._post(Ended(self, code))

    def _read(self, words: int, stack: int) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with os.fdopen(words, "rb", 0) as said, os.fdopen(stack, "rb", 0) as stacks, self._process.stdout, self._process.stderr:
            readers: dict[int, Callable[[bytes], None]] = {
                said.fileno(): _Lines(self._heard),
                stacks.fileno(): self._stalled,
                self._process.stdout.fileno(): _Lines(lambda line: self._printed("stdout", line)),
                self._process.stderr.fileno(): _Lines(lambda line: self._printed("stderr", line)),
            }
            with selectors.DefaultSelector() as selector:
                for descriptor in readers:
                    selector.register(descriptor, selectors.EVENT_READ)
                while selector.get_map():
                    for key, _ in selector.select():
                        if key.fd == stacks.fileno():
                            time.sleep(_STACK_SECONDS)  # faulthandler writes word by word, and does not say when it is done
                        data = os.read(key.fd, _CHUNK)
                        readers[key.fd](data)
                        if not data:
                            selector.unregister(key.fd)

    def _heard(self, line: bytes) -> None:
        try:
            self._post(Heard(self, decode_word(line)))
        except msgspec.MsgspecError as error:
            self._printed("stderr", f"flowkit: the child said what cannot be understood: {error}".encode())
            self.kill()

    def _stalled(self, data: bytes) -> None:
        if data:
            self._post(Stalled(self, data.decode("utf-8", "replace")))

    def _printed(self, stream: Literal["stdout", "stderr"], line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if stream == "stderr":
            self.tail.append(text)
        self._post(Printed(self, stream, text))


class _Lines:
    """Cuts what is read into lines; the end of the pipe, an empty read, ends the last one."""

    def __init__(self, line: Callable[[bytes], None]) -> None:
        self._line = line
        self._rest = bytearray()

    def __call__(self, data: bytes) -> None:
        self._rest += data
        if b"\n" not in data and data and len(self._rest) < _LONGEST_LINE:
            return
        *lines, rest = bytes(self._rest).split(b"\n")
        if rest and (not data or len(rest) >= _LONGEST_LINE):
            lines, rest = [*lines, rest], b""
        self._rest = bytearray(rest)
        for line in lines:
            self._line(line)
