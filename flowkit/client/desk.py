"""What a handle and its runs share: the store, the writer, who steers, and the workflows known here."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from flowkit.client.steering import recover_run, replay_run
from flowkit.client.waits import Bulletin
from flowkit.codec import coder
from flowkit.core.location import check_key, check_name, check_run_id
from flowkit.definitions import Workflow, known_workflows
from flowkit.drivers.base import Driver, Duplicate, Ended, Full, NoRun, Result, Send, Steer, Verb
from flowkit.drivers.writer import Writer
from flowkit.errors import RunConflict, RunNotFound

__all__ = ["Desk"]

_tagged = coder()


class Desk:
    """`workflows` None: all that this process has decorated. `max_payload` is bytes."""

    def __init__(
        self, driver: Driver, writer: Writer, *, workflows: Iterable[Workflow[..., Any]] | None, max_payload: int
    ) -> None:
        self.driver = driver
        self.writer = writer
        self.bulletin = Bulletin()
        self.who = f"pid {os.getpid()}"
        self.max_payload = max_payload
        self._given = None if workflows is None else {made.name: made for made in workflows}
        self._met: dict[str, Workflow[..., Any]] = {}

    # --- workflows --------------------------------------------------------------------------------------------------

    def served(self) -> Mapping[str, Workflow[..., Any]]:
        """The workflows that a worker of this handle serves, by name."""
        return {**(known_workflows() if self._given is None else self._given), **self._met}

    def serves(self, name: str) -> bool:
        """Whether a run of this workflow may be born on this handle's worker."""
        return self._given is None or name in self._given

    def workflow_named(self, name: str) -> Workflow[..., Any] | None:
        """The workflow of this name that this handle knows."""
        return self.served().get(name)

    def meet(self, workflow: object) -> Workflow[..., Any]:
        """`workflow`, known from now on; of two with one name, the newer."""
        if not isinstance(workflow, Workflow):
            raise TypeError(f"start() takes a function decorated with @workflow, not {workflow!r}")
        known = self._met.get(workflow.name)
        if known is None or known.function is not workflow.function:
            self._met[workflow.name] = workflow
        return workflow

    # --- writing ----------------------------------------------------------------------------------------------------

    def deliver(self, run_id: str, name: str, data: Any, *, key: str | None, reply: bool) -> str:
        """Send a message, and give back its id; `reply`: the sender waits for an answer.

        Raises:
            RunNotFound, RunConflict: there is no such run, it has ended, or its inbox is full.
        """
        op = Send(
            to=check_run_id(run_id), message_id=uuid.uuid4().hex, name=check_name(name, "message name"),
            body=_tagged.encode(data, limit=self.max_payload), key=check_key(key), reply=reply, sender=self.who,
        )  # fmt: skip
        match self.writer.write(op):
            case NoRun():
                raise RunNotFound(f"cannot send {name!r}: there is no run {run_id!r}")
            case Ended(status=status):
                raise RunConflict(f"cannot send {name!r}: run {run_id!r} has ended, it is {status}")
            case Full(size=size):
                raise RunConflict(f"cannot send {name!r}: the inbox of run {run_id!r} is full with {size} messages")
            case Duplicate(first=first):
                return first
            case _:
                return op.message_id

    def steer(self, run_id: str, verb: Verb) -> Result:
        """Carry out a verb on a run.

        Raises:
            RunNotFound: there is no such run.
        """
        result = self.writer.write(Steer(run=run_id, verb=verb, op=uuid.uuid4().hex, who=self.who))
        if isinstance(result, NoRun):
            raise RunNotFound(f"there is no run {run_id!r}")
        return result

    def recover(self, run_id: str) -> None:
        """See `Run.recover`."""
        recover_run(self.driver, self.writer, run_id, self.who)

    def replay(self, run_id: str, from_step: str | None) -> None:
        """See `Run.replay`."""
        replay_run(self.driver, self.writer, run_id, from_step, self.who)
