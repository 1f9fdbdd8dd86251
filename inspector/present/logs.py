"""What a run logged, as lines of a page: a level in a word, where it came from, and a text whose first line is enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from flowkit.core.line import Line

from ..urls import run_url, with_query
from .times import Stamp, stamp
from .values import shown

__all__ = ["LEVELS", "LineView", "level_named", "lines_of"]

LEVELS = MappingProxyType({"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50})
"""The levels that `logging` has names for."""

CODE = "workflow code"
_FIRST = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LineView:
    """A line: `text` is its first line, `rest` what follows, which is mostly a traceback."""

    seq: int
    at: Stamp | None
    clock: str
    level: str
    group: str
    icon: str
    place: str
    note: str
    href: str
    logger: str
    text: str
    rest: str
    rest_lines: int


def level_named(name: str) -> int:
    """The number of a level, 0 for what is none."""
    return LEVELS.get(name, 0)


def lines_of(id: str, lines: Iterable[Line], now: float) -> tuple[LineView, ...]:
    """Lines as a page shows them."""
    return tuple(_line_of(id, line, now) for line in lines)


def _line_of(id: str, line: Line, now: float) -> LineView:
    text = line.text.decode("utf-8", "backslashreplace")
    first, _, rest = text.partition("\n")
    if len(first) > _FIRST:
        first, rest = first[:_FIRST] + "…", text
    group, icon = _look(line.level)
    return LineView(
        seq=line.seq, at=stamp(line.at, now), clock=_clock(line.at), level=_level(line.level), group=group, icon=icon,
        place=shown(line.location) or CODE, note=_note(line), logger=shown(line.logger), text=shown(first), rest=shown(rest),
        rest_lines=rest.count("\n") + 1 if rest else 0, href=with_query(run_url(id, "logs"), step=line.location),
    )  # fmt: skip


def _look(level: int) -> tuple[str, str]:
    """Colour group and icon: only what warns has any."""
    if level >= LEVELS["error"]:
        return "bad", "failed"
    return ("attention", "unattended") if level >= LEVELS["warning"] else ("", "")


def _level(level: int) -> str:
    return next((name for name, number in LEVELS.items() if number == level), f"level {level}")


def _note(line: Line) -> str:
    """Which attempt, where there was more than the first, and whether it was undoing."""
    what = {"rollback": "rollback", "code": "code" if line.location else "", "step": ""}[line.part]
    attempt = f"attempt {line.attempt}" if line.attempt > 1 else ""
    return ", ".join(part for part in (what, attempt) if part)


def _clock(at: float) -> str:
    """The time of day to the millisecond: lines come fast."""
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at:g} s"
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
