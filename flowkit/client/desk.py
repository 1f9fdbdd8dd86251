"""What a handle and its runs share: the store, the writer, who steers, and the workflows known here."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from flowkit.client.answering import open_question, questions
from flowkit.client.forking import Changed, fork_start, forked_at
from flowkit.client.resolving import Decision, step_at
from flowkit.client.rewind import resolvable
from flowkit.client.steering import recover_run, replay_run, resolve_run
from flowkit.client.waits import Bulletin
from flowkit.clock import Clock
from flowkit.codec import coder
from flowkit.core.entry import Entry
from flowkit.core.location import check_key, check_name, check_run_id
from flowkit.definitions import Step, Workflow, known_workflows
from flowkit.definitions.workflows import checked_tags
from flowkit.drivers.base import (
    Driver,
    Duplicate,
    Ended,
    Exists,
    Full,
    NoRun,
    Result,
    RunRow,
    RunView,
    Send,
    Started,
    Steer,
    Tag,
    Verb,
)
from flowkit.drivers.writer import Writer
from flowkit.engine.observer import Watch
from flowkit.errors import InboxFull, RunConflict, RunNotFound, StoreError, TooManyTags
from flowkit.settings import Settings

__all__ = ["Desk"]

_tagged = coder()


class Desk:
    """`workflows` None: all that this process has decorated. `max_payload` is bytes."""

    def __init__(
        self, driver: Driver, writer: Writer, *, workflows: Iterable[Workflow[..., Any]] | None, max_payload: int,
        clock: Clock, settings: Settings, watch: Watch | None = None,
    ) -> None:  # fmt: skip
        self.driver = driver
        self.writer = writer
        self.clock = clock
        self._watch = watch
        self.bulletin = Bulletin(settings.result_look)
        self.who = f"pid {os.getpid()}"
        self.max_payload = max_payload
        self.settings = settings
        self._given = None if workflows is None else {made.name: made for made in workflows}
        self._met: dict[str, Workflow[..., Any]] = {}
        self.code_here: Callable[[str], str] = lambda workflow: ""
        """Under which code the handle's own worker would try a run of this workflow; empty if it would not."""

    # --- workflows --------------------------------------------------------------------------------------------------

    def served(self) -> Mapping[str, Workflow[..., Any]]:
        """The workflows that a worker of this handle serves, by name."""
        if self._given is None:
            return {**known_workflows(), **self._met}
        return {name: self._met.get(name, made) for name, made in self._given.items()}

    def serves(self, name: str) -> bool:
        """Whether a run of this workflow may be born on this handle's worker."""
        return self._given is None or name in self._given

    def workflow_named(self, name: str) -> Workflow[..., Any] | None:
        """The workflow of this name that this handle knows: it may start what it does not serve."""
        return self._met.get(name) or self.served().get(name)

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
            context="" if self._watch is None else self._watch.sends(None, run_id, name),
        )  # fmt: skip
        match self.writer.write(op):
            case NoRun():
                raise RunNotFound(f"cannot send {name!r}: there is no run {run_id!r}")
            case Ended(status=status):
                raise RunConflict(f"cannot send {name!r}: run {run_id!r} has ended, it is {status}")
            case Full(size=size):
                raise InboxFull(
                    f"cannot send {name!r}: the inbox of run {run_id!r} is full, {size} wait in it. Nothing was sent. Send it "
                    "again once the run has taken some, or raise the setting inbox."
                )
            case Duplicate(first=first):
                return first
            case _:
                return op.message_id

    def steer(self, run_id: str, verb: Verb) -> Result:
        """Carry out a verb on a run.

        Raises:
            RunNotFound: there is no such run. RunConflict: it is a fork that asks, and to be resumed.
        """
        if verb == "resume" and (why := open_question(self.driver, self.driver.get(run_id))):
            raise RunConflict(why)
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

    def resolve(
        self, run_id: str, location: str | None, decide: Callable[[str, Step[..., Any] | None], Decision], *,
        who: str = "", op: str | None = None, head: int | None = None,
    ) -> Result | None:  # fmt: skip
        """See `Run.resolve`. `decide` is asked with the step's location, and its code where that is known here.

        Raises:
            RunNotFound: there is no such run. The rest as `Run.resolve`.
        """
        view = self._view(run_id)
        asked = questions(view)
        found = [entry.location for entry in asked or resolvable(view)]
        if location is None and len(found) > 1:
            why = f"run {run_id!r} asks for several steps" if asked else f"several steps stopped run {run_id!r}"
            raise ValueError(f"{why}: name one of {', '.join(map(repr, found))}")
        place = found[0] if location is None else location
        free = view.row.ending or any(each.kind == "send" and each.location == place for each in asked)
        decision = decide(place, None if free else self.step_of(view.row, place))
        now = self.clock.now()
        return resolve_run(self.driver, self.writer, run_id, decision, who or self.who, now, op=op, head=head)

    def fork(
        self, run_id: str, at: str | int, change: Callable[[Entry, Step[..., Any] | None], Changed], *,
        id: str | None = None, who: str = "", op: str | None = None,
    ) -> tuple[str, int]:  # fmt: skip
        """See `Run.fork`: its id and its number. `change` is asked with the entry, and the step's code where
        that is known here.

        Raises:
            RunNotFound: there is no such run. The rest as `Run.fork`.
        """
        view = self._view(run_id)
        entry = forked_at(view, at)
        changed = change(entry, self.step_of(view.row, entry.location) if entry.kind == "step" else None)
        start = fork_start(
            self.driver, view, entry, changed, id=id, who=who or self.who, now=self.clock.now(), token=op or uuid.uuid4().hex
        )
        match self.writer.write(start):
            case Started(run=run):
                return start.id, run
            case Exists():
                raise RunConflict(f"run {start.id!r} exists already. Choose another id for the fork.")
            case other:
                raise StoreError(f"the store answered a start with {type(other).__name__}")

    def tag(self, run_id: str, add: Sequence[str], remove: Sequence[str], *, who: str = "", op: str | None = None) -> Result:
        """Put tags on a run and take others off it, whatever its status. A pass that is under way does not see it.

        Raises:
            RunNotFound: there is no such run. ValueError, InvalidName: a tag that cannot be, or too many.
        """
        row = self.driver.get(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id!r}")
        self.check_tags(checked_tags([*(tag for tag in row.tags if tag not in remove), *add]))
        wish = Tag(run=run_id, add=checked_tags(add), remove=checked_tags(remove), op=op or uuid.uuid4().hex, who=who or self.who)
        return self.writer.write(wish)

    def check_tags(self, tags: Sequence[str]) -> None:
        """Raises:
        TooManyTags: a run may not have so many."""
        if len(tags) > self.settings.tags:
            raise TooManyTags(f"a run can have {self.settings.tags} tags, not {len(tags)}")

    def step_of(self, row: RunRow, location: str) -> Step[..., Any] | None:
        """The step whose entry stands there, where the code of the run's workflow is known here."""
        return step_at(self.workflow_named(row.workflow), location)

    def _view(self, run_id: str) -> RunView:
        row = self.driver.get(run_id)
        view = None if row is None else self.driver.load(row.seq)
        if view is None:
            raise RunNotFound(f"there is no run {run_id!r}")
        return view
