"""Where an entry stands in a run, and which names may be part of that.

A location is text such as ``pack/~3/label``: segments joined by ``/``. No name may hold a ``/`` or begin with ``~``, so one
text is one place. A segment ``~3`` is the fourth turn of the loop before it; a branch of a join or race is a segment with
its name.
"""

from __future__ import annotations

import re

from flowkit.errors import InvalidName

__all__ = [
    "MAX_NAME",
    "ROOT",
    "check_key",
    "check_name",
    "check_run_id",
    "check_version",
    "is_storable",
    "nested",
    "split",
    "turn_of",
    "turn_segment",
]

MAX_NAME = 200
ROOT = ""
"""The location of a run's outermost scope."""

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_name(name: object, what: str = "name") -> str:
    """Return `name` if it may name a step, message, branch or other entry.

    Raises:
        InvalidName: empty, longer than 200 characters, control characters, lone surrogates, ``/``, ``#`` or a leading ``~``.
    """
    checked = _check_text(name, what)
    if "/" in checked or "#" in checked:
        raise InvalidName(f"{what} {checked!r} holds '/' or '#', which locations use. Choose another {what}.")
    if checked[0] == "~":
        raise InvalidName(f"{what} {checked!r} begins with '~', which marks loop turns. Choose another {what}.")
    return checked


def check_run_id(run_id: object) -> str:
    """Return `run_id` if a run may have it: as a name, with ``/`` and ``#`` allowed.

    Raises:
        InvalidName: as `check_name`.
    """
    checked = _check_text(run_id, "run id")
    if checked[0] == "~":
        raise InvalidName(f"run id {checked!r} begins with '~'. Choose another run id.")
    return checked


def check_version(version: object) -> str:
    """Return `version` if code may carry it: text of 1 to 200 characters.

    Raises:
        InvalidName: empty, too long, control characters, lone surrogates.
    """
    return _check_text(version, "version")


def check_key(key: str | None) -> str | None:
    """A deduplication key: any text of 1 to 200 characters."""
    if key is None:
        return None
    if not isinstance(key, str):
        raise TypeError(f"key is text, not {type(key).__name__}")
    return check_run_id(key)


def _check_text(name: object, what: str) -> str:
    if not isinstance(name, str):
        raise InvalidName(f"a {what} is text, not {type(name).__name__}: {name!r}")
    if not name:
        raise InvalidName(f"a {what} cannot be empty")
    if len(name) > MAX_NAME:
        raise InvalidName(f"{what} {name[:40]!r}… has {len(name)} characters; {MAX_NAME} are allowed")
    if found := _FORBIDDEN.search(name):
        raise InvalidName(f"{what} {name!r} holds {found.group()!r}: control characters and lone surrogates are not allowed")
    return name


def is_storable(text: str) -> bool:
    """Whether a store can be asked for `text` at all: lone surrogates, as from a terminal's broken bytes, are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def nested(scope: str, segment: str) -> str:
    """The location of `segment` in `scope`."""
    return f"{scope}/{segment}" if scope else segment


def split(location: str) -> tuple[str, str]:
    """The scope around a location, and its last segment."""
    scope, _, segment = location.rpartition("/")
    return scope, segment


def turn_segment(turn: int) -> str:
    """The segment of loop turn number `turn`, counted from 0."""
    return f"~{turn}"


def turn_of(segment: str) -> int | None:
    """The number of the turn that a segment stands for, or None if it is no turn."""
    return int(segment[1:]) if segment[:1] == "~" and segment[1:].isdigit() else None
