"""Bulks in words: what one does, for whom, how far it is, and what happens if nobody carries it on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from flowkit.client.bulk import ALLOWED, Bulk, Found, Picks
from flowkit.core.run import STATUSES

from ..urls import run_url, with_query
from .runs import command_line
from .states import State, from_whom
from .times import Stamp, length, stamp
from .values import shown

__all__ = [
    "BULK_VERBS",
    "TYPED_ABOVE",
    "BulkItem",
    "BulkLink",
    "Part",
    "Reason",
    "Wish",
    "bulk_item",
    "bulk_links",
    "bulk_words",
    "count_text",
    "meaning",
    "parts_of",
    "picks_query",
    "same_count",
]

TYPED_ABOVE = 100
"""A bulk over more runs than this wants their number typed in."""

ORPHAN_SECONDS = 5.0
"""A bulk that is new may wait so long for its turn before the page says that nobody carries it on."""

BULK_VERBS: dict[str, tuple[str, str, str]] = {
    "recover": ("Recover", "Recovering…", "recovered"),
    "resume": ("Resume", "Resuming…", "resumed"),
    "wake": ("Wake", "Waking…", "woken"),
    "send": ("Send message to", "Sending…", "sent to"),
    "pause": ("Pause", "Pausing…", "paused"),
    "evict": ("Evict", "Evicting…", "evicted"),
    "replay": ("Replay", "Replaying…", "replayed"),
    "cancel": ("Cancel", "Cancelling…", "cancelled"),
    "cancel_rollback": ("Cancel and roll back", "Cancelling…", "cancelled"),
}
"""Each verb with the words before a number of runs, on its button while it is done, and of what was done."""

_MEANING = {
    "recover": "Each run goes on where it failed: what failed gets fresh attempts, and steps that were rolled back run again. "
    "Where a rollback was cut short, the rollback goes on.",
    "replay": "Each run starts over. What was recorded from there on is archived, never deleted; the effects of its steps happen "
    "again, those of steps declared at_most_once too. Messages it took return to its inbox.",
    "cancel": "No later write of these runs lands, and no rollback runs: what they did stays done.",
    "cancel_rollback": "Each run undoes first what it did, newest first; then it is cancelled. One that has nothing to undo is "
    "cancelled at once.",
    "evict": "The pass of each run stops on its worker. Nothing fails and no attempt is counted; any worker goes on with it. "
    "To keep them stopped, pause them.",
    "pause": "Bodies under way may end and are recorded; nothing new begins. Instants stay as they are; messages still arrive.",
    "resume": "Each run goes on. What fell due meanwhile happens now, once. Those held by code are checked again now, and stay "
    "held if they do not fit; of quarantined ones the crash count starts anew.",
    "wake": "Each run is due now, for one pass. That shortens nothing: a sleep or retry whose instant has not come parks again.",
    "send": "A message is put into each run's inbox, once.",
}
_LEFT_OUT = {
    "cancel": "Runs that are being rolled back are left out: each one's own page can leave its rollback undone.",
    "cancel_rollback": "Runs that are held by code are left out, since nothing can be rolled back there while they are held.",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a filter in words."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run failed to take a verb; without a run, why the bulk stopped."""

    run: str
    href: str
    text: str


