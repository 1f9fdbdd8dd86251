"""A strand that wakes while the park of its run is being written. Found by the simulation, SEED=4398 and SEED=103450."""

from __future__ import annotations

import threading
from collections.abc import Collection

import pytest

from flowkit.core.change import Change, Park
from flowkit.core.entry import Entry, Message
from flowkit.core.ledger import Ledger
from flowkit.engine.commits import Commits, Final
from flowkit.engine.recorder import Answer, Written
from flowkit.errors import Fenced, ScopeClosed


class _Recorder:
    """Acknowledges everything: the row's epoch and head fit as long as nobody has claimed the parked run."""

    def __init__(self) -> None:
        self.written: list[Change] = []
        self.healthy = True

    def now(self) -> float:
        return 0.0

    def write(self, change: Change) -> Answer:
        self.written.append(change)
        return Written(0, "sleeping", "")

    def submit(self, change: Change, landed: object) -> None:
        raise AssertionError("a plain run writes and waits; it never submits")

    def inbox(self, names: Collection[str], limit: int) -> list[Message]:
        return []

    def inbox_number(self) -> int:
        return 0


def test_nothing_is_written_after_the_commit_that_gives_the_run_up() -> None:
    """SL4, I19: a later write would take the wake time away, and nothing would ever wake the run."""
    recorder = _Recorder()
    ledger = Ledger(run=1, run_id="r", epoch=1, head=0)
    commits = Commits(ledger, recorder, lambda *_: None)
    commits.commit(Final(status="sleeping", park=Park(wake_at=60.0)))

    ledger.stage(Entry(seq=1, location="after", kind="step", status="completed", settled_at=61.0))

    with pytest.raises(Fenced, match="given up"):
        commits.commit()
    assert len(recorder.written) == 1


def test_a_pass_that_was_ended_before_its_park_was_written_does_not_park() -> None:
    """A deadline comes between the decision to park and the write: a parked run would not be rolled back."""
    recorder = _Recorder()
    ledger = Ledger(run=1, run_id="r", epoch=1, head=0)
    commits = Commits(ledger, recorder, lambda *_: None)

    with pytest.raises(ScopeClosed, match="before it could park"):
        commits.commit(Final(status="sleeping", park=Park(wake_at=60.0), still=lambda: False))

    assert recorder.written == []
    ledger.stage(Entry(seq=1, location="after", kind="step", status="completed", settled_at=61.0))
    commits.commit()
    (change,) = recorder.written
    assert change.park is None


def test_a_park_asks_again_whether_the_pass_goes_on_once_it_has_waited_for_another_write() -> None:
    ended, entered, door = threading.Event(), threading.Event(), threading.Event()

    class Slow(_Recorder):
        def write(self, change: Change) -> Answer:
            entered.set()
            assert door.wait(5)
            return super().write(change)

    recorder = Slow()
    ledger = Ledger(run=1, run_id="r", epoch=1, head=0)
    commits = Commits(ledger, recorder, lambda *_: None)
    ledger.stage(Entry(seq=1, location="before", kind="step", status="completed", settled_at=1.0))
    writing = threading.Thread(target=commits.commit)
    writing.start()
    assert entered.wait(5)
    refused: list[BaseException] = []
    asked = threading.Event()

    def still() -> bool:
        asked.set()
        return not ended.is_set()

    def park() -> None:
        try:
            commits.commit(Final(status="sleeping", park=Park(wake_at=60.0), still=still))
        except ScopeClosed as error:
            refused.append(error)

    parking = threading.Thread(target=park)
    parking.start()
    assert asked.wait(5)
    ended.set()
    door.set()
    writing.join(5)
    parking.join(5)

    assert [type(error) for error in refused] == [ScopeClosed]
    assert [change.park for change in recorder.written] == [None]
