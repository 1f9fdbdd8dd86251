"""Durations, instants and sizes as people write them, turned into numbers.

Inside flowkit a duration is a float of seconds, an instant UTC epoch seconds and a size a count of bytes. This is the
only place that reads any other spelling, and it refuses what could be meant in two ways: a bare number as text, a
`bool`, a `datetime` without a zone. It never asks what time it is.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

__all__ = ["epoch", "format_seconds", "seconds", "size_bytes", "utc_text"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZES = {"b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|[smhdw])\s*", re.ASCII)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)", re.ASCII)
_ACCEPTED = 'seconds as a number, a timedelta, or text such as "250ms", "90s", "5m", "1.5h", "3d 4h" or "2w"'


def seconds(duration: float | timedelta | str, what: str = "duration") -> float:
    """The length of `duration` in seconds. `what` is the argument's name, for the error.

    Raises: ValueError for a negative, endless or unreadable one, TypeError for another type.
    """
    if isinstance(duration, bool) or not isinstance(duration, (int, float, timedelta, str)):
        raise TypeError(f"{what} is a {type(duration).__name__}; give {_ACCEPTED}.")
    length = _length(duration)
    if length is None or not math.isfinite(length):
        raise ValueError(f"{what} {duration!r} is not a length of time; give {_ACCEPTED}.")
    if length < 0:
        raise ValueError(f"{what} {duration!r} is negative; give {_ACCEPTED}.")
    return length


def _length(duration: float | timedelta | str) -> float | None:
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, str):
        return _parse(duration)
    try:
        return float(duration)
    except OverflowError:
        return None


def _parse(text: str) -> float | None:
    text = text.strip().lower()
    total, at = 0.0, 0
    while part := _DURATION_PART.match(text, at):
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    return total if at and at == len(text) else None


def epoch(instant: datetime | float, what: str = "instant") -> float:
    """`instant` in UTC epoch seconds.

    Raises: ValueError for a naive `datetime` or a number that is no instant, TypeError for another type.
    """
    if isinstance(instant, datetime):
        if instant.utcoffset() is None:
            raise ValueError(
                f"{what} {instant.isoformat()} has no time zone, so it is a different instant on every machine. "
                f"Give it one: instant.replace(tzinfo=timezone.utc), or instant.astimezone() if it is local time."
            )
        return instant.timestamp()
    if isinstance(instant, bool) or not isinstance(instant, (int, float)):
        raise TypeError(f"{what} is a {type(instant).__name__}; give an aware datetime or UTC epoch seconds.")
    try:
        at = float(instant)
    except OverflowError:
        at = math.inf
    if not math.isfinite(at):
        raise ValueError(f"{what} {at!r} is not an instant; give an aware datetime or UTC epoch seconds.")
    return at


def size_bytes(size: int | str, what: str = "size") -> int:
    """`size` in bytes: a number of them, or text such as "8MB" (8,000,000) or "8MiB" (8,388,608).

    Raises: ValueError for a negative or unreadable one, TypeError for another type.
    """
    accepted = 'bytes as a whole number, or text such as "64KB", "8MB", "8MiB" or "1GB"'
    if isinstance(size, bool) or not isinstance(size, (int, str)):
        raise TypeError(f"{what} is a {type(size).__name__}; give {accepted}.")
    if isinstance(size, int):
        if size < 0:
            raise ValueError(f"{what} {size} is negative; give {accepted}.")
        return size
    parts = _SIZE.fullmatch(size.strip().lower())
    if parts is None or parts[2] not in _SIZES:
        raise ValueError(f"{what} {size!r} is not a size; give {accepted}.")
    return int(float(parts[1]) * _SIZES[parts[2]])


def format_seconds(length: float) -> str:
    """A length of time for people, in at most two units: ``2h 5m``, ``1.5s``, ``250ms``."""
    if length < 0:
        return "-" + format_seconds(-length)
    if length < 0.9995:
        return f"{length * 1000:.0f}ms"
    if length < 59.95:
        return f"{length:.1f}".removesuffix(".0") + "s"
    whole = round(length)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def utc_text(epoch_seconds: float) -> str:
    """An instant as people read it: ``2026-11-20 09:04:11Z``; in seconds if no calendar goes that far."""
    try:
        return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{epoch_seconds:g} s"
