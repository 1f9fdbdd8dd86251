"""Group commit: who leads, who follows, and what happens when the store does not answer."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flowkit.core.change import Park
from flowkit.drivers import writer as writer_module
from flowkit.drivers.base import Done, Driver, GuardFailed, Lost, Op, Result, Sent, Started, Steered
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.writer import Writer
from flowkit.errors import StoreBusy, StoreError
from tests.drivers.ops import NOW, change, entry, owned, send, start, steer


class StillClock:
    def now(self) -> float:
        return NOW


class Flaky(MemoryDriver):
    """A memory driver that can be held up, and fails as told: `plan` holds what the next writes do."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[Op]] = []
        self.threads: list[str] = []
        self.plan: list[str] = []
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.nudges = 0

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        self.batches.append(list(ops))
        self.threads.append(threading.current_thread().name)
        self.entered.set()
        self.free.wait()
        match self.plan.pop(0) if self.plan else "":
            case "busy":
                raise StoreBusy("busy")
            case "no":
                raise StoreError("disk")
            case "lost before":
                raise StoreError("cut", outcome="unknown")
            case "lost after":
                super().write(ops, now)
                raise StoreError("cut", outcome="unknown")
            case "crash":
                raise KeyboardInterrupt
        return super().write(ops, now)

    def nudge(self) -> None:
        self.nudges += 1
        super().nudge()


