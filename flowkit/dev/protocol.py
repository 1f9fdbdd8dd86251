"""What the supervisor and a child say to each other: one JSON document a line, over two pipes of their own.

Stdout and stderr stay the user's. Whoever reads ignores nothing and trusts nothing: a line that is no message ends the
child. `Order`s go to the child, `Word`s come from it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from flowkit.check.report import Line
from flowkit.client.livecode import Answer, Cause, LoadError, ResolveWish, StartAnswer, StartWish, UndoTrial, WorkflowInfo
from flowkit.core.verdict import Replay

__all__ = [
    "Broken",
    "Checked",
    "Checking",
    "Claim",
    "Claiming",
    "Debug",
    "Debugging",
    "Drained",
    "Fit",
    "Held",
    "Leave",
    "Load",
    "Loaded",
    "Loading",
    "Order",
    "Quiet",
    "Replayed",
    "Resolve",
    "Resolved",
    "Said",
    "Spec",
    "Start",
    "Started",
    "TryUndoing",
    "Trying",
    "Undoable",
    "Waits",
    "Word",
    "Yield",
    "decode_order",
    "decode_word",
    "encode",
]


class Said(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all messages; the tag is the class's name."""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What a child is started with. `listens` and `tells` are descriptors, `stacks` gets the stack of a slow import."""

    app: str
    db: str
    parent: int
    number: int = 0
    """Of the generation."""
    listens: int
    tells: int
    stacks: int
    import_seconds: float
    terminal: bool
    """Whether there is one that a debugger could have."""


# --- orders -----------------------------------------------------------------------------------------------------------


class Load(Said, frozen=True, kw_only=True):
    """Import the APP and try the open runs. Until then the process is nobody's generation; `waited`: it was a spare."""

    waited: bool = False


class Claim(Said, frozen=True, kw_only=True):
    """Work on runs from here on; for `gentle` seconds take them up a few at a time, as the former gives them back."""

    gentle: float = 0.0


class Yield(Said, frozen=True, kw_only=True):
    """Claim nothing more; bodies have `grace` seconds. With `patient` those declared at_most_once have all the time, and with
    `drain` the runs in hand go on until each ends or waits.
    """

    grace: float
    patient: bool = True
    drain: bool = False


class Debug(Said, frozen=True, kw_only=True):
    """The terminal is yours."""


class Start(Said, frozen=True, kw_only=True):
    """Start a run as a form asks for it, and answer with `number`."""

    number: int
    wish: StartWish


class Resolve(Said, frozen=True, kw_only=True):
    """Give a step's outcome as a form asks for it, and answer with `number`."""

    number: int
    wish: ResolveWish


class TryUndoing(Said, frozen=True, kw_only=True):
    """Try the rollback of this run without doing it, and answer with `number`."""

    number: int
    run: str


class Leave(Said, frozen=True, kw_only=True):
    """End."""


Order = Load | Claim | Yield | Debug | Start | Resolve | TryUndoing | Leave


# --- words ------------------------------------------------------------------------------------------------------------


class Loading(Said, frozen=True, kw_only=True):
    """The import of the APP begins."""


class Loaded(Said, frozen=True, kw_only=True):
    """The APP is imported. `bodies` are hashes: workflow → step → of its source; under ``""`` the workflow's own."""

    code: str
    seconds: float
    workflows: tuple[WorkflowInfo, ...]
    bodies: dict[str, dict[str, str]]
    files: tuple[str, ...]
    found: tuple[str, ...] = ()


class Broken(Said, frozen=True, kw_only=True):
    """The APP cannot be imported, or must not run. `files` are those to watch for a change."""

    error: LoadError
    seconds: float
    files: tuple[str, ...]


class Checking(Said, frozen=True, kw_only=True):
    """Open runs are being tried."""

    runs: int


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """How the open runs of a workflow fit."""

    workflow: str
    fits: int
    held: int
    unchecked: int


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that do not fit for one reason, with the lines to paste."""

    cause: Cause
    lines: tuple[Line, ...]


class Checked(Said, frozen=True, kw_only=True):
    """Open runs were tried. `freed` were held before and fit now; `unattended` counts runs whose workflow is gone."""

    fits: tuple[Fit, ...] = ()
    held: tuple[Held, ...] = ()
    freed: int = 0
    unattended: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    """Why runs were not checked."""


class Claiming(Said, frozen=True, kw_only=True):
    """This child works on runs."""


class Debugging(Said, frozen=True, kw_only=True):
    """A debugger asks for the terminal, or has ended (`over`)."""

    over: bool = False


class Quiet(Said, frozen=True, kw_only=True):
    """This child claims nothing more."""


class Waits(Said, frozen=True, kw_only=True):
    """Bodies that are under way while it drains; `at_most_once`: one of them must not be ended."""

    bodies: tuple[str, ...]
    at_most_once: bool


class Drained(Said, frozen=True, kw_only=True):
    """All runs are given back, `given_up` of them in the middle of a body."""

    given_up: int


class Started(Said, frozen=True, kw_only=True):
    """The answer to a `Start`."""

    number: int
    answer: StartAnswer


class Resolved(Said, frozen=True, kw_only=True):
    """The answer to a `Resolve`."""

    number: int
    answer: Answer


class Undoable(Said, frozen=True, kw_only=True):
    """The answer to a `TryUndoing`."""

    number: int
    answer: UndoTrial


class Trying(Said, frozen=True, kw_only=True):
    """The next run that is tried in the background."""

    run: str
    workflow: str


class Replayed(Said, frozen=True, kw_only=True):
    """What the check in the background has found under `code`, so far or (`replay.over`) in all."""

    code: str
    replay: Replay


Word = (
    Loading | Loaded | Broken | Checking | Checked | Claiming | Debugging | Quiet | Waits | Drained
    | Started | Resolved | Undoable | Trying | Replayed
)  # fmt: skip

_orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
_words: msgspec.json.Decoder[Word] = msgspec.json.Decoder(Word)


def encode(message: object) -> bytes:
    """One line, without its end. Lone surrogates, which JSON in UTF-8 cannot hold, are escaped."""
    try:
        return msgspec.json.encode(message)
    except UnicodeEncodeError:
        return msgspec.json.encode(_printable(msgspec.to_builtins(message)))


def decode_order(line: bytes) -> Order:
    """An order to a child."""
    return _orders.decode(line)


def decode_word(line: bytes) -> Word:
    """A word from a child."""
    return _words.decode(line)


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list | tuple) else value
