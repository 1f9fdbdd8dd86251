"""Loops: a state that goes from turn to turn, turns that are entered once, and a history that stays small.

Longer than 400 lines because every workflow is written twice, plain and async.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flowkit import (
    Break,
    Continue,
    CriticalError,
    Workflow,
    aio,
    attempt,
    checkpoint,
    join,
    loop,
    receive,
    run_info,
    sleep,
    step,
    workflow,
)
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import at_most, both, locations, note, quick_file, ran, scripted


def turns(lab: Lab, name: str = "count") -> list[str]:
    """The turns of the loop that history holds, oldest first."""
    return list(dict.fromkeys(e.location.split("/")[1] for e in lab.history("r") if e.location.startswith(f"{name}/")))


# --- states and values ----------------------------------------------------------------------------------------------------


@workflow
def counting(until: int, prune_every: int = 20, keep: int | None = None) -> int:
    def count(n: int) -> Continue[int] | Break[int]:
        note(n)
        return Continue(n + 1) if n + 1 < until else Break(n + 1)

    return loop(count, 0, prune_every=prune_every, keep=keep)


@aio.workflow
async def acounting(until: int, prune_every: int = 20, keep: int | None = None) -> int:
    async def count(n: int) -> Continue[int] | Break[int]:
        await note.aio(n)
        return Continue(n + 1) if n + 1 < until else Break(n + 1)

    return await aio.loop(count, 0, prune_every=prune_every, keep=keep)


@both(counting, acounting)
def test_continue_starts_the_next_turn_with_its_state_and_break_ends_with_its_value(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP1 Continue(state) and Break(value)."""
    lab.start("r", flow, 3)

    output = lab.run_to_end("r")

    assert (output, ran) == (3, [0, 1, 2])
    assert locations(lab) == ["count", "count/~0/note", "count/~1/note", "count/~2/note"]
    assert lab.history("r")[0].output == 3


@workflow
def breaking_with_none() -> list[Any]:
    def once() -> Break[None]:
        note("in")
        return Break(None)

    value = loop(once)
    sleep(60)
    return [value]


@aio.workflow
async def abreaking_with_none() -> list[Any]:
    async def once() -> Break[None]:
        await note.aio("in")
        return Break(None)

    value = await aio.loop(once)
    await aio.sleep(60)
    return [value]


