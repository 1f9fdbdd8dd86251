"""A line that the code of a run logged, as it is kept beside the run's history.

Lines are no part of the history: no pass reads them, nothing is decided by them, and the newest may be lost with a process.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["BOOK", "Book", "Line", "Part", "book_in", "line_of", "number_at"]

Part = Literal["code", "step", "rollback"]
"""What logged a line: the workflow's own code, a step's body, or its rollback handler."""

BOOK = 0
"""The number of the line in which a store keeps book of the others of its run. Nobody logged it, no window begins below it."""


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One record of `logging`.

    `seq` is unique in its run and grows with time. `location` is that of the step whose body or handler (`part`) logged it,
    or of the scope of the workflow's own code; there `place` says the how many-th record it was.
    """

    seq: int
    at: float
    location: str = ""
    part: Part = "code"
    attempt: int = 0
    place: int = 0
    level: int = 20
    logger: str = ""
    text: bytes
    """UTF-8; what an outer codec made of it, in the store."""


def number_at(instant: float) -> int:
    """The lowest number that a line of this instant may have: numbers are microseconds, so they bound times, too."""
    return max(0, int(instant * 1e6))


class Book(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many lines of a run are there, and how many older ones have made room for them."""

    kept: int = 0
    dropped: int = 0


def book_in(line: Line | None) -> Book:
    """What stands in line `BOOK` of a run; without one nothing was logged, and one that cannot be read counts for none."""
    if line is None:
        return Book()
    try:
        return _book.decode(line.text)
    except msgspec.MsgspecError:  # by it no more than a count is lost, and the next lines must not be refused for that
        return Book()


def line_of(book: Book, at: float) -> Line:
    """Line `BOOK`, as it stands in the store."""
    return Line(seq=BOOK, at=at, level=0, text=msgspec.json.encode(book))


_book = msgspec.json.Decoder(Book)
