"""A run as plain data, as exports hold it, and back: one place for both directions.

Stored values are JSON already and stand in the record as they are stored, type tags included. What is no JSON, what would not
come back byte for byte, and what nests too deep for a Python literal stands beside it in base64. Keys without a value are left
out.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import msgspec

from flowkit.client.masking import Masker
from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.drivers.base import RunRow

__all__ = ["FORMAT", "body_in", "entry_data", "entry_in", "message_data", "message_in", "run_data"]

FORMAT = "flowkit-run-1"
"""Stands first in every export; a reader refuses what it does not know."""

_DEEPEST = 60
_BASE64 = "_base64"
_BODIES = ("args", "output", "error", "patch", "by_hand")
_ENTRY = (
    "seq", "location", "kind", "status", "attempts", "round", "created_at", "started_at", "settled_at", "due_at", "rollback",
    "source",
)  # fmt: skip


def run_data(row: RunRow, bodies: Mapping[str, bytes | None], failed_entry: int | None, masker: Masker) -> dict[str, Any]:
    """The run itself; `bodies` are its input, output, error and state."""
    kept = {
        "id": row.id, "workflow": row.workflow, "status": row.status, "tags": list(row.tags), "created_at": row.created_at,
        "start_at": row.start_at, "started_at": row.started_at, "updated_at": row.updated_at, "finished_at": row.finished_at,
        "passes": row.passes, "replays": row.replays, "crashes": row.crashes, "entries": row.entries,
        "failed_entry": failed_entry,
    }  # fmt: skip
    return _without_none(kept) | _packed(bodies, masker)


def entry_data(
    entry: Entry, bodies: Mapping[str, bytes | None], failures: Sequence[FailedAttempt], masker: Masker
) -> dict[str, Any]:
    """One entry with its failed attempts."""
    made = _without_none({name: getattr(entry, name) for name in _ENTRY}) | _packed(bodies, masker)
    if failures:
        made["failures"] = [_failure_data(failure, masker) for failure in failures]
    return made


def _failure_data(failure: FailedAttempt, masker: Masker) -> dict[str, Any]:
    names = ("part", "round", "n", "started_at", "ended_at", "retry_at")
    kept = _without_none({name: getattr(failure, name) for name in names})
    return kept | _packed({"error": failure.error}, masker)


def message_data(message: Message, masker: Masker) -> dict[str, Any]:
    """A message that waits in the inbox."""
    kept = {
        "number": message.seq, "id": message.id, "name": message.name, "sent_at": message.sent_at, "sender": message.sender,
        "key": message.key,
    }  # fmt: skip
    return _without_none(kept) | _packed({"data": message.body}, masker)


def entry_in(data: Mapping[str, Any]) -> Entry:
    """The entry that `entry_data` wrote."""
    args = body_in(data, "args")
    bodies: dict[str, Any] = {name: body for name in _BODIES if (body := body_in(data, name)) is not None}
    fields: dict[str, Any] = {name: data[name] for name in _ENTRY if name in data}
    return Entry(**(fields | bodies), args_crc=0 if args is None else crc32(args))


def message_in(data: Mapping[str, Any]) -> Message:
    """The message that `message_data` wrote."""
    return Message(
        seq=data["number"], id=data["id"], name=data["name"], sent_at=data["sent_at"], sender=data.get("sender", ""),
        key=data.get("key"), body=body_in(data, "data") or b"null",
    )  # fmt: skip


def body_in(data: Mapping[str, Any], name: str) -> bytes | None:
    """A stored value in a record; None if it has none."""
    if name in data:
        return msgspec.json.encode(data[name])
    return b64decode(data[name + _BASE64]) if name + _BASE64 in data else None


def _packed(bodies: Mapping[str, bytes | None], masker: Masker) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, body in bodies.items():
        if body is not None:
            made |= _body(name, body, masker)
    return made


def _body(name: str, body: bytes, masker: Masker) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
        exact = msgspec.json.encode(value) == body
        masked = masker.mask(value)
    except (ValueError, RecursionError):  # msgspec has several ways to say that this is not JSON
        return {name + _BASE64: b64encode(body).decode()}
    if exact and _nests_at_most(masked, _DEEPEST):
        return {name: masked}
    return {name + _BASE64: b64encode(body if masked == value else msgspec.json.encode(masked)).decode()}


def _nests_at_most(node: Any, depth: int) -> bool:
    if not isinstance(node, dict | list):
        return True
    return depth > 0 and all(_nests_at_most(item, depth - 1) for item in (node.values() if isinstance(node, dict) else node))


def _without_none(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not None and value != ""}
