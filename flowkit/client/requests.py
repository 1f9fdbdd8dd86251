"""How runs end for those who wait: the error of one that has not completed, and the answer to a request."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flowkit.client.attending import Vigil
from flowkit.client.waits import end_of, steadily, wait_until
from flowkit.codec import coder, rebuild
from flowkit.core.run import TERMINAL
from flowkit.drivers.base import BodyRef, RunRow
from flowkit.durations import seconds
from flowkit.errors import RunCancelled, RunConflict, RunFailed

if TYPE_CHECKING:
    from flowkit.client.run import Run

__all__ = ["answer_to", "failure_of"]

_tagged = coder()


def answer_to(
    message_id: str, name: str, run: Run[Any], timeout: float | timedelta | str | None = None, vigil: Vigil | None = None
) -> Any:
    """What `run` answered to the message `message_id`, called `name`.

    Raises:
        TimeoutError: `timeout` is over. RunFailed, RunCancelled, RunConflict: the run ended without answering.
        Unattended: the `vigil` says that nobody works on the run.
    """
    limit = None if timeout is None else seconds(timeout, "timeout")
    desk = run.desk

    def answered() -> tuple[bytes | None, RunRow | None] | None:
        row = desk.driver.get(run.seq)
        body = desk.driver.body(BodyRef(run=run.seq, field="reply", message_id=message_id))
        if body is not None:
            return body, None
        return (None, row) if row is None or row.status in TERMINAL else None

    end = end_of(limit)
    found = wait_until(desk.driver, desk.bulletin, run.seq, answered, end, vigil)
    if found is None:
        raise TimeoutError(f"run {run.id!r} has not answered {name!r} after {limit:g} s; the message stays sent")
    body, row = found
    if body is not None:
        return _tagged.decode(body)
    if row is not None and row.status != "completed":
        ended = row
        raise steadily(desk.bulletin, lambda: failure_of(run, ended), end)
    raise RunConflict(f"run {run.id!r} ended without answering {name!r}")


def failure_of(run: Run[Any], row: RunRow) -> Exception:
    """What `result()` raises of a run that has not completed."""
    error = run.error()
    if row.status == "cancelled":
        return RunCancelled(f"run {run.id!r} was cancelled")
    if row.status == "blocked":
        blocked = rebuild(error) if error is not None else None
        return blocked if isinstance(blocked, Exception) else RunConflict(f"run {run.id!r} is blocked")
    return RunFailed(
        f"run {run.id!r} failed: {error}\n{error.traceback if error is not None else ''}".rstrip(),
        run_id=run.id,
        error=error,
    )
