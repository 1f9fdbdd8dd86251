"""`send`: a message to another run, delivered exactly once.

The message, the receiver's wake-up and the sender's entry are one commit, so no replay sends again. A receiver that is not
there or has ended is known only from that commit: then nothing of the entry is written, and it becomes the failure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from flowkit.codec import coder
from flowkit.core.change import Outgoing
from flowkit.core.entry import Entry
from flowkit.core.outcome import Done, Failed, Outcome
from flowkit.engine.failures import error_line, info_bytes, recorded_failure
from flowkit.engine.ports import Port
from flowkit.engine.replay import Call
from flowkit.engine.scope import Scope
from flowkit.errors import FlowkitError, InboxFull, PayloadError, RunConflict, RunNotFound

__all__ = ["SendMessage"]

_body = coder()
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Send to another run, delivered exactly once: the message, the wake-up and this entry are one commit."""

    to: str
    message: str
    data: Any
    key: str | None
    kind: ClassVar[str] = "send"
    frontier: ClassVar[str] = "always"

    @property
    def name(self) -> str:
        return self.message

    @property
    def explicit(self) -> bool:
        return False

    def recall(self, scope: Scope, entry: Entry) -> None:
        if entry.error is not None:
            raise recorded_failure(entry, "send")

    async def revisit(self, call: Call, port: Port) -> None:
        return None

    async def perform(self, call: Call, port: Port) -> Outcome[None]:
        running = call.scope.running
        try:
            body = self.encoded(running.host.max_payload)
        except PayloadError as error:
            return Failed(error)
        with running.ledger.lock:  # no other branch's commit may carry the entry without the message
            entry = call.finish(self.kind, "completed", args=self.recorded_args(body))
            message_id = f"{running.facts.id}:{entry.seq}:{entry.round}:{running.ledger.run}"
            watch = running.host.watch
            running.ledger.stage_send(
                entry,
                Outgoing(
                    to=self.to, message_id=message_id, name=self.message, body=body, key=self.key, sender=running.facts.id,
                    context="" if watch is None else watch.sends(running, self.to, self.message),
                ),
            )  # fmt: skip
        running.progress(call.location, 0)
        await port.commit(call.scope)
        if (why := running.commits.refused.pop(message_id, None)) is not None:
            return await self._refused(call, port, entry, why)
        return Done(None)

    def recorded_args(self, body: bytes) -> bytes:
        """What the entry keeps of the call. The data itself is the receiver's; its digest tells whether other data was sent."""
        digest = hashlib.sha256(body).hexdigest()[:_DIGITS]
        return msgspec.json.encode({"to": self.to, "name": self.message, "key": self.key, "data_sha256": digest})

    def encoded(self, limit: int) -> bytes:
        """The message's data as it is sent.

        Raises:
            PayloadError: it cannot be.
        """
        return _body.encode(self.data, limit=limit)

    async def _refused(self, call: Call, port: Port, entry: Entry, why: str) -> Outcome[None]:
        error: FlowkitError
        if why == "missing":
            error = RunNotFound(f"cannot send {self.message!r}: there is no run {self.to!r}")
        elif why == "ended":
            error = RunConflict(f"cannot send {self.message!r}: run {self.to!r} has ended")
        else:
            error = InboxFull(f"cannot send {self.message!r}: the inbox of run {self.to!r} is full")
        info, body = info_bytes(error)
        failed = call.scope.stage(msgspec.structs.replace(entry, status="failed", error=body))
        call.scope.running.progress(call.location, 0, error=error_line(info))
        await port.commit(call.scope)
        return Failed(recorded_failure(failed, "send"))
