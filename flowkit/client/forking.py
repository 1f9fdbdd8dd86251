"""How a what-if fork begins: the history before an entry, copied, and what is changed there. One write makes the whole of it.

Nothing of the original is touched. What the fork sees of itself is what the original saw: input, tags and the instant of the
start; but for its id, and the tag that every fork has.
"""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from flowkit.client.resolving import Decision, Form, decided_outside
from flowkit.client.rewind import prefix_of
from flowkit.codec import coder
from flowkit.core.entry import Entry
from flowkit.core.fork import TAG, Fork, carried
from flowkit.core.location import MAX_NAME, check_name, check_run_id
from flowkit.core.resolution import ByHand, checked_reason
from flowkit.definitions.steps import Step
from flowkit.drivers.base import BodyRef, Copied, Driver, RunView, Start
from flowkit.primitives.messages import Taken, message_names, taken_in

__all__ = [
    "DEFAULT_REASON", "Changed", "ForkForm", "changed_message", "changed_outside", "default_id", "digest", "fork_start",
    "forked_at",
]  # fmt: skip

DEFAULT_REASON = "what if"
INPUT_DIGITS = 32
"""How much of an input's digest is kept: 128 bits tell two inputs apart, and every run keeps them."""
_tagged = coder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The outcome of one entry as it is to be: `output` or `error`, encoded."""

    reason: str
    output: bytes | None = None
    error: bytes | None = None
    owes: bool = False
    unchecked: bool = False

    @staticmethod
    def of(decision: Decision) -> Changed:
        """What was decided for a step."""
        return Changed(
            reason=decision.reason, output=decision.output, error=decision.error, owes=decision.owes, unchecked=decision.unchecked
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkForm:
    """A change as it comes from outside: `how` is ``value``, ``nothing``, ``error`` or ``message``, the rest JSON and texts."""

    how: str
    reason: str
    value: object = None
    type: str = ""
    text: str = ""
    name: str | None = None


def changed_outside(entry: Entry, step: Step[..., Any] | None, form: ForkForm, now: float, limit: int) -> Changed:
    """A change from a command line or a form.

    Raises:
        ValueError: it is none for this kind of entry. PayloadError, TypeError: as `decided_outside`.
    """
    if (form.how == "message") != (entry.kind == "message"):
        wanted = "receive: give its message" if entry.kind == "message" else "step: give what it came to"
        raise ValueError(f"{entry.location!r} is a {wanted}")
    if form.how == "message":
        return changed_message(entry, form.value, form.name, form.reason, now, limit)
    if form.how not in ("value", "nothing", "error"):
        raise ValueError(f"there is no way {form.how!r} to change a step: give value, nothing or error")
    given = Form(how=form.how, reason=form.reason, value=form.value, type=form.type, text=form.text)
    return Changed.of(decided_outside(entry.location, step, given, limit))


def forked_at(view: RunView, at: str | int) -> Entry:
    """The entry with this location or number, if a fork can change it.

    Raises:
        ValueError: there is none, or it is neither a step nor a receive.
    """
    found = next((entry for entry in view.entries if at in (entry.location, entry.seq)), None)
    if found is None:
        near = difflib.get_close_matches(str(at), [entry.location for entry in view.entries], n=3, cutoff=0.0)
        hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"run {view.row.id!r} has no entry {at!r}.{hint}")
    if found.kind not in ("step", "message"):
        raise ValueError(f"{found.location!r} is a {found.kind}: a fork changes what a step gave, or a message")
    return found


def changed_message(entry: Entry, data: Any, name: str | None, reason: str, now: float, limit: int) -> Changed:
    """Other data in the message that this receive took, or would have taken. Where it took several, `data` is a list.

    Raises:
        ValueError: no name is known for it. PayloadError: the data cannot be stored.
    """
    took = taken_in(entry.output) if entry.status == "completed" and entry.output is not None else []
    if len(took) > 1 and not isinstance(data, list):
        raise ValueError(f"{entry.location!r} received {len(took)} messages: give a list with the data of each")
    waited = () if entry.settled else message_names(entry)
    names = [check_name(name, "message name")] if name is not None else [each.name for each in took] or list(waited)
    if not names:
        raise ValueError(f"no message came at {entry.location!r}: say what the name of this one is")
    made = [
        Taken(
            number=0, id=f"fork:{entry.seq}:{place}", name=names[min(place, len(names) - 1)],
            sent_at=took[min(place, len(took) - 1)].sent_at if took else now,
            data=msgspec.Raw(_tagged.encode(each, limit=limit)),
        )
        for place, each in enumerate(data if len(took) > 1 else [data])
    ]  # fmt: skip
    return Changed(reason=checked_reason(reason), output=msgspec.json.encode(made))


def fork_start(
    driver: Driver, view: RunView, entry: Entry, changed: Changed, *, id: str | None, who: str, now: float, token: str
) -> Start:
    """The write that makes the fork. `token` makes a repeated one harmless."""
    row = view.row
    entries, first = prefix_of(view, entry.seq)
    by_hand = ByHand(
        how="value" if changed.error is None else "error", reason=changed.reason, at=now, who=who, unchecked=changed.unchecked
    )
    fork = Fork(
        origin=row.id, run=row.seq, at=entry.seq, first=first, location=entry.location, kind=entry.kind, owes=changed.owes,
        output=msgspec.UNSET if changed.output is None else msgspec.Raw(changed.output),
        error=msgspec.UNSET if changed.error is None else msgspec.Raw(changed.error), by_hand=by_hand,
    )  # fmt: skip
    copied = Copied(
        fork=fork.encode(), who=who, entries=[_with_args(driver, row.seq, each) for each in entries], state=view.state,
        inbox=row.inbox,
        last=max((each.seq for each in entries), default=0), owes=sum(each.rollback == "owes" for each in entries),
    )  # fmt: skip
    return Start(
        id=check_run_id(id if id is not None else default_id(row.id, token)), workflow=row.workflow, input=view.input,
        input_hash=digest(view.input), tags=tuple(dict.fromkeys((*row.tags, TAG))), start_at=row.start_at, token=token,
        copied=copied,
    )  # fmt: skip


def digest(body: bytes) -> str:
    """By what two inputs are told apart."""
    return hashlib.sha256(body).hexdigest()[:INPUT_DIGITS]


def default_id(origin: str, token: str) -> str:
    """The id of a fork that was given none."""
    ending = f"-fork-{token[:8]}"
    return f"{origin[: MAX_NAME - len(ending)]}{ending}"


def _with_args(driver: Driver, run: int, entry: Entry) -> Entry:
    args = driver.body(BodyRef(run=run, field="args", entry=entry.seq)) if entry.args_crc else None
    return msgspec.structs.replace(entry, args=args, by_hand=carried(entry))