class Listener:
    """A sink that keeps what it hears, call by call."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[object, Any]]] = []
        self.heard = threading.Condition()

    def deliver(self, outcomes: list[tuple[object, Any]]) -> None:
        with self.heard:
            self.calls.append(outcomes)
            self.heard.notify_all()

    def wait_for(self, count: int) -> list[tuple[object, Any]]:
        with self.heard:
            assert self.heard.wait_for(lambda: sum(map(len, self.calls)) >= count, timeout=5)
            return [outcome for call in self.calls for outcome in call]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0.01)


@pytest.fixture
def store() -> Flaky:
    return Flaky()


@pytest.fixture
def writer(store: Flaky) -> Iterator[Writer]:
    made = Writer(store, StillClock(), patience_seconds=0.1)
    yield made
    store.free.set()
    made.close()


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def hold_up(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> Any:
    """Occupy the writer with one start, so that what comes next has to queue."""
    store.free.clear()
    store.entered.clear()
    first = crowd.submit(writer.write, start("first"), patient=True)
    assert store.entered.wait(5)
    return first


def test_a_lone_write_is_made_in_the_callers_thread(store: Flaky, writer: Writer) -> None:
    writer.write(start())

    assert store.threads == [threading.current_thread().name]


def test_a_write_returns_its_own_result(writer: Writer) -> None:
    assert isinstance(writer.write(start()), Started)
    assert writer.write(send()) == Sent(number=1)


def test_a_refusal_is_a_result(writer: Writer) -> None:
    assert writer.write(change(run=99)) == Lost(epoch=0, head=0)


def test_what_comes_meanwhile_is_one_group_of_the_writers_thread(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> None:
    first = hold_up(store, writer, crowd)
    others = [crowd.submit(writer.write, start(f"r{n}"), patient=True) for n in range(8)]
    until(lambda: writer.pending == 8)

    store.free.set()

    assert all(isinstance(future.result(5), Started) for future in (first, *others))
    assert [len(batch) for batch in store.batches] == [1, 8]
    assert store.threads[1] == "flowkit-writer"


def test_everybody_in_a_group_gets_his_own_result(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> None:
    hold_up(store, writer, crowd)
    others = {f"r{n}": crowd.submit(writer.write, start(f"r{n}"), patient=True) for n in range(8)}
    until(lambda: writer.pending == 8)

    store.free.set()

    results = {id: future.result(5) for id, future in others.items()}
    rows = {id: store.get(id) for id in others}
    assert results == {id: Started(run=row.seq, epoch=0) for id, row in rows.items() if row is not None}


def test_many_threads_write_all_they_want(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> None:
    runs = owned(store, *(f"r{n}" for n in range(16)))

    def chain(run: int) -> list[Result]:
        return [writer.write(change(run, head, add=[entry(head + 1)]), patient=True) for head in range(30)]

    results = list(crowd.map(chain, runs))

    assert all(isinstance(result, Done) for chained in results for result in chained)
    assert all(len(store.history(run)) == 30 for run in runs)


def test_a_group_is_not_larger_than_the_driver_takes(store: Flaky, writer: Writer) -> None:
    store.limits = type(store.limits)(batch=3)
    listener = Listener()
    store.free.clear()
    for n in range(7):
        writer.submit(start(f"r{n}"), n, listener)

    store.free.set()

    listener.wait_for(7)
    assert max(len(batch) for batch in store.batches) <= 3


def test_a_submitted_operation_is_written_by_the_writers_thread(store: Flaky, writer: Writer) -> None:
    listener = Listener()

    writer.submit(start(), "token", listener)

    ((token, outcome),) = listener.wait_for(1)
    assert (token, type(outcome), store.threads) == ("token", Started, ["flowkit-writer"])


def test_a_sink_hears_of_a_group_in_one_call(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> None:
    hold_up(store, writer, crowd)
    one, other = Listener(), Listener()
    for n in range(6):
        writer.submit(start(f"r{n}"), n, one if n % 2 else other)

    store.free.set()

    assert [token for token, _ in one.wait_for(3)] == [1, 3, 5]
    assert [token for token, _ in other.wait_for(3)] == [0, 2, 4]
    assert (len(one.calls), len(other.calls)) == (1, 1)


def test_a_sink_that_fails_does_not_keep_others_from_hearing(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> None:
    class Broken:
        def deliver(self, outcomes: object) -> None:
            raise RuntimeError("the loop is closed")

    hold_up(store, writer, crowd)
    listener = Listener()
    writer.submit(start("a"), 1, Broken())
    writer.submit(start("b"), 2, listener)

    store.free.set()

    assert len(listener.wait_for(1)) == 1


def test_only_the_guilty_operation_of_a_group_fails(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> None:
    runs = owned(store, *"abcdefg")
    hold_up(store, writer, crowd)
    listener = Listener()
    for run in runs:
        bad = run == runs[4]
        writer.submit(change(run, consume=[9] if bad else [], add=[entry(1)]), run, listener)

    store.free.set()

    outcomes = dict(listener.wait_for(7))
    assert isinstance(outcomes.pop(runs[4]), GuardFailed)
    assert all(isinstance(outcome, Done) for outcome in outcomes.values())
    assert [len(store.history(run)) for run in runs] == [1, 1, 1, 1, 0, 1, 1]


def test_a_value_that_cannot_be_stored_fails_its_own_operation_only(
    store: Flaky, writer: Writer, crowd: ThreadPoolExecutor
) -> None:
    hold_up(store, writer, crowd)
    listener = Listener()
    for id in ("a", "b", "c"):
        writer.submit(start(id, start_at="soon" if id == "b" else NOW), id, listener)

    store.free.set()

    outcomes = dict(listener.wait_for(3))
    assert [type(outcomes[id]) is Started for id in "abc"] == [True, False, True]
    assert isinstance(outcomes["b"], Exception)


def test_a_guard_failure_of_a_lone_write_is_raised(store: Flaky, writer: Writer) -> None:
    (run,) = owned(store, "r")

    with pytest.raises(GuardFailed):
        writer.write(change(run, consume=[4]))

    assert writer.healthy


def test_a_patient_write_goes_on_until_the_store_answers(store: Flaky, writer: Writer) -> None:
    store.plan = ["busy", "no", "no"]

    assert isinstance(writer.write(start(), patient=True), Started)
    assert len(store.batches) == 4


def test_an_impatient_write_gives_up(store: Flaky, writer: Writer) -> None:
    store.plan = ["busy"] * 1_000

    with pytest.raises(StoreBusy):
        writer.write(start())


def test_what_was_given_up_is_not_written_later(store: Flaky, writer: Writer) -> None:
    store.plan = ["no"] * 15
    with pytest.raises(StoreError):
        writer.write(start())
    store.plan = []

    writer.write(start("other"), patient=True)

    assert store.get("r") is None


def test_giving_up_after_an_unknown_outcome_says_so(store: Flaky, writer: Writer) -> None:
    store.plan = ["lost before"] + ["no"] * 1_000

    with pytest.raises(StoreError) as caught:
        writer.write(start())

    assert caught.value.outcome == "unknown"


def test_an_unknown_write_is_repeated_even_if_its_caller_gave_up(store: Flaky, writer: Writer) -> None:
    store.plan = ["lost before"] + ["no"] * 15
    with pytest.raises(StoreError):
        writer.write(start())

    store.plan = []

    until(lambda: store.get("r") is not None)


def test_an_operation_that_no_batch_took_is_withdrawn(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> None:
    first = hold_up(store, writer, crowd)

    with pytest.raises(StoreBusy):
        writer.write(start("late"))
    store.free.set()

    first.result(5)
    assert store.get("late") is None


def test_the_handle_is_red_while_the_store_fails(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> None:
    store.plan = ["no"]
    first = crowd.submit(writer.write, start(), patient=True)
    until(lambda: len(store.batches) >= 1)
    first.result(5)
    store.plan = ["no"] * 10_000

    second = crowd.submit(writer.write, start("b"), patient=True)
    until(lambda: not writer.healthy)
    store.plan = []

    second.result(5)
    assert writer.healthy


def test_nothing_else_is_written_until_an_unknown_batch_is_acknowledged(
    store: Flaky, writer: Writer, crowd: ThreadPoolExecutor
) -> None:
    store.plan = ["lost after", "no", "no", "no"]
    first = crowd.submit(writer.write, start("a"), patient=True)
    until(lambda: len(store.batches) >= 2)
    second = crowd.submit(writer.write, start("b"), patient=True)

    first.result(5)
    second.result(5)

    ids = [[op.id for op in batch if hasattr(op, "id")] for batch in store.batches]
    assert ids == [["a"]] * 5 + [["b"]]


def unknown(store: Flaky, writer: Writer, op: Op, plan: str) -> Result:
    store.plan = [plan]
    return writer.write(op, patient=True)


@pytest.mark.parametrize("plan", ["lost before", "lost after"])
def test_a_start_of_unknown_outcome_is_still_ours(store: Flaky, writer: Writer, plan: str) -> None:
    assert unknown(store, writer, start(), plan) == Started(run=1, epoch=0)


@pytest.mark.parametrize("plan", ["lost before", "lost after"])
def test_a_send_of_unknown_outcome_is_delivered_once(store: Flaky, writer: Writer, plan: str) -> None:
    writer.write(start())

    result = unknown(store, writer, send(), plan)

    assert isinstance(result, Sent)
    assert len(store.inbox(1, (), 9)) == 1


@pytest.mark.parametrize("plan", ["lost before", "lost after"])
def test_a_verb_of_unknown_outcome_lands_once(store: Flaky, writer: Writer, plan: str) -> None:
    writer.write(start())

    assert unknown(store, writer, steer("pause"), plan) == Steered(status="paused")


@pytest.mark.parametrize("plan", ["lost before", "lost after"])
def test_a_change_of_unknown_outcome_is_done(store: Flaky, writer: Writer, plan: str) -> None:
    (run,) = owned(store, "r")

    result = unknown(store, writer, change(run, add=[entry(1)]), plan)

    assert result == Done(inbox=0, status="running")
    assert len(store.history(run)) == 1


@pytest.mark.parametrize("plan", ["lost before", "lost after"])
def test_a_recovery_of_unknown_outcome_is_done(store: Flaky, writer: Writer, plan: str) -> None:
    (run,) = owned(store, "r")
    writer.write(change(run, status="failed", release=True))

    result = unknown(store, writer, change(run, 1, bump="recover", op="o", status="pending"), plan)

    assert result == Done(inbox=0, status="pending")


@pytest.mark.parametrize("plan", ["lost before", "lost after"])
def test_a_block_of_unknown_outcome_is_done(store: Flaky, writer: Writer, plan: str) -> None:
    (run,) = owned(store, "r")

    assert unknown(store, writer, change(run, bump="block", status="blocked"), plan) == Done(inbox=0, status="blocked")


def test_a_change_that_was_really_lost_is_lost_after_a_repetition_too(store: Flaky, writer: Writer) -> None:
    (run,) = owned(store, "r")
    writer.write(steer("cancel"))

    assert isinstance(unknown(store, writer, change(run), "lost before"), Lost)


def test_a_simulated_crash_comes_out_of_the_write_that_it_hit(store: Flaky, writer: Writer) -> None:
    store.plan = ["crash"]

    with pytest.raises(KeyboardInterrupt):
        writer.write(start(), patient=True)

    assert isinstance(writer.write(start("b")), Started)


def test_what_may_make_a_run_due_nudges(store: Flaky, writer: Writer) -> None:
    writer.write(start())
    writer.write(send())
    writer.write(steer("wake"))

    assert store.nudges == 3


def test_parking_nudges_and_a_step_does_not(store: Flaky, writer: Writer) -> None:
    (run,) = owned(store, "r")
    writer.write(change(run, add=[entry(1)]))
    before = store.nudges

    writer.write(change(run, 1, status="sleeping", park=Park(wake_at=NOW)))

    assert (before, store.nudges) == (0, 1)


def test_a_closed_writer_refuses(writer: Writer) -> None:
    writer.close()

    with pytest.raises(StoreError, match="closed"):
        writer.write(start())


def test_closing_writes_what_is_pending(store: Flaky, writer: Writer) -> None:
    listener = Listener()
    for n in range(20):
        writer.submit(start(f"r{n}"), n, listener)

    writer.close()

    assert all(isinstance(outcome, Started) for _, outcome in listener.wait_for(20))


def test_closing_while_the_store_fails_tells_everybody(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> None:
    store.plan = ["no"] * 100_000
    waiting = crowd.submit(writer.write, start(), patient=True)
    until(lambda: not writer.healthy)

    writer.close()

    with pytest.raises(StoreError):
        waiting.result(5)


def test_a_writer_works_with_any_driver() -> None:
    plain: Driver = MemoryDriver()
    writer = Writer(plain, StillClock())

    assert isinstance(writer.write(start()), Started)
