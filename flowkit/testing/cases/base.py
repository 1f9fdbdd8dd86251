"""What the cases share: a driver of their own each, a clock that stands still, and short ways to start, hold and
write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from flowkit.core.change import Change, Park
from flowkit.core.entry import Entry
from flowkit.drivers.base import (
    Claim,
    Claimed,
    Done,
    Driver,
    Op,
    Result,
    RunRow,
    RunView,
    Send,
    Start,
    Started,
    Steer,
    Verb,
    WorkerInfo,
)

__all__ = ["CODE", "NOW", "Case", "Hold", "completed", "opened", "refused"]

NOW = 1_700_000_000.0
CODE = "code-1"


@contextmanager
def refused(error: type[BaseException]) -> Iterator[None]:
    """The block must raise `error`."""
    try:
        yield
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")


def completed(seq: int, location: str = "", output: bytes | None = b'"ok"', **fields: Any) -> Entry:
    """A settled step."""
    place = location or f"step-{seq}"
    base: dict[str, Any] = {"kind": "step", "status": "completed", "settled_at": NOW, "attempts": 1, "created_at": NOW}
    return Entry(seq=seq, location=place, output=output, **{**base, **fields})


def opened(seq: int, location: str = "", **fields: Any) -> Entry:
    """An open step."""
    base: dict[str, Any] = {"kind": "step", "status": "running", "created_at": NOW, "started_at": NOW}
    return Entry(seq=seq, location=location or f"step-{seq}", **{**base, **fields})


class Hold:
    """A run as its owner holds it: it keeps the fence up to date as its Changes land."""

    def __init__(self, driver: Driver, claim: Claim) -> None:
        self.driver = driver
        self.run, self.id, self.epoch, self.head = claim.run, claim.id, claim.epoch, claim.head
        self.entries = self.seen = self.owes = 0

    def change(self, **fields: Any) -> Change:
        """The next Change of this owner."""
        for entry in fields.get("add", ()):
            self.entries = max(self.entries, entry.seq)
        base = {"run": self.run, "epoch": self.epoch, "head": self.head, "entries": self.entries}
        return Change(**{**base, "seen": self.seen, "owes": self.owes, **fields})

    def landed(self) -> None:
        """What an owner does once its Change is acknowledged."""
        self.head += 1

    def write(self, now: float = NOW, **fields: Any) -> Result:
        """Write the next Change."""
        (result,) = self.driver.write([self.change(**fields)], now)
        if isinstance(result, Done):
            self.landed()
        return result


class Case:
    """A group of cases. pytest makes an instance for each, so that every case has a driver of its own."""

    make_driver: Callable[[], Driver]
    driver: Driver
    worker: int

    def setup_method(self) -> None:
        self.driver = self.make_driver()
        self.worker = self.join()
        self._ops = 0

    def teardown_method(self) -> None:
        self.driver.close()

    # --- short ways

    def join(self, kind: Literal["worker", "client"] = "worker", now: float = NOW) -> int:
        return self.driver.join(WorkerInfo(name="tester", host="here", pid=1, kind=kind), now)

    def one(self, op: Op, now: float = NOW) -> Any:
        """Write one operation; its result, whose kind the case then tests."""
        (result,) = self.driver.write([op], now)
        return result

    def new_start(self, id: str = "r", **fields: Any) -> Start:
        base: dict[str, Any] = {
            "workflow": "w",
            "input": b"[1]",
            "input_hash": "h",
            "start_at": NOW,
            "token": f"t-{id}",
        }
        return Start(id=id, **{**base, **fields})

    def start(self, id: str = "r", now: float = NOW, **fields: Any) -> Started:
        result = self.one(self.new_start(id, **fields), now)
        assert isinstance(result, Started)
        return result

    def claim(self, limit: int = 10, now: float = NOW, worker: int | None = None, code: str = CODE) -> Claimed:
        return self.driver.claim(self.worker if worker is None else worker, {"w": code}, limit, now)

    def held(self, id: str = "r", **fields: Any) -> Hold:
        """A new run, claimed by this case's worker."""
        self.start(id, **fields)
        return self.claimed(id)

    def claimed(self, id: str = "r", now: float = NOW, worker: int | None = None) -> Hold:
        """The run `id`, which must be due."""
        (claim,) = [claim for claim in self.claim(100, now, worker).runs if claim.id == id]
        return Hold(self.driver, claim)

    def parked(self, id: str = "r", wake_at: float | None = None, waiting: Sequence[str] | None = None) -> Hold:
        """A run that sleeps."""
        hold = self.held(id)
        hold.write(status="sleeping", park=Park(wake_at=wake_at, waiting=waiting))
        return hold

    def ended(self, id: str = "r", status: str = "completed", **fields: Any) -> Hold:
        """A run that is over."""
        self.start(id, **fields)
        claimed = self.driver.claim(self.worker, {fields.get("workflow", "w"): CODE}, 100, NOW)
        hold = next(Hold(self.driver, claim) for claim in claimed.runs if claim.id == id)
        hold.write(status=status, release=True)
        return hold

    def send(self, to: str = "r", name: str = "m", now: float = NOW, **fields: Any) -> Any:
        self._ops += 1
        base: dict[str, Any] = {"message_id": f"message-{self._ops}", "body": b'"hello"'}
        return self.one(Send(to=to, name=name, **{**base, **fields}), now)

    def steer(self, verb: Verb, run: str = "r", now: float = NOW, **fields: Any) -> Any:
        self._ops += 1
        return self.one(Steer(run=run, verb=verb, **{"op": f"op-{self._ops}", **fields}), now)

    def row(self, run: int | str = "r") -> RunRow:
        row = self.driver.get(run)
        assert row is not None
        return row

    def view(self, run: int) -> RunView:
        view = self.driver.load(run)
        assert view is not None
        return view

    def history(self, run: int, **fields: Any) -> list[Entry]:
        return self.driver.history(run, **fields)