@dataclass(frozen=True, slots=True)
class BulkLink:
    """A verb for all runs of a list."""

    label: str
    href: str
    danger: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a bulk asks beside its runs: a step to start over from, or a message."""

    step: str = ""
    name: str = ""
    key: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkItem:
    """A bulk as lists and its page show it. `percent` is None where the number of runs is not known."""

    seq: int
    href: str
    label: str
    verb: str
    filter: tuple[Part, ...]
    runs_href: str
    state: State
    who: str
    signature: str
    expected: str
    walked: str
    done: str
    done_word: str
    failed: str
    skipped: str
    untouched: str
    percent: int | None
    speed: str
    left: str
    advice: str
    reasons: tuple[Reason, ...]
    more_reasons: str
    started: Stamp | None
    ended: Stamp | None
    took: str
    is_open: bool
    can_stop: bool
    wish: Wish
    carry_on: str


def bulk_item(bulk: Bulk, now: float, database: str = "") -> BulkItem:
    """A bulk as it stands now."""
    walked = bulk.done + bulk.failed + bulk.skipped
    orphan = _is_orphan(bulk, now)
    told = [Reason(shown(run), run_url(run) if run else "", shown(text)) for run, text in bulk.reasons]
    unlisted = bulk.failed - sum(bool(reason.run) for reason in told)
    speed = walked / (bulk.updated_at - bulk.created_at) if walked and bulk.updated_at > bulk.created_at else 0.0
    number = "runs" if bulk.expected != 1 or bulk.more else "run"
    return BulkItem(
        seq=bulk.seq, href=f"/bulk/{bulk.seq}", verb=bulk.verb,
        label=f"{BULK_VERBS[bulk.verb][0]} {count_text(bulk.expected, bulk.more)} {number}",
        filter=parts_of(bulk.picks), runs_href=with_query("/runs", **picks_query(bulk.picks)), state=_state(bulk, orphan),
        who=from_whom(bulk.who), signature=shown(bulk.signature), expected=count_text(bulk.expected, bulk.more),
        walked=f"{walked:,}", done=f"{bulk.done:,}", done_word=BULK_VERBS[bulk.verb][2],
        failed=f"{bulk.failed:,}" if bulk.failed else "",
        skipped=f"{bulk.skipped:,}" if bulk.skipped else "", untouched=_untouched(bulk, walked), percent=_percent(bulk, walked),
        speed=_speed(speed), left=_left(bulk, walked, speed, now), advice=_advice(bulk, orphan), reasons=tuple(told),
        more_reasons=f"{unlisted:,}" if unlisted > 0 else "", started=stamp(bulk.created_at, now),
        ended=stamp(bulk.finished_at, now), took=length((bulk.finished_at or now) - bulk.created_at), is_open=bulk.is_open,
        can_stop=bulk.state == "running", wish=_wish(bulk),
        carry_on=command_line(database, "bulk", "--carry-on", str(bulk.seq)) if orphan else "",
    )  # fmt: skip


def _is_orphan(bulk: Bulk, now: float) -> bool:
    """Whether nobody carries it on, although there is something left to do."""
    return bulk.is_open and bulk.held_until <= now and now - bulk.updated_at > ORPHAN_SECONDS


def _state(bulk: Bulk, orphan: bool) -> State:
    if orphan:
        return State("unattended", bulk.state, "attention", "nobody carries it on")
    match bulk.state:
        case "running":
            return State("running", "running", "active")
        case "stopping":
            return State("running", "stopping", "active", "after the runs under way")
        case "stopped":
            return State("cancelled", "stopped", "parked")
        case "done":
            return State("completed", "done", "done", "with failures" if bulk.failed else "")


def _percent(bulk: Bulk, walked: int) -> int | None:
    if bulk.state == "done":
        return 100
    return None if bulk.more or not bulk.expected else min(99, walked * 100 // bulk.expected)


def _untouched(bulk: Bulk, walked: int) -> str:
    """How many of those that were counted were not walked, once that can be told."""
    return f"{bulk.expected - walked:,}" if not bulk.is_open and not bulk.more and walked < bulk.expected else ""


def _speed(speed: float) -> str:
    if not speed:
        return ""
    return f"{speed:,.0f} runs a second" if speed >= 1.5 else f"{speed * 60:,.0f} runs a minute"


def _left(bulk: Bulk, walked: int, speed: float, now: float) -> str:
    if not bulk.is_open or bulk.more or not speed or bulk.held_until <= now or walked >= bulk.expected:
        return ""
    return length((bulk.expected - walked) / speed)


def _advice(bulk: Bulk, orphan: bool) -> str:
    if orphan:
        return "What is done stays done. The rest waits for an inspector that may write, or for this command:"
    if bulk.is_open:
        return "It goes on without this page; if the inspector ends, the next one carries it on, and no run gets the verb twice."
    return ""


def _wish(bulk: Bulk) -> Wish:
    return Wish(step=shown(bulk.step or ""), name=shown(bulk.name or ""), key=shown(bulk.key or ""))


# --- words ----------------------------------------------------------------------------------------------------------


def count_text(number: int, more: bool) -> str:
    """A number that may be a least one: ``1,000+``."""
    return f"{number:,}{'+' if more else ''}"


def same_count(typed: str, count: str) -> bool:
    """Whether somebody typed the number that was shown; its commas and plus are not asked for."""
    digits = [text.strip().replace(",", "").removesuffix("+") for text in (typed, count)]
    return digits[0] == digits[1] and digits[0].isdigit()


def parts_of(picks: Picks) -> tuple[Part, ...]:
    """A filter in words."""
    given = (
        ("status", ", ".join(picks.statuses)), ("workflow", picks.workflow), ("tag", picks.tag),
        ("started since", _instant(picks.since)), ("started before", _instant(picks.until)), ("id begins", picks.id_prefix),
    )  # fmt: skip
    return tuple(Part(name, shown(value)) for name, value in given if value)


def _instant(at: float | None) -> str:
    if at is None:
        return ""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{at:g} s"


def picks_query(picks: Picks) -> dict[str, str | None]:
    """A filter as the run list's address has it."""
    return {
        "status": ",".join(picks.statuses), "workflow": picks.workflow, "tag": picks.tag, "q": picks.id_prefix,
        "since": None if picks.since is None else f"{picks.since:.3f}",
        "until": None if picks.until is None else f"{picks.until:.3f}",
    }  # fmt: skip


