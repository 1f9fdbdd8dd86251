"""How the steps of a workflow fare, and its runs under each code, out of a sample of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flowkit.client.across import Sample
from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry
from flowkit.core.run import TERMINAL

from .times import Stamp, clock_text, length, stamp
from .values import shown

__all__ = ["HOURS", "CodeStats", "HourBar", "StepStats", "code_stats", "percentile", "step_stats"]

HOURS = 24
_HOUR = 3_600.0
_BAD = ("failed", "exhausted")
SPARK_HEIGHT = 20


@dataclass(frozen=True, slots=True)
class HourBar:
    """An hour of the last day: the median of what a step took, as a bar; `bad` if it failed then."""

    place: int
    top: float
    height: float
    bad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStats:
    """A step: how often the sample has it, how long it took, how often it failed for good or was tried again."""

    name: str
    times: int
    p50: str
    p95: str
    failed: str
    failing: bool
    retried: str
    open: int
    bars: tuple[HourBar, ...]
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeStats:
    """The runs of the sample whose last pass was under this code."""

    code: str
    told: str
    now: bool
    runs: int
    completed: int
    failed: int
    open: int
    p50: str
    newest: Stamp | None


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of `values`, which are in order, does not exceed: the nearest one, never one made up."""
    return values[max(0, math.ceil(share * len(values)) - 1)]


def share_text(part: int, whole: int) -> str:
    """A share in percent; nothing where there is none."""
    if not part or not whole:
        return ""
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 1 else f"{percent:.1f} %"


def took(entry: Entry) -> float | None:
    """How long the body of a step worked in its last attempt."""
    if entry.settled_at is None or entry.status == "cancelled":
        return None
    return max(0.0, entry.settled_at - (entry.started_at if entry.started_at is not None else entry.created_at))


def step_name(entry: Entry) -> str:
    """The step's own name, wherever it stands and however often."""
    return entry.location.rpartition("/")[2].partition("#")[0]


def step_stats(sample: Sample, now: float) -> tuple[StepStats, ...]:
    """The steps in the order in which runs come to them."""
    steps: dict[str, list[Entry]] = {}
    places: dict[str, list[int]] = {}
    for entries in sample.entries.values():
        for place, entry in enumerate(entries):
            if entry.kind == "step":
                name = step_name(entry)
                steps.setdefault(name, []).append(entry)
                places.setdefault(name, []).append(place)
    in_order = sorted(steps, key=lambda name: (sum(places[name]) / len(places[name]), name))
    return tuple(_step(name, steps[name], now) for name in in_order)


def _step(name: str, entries: Sequence[Entry], now: float) -> StepStats:
    settled = [entry for entry in entries if took(entry) is not None]
    times = sorted(seconds for entry in settled if (seconds := took(entry)) is not None)
    failed = sum(entry.status in _BAD for entry in settled)
    bars, said = _bars(settled, now)
    return StepStats(
        name=shown(name), times=len(entries), p50=length(percentile(times, 0.5)) if times else "",
        p95=length(percentile(times, 0.95)) if times else "", failed=share_text(failed, len(settled)), failing=failed > 0,
        retried=share_text(sum(entry.attempts > 1 for entry in entries), len(entries)), open=len(entries) - len(settled),
        bars=bars, said=said,
    )  # fmt: skip


def _bars(entries: Sequence[Entry], now: float) -> tuple[tuple[HourBar, ...], str]:
    """A bar for each hour that has one, the tallest as high as there is room; and the same in words."""
    hours: dict[int, list[Entry]] = {}
    for entry in entries:
        ago = int((now - entry.created_at) // _HOUR)
        if 0 <= ago < HOURS:
            hours.setdefault(HOURS - 1 - ago, []).append(entry)
    medians = {hour: percentile(sorted(took(entry) or 0.0 for entry in each), 0.5) for hour, each in hours.items()}
    tallest = max(medians.values(), default=0.0) or 1.0
    bars = []
    for hour, median in sorted(medians.items()):
        height = round(max(2.0, SPARK_HEIGHT * median / tallest), 1)
        bars.append(HourBar(hour, round(SPARK_HEIGHT - height, 1), height, any(entry.status in _BAD for entry in hours[hour])))
    words = [f"{clock_text(now - (HOURS - hour) * _HOUR, now)} {length(median)}" for hour, median in sorted(medians.items())]
    return tuple(bars), "; ".join(words)


def code_stats(sample: Sample, running: frozenset[str], now: float) -> tuple[CodeStats, ...]:
    """Runs by the code of their last pass, the newest code first; `running` are those that work now."""
    groups: dict[str, list[RunRow]] = {}
    for row in sample.runs:
        groups.setdefault(sample.code(row)[:6], []).append(row)
    return tuple(_code(code, rows, code in {each[:6] for each in running}, now) for code, rows in groups.items())


def _code(code: str, rows: Sequence[RunRow], is_now: bool, now: float) -> CodeStats:
    times = sorted(
        row.finished_at - (row.started_at or row.created_at)
        for row in rows if row.status == "completed" and row.finished_at is not None
    )  # fmt: skip
    return CodeStats(
        code=shown(code), told=_told(code, rows), now=is_now and bool(code), runs=len(rows),
        completed=sum(row.status == "completed" for row in rows),
        failed=sum(row.status == "failed" for row in rows), open=sum(row.status not in TERMINAL for row in rows),
        p50=length(percentile(times, 0.5)) if times else "", newest=stamp(max(row.created_at for row in rows), now),
    )  # fmt: skip


def _told(code: str, rows: Sequence[RunRow]) -> str:
    """The code, or why it is not known."""
    return shown(code) or ("its worker did not tell" if any(row.passes for row in rows) else "no pass yet")
