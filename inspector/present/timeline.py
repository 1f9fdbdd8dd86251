"""When each entry of a run waited and when it worked, and the scale on which that is drawn.

Four phases are told apart: queued (due, and nobody is at it), running (a body is under way), back-off (until the next
attempt) and asleep (a sleep, or a message that has not come). Quiet stretches, in which nothing runs, are cut out of the scale
where they are more than ten times as long as all that stays: a run of three days is then as readable as one of three seconds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

from msgspec.structs import replace as changed

from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry, FailedAttempt
from flowkit.core.run import TERMINAL

from .times import length

__all__ = ["PHASES", "Phase", "Scale", "Span", "Stretch", "Tick", "instant_of", "run_spans", "scale_of", "spans_of", "total"]

Phase = Literal["queued", "running", "back-off", "asleep", "around", "instant"]
PHASES: dict[Phase, str] = {
    "queued": "waits for a worker, or stands still with its run",
    "running": "its body is under way",
    "back-off": "waits before the next attempt",
    "asleep": "a sleep, or a message that has not come",
}
"""The phases that a reader must know, as the legend explains them."""

QUIET_TIMES = 10
_CUT_WIDTH, _CUTS_WIDTH = 6.0, 45.0
_TICK_APART = 16.0
_STEPS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800)
_LAST = 200_000_000_000
_INSTANT = ("checkpoint", "version", "removed", "send")


@dataclass(frozen=True, slots=True)
class Span:
    """A phase of an entry. `ahead`: it has not come yet, and may still come otherwise; `bad`: it ended in a failure."""

    phase: Phase
    start: float
    end: float
    note: str = ""
    bad: bool = False
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the scale, in seconds and in percent; a `cut` one is drawn as a narrow band, whatever it lasted."""

    start: float
    end: float
    left: float
    width: float
    cut: bool = False

    @property
    def label(self) -> str:
        """How long it lasted."""
        return " ".join(length(self.end - self.start).split()[:2])


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the scale; the last ones grow to the left."""

    left: float
    text: str
    to_left: bool = False


# --- phases ---------------------------------------------------------------------------------------------------------


def run_spans(run: RunRow, now: float) -> tuple[Span, ...]:
    """What came before the run's first pass: the delay that was asked for, and the wait for a worker."""
    begun = run.started_at if run.started_at is not None else _end_of(run, now)
    due = max(run.start_at, run.created_at)
    found = [Span("asleep", run.created_at, min(due, begun), "starts later")] if run.start_at > run.created_at else []
    if run.status == "pending" and due > now:
        return *found, Span("asleep", now, due, "starts later", ahead=True)
    return _kept([*found, Span("queued", due, begun, "waits for a worker")])


def spans_of(entry: Entry, attempts: Sequence[FailedAttempt], run: RunRow, now: float) -> tuple[Span, ...]:
    """The phases of an entry in order of time; `attempts` are its failed ones, oldest first."""
    end = entry.settled_at if entry.settled_at is not None else max(_end_of(run, now), entry.created_at)
    if entry.kind in _INSTANT:
        return (Span("instant", entry.created_at, entry.created_at),)
    if entry.kind in ("loop", "join", "race"):
        return (Span("around", entry.created_at, end),)
    if entry.kind in ("sleep", "message"):
        return _kept(_waiting(entry, end, run, now))
    own = [each for each in attempts if each.round <= entry.round]
    return _kept([*_tries(entry, [each for each in own if each.part == "step"], end, run, now), *_undoing(own)])


def _end_of(run: RunRow, now: float) -> float:
    """Up to where things that are still open have come."""
    return (run.finished_at or run.updated_at) if run.status in TERMINAL else now


def _kept(spans: Iterable[Span]) -> tuple[Span, ...]:
    return tuple(span for span in spans if span.end > span.start or span.phase == "running")


def _waiting(entry: Entry, end: float, run: RunRow, now: float) -> list[Span]:
    note = "sleeps" if entry.kind == "sleep" else "waits for a message"
    due = entry.due_at
    if due is None or due >= end:
        found = [Span("asleep", entry.created_at, end, note)]
        opens = due is not None and entry.settled_at is None and run.status not in TERMINAL
        return [*found, Span("asleep", end, due, note, ahead=True)] if opens and due is not None else found
    return [Span("asleep", entry.created_at, due, note), Span("queued", due, end, "was due, and waited for a worker")]


