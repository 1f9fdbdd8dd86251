"""Rows of run lists, the home page's groups, and the bars of verbs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowkit.client.reader import Count, RunRow
from flowkit.client.verbs import OFFERED
from flowkit.core.fork import asked_line
from flowkit.core.run import STATUSES, TERMINAL

from ..urls import run_url, with_query
from .crew import NOBODY, Crew, unattended
from .states import Failure, Misfit, Piece, Reason, State, held_by_code, pieces, run_sentence, run_state
from .times import Stamp, length, stamp
from .values import shown

__all__ = [
    "VERBS",
    "CountView",
    "Need",
    "RunItem",
    "Tag",
    "VerbView",
    "command_line",
    "count_views",
    "main_verb",
    "needs",
    "run_item",
    "verbs_of",
]

AT_ONCE = frozenset(("pause", "resume", "wake"))
VERBS: dict[str, tuple[str, str]] = {
    "recover": ("Recover", "Recovering…"),
    "resume": ("Resume", "Resuming…"),
    "wake": ("Wake", "Waking…"),
    "send": ("Send message", "Sending…"),
    "pause": ("Pause", "Pausing…"),
    "evict": ("Evict", "Evicting…"),
    "replay": ("Replay", "Replaying…"),
    "cancel": ("Cancel", "Cancelling…"),
}
"""Each verb with the word on its button, at rest and while it is done; in the order of the bar."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag and the list of its runs."""

    text: str
    href: str


