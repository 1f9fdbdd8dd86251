"""What a PostgreSQL error means for a write: that nothing happened, that it must be told again, or that nobody knows.

The server's own refusal of a statement is a plain "no". A connection that broke is one only as long as the server had not been
told to commit; after that the outcome is unknown, for a commit whose client saw "connection lost" may land a moment later.
"""

from __future__ import annotations

from typing import Literal

import psycopg
from psycopg import errors

from flowkit.drivers.base import GuardFailed
from flowkit.errors import FlowkitError, StoreBusy, StoreError

__all__ = ["is_crossing", "is_refusal", "translated", "unconnected"]

Outcome = Literal["no", "unknown"]

_CROSSING = (errors.SerializationFailure, errors.DeadlockDetected)
_BAD_VALUE = (psycopg.IntegrityError, psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError)
_OF_THE_STORE = (errors.UndefinedTable, errors.UndefinedColumn, errors.InsufficientPrivilege)
_WITHOUT_ANSWER = ("08", "57P", "40003")
"""States that say nothing of the statement: the connection or the server is going away, or the completion is unknown."""

_NO_ROOM = "53"
"""No memory, disk or connection is left for now."""

_HINTS = {
    "28": "Check the user and the password.",
    "3D": "Create the database first.",
    "42": "Check the rights of the user on this database and schema.",
    "25": "It only reads, as a standby does. Use the primary.",
    "53": "Make room, or allow more connections; work goes on by itself.",
    "58": "Check the server's disk.",
    "XX": "Its files may be damaged: see the server's log.",
}


def is_crossing(error: BaseException) -> bool:
    """Whether two transactions crossed, and repeating this one at once will do."""
    return isinstance(error, _CROSSING)


def is_refusal(error: psycopg.Error) -> bool:
    """Whether the server itself answered that the statement had failed."""
    state = error.sqlstate
    return state is not None and not state.startswith(_WITHOUT_ANSWER)


def translated(error: psycopg.Error, name: str, outcome: Outcome = "no") -> FlowkitError:
    """`error` as one of ours, in one line that says what to do. `outcome` is that of an error without the server's answer."""
    text = _line(error)
    if isinstance(error, errors.LockNotAvailable):
        return StoreBusy(f"{name}: a row or a table was locked by another program for too long; nothing was written. Try again.")
    if isinstance(error, _BAD_VALUE) and not isinstance(error, _OF_THE_STORE) and (is_refusal(error) or error.sqlstate is None):
        return GuardFailed(f"{name} refused a value or a row: {text}")
    if is_refusal(error):
        kind = (error.sqlstate or "")[:2]
        hint = _HINTS.get(kind, "")
        return StoreError(f"{name}: the database refused ({text}). {hint}".rstrip(), passing=kind == _NO_ROOM)
    return StoreError(f"{name} cannot be reached ({text}). Work goes on by itself when it can.", outcome=outcome, passing=True)


def unconnected(error: psycopg.Error, name: str, *, opened: bool) -> StoreError:
    """Why there is no connection, in one line that says what to do. The client library gives no state here, only text."""
    text = _line(error).removeprefix("connection failed: ")
    if text.count(_FATAL) == 1:  # of several hosts each may have refused for a reason of its own
        text = text.partition(_FATAL)[2]
    hint = next((hint for said, hint in _REFUSED.items() if said in text), None)
    if hint is None:
        advice = "Work goes on by itself when it can." if opened else "Check the address, and that the server takes connections."
        return StoreError(f"{name} cannot be reached ({text}). {advice}", passing=True)
    return StoreError(f"{name}: the server refused the connection ({text}). {hint}", passing=hint in _PASSING)


_FATAL = "FATAL: "
_CLOSED = "Work goes on once it takes connections: ALTER DATABASE … ALLOW_CONNECTIONS true."
_PASSING = (_HINTS[_NO_ROOM], _CLOSED)

_REFUSED = {
    "not currently accepting connections": _CLOSED,
    "password": _HINTS["28"],
    "authentication": _HINTS["28"],
    "pg_hba.conf": "Let this host and user in, in the server's pg_hba.conf.",
    "too many": _HINTS["53"],
    "remaining connection slots": _HINTS["53"],
    "permission denied": _HINTS["42"],
    'role "': _HINTS["28"],
    'database "': _HINTS["3D"],
}


def _line(error: psycopg.Error) -> str:
    said = error.diag.message_primary or str(error) or type(error).__name__
    return " ".join(said.split())