def _tries(entry: Entry, failures: Sequence[FailedAttempt], end: float, run: RunRow, now: float) -> list[Span]:
    """Attempts with what lay between them. A later round began by hand, so the time before it belongs to nobody."""
    first = failures[0].started_at if failures else entry.started_at if entry.started_at is not None else end
    found = [Span("queued", entry.created_at, first, "waits to begin")]
    for one, following in pairwise([*failures, None]):
        assert one is not None
        found.append(Span("running", one.started_at, one.ended_at, f"attempt {one.n} failed", bad=True))
        after = following.started_at if following is not None else _next_start(entry, one)
        if after is not None and (following is None or following.round == one.round):
            found += _between(one, after)
    return [*found, *_last_try(entry, failures, end, run, now)]


def _next_start(entry: Entry, last: FailedAttempt) -> float | None:
    begun = entry.started_at
    return begun if begun is not None and begun > last.started_at and entry.round == last.round else None


def _between(one: FailedAttempt, after: float) -> list[Span]:
    due = one.retry_at if one.retry_at is not None else one.ended_at
    return [
        Span("back-off", one.ended_at, min(due, after), "waits before the next attempt"),
        Span("queued", min(due, after), after, "was due again, and waited for a worker"),
    ]


def _last_try(entry: Entry, failures: Sequence[FailedAttempt], end: float, run: RunRow, now: float) -> list[Span]:
    last = failures[-1] if failures else None
    if entry.status == "retrying" and last is not None:
        due = entry.due_at if entry.due_at is not None else last.retry_at or last.ended_at
        waited = _between(changed(last, retry_at=due), end)
        ahead = Span("back-off", end, due, "waits before the next attempt", ahead=True)
        return [*waited, ahead] if due > end and run.status not in TERMINAL else waited
    begun = entry.started_at
    if begun is None or (last is not None and begun <= last.started_at):
        return []  # it has not begun, or the attempts tell it all
    if entry.settled_at is None and run.owner is None and run.status not in TERMINAL:
        left = min(max(begun, run.updated_at), end)
        return [Span("running", begun, left, "interrupted"), Span("queued", left, end, "will run again")]
    bad = entry.status in ("failed", "exhausted")
    note = entry.status if entry.settled_at is not None else "under way"
    return [Span("running", begun, end, note, bad=bad)]


def _undoing(attempts: Sequence[FailedAttempt]) -> list[Span]:
    handlers = [each for each in attempts if each.part == "rollback"]
    found = [Span("running", each.started_at, each.ended_at, f"rollback, attempt {each.n} failed", bad=True) for each in handlers]
    for one, following in pairwise(handlers):
        found += _between(one, following.started_at)
    return found


def total(spans: Iterable[Span], phase: Phase) -> float:
    """How many seconds of a phase have passed."""
    return sum(span.end - span.start for span in spans if span.phase == phase and not span.ahead)


# --- the scale ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scale:
    """Where instants lie, in percent of the width."""

    stretches: tuple[Stretch, ...]

    @property
    def start(self) -> float:
        """The first instant."""
        return self.stretches[0].start

    @property
    def end(self) -> float:
        """The last one."""
        return self.stretches[-1].end

    def at(self, instant: float) -> float:
        """The place of an instant; of one beyond the scale, its edge."""
        place = max(0, bisect_right([each.start for each in self.stretches], instant) - 1)
        found = self.stretches[place]
        share = (instant - found.start) / (found.end - found.start) if found.end > found.start else 0.0
        return round(found.left + found.width * min(max(share, 0.0), 1.0), 2)

    def instant(self, percent: float) -> float:
        """What stands at a place."""
        found = next((each for each in self.stretches if percent <= each.left + each.width), self.stretches[-1])
        share = (percent - found.left) / found.width if found.width else 0.0
        return found.start + (found.end - found.start) * min(max(share, 0.0), 1.0)

    def ticks(self) -> tuple[Tick, ...]:
        """Marks far enough apart to be read: where a stretch begins, and at round instants between."""
        kept = [each for each in self.stretches if not each.cut]
        seconds = sum(each.end - each.start for each in kept)
        step = next((step for step in _STEPS if seconds / step <= 6), _STEPS[-1])
        places = sorted({instant for each in kept for instant in (each.start, *_round_instants(each, step))})
        found: list[Tick] = []
        before: float | None = None
        for instant in places:
            left = self.at(instant)
            if before is None or left - found[-1].left >= _TICK_APART:
                found.append(Tick(left, instant_text(instant, step, before), left > 100 - _TICK_APART))
                before = instant
        return tuple(found)