@dataclass(frozen=True, slots=True)
class VerbView:
    """A button. `at_once`: pressing it does it; otherwise it leads to a page that says what it would do."""

    verb: str
    label: str
    busy: str
    href: str
    at_once: bool
    main: bool = False
    danger: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunItem:
    """A row of the run list."""

    seq: int
    id: str
    label: str
    href: str
    workflow: str
    workflow_href: str
    state: State
    unattended: bool
    sentence: tuple[Piece, ...]
    attempts: str
    started: Stamp | None
    took: str
    tags: tuple[Tag, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What needs a human: one run, or several with the same workflow, step and error.

    `advice_href` is the page that says what to do where no verb helps, because only other code does; `answer_href` is where a
    fork that asks is answered.
    """

    item: RunItem
    count: int
    href: str
    since: Stamp | None
    reason: str
    verb: VerbView | None
    advice_href: str
    answer_href: str


@dataclass(frozen=True, slots=True)
class CountView:
    """How many runs have a status."""

    state: State
    text: str
    href: str


def run_item(row: RunRow, now: float, why: Reason | None = None, crew: Crew = NOBODY) -> RunItem:
    """A run as a row of a list."""
    end = row.finished_at if row.status in TERMINAL else now
    mark = unattended(row, crew, now)
    begun = row.started_at if row.started_at is not None else row.created_at
    return RunItem(
        seq=row.seq, id=row.id, label=shown(row.id), href=run_url(row.id), workflow=shown(row.workflow),
        workflow_href=with_query("/runs", workflow=row.workflow), state=run_state(row, why),
        unattended=mark != "", sentence=pieces(run_sentence(row, now, why, mark), now), attempts=_attempts(row),
        started=stamp(begun, now), took=length((end or now) - begun) if row.passes or end != now else "",
        tags=tuple(Tag(shown(tag), with_query("/runs", tag=tag)) for tag in row.tags),
    )  # fmt: skip


def _attempts(row: RunRow) -> str:
    """How many there were, of how many: a first try says nothing."""
    if row.attempts_max < 2:
        return f"{row.attempts}" if row.attempts > 1 else ""
    number = row.attempts + (row.status == "running" and row.attempts < row.attempts_max)
    return f"{number} of {row.attempts_max}" if number > 1 or row.error_line is not None else ""


def needs(
    rows: Sequence[RunRow], reasons: Mapping[int, Reason], now: float, crew: Crew = NOBODY, limit: int = 20
) -> tuple[Need, ...]:
    """What needs a human, most recent first; runs that stopped for the same reason are one."""
    groups: dict[tuple[str, ...], list[RunRow]] = {}
    for row in rows:
        groups.setdefault(_reason(row, reasons.get(row.seq), unattended(row, crew, now)), []).append(row)
    found = [_need(group, reasons, now, crew) for group in groups.values()]
    return tuple(sorted(found, key=lambda need: need.since.at if need.since else 0.0, reverse=True)[:limit])


def _reason(row: RunRow, why: Reason | None, mark: str) -> tuple[str, ...]:
    if mark == "no code":
        return row.workflow, mark
    if asked := asked_line(row.status, row.error_line):
        return row.id, asked  # each has a question of its own
    match why:
        case Failure(location=location, type=type):
            return row.workflow, location, type
        case Misfit(kind, name, asked_kind, asked_name):
            return row.workflow, kind, name, asked_kind, asked_name
    return row.workflow, row.status, (row.error_line or "").partition(":")[0]


def _need(group: list[RunRow], reasons: Mapping[int, Reason], now: float, crew: Crew) -> Need:
    newest = max(group, key=lambda row: row.updated_at)
    item = run_item(newest, now, reasons.get(newest.seq), crew)
    href = item.href if len(group) == 1 else with_query("/runs", status=newest.status, workflow=newest.workflow)
    reason = "".join(piece.text for piece in item.sentence)
    verb = main_verb(newest) if len(group) == 1 and not item.unattended else None  # what it misses is a worker
    return Need(
        item=item, count=len(group), href=href, since=stamp(newest.updated_at, now), reason=reason, verb=verb,
        advice_href=item.href if held_by_code(newest) else "",
        answer_href=run_url(newest.id, "fork") if asked_line(newest.status, newest.error_line) else "",
    )  # fmt: skip


def count_views(counts: Mapping[str, Count]) -> tuple[CountView, ...]:
    """The counts by status, linked to their lists."""
    views = []
    for status in STATUSES:
        count = counts.get(status, Count(0))
        state = run_state(RunRow(seq=0, id="", workflow="", status=status))
        views.append(CountView(state, f"{count.number:,}{'+' if count.more else ''}", with_query("/runs", status=status)))
    return tuple(views)


def verbs_of(row: RunRow, why: Reason | None = None) -> tuple[VerbView, ...]:
    """The verbs that a run's status allows, the likeliest first; a replay of one that is held begins where it does not fit."""
    asks = asked_line(row.status, row.error_line) != ""  # resumed, it would only ask again
    offered = [verb for verb in VERBS if row.status in OFFERED[verb] and not (asks and verb == "resume")]
    likeliest = _likeliest(row)
    misfit = why.location if isinstance(why, Misfit) else ""
    return tuple(
        _verb(row.id, verb, verb == likeliest, place=misfit if verb == "replay" else "")
        for verb in sorted(offered, key=lambda verb: verb != likeliest)
    )


def main_verb(row: RunRow) -> VerbView | None:
    """The verb that most likely puts a run right; none where only other code does."""
    likeliest = "" if held_by_code(row) else _likeliest(row)
    return _verb(row.id, likeliest, True) if likeliest else None


def _likeliest(row: RunRow) -> str:
    match row.status:
        case "paused" if asked_line(row.status, row.error_line):
            return ""  # it is answered instead
        case "failed":
            return "recover"
        case "paused" | "blocked":
            return "resume"
        case "sleeping" if row.waiting is not None:
            return "send"
        case "sleeping":
            return "wake"
        case _:
            return ""


def _verb(id: str, verb: str, main: bool, *, place: str = "") -> VerbView:
    label, busy = VERBS[verb]
    return VerbView(verb, label, busy, with_query(run_url(id, verb), **{"from": place}), verb in AT_ONCE, main, verb == "cancel")


def command_line(database: str, *words: str) -> str:
    """The same as a command, quoted for a POSIX shell; what nobody would see stands in it as its bytes."""
    given = [] if database in ("", "flowkit.db") else ["--db", database]
    return " ".join(_quoted(word) for word in ("flowkit", *words, *given))


def _quoted(word: str) -> str:
    if shown(word) == word:
        return shlex.quote(word)
    seen = [_bytes(each) if shown(each) != each or each in "'\\" else each for each in word]
    return f"$'{''.join(seen)}'"


def _bytes(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))
