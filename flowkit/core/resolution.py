"""What a person decided in place of a step's body, as its entry keeps it.

The record stands in the entry itself, so that whatever becomes of that (archived, exported, undone) keeps it. The given value
or error is the entry's own outcome; here is who gave it, when and why, and which arguments were changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from flowkit.core.entry import Entry
from flowkit.core.location import is_storable

__all__ = ["MAX_REASON", "ByHand", "by_hand_of", "checked_reason", "edited_args"]

MAX_REASON = 2_000


class ByHand(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """`how`: the outcome was given (``value``, ``error``), or the body is to be tried again (``again``). In a fork it may also be
    done for ``real``, and the rollback called (``undo``) or taken for done (``undone``).

    `at` is epoch seconds. `args` are encoded values by parameter, which replace those that the code passes. `unchecked`: no
    code was at hand to tell whether the outcome fits the step, and whether that has a rollback. `round` is that of the entry for
    which it was said: what a person allowed is not allowed any more once the entry starts over.
    """

    how: Literal["value", "error", "again", "real", "undo", "undone"]
    reason: str
    at: float
    who: str = ""
    args: Mapping[str, msgspec.Raw] = {}
    unchecked: bool = False
    round: int = 0

    def encode(self) -> bytes:
        """As an entry keeps it."""
        return msgspec.json.encode(self)


_read = msgspec.json.Decoder(ByHand)


def by_hand_of(entry: Entry) -> ByHand | None:
    """What a person decided for this entry; None for nearly all."""
    return None if entry.by_hand is None else _read.decode(entry.by_hand)


def edited_args(entry: Entry | None) -> Mapping[str, msgspec.Raw]:
    """The arguments that a person changed, encoded, by parameter."""
    if entry is None or entry.by_hand is None:
        return {}
    return _read.decode(entry.by_hand).args


def checked_reason(reason: object) -> str:
    """The reason that a person must give.

    Raises:
        TypeError, ValueError: it is no text, empty, longer than 2,000 characters, or holds lone surrogates.
    """
    if not isinstance(reason, str):
        raise TypeError(f"a reason is text, not {type(reason).__name__}")
    text = reason.strip()
    if not text:
        raise ValueError("a reason is required: it is what those who read the history later have")
    if len(text) > MAX_REASON or not is_storable(text):
        raise ValueError(f"a reason is text of at most {MAX_REASON:,} characters")
    return text
