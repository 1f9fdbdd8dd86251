"""Back-pressure: what a writer does with more operations than it has room for."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flowkit.drivers.backlog import Backlog
from flowkit.drivers.base import Done, Started
from flowkit.drivers.group import Item
from flowkit.drivers.writer import Writer
from flowkit.errors import StoreBusy, StoreError
from flowkit.settings import Settings
from tests.drivers.flaky import Flaky, Listener, StillClock, hold_up, until
from tests.drivers.ops import change, entry, owned, start

ROOM = 3


QUICK = Settings(write_retry=0.01)


@pytest.fixture
def narrow(store: Flaky) -> Iterator[Writer]:
    """A writer with room for three operations."""
    made = Writer(store, StillClock(), patience_seconds=0.1, backlog=Backlog(most_operations=ROOM), settings=QUICK)
    yield made
    store.free.set()
    made.close()


def items(*sizes: int) -> list[Item]:
    """Starts whose inputs have these sizes."""
    return [Item(start(f"r{n}", input=b"x" * size), None, None, n) for n, size in enumerate(sizes)]


def filled(backlog: Backlog, made: list[Item]) -> Backlog:
    for item in made:
        backlog.add(item)
    return backlog


def tokens(taken: list[Item]) -> list[object]:
    return [item.token for item in taken]


# --- the queue itself -----------------------------------------------------------------------------------------------


def test_ten_thousand_operations_have_room() -> None:
    backlog = filled(Backlog(), items(*[1] * 10_001))

    assert (len(backlog), backlog.outside) == (10_000, 1)


def test_sixty_four_megabytes_have_room() -> None:
    body = b"x" * 8_000_000
    backlog = filled(Backlog(), [Item(start(f"r{n}", input=body), None, None, n) for n in range(10)])

    assert (len(backlog), backlog.outside) == (8, 2)


def test_a_group_makes_room_for_those_at_the_door_in_their_order() -> None:
    backlog = filled(Backlog(most_operations=ROOM), items(*[1] * 8))

    taken = [tokens(backlog.take(2, 1_000_000)) for _ in range(4)]

    assert taken == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert (len(backlog), backlog.outside, backlog.size) == (0, 0, 0)


def test_nobody_overtakes_those_at_the_door() -> None:
    backlog = filled(Backlog(most_operations=1), items(1, 1, 1))

    backlog.take(1, 1_000_000)
    (late,) = items(1)
    late.token = "late"
    backlog.add(late)

    assert [tokens(backlog.take(1, 1_000_000)) for _ in range(3)] == [[1], [2], ["late"]]


def test_an_operation_larger_than_all_the_room_comes_in_alone() -> None:
    backlog = filled(Backlog(most_bytes=2_000), items(9_000, 9_000, 1))

    assert [tokens(backlog.take(9, 1_000_000)) for _ in range(2)] == [[0], [1]]
    assert tokens(backlog.take(9, 1_000_000)) == [2]


def test_what_is_withdrawn_from_inside_makes_room() -> None:
    made = items(*[1] * 5)
    backlog = filled(Backlog(most_operations=ROOM), made)

    backlog.remove(made[1])

    assert (len(backlog), backlog.outside) == (3, 1)
    assert tokens(backlog.take(9, 1_000_000)) == [0, 2, 3]


def test_what_is_withdrawn_at_the_door_leaves_the_others_in_order() -> None:
    made = items(*[1] * 6)
    backlog = filled(Backlog(most_operations=ROOM), made)

    backlog.remove(made[4])

    assert [tokens(backlog.take(9, 1_000_000)) for _ in range(2)] == [[0, 1, 2], [3, 5]]
    assert backlog.size == 0


# --- those who wait -------------------------------------------------------------------------------------------------


def test_what_the_loop_submits_beyond_the_room_waits_and_is_written(
    store: Flaky, narrow: Writer, crowd: ThreadPoolExecutor
) -> None:
    hold_up(store, narrow, crowd)
    listener = Listener()
    for n in range(8):
        narrow.submit(start(f"r{n}"), n, listener)
    inside = narrow.pending

    store.free.set()

    assert inside == ROOM
    assert [token for token, _ in listener.wait_for(8)] == list(range(8))


def test_threads_beyond_the_room_wait_and_get_their_results(store: Flaky, narrow: Writer, crowd: ThreadPoolExecutor) -> None:
    first = hold_up(store, narrow, crowd)
    others = [crowd.submit(narrow.write, start(f"r{n}"), patient=True) for n in range(12)]
    until(lambda: narrow.waiting == 12 - ROOM)

    store.free.set()

    assert all(isinstance(future.result(5), Started) for future in (first, *others))
    assert max(len(batch) for batch in store.batches) == ROOM


def test_who_is_out_of_patience_at_the_door_is_told_that_nothing_was_written(
    store: Flaky, narrow: Writer, crowd: ThreadPoolExecutor
) -> None:
    first = hold_up(store, narrow, crowd)
    listener = Listener()
    for n in range(ROOM + 1):
        narrow.submit(start(f"r{n}"), n, listener)

    with pytest.raises(StoreBusy):
        narrow.write(start("late"))
    waiting = narrow.waiting
    store.free.set()

    first.result(5)
    listener.wait_for(ROOM + 1)
    assert (waiting, store.get("late")) == (1, None)


def test_closing_tells_those_at_the_door(store: Flaky, narrow: Writer, crowd: ThreadPoolExecutor) -> None:
    store.plan = ["no"] * 100_000
    first = crowd.submit(narrow.write, start("first"), patient=True)
    until(lambda: not narrow.healthy)
    others = [crowd.submit(narrow.write, start(f"r{n}"), patient=True) for n in range(8)]
    until(lambda: narrow.waiting == 8 - ROOM)

    narrow.close()

    for future in (first, *others):
        with pytest.raises(StoreError, match="closed"):
            future.result(5)


def test_closing_writes_those_at_the_door_too(store: Flaky, narrow: Writer) -> None:
    listener = Listener()
    for n in range(50):
        narrow.submit(start(f"r{n}"), n, listener)

    narrow.close()

    assert all(isinstance(outcome, Started) for _, outcome in listener.wait_for(50))


def test_many_operations_at_once_leave_room_for_others(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> None:
    store.limits = type(store.limits)(batch=4)
    hold_up(store, writer, crowd)
    many = crowd.submit(writer.write_many, [start(f"r{n}") for n in range(40)])
    until(lambda: writer.pending == 4)

    one = crowd.submit(writer.write, start("one"), patient=True)
    until(lambda: writer.pending == 5)
    store.free.set()

    assert isinstance(one.result(5), Started)
    assert len(many.result(5)) == 40
    assert "one" in [op.id for batch in store.batches[:4] for op in batch if hasattr(op, "id")]


def test_a_crowd_of_threads_and_a_loop_get_through_a_narrow_door(store: Flaky, narrow: Writer, crowd: ThreadPoolExecutor) -> None:
    """Leaders, followers, the writer's thread and a store that fails now and then: nobody is left waiting."""
    runs = owned(store, *(f"r{n}" for n in range(12)))
    store.plan = ["", "", "no", "", "lost after", "", "busy", "lost before"] * 4
    listener = Listener()

    def chain(run: int) -> list[Any]:
        return [narrow.write(change(run, head, add=[entry(head + 1)]), patient=True) for head in range(20)]

    def pour() -> None:
        for n in range(100):
            narrow.submit(start(f"poured-{n}"), n, listener)

    pouring = threading.Thread(target=pour)
    pouring.start()
    results = list(crowd.map(chain, runs, timeout=8))
    pouring.join()

    assert all(isinstance(result, Done) for chained in results for result in chained)
    assert all(isinstance(outcome, Started) for _, outcome in listener.wait_for(100))
    assert (narrow.pending, narrow.waiting) == (0, 0)
