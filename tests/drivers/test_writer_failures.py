"""A store that does not answer: patience, unknown outcomes, closing."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from flowkit.drivers.base import Done, Lost, Op, Result, Sent, Started, Steered
from flowkit.drivers.writer import Writer
from flowkit.errors import StoreBusy, StoreError
from tests.drivers.flaky import Flaky, Listener, hold_up, until
from tests.drivers.ops import change, entry, owned, send, start, steer


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


def test_when_the_handle_is_about_to_close_nobody_waits_for_a_store_that_fails(
    store: Flaky, writer: Writer, crowd: ThreadPoolExecutor
) -> None:
    store.plan = ["lost before"] + ["no"] * 100_000
    first = crowd.submit(writer.write, start("first"), patient=True)
    until(lambda: not writer.healthy)
    behind = crowd.submit(writer.write, start("behind"), patient=True)

    writer.wait_no_longer_than(0.05)

    outcomes = [error.outcome for error in (first.exception(5), behind.exception(5)) if isinstance(error, StoreError)]
    assert outcomes == ["unknown", "no"]
    with pytest.raises(StoreError, match="being closed"):
        writer.write(start("late"), patient=True)


def test_a_store_that_answers_is_waited_for_until_the_handle_closes(store: Flaky, writer: Writer) -> None:
    writer.wait_no_longer_than(0.0)

    assert isinstance(writer.write(start(), patient=True), Started)


def test_a_write_that_did_not_go_through_the_writer_mends_it_unless_one_is_repeated(store: Flaky, writer: Writer) -> None:
    store.plan = ["no"] * 100_000
    with pytest.raises(StoreError):
        writer.write(start())
    until(lambda: writer.idle)
    assert not writer.healthy

    writer.mend()

    assert writer.healthy
    writer.submit(start("kept"), 0, Listener())
    until(lambda: not writer.healthy)
    writer.mend()
    assert not writer.healthy