def bulk_words(picks: Picks, verb: str, found: Found, wish: Wish) -> list[str]:
    """The words of the command that does the same."""
    words = ["bulk", verb.replace("_", "-")]
    for status in picks.statuses:
        words += ["--status", status]
    instants = [("--since", picks.since), ("--until", picks.until)]
    given = [("--workflow", picks.workflow), ("--tag", picks.tag), ("--prefix", picks.id_prefix)]
    given += [(name, None if at is None else f"{at:.3f}") for name, at in instants]
    name = wish.name or ("NAME" if verb == "send" else "")
    given += [("--from", wish.step), ("--name", name), ("--data", wish.data), ("--key", wish.key)]
    words += [word for name, value in given if value for word in (name, value)]
    return [*words, "--yes", f"{found.number}{'+' if found.more else ''}"]


def meaning(verb: str, picks: Picks) -> tuple[str, ...]:
    """What pressing the button does, exactly."""
    sentences = [_MEANING[verb]]
    if verb in _LEFT_OUT:
        sentences.append(_LEFT_OUT[verb])
    words = " or ".join(status for status in STATUSES if status in ALLOWED[verb])
    if not picks.statuses:
        return (f"This verb is for runs that are {words}, and the filter asks for none of these.",)
    sentences.append("Runs that start from now on are left alone, and so is one whose status no longer allows it at its turn.")
    return tuple(sentences)


def bulk_links(statuses: Collection[str], query: dict[str, str | None]) -> tuple[BulkLink, ...]:
    """The verbs that make sense for all runs of a list, each with the page that says what it would do."""
    asked = frozenset(statuses or STATUSES)
    found = [verb for verb in BULK_VERBS if asked & ALLOWED[verb]]
    return tuple(
        BulkLink(BULK_VERBS[verb][0].removesuffix(" to"), with_query("/bulk/new", verb=verb, **query), verb.startswith("cancel"))
        for verb in found
    )
