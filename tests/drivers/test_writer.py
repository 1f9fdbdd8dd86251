"""Group commit: who leads, who follows, and who hears of what."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flowkit.core.change import Park
from flowkit.drivers.base import Done, Driver, GuardFailed, Lost, Result, Sent, Started
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.writer import Writer
from flowkit.errors import StoreError
from tests.drivers.flaky import Flaky, Listener, StillClock, hold_up, until
from tests.drivers.ops import NOW, change, entry, owned, send, start, steer


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


def test_many_operations_are_written_in_few_groups(store: Flaky, writer: Writer) -> None:
    results = writer.write_many([start(f"r{n}") for n in range(100)])

    assert [result.run for result in results if isinstance(result, Started)] == list(range(1, 101))
    assert len(store.batches) < 50


def test_the_first_error_of_many_is_raised(store: Flaky, writer: Writer) -> None:
    (run,) = owned(store, "r")

    with pytest.raises(GuardFailed):
        writer.write_many([start("a"), change(run, consume=[4]), start("b")])


def test_no_operations_are_written_at_once(store: Flaky, writer: Writer) -> None:
    assert writer.write_many([]) == []


def test_many_operations_give_up_when_the_store_does_not_answer(store: Flaky, writer: Writer) -> None:
    store.plan = ["no"] * 1_000

    with pytest.raises(StoreError):
        writer.write_many([start()])


def test_a_writer_works_with_any_driver() -> None:
    plain: Driver = MemoryDriver()
    writer = Writer(plain, StillClock())

    assert isinstance(writer.write(start()), Started)
