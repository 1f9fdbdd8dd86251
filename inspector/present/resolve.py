"""What the page says that gives a step's outcome by hand, and which of its arguments a person has changed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from flowkit.client.livecode import StepInfo
from flowkit.core.entry import Entry
from flowkit.core.resolution import by_hand_of

from .times import Stamp, stamp
from .values import mask, one_line, shown

__all__ = ["HandView", "by_hand_view", "changed_arguments", "editable", "rollback_text"]

_HOW = {
    "value": "Its value was given", "error": "Its failure was given", "again": "It was tried again",
    "real": "It was run for real", "undo": "Its rollback was called for real", "undone": "It was taken for undone",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class HandView:
    """What a person decided for an entry. `args` are those that were changed, each with its value on one line."""

    what: str
    reason: str
    at: Stamp | None
    who: str
    args: tuple[tuple[str, str], ...]
    unchecked: bool


def by_hand_view(entry: Entry, now: float) -> HandView | None:
    """What a person decided for this entry, None for nearly all."""
    given = by_hand_of(entry)
    if given is None:
        return None
    args = tuple((shown(name), one_line(json.loads(bytes(raw)), 400)) for name, raw in given.args.items())
    return HandView(
        what=_HOW[given.how] + (", with other arguments" if args else ""), reason=shown(given.reason), at=stamp(given.at, now),
        who=shown(given.who), args=args, unchecked=given.unchecked,
    )  # fmt: skip


def rollback_text(step: StepInfo | None) -> str:
    """What becomes of the value at a rollback; empty where the step has none."""
    if step is None:
        return "If the step has a rollback, that will be given this value"
    return "The step's rollback will be given this value" if step.has_rollback else ""


def editable(recorded: object) -> str:
    """Recorded arguments as a text to be edited, secrets masked; empty where there are none that could be."""
    if not isinstance(recorded, dict) or not recorded:
        return ""
    try:
        return json.dumps(mask(recorded), ensure_ascii=False, indent=2)
    except (ValueError, TypeError, RecursionError):
        return ""


def changed_arguments(recorded: object, text: str) -> dict[str, str]:
    """The arguments that `text` has otherwise than `editable` showed them, as JSON texts; a masked one was not changed.

    Raises:
        ValueError: the text is no JSON object.
    """
    try:
        given = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the arguments are not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ValueError("the arguments are a JSON object: one key for each argument")
    before = mask(recorded) if isinstance(recorded, dict) else {}
    known = before if isinstance(before, dict) else {}
    return {
        name: json.dumps(value, ensure_ascii=False) for name, value in given.items() if name not in known or known[name] != value
    }
