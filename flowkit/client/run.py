"""`Run`: one run in a program's hand. It holds no state but the id: every answer is read from the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import UNSET

from flowkit.client.attending import Retrial, vigil_of
from flowkit.client.desk import Desk
from flowkit.client.forking import DEFAULT_REASON, Changed, changed_message
from flowkit.client.history import HistoryEntry, Snapshot, history_of, read_error
from flowkit.client.requests import answer_to, failure_of
from flowkit.client.resolving import decided
from flowkit.client.waits import end_of, steadily, wait_until
from flowkit.codec import coder
from flowkit.core.entry import Entry
from flowkit.core.run import TERMINAL
from flowkit.definitions.steps import Step
from flowkit.drivers.base import BodyRef, Ended, RunRow, Verb
from flowkit.durations import seconds
from flowkit.engine.state import decoded_state
from flowkit.errors import ErrorInfo, RunNotFound, StoreError

__all__ = ["Run"]

R = TypeVar("R", covariant=True)
Duration = float | timedelta | str
_tagged = coder()


class Run(Generic[R]):
    """A run by its id. `created` tells whether the call that gave this handle started it."""

    def __init__(self, desk: Desk, run_id: str, seq: int, *, created: bool = False) -> None:
        self.desk = desk
        self.seq = seq
        self.id = run_id
        self.created = created

    def __repr__(self) -> str:
        return f"<run {self.id!r}>"

    # --- reading ----------------------------------------------------------------------------------------------------

    def _row(self) -> RunRow:
        row = self.desk.driver.get(self.seq)
        if row is None:
            raise self._gone()
        return row

    def _gone(self) -> RunNotFound:
        return RunNotFound(f"there is no run {self.id!r} any more")

    def _body(self, field: Any) -> bytes | None:
        return self.desk.driver.body(BodyRef(run=self.seq, field=field))

    def status(self) -> str:
        """`pending`, `running`, `sleeping`, `rolling_back`, `completed`, `failed`, `cancelled`, `paused` or `blocked`."""
        return self._row().status

    def result(self, timeout: Duration | None = None, *, fail_fast: Duration | None = None) -> R:
        """What the workflow returned, waiting for it; with `fail_fast` only as long as somebody works on the run.

        Raises:
            RunFailed, RunCancelled: how the run ended. HistoryDiverged: it is blocked since code and history do not fit.
            RunConflict: it is quarantined. Neither while the handle's own worker is about to try it with other code than
            blocked it. TimeoutError: `timeout` is over. Unattended: for `fail_fast` no live worker has served the workflow
            well; the run stays.
        """
        vigil = vigil_of(self.desk, self.seq, fail_fast)
        limit = None if timeout is None else seconds(timeout, "timeout")
        end = end_of(limit)
        look = partial(self._ended, Retrial(self.desk))
        ended = wait_until(self.desk.driver, self.desk.bulletin, self.seq, look, end, vigil)
        if ended is None:
            raise TimeoutError(f"run {self.id!r} has not ended after {limit:g} s{self._standing()}")
        row, output = ended
        if row.status == "completed":
            return self._decoded(row, output)  # type: ignore[return-value]  # there is one
        raise steadily(self.desk.bulletin, lambda: failure_of(self, row), end)

    def _standing(self) -> str:
        """How it is, for whoever has waited in vain."""
        try:
            return f"; it is {self.status()}"
        except StoreError as error:
            return f", as far as is known: {error}"

    def _ended(self, retrial: Retrial) -> tuple[RunRow, bytes | None] | None:
        found = self.desk.driver.outcome(self.seq)
        if found is None:
            raise self._gone()
        row = found[0]
        return found if row.status in TERMINAL or (row.status == "blocked" and not retrial.comes(row)) else None

    def output(self) -> R | None:
        """What the workflow returned, None as long as it has not."""
        row = self._row()
        return self._decoded(row, self._body("output")) if row.status == "completed" else None

    def _decoded(self, row: RunRow, body: bytes | None) -> R | None:
        if body is None:
            return None
        workflow = self.desk.workflow_named(row.workflow)
        decoded: R = (workflow.returns if workflow is not None else _tagged).decode(body)
        return decoded

    def error(self) -> ErrorInfo | None:
        """Why the run failed or is blocked."""
        body = self._body("error")
        return None if body is None else read_error(body)

    def state(self) -> dict[str, Any]:
        """The run's own durable state, as last committed."""
        view = self.desk.driver.load(self.seq)
        return {} if view is None else decoded_state(view.state, view.entries)

    def history(self, archived: bool = False) -> list[HistoryEntry]:
        """All entries in order of `seq`; with `archived` those that a replay or recovery set aside."""
        self._row()
        return history_of(self.desk.driver, self.seq, archived=archived)

    def watch(self) -> Iterator[Snapshot]:
        """A snapshot now and after each change, until the run has ended."""
        known: dict[int, HistoryEntry] = {}
        status, epoch = "", -1
        while True:
            row = steadily(self.desk.bulletin, self._row, None)
            if row.epoch != epoch or row.status != status or status == "rolling_back":
                after, epoch = 0, row.epoch  # another owner, steered or undoing: settled entries may differ, too
            else:
                after = (
                    min(
                        (seq for seq, entry in known.items() if entry.settled_at is None),
                        default=max(known, default=0) + 1,
                    )
                    - 1
                )
            found = steadily(self.desk.bulletin, partial(history_of, self.desk.driver, self.seq, after=after), None)
            entries = [entry for entry in found if known.get(entry.seq) != entry]
            known.update({entry.seq: entry for entry in entries})
            if entries or row.status != status:
                status = row.status
                yield Snapshot(status, entries)
            if row.status in TERMINAL:
                return
            self._wait_for_change(row)

    def _wait_for_change(self, row: RunRow) -> None:
        def changed() -> RunRow | None:
            now = self._row()
            return now if (now.epoch, now.head, now.status) != (row.epoch, row.head, row.status) else None

        wait_until(self.desk.driver, self.desk.bulletin, self.seq, changed, None)

    # --- messages ---------------------------------------------------------------------------------------------------

    def send(self, name: str, data: Any = None, *, key: str | None = None) -> None:
        """Send a message. Durable when it returns; the same `key` is delivered once.

        Raises:
            RunConflict: the run has ended.
        """
        self.desk.deliver(self.id, name, data, key=key, reply=False)

    def request(self, name: str, data: Any = None, *, timeout: Duration | None = None, fail_fast: Duration | None = None) -> Any:
        """Send a message and wait for the receiver's `complete(response)`.

        Raises:
            TimeoutError: `timeout` is over; the message stays sent. RunFailed, RunCancelled, RunConflict: the run ended
            without answering. Unattended: as in `result`; the message stays sent.
        """
        vigil = vigil_of(self.desk, self.seq, fail_fast)
        return answer_to(self.desk.deliver(self.id, name, data, key=None, reply=True), name, self, timeout, vigil)

    # --- verbs ------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Make a waiting run due now. What is not yet due in it goes back to waiting."""
        self._steer("wake")

    def evict(self) -> None:
        """Stop the run on its worker without failing it; any worker goes on with it."""
        self._steer("evict")

    def pause(self) -> None:
        """Nothing new begins in the run, from within a second, until `resume()`."""
        self._steer("pause")

    def resume(self) -> None:
        """A paused or blocked run goes on; on any other this does nothing. A fork that asks is answered with `resolve` instead.

        Raises:
            RunConflict: it is a fork that asks.
        """
        self._steer("resume")

    def cancel(self, rollback: bool = False) -> None:
        """End the run: when this returns, no later write of it can land. With `rollback` its handlers run first."""
        self._steer("cancel_rollback" if rollback else "cancel")

    def recover(self) -> None:
        """A failed run goes on: what failed starts over with fresh attempts. On any other this does nothing."""
        self.desk.recover(self.id)

    def replay(self, from_step: str | None = None) -> None:
        """Start over from this entry, or from the top; what came later is archived.

        Raises:
            ValueError: there is no such entry. RunConflict: the run is `running` or `rolling_back`.
        """
        self.desk.replay(self.id, from_step)

    def resolve(
        self,
        step: str | None = None,
        *,
        reason: str,
        value: Any = UNSET,
        error: BaseException | None = None,
        again: bool = False,
        real: bool = False,
        args: Mapping[str, Any] | None = None,
        rollback: bool = True,
    ) -> None:
        """Give the outcome of the step that stopped a failed run, or that a fork asks for, and let the run go on; the rest is as
        in `recover`.

        Exactly one of: its `value` (None: nothing), the `error` that the workflow sees as its terminal failure, or `again`,
        which `args` (parameter → value) do with other arguments; for what a fork asks that is called `real`. `step` is its
        location, needed where there are several. The step's rollback gets the value, unless `rollback` is False. `reason` is
        kept in the entry. Where a fork asks for a rollback, it is called for `real`, or with any value taken for done.

        Raises:
            RunConflict: the run is not failed, no step stopped it, or it has begun to be rolled back. ValueError: another
            step, or not exactly one outcome. PayloadError: the value does not fit the step's annotation.
        """
        self.desk.resolve(
            self.id,
            step,
            lambda location, code: decided(
                location, code, reason=reason, value=value, error=error, again=again or real, args=args, rollback=rollback,
                limit=self.desk.max_payload,
            ),
        )  # fmt: skip
        self.desk.bulletin.post(self.seq)

    def fork(
        self,
        at: str | int,
        *,
        value: Any = UNSET,
        error: BaseException | None = None,
        message: Any = UNSET,
        name: str | None = None,
        id: str | None = None,
        reason: str = DEFAULT_REASON,
    ) -> Run[R]:
        """A new run with this one's history before the entry `at` (its location or `seq`), and that entry changed: the `value` or
        `error` of a step, or the data of the `message` that a receive took (`name` where it took none, or another).

        The fork is fenced: it takes from this run what is equal, and where it would do anything else it pauses and asks, to be
        answered with `resolve`. It has the tag ``fork``. This run stays as it is.

        Raises:
            ValueError: no such entry, one that cannot be changed, or not exactly one change. PayloadError: the value does not fit
            the step's annotation. RunConflict: the id is taken.
        """
        now, limit = self.desk.clock.now(), self.desk.max_payload

        def change(entry: Entry, code: Step[..., Any] | None) -> Changed:
            if entry.kind == "message":
                if message is UNSET or value is not UNSET or error is not None:
                    raise ValueError(f"{entry.location!r} is a receive: give its message=")
                return changed_message(entry, message, name, reason, now, limit)
            if message is not UNSET or name is not None:
                raise ValueError(f"{entry.location!r} is a step: give its value= or error=")
            return Changed.of(
                decided(
                    entry.location,
                    code,
                    reason=reason,
                    value=value,
                    error=error,
                    again=False,
                    args=None,
                    rollback=True,
                    limit=limit,
                )
            )

        made, seq = self.desk.fork(self.id, at, change, id=id)
        return Run(self.desk, made, seq, created=True)

    def _steer(self, verb: Verb) -> None:
        if not isinstance(self.desk.steer(self.id, verb), Ended):
            self.desk.bulletin.post(self.seq)
