"""What the supervisor's loop hears: from children, from the watcher, from pages and from the keyboard."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flowkit.client.livecode import Answer, Decision, ResolveWish, StartAnswer, StartWish, UndoTrial, UndoWish
from flowkit.dev.protocol import Word

if TYPE_CHECKING:
    from flowkit.dev.generation import Generation

__all__ = ["Aside", "Decided", "Ended", "Event", "Heard", "Interrupted", "Killed", "Printed", "SavedFiles", "Stalled", "Wanted"]


@dataclass(frozen=True, slots=True)
class Heard:
    """A child said something."""

    generation: Generation
    word: Word


@dataclass(frozen=True, slots=True)
class Stalled:
    """A child's import takes long; `stack` is what faulthandler wrote."""

    generation: Generation
    stack: str


@dataclass(frozen=True, slots=True)
class Printed:
    """A line of a child's output."""

    generation: Generation
    stream: Literal["stdout", "stderr"]
    line: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A child is gone; `code` as of `subprocess`, negative for a signal."""

    generation: Generation
    code: int


@dataclass(frozen=True, slots=True)
class SavedFiles:
    """These files have another content than before, or are gone."""

    files: list[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page wants a run started, or a step's outcome given."""

    wish: StartWish | ResolveWish | UndoWish
    answer: Future[StartAnswer | Answer | UndoTrial]


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Ctrl-C, or a polite signal."""


@dataclass(frozen=True, slots=True)
class Killed:
    """A page wants the import ended that does not come to an end."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A page says what becomes of the code that waits."""

    decision: Decision
    answer: Future[Answer]


@dataclass(frozen=True, slots=True)
class Aside:
    """Something about the process that tries runs in the background, which is no generation."""

    event: Event


Event = Heard | Stalled | Printed | Ended | SavedFiles | Wanted | Interrupted | Killed | Decided | Aside