def _round_instants(stretch: Stretch, step: float) -> list[float]:
    first = math.ceil(stretch.start / step)
    return [number * step for number in range(first, min(first + 12, math.floor(stretch.end / step) + 1))]


def instant_text(instant: float, step: float, before: float | None) -> str:
    """An instant on the scale, as fine as its marks are apart; its day only where the mark before it has another."""
    try:
        moment = datetime.fromtimestamp(instant, UTC)
        same_day = before is not None and moment.date() == datetime.fromtimestamp(before, UTC).date()
    except (ValueError, OverflowError, OSError):
        return f"{instant:g} s"
    clock = f"{moment:%H:%M:%S}.{moment.microsecond // 1_000:03d}" if step < 1 else f"{moment:%H:%M:%S}"
    return clock if same_day else f"{moment.day} {moment:%b} {clock}"


def scale_of(spans: Iterable[Span], start: float, end: float) -> Scale:
    """The scale from `start` to `end`, with long quiet stretches cut."""
    clipped = [replace(span, start=max(span.start, start), end=min(span.end, end)) for span in spans]
    inside = [span for span in clipped if span.start <= span.end]
    edges = sorted({start, max(start, end), *(edge for span in inside for edge in (span.start, span.end))})
    parts = list(pairwise(edges)) or [(start, start)]
    busy = _merged((span.start, span.end) for span in inside if span.phase == "running")
    quiet = [part for part in parts if not _within(busy, part)]
    cut = _cut(quiet, sum(part[1] - part[0] for part in parts if part not in set(quiet)))
    return Scale(_placed(_joined(parts, cut)))


def _merged(ranges: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _within(busy: Sequence[tuple[float, float]], part: tuple[float, float]) -> bool:
    place = bisect_right(busy, (part[0], math.inf)) - 1
    return place >= 0 and busy[place][0] <= part[0] and part[1] <= busy[place][1]


def _cut(quiet: Sequence[tuple[float, float]], rest: float) -> set[tuple[float, float]]:
    """The quiet parts over ten times as long as all that is shorter than they are: once one is, so is every longer one."""
    in_order = sorted(quiet, key=lambda part: part[1] - part[0])
    for place, part in enumerate(in_order):
        lasted = part[1] - part[0]
        if rest and lasted > QUIET_TIMES * rest:
            return set(in_order[place:])
        rest += lasted
    return set()


def _joined(parts: Sequence[tuple[float, float]], cut: set[tuple[float, float]]) -> list[tuple[float, float, bool]]:
    """Neighbours that are both kept become one stretch; what is cut stays by itself, so that each says how long it lasted."""
    found: list[tuple[float, float, bool]] = []
    for part in parts:
        is_cut = part in cut
        if found and not is_cut and not found[-1][2]:
            found[-1] = (found[-1][0], part[1], False)
        else:
            found.append((*part, is_cut))
    return found


def _placed(parts: Sequence[tuple[float, float, bool]]) -> tuple[Stretch, ...]:
    cuts = sum(is_cut for *_, is_cut in parts)
    band = min(_CUT_WIDTH, _CUTS_WIDTH / cuts) if cuts else 0.0
    seconds = sum(end - start for start, end, is_cut in parts if not is_cut)
    room = 100.0 - band * cuts
    found: list[Stretch] = []
    left = 0.0
    for start, end, is_cut in parts:
        width = band if is_cut else room * (end - start) / seconds if seconds else room / max(1, len(parts) - cuts)
        found.append(Stretch(start, end, left, width, is_cut))
        left += width
    return tuple(found)


def instant_of(text: str) -> float | None:
    """An instant as an address may have it: epoch seconds, or a date and time in UTC; None if it is neither."""
    try:
        found = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        found = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    return found if math.isfinite(found) and abs(found) < _LAST else None