@both(breaking_with_none, abreaking_with_none)
def test_break_without_a_value_is_recalled_as_completed(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP1 Break(None) is completed, and its loop is not entered again."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert (output, ran) == ([None], ["in"])
    assert lab.history("r")[0].status == "completed"


@dataclass
class Basket:
    items: list[str]


@workflow
def filling() -> list[list[str]]:
    seen: list[list[str]] = []

    def fill(basket: Basket) -> Continue[Basket] | Break[list[list[str]]]:
        seen.append(list(basket.items))
        sent = Continue(Basket([*basket.items, "apple"]))
        basket.items.append("a worm")
        sleep(60)
        if len(seen) == 3:
            return Break(seen)
        ran.append(sent)
        return sent

    return loop(fill, Basket([]))


@aio.workflow
async def afilling() -> list[list[str]]:
    seen: list[list[str]] = []

    async def fill(basket: Basket) -> Continue[Basket] | Break[list[list[str]]]:
        seen.append(list(basket.items))
        sent = Continue(Basket([*basket.items, "apple"]))
        basket.items.append("a worm")
        if len(seen) == 3:
            return Break(seen)
        ran.append(sent)
        return sent

    return await aio.loop(fill, Basket([]))


def test_a_turn_gets_a_decoded_copy_of_the_state(lab: Lab) -> None:
    """LP1 what a body does to the state it was given reaches nobody."""
    lab.start("r", afilling)

    output = lab.run_to_end("r")

    assert output == [[], ["apple"], ["apple", "apple"]]


def test_a_turn_entered_again_gets_the_same_state(lab: Lab) -> None:
    """LP1 LP5 the first pass and the replay of a turn see equal states, whatever the first did to its own."""
    lab.start("r", filling)
    lab.run_once("r")
    lab.advance(60)

    lab.run_once("r")

    assert lab.history("r")[0].attempts == 1
    lab.advance(60)
    lab.run_once("r")
    assert [sent.state.items for sent in ran] == [["apple"], ["apple", "apple"]]


@workflow
def tagged_states() -> list[Any]:
    def keep(state: Any) -> Any:
        return Break(state) if len(state) == 3 else Continue([*state, (1, 2)])

    return loop(keep, [{1}])


@aio.workflow
async def atagged_states() -> list[Any]:
    async def keep(state: Any) -> Any:
        return Break(state) if len(state) == 3 else Continue([*state, (1, 2)])

    return await aio.loop(keep, [{1}])


@both(tagged_states, atagged_states)
def test_states_and_values_keep_their_types(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP1 sets and tuples come back as what they were."""
    lab.start("r", flow)

    assert lab.run_to_end("r") == [{1}, (1, 2), (1, 2)]


@workflow
def stateless() -> int:
    def again() -> Break[int] | None:
        return Break(7) if note(len(ran)) == 2 else None

    return loop(again)


@aio.workflow
async def astateless() -> int:
    async def again() -> Break[int] | None:
        return Break(7) if await note.aio(len(ran)) == 2 else None

    return await aio.loop(again)


@both(stateless, astateless)
def test_without_a_state_returning_nothing_means_continue(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP2 the body takes no argument."""
    lab.start("r", flow)

    assert lab.run_to_end("r") == 7
    assert ran == [0, 1, 2]


@workflow
def from_none() -> list[Any]:
    def grow(state: Any) -> Any:
        return Continue([]) if state is None else Break(state)

    return loop(grow, state=None)


@aio.workflow
async def afrom_none() -> list[Any]:
    async def grow(state: Any) -> Any:
        return Continue([]) if state is None else Break(state)

    return await aio.loop(grow, state=None)


@both(from_none, afrom_none)
def test_none_given_as_the_state_is_a_state(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP2 state=None is a stateful loop."""
    lab.start("r", flow)

    assert lab.run_to_end("r") == []


def _loop_of(said: Any, **state: Any) -> tuple[Workflow[..., Any], Workflow[..., Any]]:
    async def said_later(*_: Any) -> Any:
        return said

    @workflow
    def plain() -> Any:
        return loop(lambda *_: said, name="odd", **state)

    @aio.workflow
    async def awaiting() -> Any:
        return await aio.loop(said_later, name="odd", **state)

    return plain, awaiting


@both(*_loop_of(None, state=1))
def test_a_stateful_body_that_returns_nothing_says_what_to_return(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP3 a TypeError that names Continue(state) and Break(value)."""
    lab.start("r", flow)

    with pytest.raises(TypeError, match=r"loop 'odd'.*returned nothing.*Continue\(state\).*Break\(value\)"):
        lab.run_to_end("r")


@both(*_loop_of(None, state=None))
def test_a_body_with_the_state_none_that_returns_nothing_says_what_to_return(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP3 LP2 None is a state here, so nothing is no answer."""
    lab.start("r", flow)

    with pytest.raises(TypeError, match=r"returned nothing"):
        lab.run_to_end("r")


@both(*_loop_of(5))
def test_a_body_that_returns_something_else_says_what_to_return(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP3 also without a state."""
    lab.start("r", flow)

    with pytest.raises(TypeError, match=r"returned a int.*Continue\(\), nothing.*Break\(value\)"):
        lab.run_to_end("r")


@both(*_loop_of(Continue))
def test_the_class_continue_is_no_answer(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP3 a forgotten pair of parentheses is found."""
    lab.start("r", flow)

    with pytest.raises(TypeError, match=r"Continue\(\)"):
        lab.run_to_end("r")


# --- what is written, and when --------------------------------------------------------------------------------------------


@workflow
def idle(until: int, prune_every: int) -> int:
    def turn(n: int) -> Continue[int] | Break[int]:
        ran.append(n)
        return Continue(n + 1) if n < until else Break(n)

    return loop(turn, 0, prune_every=prune_every)


@aio.workflow
async def aidle(until: int, prune_every: int) -> int:
    async def turn(n: int) -> Continue[int] | Break[int]:
        ran.append(n)
        return Continue(n + 1) if n < until else Break(n)

    return await aio.loop(turn, 0, prune_every=prune_every)


@both(idle, aidle)
def test_turns_that_record_nothing_are_written_every_prune_every(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP4 40 turns are four commits, and the end one."""
    lab.start("r", flow, 39, 10)
    before = lab.commits

    lab.run_once("r")

    assert lab.commits - before == 3 + 1


@both(counting, acounting)
def test_turn_and_state_ride_on_the_next_commit(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP4 a turn costs the commits of what is in it."""
    lab.start("r", flow, 5)
    before = lab.commits

    lab.run_once("r")

    assert lab.commits - before == 5 + 1


@both(idle, aidle)
def test_after_a_crash_a_loop_goes_on_at_the_stored_turn(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP5 here the twentieth, with its state."""
    lab.start("r", flow, 25, 10)
    lab.crash_at(3, "before")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")
    ran.clear()

    output = lab.run_to_end("r")

    assert (output, ran) == (25, [20, 21, 22, 23, 24, 25])


@workflow
def napping() -> int:
    def nap(n: int) -> Continue[int] | Break[int]:
        ran.append(n)
        sleep("1h")
        return Continue(n + 1) if n < 2 else Break(n)

    return loop(nap, 0)


@aio.workflow
async def anapping() -> int:
    async def nap(n: int) -> Continue[int] | Break[int]:
        ran.append(n)
        await aio.sleep("1h")
        return Continue(n + 1) if n < 2 else Break(n)

    return await aio.loop(nap, 0)


@both(napping, anapping)
def test_after_a_wait_finished_turns_are_not_entered_again(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP5 each turn is entered once to wait and once to end."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert (output, ran) == (2, [0, 0, 1, 1, 2, 2])


# --- what is inside a turn ------------------------------------------------------------------------------------------------


@workflow
def nested_loops() -> list[int]:
    def outer(n: int) -> Continue[int] | Break[int]:
        def inner(m: int) -> Continue[int] | Break[int]:
            note((n, m))
            return Continue(m + 1) if m < 2 else Break(m)

        loop(inner, 0, prune_every=1, keep=0)
        sleep(60)
        loop(inner, 1, name="second")
        sleep(60)
        return Continue(n + 1) if n < 2 else Break(n)

    return [loop(outer, 0, prune_every=2, keep=1), loop(outer, 2, name="last")]


@aio.workflow
async def anested_loops() -> list[int]:
    async def outer(n: int) -> Continue[int] | Break[int]:
        async def inner(m: int) -> Continue[int] | Break[int]:
            await note.aio((n, m))
            return Continue(m + 1) if m < 2 else Break(m)

        await aio.loop(inner, 0, prune_every=1, keep=0)
        await aio.sleep(60)
        await aio.loop(inner, 1, name="second")
        await aio.sleep(60)
        return Continue(n + 1) if n < 2 else Break(n)

    return [await aio.loop(outer, 0, prune_every=2, keep=1), await aio.loop(outer, 2, name="last")]


@both(nested_loops, anested_loops)
def test_a_wait_after_a_finished_inner_loop_resumes_behind_it(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP6 no inner turn runs twice."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == [2, 2]
    assert ran == [(n, m) for n in (0, 1, 2, 2) for m in (0, 1, 2, 1, 2)]


@both(nested_loops, anested_loops)
def test_nested_loops_come_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """LP6 LP5 LP7 at each side of each commit."""
    script = Script("r", scripted(lambda lab: lab.start("r", flow)))

    told = crash_everywhere(script, check=at_most(20))

    assert told.output == [2, 2]


@workflow
def everything_in_a_turn() -> int:
    def turn(n: int) -> Continue[int] | Break[int]:
        def left() -> Any:
            sleep(10)
            return note(("left", n))

        def right() -> Any:
            return loop(lambda: Break(note(("right", n))), name="deep")

        def block() -> Any:
            note(("block", n))
            sleep(20)
            return join(left=left, right=right)

        attempt(block)
        return Continue(n + 1) if n < 2 else Break(n)

    return loop(turn, 0, prune_every=1)


@aio.workflow
async def aeverything_in_a_turn() -> int:
    async def turn(n: int) -> Continue[int] | Break[int]:
        async def left() -> Any:
            await aio.sleep(10)
            return await note.aio(("left", n))

        async def deep() -> Break[Any]:
            return Break(await note.aio(("right", n)))

        async def right() -> Any:
            return await aio.loop(deep)

        async def block() -> Any:
            await note.aio(("block", n))
            await aio.sleep(20)
            return await aio.join(left=left, right=right)

        await aio.attempt(block)
        return Continue(n + 1) if n < 2 else Break(n)

    return await aio.loop(turn, 0, prune_every=1)


@both(everything_in_a_turn, aeverything_in_a_turn)
def test_joins_blocks_and_loops_inside_a_turn_resume_where_they_were(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP6 to any depth."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == 2
    assert sorted(ran) == [(place, n) for place in ("block", "left", "right") for n in (0, 1, 2)]
    assert turns(lab, "turn") == ["~2"]


# --- pruning --------------------------------------------------------------------------------------------------------------


@both(counting, acounting)
@pytest.mark.parametrize(
    ("prune_every", "keep", "left"),
    [
        (20, None, [f"~{n}" for n in range(12)]),
        (5, None, ["~7", "~8", "~9", "~10", "~11"]),
        (1, None, ["~11"]),
        (1, 0, []),
        (1, 1, ["~11"]),
        (1, 3, ["~9", "~10", "~11"]),
        (4, 0, []),
        (7, 2, ["~10", "~11"]),
        (3, 100, [f"~{n}" for n in range(12)]),
    ],
)
def test_turns_older_than_the_newest_keep_are_deleted(
    lab: Lab, flow: Workflow[..., Any], prune_every: int, keep: int | None, left: list[str]
) -> None:
    """LP7 DB5 turn 10 counts as newer than turn 9."""
    lab.start("r", flow, 12, prune_every, keep)

    lab.run_to_end("r")

    assert turns(lab) == left
    assert ran == list(range(12))


@both(counting, acounting)
def test_turns_are_pruned_while_the_loop_runs(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP7 every prune_every turns, not only at the end."""
    lab.start("r", flow, 100, 5, 2)
    lab.crash_at(14, "before")

    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    assert turns(lab) == ["~8", "~9", "~10"]


@both(counting, acounting)
@pytest.mark.parametrize(("prune_every", "keep"), [(1, 0), (1, 1), (2, 0), (2, 3)])
def test_pruning_and_its_loop_are_one_commit(flow: Workflow[..., Any], prune_every: int, keep: int) -> None:
    """LP7 LP8 a crash on either side deletes nothing twice and enters nothing again."""
    script = Script("r", scripted(lambda lab: lab.start("r", flow, 5, prune_every, keep)))

    told = crash_everywhere(script, check=at_most(5))

    assert told.output == 5


@both(counting, acounting)
def test_pruning_is_one_commit_in_a_file_too(tmp_path: Path, flow: Workflow[..., Any]) -> None:
    """LP7 LP8 DB5 with SQLite below."""
    numbers = itertools.count()
    script = Script("r", scripted(lambda lab: lab.start("r", flow, 2, 1, 0)))

    told = crash_everywhere(script, lambda: quick_file(tmp_path / f"{next(numbers)}.db"), check=at_most(2))

    assert told.output == 2


@workflow
def badly_pruned(prune_every: int, keep: int | None) -> None:
    loop(lambda: Break(), prune_every=prune_every, keep=keep)


@aio.workflow
async def abadly_pruned(prune_every: int, keep: int | None) -> None:
    async def body() -> Break[None]:
        return Break()

    await aio.loop(body, prune_every=prune_every, keep=keep)


@both(badly_pruned, abadly_pruned)
@pytest.mark.parametrize(("prune_every", "keep", "says"), [(0, None, "prune_every"), (-1, 5, "prune_every"), (5, -1, "keep")])
def test_numbers_of_turns_that_cannot_be_are_refused(
    lab: Lab, flow: Workflow[..., Any], prune_every: int, keep: int | None, says: str
) -> None:
    """LP7 a ValueError, and nothing recorded."""
    lab.start("r", flow, prune_every, keep)

    with pytest.raises(ValueError, match=says):
        lab.run_to_end("r")

    assert lab.history("r") == []


@both(badly_pruned, abadly_pruned)
@pytest.mark.parametrize(
    ("prune_every", "keep", "says"), [(1.5, None, "prune_every"), (True, 5, "prune_every"), (5, 0.5, "keep")]
)
def test_turns_are_counted_in_whole_numbers(lab: Lab, flow: Workflow[..., Any], prune_every: Any, keep: Any, says: str) -> None:
    """LP7 anything else is a TypeError, and nothing recorded."""
    lab.start("r", flow, prune_every, keep)

    with pytest.raises(TypeError, match=says):
        lab.run_to_end("r")

    assert lab.history("r") == []


@both(counting, acounting)
def test_how_far_pruning_got_is_stored(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP8 a loop that goes on after a crash keeps its newest turns and deletes the rest once."""
    lab.start("r", flow, 9, 2, 2)
    lab.crash_at(7, "after")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    lab.run_to_end("r")

    assert turns(lab) == ["~7", "~8"]
    assert ran == list(range(9))


@workflow
def two_loops_side_by_side() -> dict[str, Any]:
    def branch(name: str) -> Any:
        def count(n: int) -> Continue[int] | Break[int]:
            note((name, n))
            sleep(10)
            return Continue(n + 1) if n < 11 else Break(n)

        return lambda: loop(count, 0, prune_every=1, keep=1)

    return join("both", left=branch("left"), right=branch("right"))


@aio.workflow
async def atwo_loops_side_by_side() -> dict[str, Any]:
    def branch(name: str) -> Any:
        async def count(n: int) -> Continue[int] | Break[int]:
            await note.aio((name, n))
            await aio.sleep(10)
            return Continue(n + 1) if n < 11 else Break(n)

        return lambda: aio.loop(count, 0, prune_every=1, keep=1)

    return await aio.join("both", left=branch("left"), right=branch("right"))


@both(two_loops_side_by_side, atwo_loops_side_by_side)
def test_loops_in_two_branches_prune_only_their_own_turns(lab: Lab, flow: Workflow[..., Any]) -> None:
    """DB5 LP7 the sequence numbers of the two lie between each other."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == {"left": 11, "right": 11}
    assert sorted(locations(lab)) == [
        "both",
        *(f"both/{side}/{rest}" for side in ("left", "right") for rest in ("count", "count/~11/note", "count/~11/sleep")),
    ]
    assert sorted(ran) == [(side, n) for side in ("left", "right") for n in range(12)]


@workflow
def long_loop_of_receives() -> int:
    def turn(n: int) -> Continue[int] | Break[int]:
        data = receive("m").data
        return Continue(n + data) if data else Break(n)

    return loop(turn, 0, prune_every=2, keep=1)


@aio.workflow
async def along_loop_of_receives() -> int:
    async def turn(n: int) -> Continue[int] | Break[int]:
        data = (await aio.receive("m")).data
        return Continue(n + data) if data else Break(n)

    return await aio.loop(turn, 0, prune_every=2, keep=1)


@both(long_loop_of_receives, along_loop_of_receives)
def test_a_loop_over_messages_comes_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """LP7 MS5 I17 messages of pruned turns are neither lost nor taken again."""
    sends = [lambda lab, d=d: lab.send("r", "m", d, key=f"k{d}") for d in (1, 2, 4, 8, 0)]
    script = Script("r", scripted(lambda lab: lab.start("r", flow), *sends[:2], lambda lab: lab.run_once("r"), *sends[2:]))

    told = crash_everywhere(script)

    assert told.output == 15


# --- turns that owe a rollback --------------------------------------------------------------------------------------------


def _undo(booked: int) -> None:
    ran.append(("undo", booked))


@step(rollback=_undo)
def book(n: int) -> int:
    return n


@workflow
def booking(first: int, last: int, fails: bool = True) -> None:
    checkpoint("from here")

    def turn(n: int) -> Continue[int] | Break[None]:
        if n in (first, first + 2):
            book(n)
        note(n)
        return Continue(n + 1) if n < last else Break()

    loop(turn, 0, prune_every=1, keep=1)
    if fails:
        raise ValueError("after the loop")


@aio.workflow
async def abooking(first: int, last: int, fails: bool = True) -> None:
    await aio.checkpoint("from here")

    async def turn(n: int) -> Continue[int] | Break[None]:
        if n in (first, first + 2):
            await book.aio(n)
        await note.aio(n)
        return Continue(n + 1) if n < last else Break()

    await aio.loop(turn, 0, prune_every=1, keep=1)
    if fails:
        raise ValueError("after the loop")


@both(booking, abooking)
def test_turns_from_the_first_that_owes_a_rollback_on_are_kept(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP9 the ones before it go."""
    lab.start("r", flow, 3, 12, False)

    lab.run_to_end("r")

    assert turns(lab, "turn") == [f"~{n}" for n in range(3, 13)]


@both(booking, abooking)
def test_kept_turns_are_undone_each_with_its_own_state(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP9 newest first."""
    lab.start("r", flow, 1, 4)

    with pytest.raises(ValueError, match="after the loop"):
        lab.run_to_end("r")

    assert ran == [0, 1, 2, 3, 4, ("undo", 3), ("undo", 1)]


@both(booking, abooking)
def test_a_loop_that_is_undone_comes_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """LP9 with a pruned loop before the first turn that owes."""
    script = Script("r", scripted(lambda lab: lab.start("r", flow, 1, 4)))

    told = crash_everywhere(script, check=at_most(7))

    assert told.status == "failed"


# --- errors ---------------------------------------------------------------------------------------------------------------


@step(retries=0)
def refuse(n: int) -> int:
    ran.append(n)
    if n == 1 and run_info().tags == ():
        raise CriticalError("no")
    return n


@workflow
def failing() -> Any:
    def turn(n: int) -> Continue[int] | Break[int]:
        refuse(n)
        return Continue(n + 1) if n < 2 else Break(n)

    return loop(turn, 0)


@aio.workflow
async def afailing() -> Any:
    async def turn(n: int) -> Continue[int] | Break[int]:
        await refuse.aio(n)
        return Continue(n + 1) if n < 2 else Break(n)

    return await aio.loop(turn, 0)


@both(failing, afailing)
def test_an_error_in_the_body_leaves_the_loop_as_it_is_and_fails_the_run(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP10 the loop stays at its turn."""
    lab.start("r", flow)

    with pytest.raises(CriticalError, match="no"):
        lab.run_to_end("r")

    assert [(e.location, e.status) for e in lab.history("r")] == [
        ("turn", "running"),
        ("turn/~0/refuse", "completed"),
        ("turn/~1/refuse", "failed"),
    ]


@workflow
def tolerating() -> list[Any]:
    def turn(n: int) -> Continue[int] | Break[int]:
        refuse(n)
        return Continue(n + 1)

    outcome = attempt(lambda: loop(turn, 0), name="try")
    sleep(60)
    return [outcome.ok, outcome.failure and outcome.failure.name]


@aio.workflow
async def atolerating() -> list[Any]:
    async def turn(n: int) -> Continue[int] | Break[int]:
        await refuse.aio(n)
        return Continue(n + 1)

    outcome = await aio.attempt(lambda: aio.loop(turn, 0), name="try")
    await aio.sleep(60)
    return [outcome.ok, outcome.failure and outcome.failure.name]


@both(tolerating, atolerating)
def test_an_error_in_the_body_fails_the_enclosing_block(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP10 and the block fails alike on the next pass, with no body run again."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == [False, "refuse"]
    assert ran == [0, 1]


@both(failing, afailing)
def test_after_recover_a_loop_goes_on_at_the_turn_that_failed(lab: Lab, flow: Workflow[..., Any]) -> None:
    """LP10 RN15 the turns before it are not entered again."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.get("r").recover()
    ran.clear()

    made = lab.run_once("r")

    assert made.status == "failed"
    assert ran == [1]


# --- names ----------------------------------------------------------------------------------------------------------------


@workflow
def many_loops() -> list[int]:
    def body() -> Break[int]:
        return Break(note(1))

    return [loop(body), loop(body), loop(body, name="mine"), loop(lambda: Break(note(1)))]


@aio.workflow
async def amany_loops() -> list[int]:
    async def body() -> Break[int]:
        return Break(await note.aio(1))

    return [await aio.loop(body), await aio.loop(body), await aio.loop(body, name="mine"), await aio.loop(body)]


@pytest.mark.parametrize(("flow", "last"), [(many_loops, "loop"), (amany_loops, "body#3")], ids=["plain", "async"])
def test_a_loop_is_named_after_its_body(lab: Lab, flow: Workflow[..., Any], last: str) -> None:
    """LP1 and numbered where the name is used again; a lambda has no name of its own."""
    lab.start("r", flow)

    lab.run_to_end("r")

    assert [e.location for e in lab.history("r") if e.kind == "loop"] == ["body", "body#2", "mine", last]


@dataclass
class Sack:
    size: int


@dataclass
class Crate:
    size: int


def packing(into: type) -> Workflow[..., Any]:
    """As two modules that are copies of each other: equal code, whose annotation is another class in each."""

    def pack(state: Any) -> Continue[Any] | Break[str]:
        if state.size == 0:
            return Continue(into(1))
        sleep(1)
        return Break(type(state).__name__)

    pack.__annotations__ = {"state": into}

    @workflow(name="packing")
    def made() -> str:
        return loop(pack, into(0))

    return made


def test_a_state_is_decoded_by_the_annotation_of_the_body_that_gets_it(lab: Lab) -> None:
    """LP1 ST3: however much that body's code is like another's."""
    lab.start("r", packing(Sack))
    lab.run_once("r")
    lab.advance(1)

    assert lab.run_to_end("r", workflow=packing(Crate)) == "Crate"
