"""Instants and lengths of time as people read them, in UTC: the browser turns them into its own zone."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

__all__ = ["Stamp", "ago", "clock_text", "length", "stamp"]


_MINUTE = 60
_LAST = 200_000_000_000
"""Beyond this many seconds there is no calendar."""


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """An instant: epoch seconds, for machines, in full for people, and short."""

    at: float
    iso: str
    full: str
    short: str


def stamp(at: float | None, now: float) -> Stamp | None:
    """The instant as a template shows it; None stays None."""
    if at is None:
        return None
    return (
        _stamp_of(at, int(at), int(now // _MINUTE) * _MINUTE) if -_LAST < at < _LAST else Stamp(at, "", f"{at:g} s", f"{at:g} s")
    )


def _stamp_of(at: float, second: int, now: int) -> Stamp:
    iso, full, short = _texts(second, now)
    return Stamp(at, iso, full, short)


@lru_cache(maxsize=8_192)
def _texts(second: int, now: int) -> tuple[str, str, str]:
    """The texts of one second: the entries of a page share few of them, and formatting is what a long page costs."""
    moment = datetime.fromtimestamp(second, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z", f"{moment:%Y-%m-%d %H:%M:%S} UTC", clock_text(second, now)


def clock_text(at: float, now: float) -> str:
    """An instant as short as its distance from `now` allows: ``14:02:11`` today, ``3 Mar 14:02``, ``3 Mar 2025``."""
    try:
        moment, today = datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(now, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at:g} s"
    if moment.date() == today.date():
        return f"{moment:%H:%M:%S}"
    if abs(at - now) < 180 * 86_400:
        return f"{moment.day} {moment:%b %H:%M}"
    return f"{moment.day} {moment:%b %Y}"


def length(seconds: float) -> str:
    """A length of time in at most two units: ``12 ms``, ``3.4 s``, ``4 min 10 s``, ``2 d 3 h``."""
    if seconds < 0.0095:
        return f"{seconds * 1000:.1f} ms" if seconds >= 0.00005 else "0 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, below, name in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            count, rest = divmod(whole, size)
            return f"{count:,} {unit} {rest // below} {name}" if rest // below and count < 100 else f"{count:,} {unit}"
    return f"{whole} s"


def ago(at: float, now: float) -> str:
    """A distance from `now`: ``in 2 h``, ``4 min ago``, ``now``."""
    distance = at - now
    if abs(distance) < 1:
        return "now"
    return f"in {length(distance)}" if distance > 0 else f"{length(-distance)} ago"
