"""Attempts: a terminal failure as a value, of one step or of a block, the same on every pass.

Longer than 400 lines because every workflow stands here twice, plain and async.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowkit import (
    Break,
    CriticalError,
    HistoryDiverged,
    JoinError,
    RaceError,
    ReceiveTimeout,
    RollbackCheckpointError,
    RollbackError,
    StepExhausted,
    Workflow,
    aio,
    attempt,
    join,
    loop,
    race,
    receive,
    sleep,
    step,
    workflow,
)
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import at_most, both, locations, note, ran, scripted


def told(made: Any) -> list[Any]:
    """An Attempt as plain data."""
    failure = made.failure
    if failure is None:
        return [made.ok, made.value]
    return [made.ok, failure.kind, failure.source, failure.name, failure.attempts, failure.error.message]


@step(retries=2)
def down() -> None:
    ran.append("down")
    raise OSError("no answer")


@step
def refused() -> None:
    ran.append("refused")
    raise CriticalError("refused")


@step
def undo_all() -> None:
    raise RollbackError("undo all")


@step(timeout=0.05)
async def slow() -> None:
    await asyncio.sleep(60)


@step(rollback=lambda _: None)
def owing() -> None:
    ran.append("owing")


# --- one step ---------------------------------------------------------------------------------------------------------------

failures = pytest.mark.parametrize(
    ("called", "expected"),
    [
        (down, [False, "exhausted", "step", "down", 3, "no answer"]),
        (refused, [False, "critical", "step", "refused", 1, "refused"]),
        (slow, [False, "timeout", "step", "slow", 1, "step 'slow' ran longer than its timeout of 0.05 s"]),
    ],
    ids=["exhausted", "critical", "timeout"],
)


def tries(called: Any) -> Workflow[..., Any]:
    @workflow
    def flow() -> Any:
        first = told(called.attempt())
        sleep(60)
        return [first, told(note.attempt("fine"))]

    return flow


def atries(called: Any) -> Workflow[..., Any]:
    view = called if called is slow else called.aio

    @workflow
    async def flow() -> Any:
        first = told(await view.attempt())
        await aio.sleep(60)
        return [first, told(await note.aio.attempt("fine"))]

    return flow


@failures
@pytest.mark.parametrize("make", [tries, atries], ids=["plain", "async"])
def test_a_step_tells_its_terminal_failure(lab: Lab, make: Any, called: Any, expected: list[Any]) -> None:
    """AT1 `step.attempt()` returns kind, name, attempts and error of the terminal failure, after all retries, and on replay."""
    lab.start("r", make(called))

    output = lab.run_to_end("r")

    assert output == [expected, [True, "fine"]]


@pytest.mark.parametrize("make", [tries, atries], ids=["plain", "async"])
def test_a_step_tells_the_same_after_every_crash(make: Any) -> None:
    """AT1 The same on every replay, wherever the process dies, and no attempt is made twice once recorded."""
    flow = make(down)

    seen = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=at_most(4))

    assert seen.output[0] == [False, "exhausted", "step", "down", 3, "no answer"]


@workflow
def undoing() -> Any:
    return told(undo_all.attempt())


@workflow
async def aundoing() -> Any:
    return told(await undo_all.aio.attempt())


@workflow
def undoing_block() -> Any:
    return told(attempt(undo_all))


@workflow
async def aundoing_block() -> Any:
    return told(await aio.attempt(undo_all.aio, name="block"))


@pytest.mark.parametrize("flow", [undoing, aundoing, undoing_block, aundoing_block])
def test_a_rollback_error_is_raised_through(lab: Lab, flow: Workflow[..., Any]) -> None:
    """AT2 `rollback` is raised through."""
    lab.start("r", flow)

    with pytest.raises(RollbackError, match="undo all"):
        lab.run_to_end("r")


def blocks(called: Any) -> Workflow[..., Any]:
    @workflow
    def flow() -> Any:
        return [told(attempt(called, name="block")), None]

    return flow


def ablocks(called: Any) -> Workflow[..., Any]:
    view = called if called is slow else called.aio

    @workflow
    async def flow() -> Any:
        return [told(await aio.attempt(lambda: view(), name="block")), None]

    return flow


@failures
@pytest.mark.parametrize("make", [blocks, ablocks], ids=["plain", "async"])
def test_critical_timeout_and_exhausted_are_caught_by_default(lab: Lab, make: Any, called: Any, expected: list[Any]) -> None:
    """AT2 Caught by default are `critical`, `timeout` and `exhausted`."""
    lab.start("r", make(called))

    output = lab.run_to_end("r")

    assert output[0] == expected


# --- blocks -----------------------------------------------------------------------------------------------------------------


@workflow
def scoped() -> Any:
    first = attempt(lambda: note("in"), name="block")
    note("out")
    second = attempt(lambda: (note("again"), note("twice"))[1], name="other")
    sleep(60)
    return [told(first), told(second)]


@workflow
async def ascoped() -> Any:
    async def again() -> Any:
        await note.aio("again")
        return await note.aio("twice")

    first = await aio.attempt(lambda: note.aio("in"), name="block")
    await note.aio("out")
    second = await aio.attempt(again, name="other")
    await aio.sleep(60)
    return [told(first), told(second)]


@both(scoped, ascoped)
def test_a_block_is_a_scope_without_an_entry(lab: Lab, flow: Workflow[..., Any]) -> None:
    """AT3 `attempt(body)` opens a scope under its name and writes no entry; its value comes from its children each time."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == [[True, "in"], [True, "twice"]]
    assert locations(lab) == ["block/note", "note", "other/note", "other/note#2", "sleep"]
    assert ran == ["in", "out", "again", "twice"]


@workflow
def recomputed() -> Any:
    def body() -> Any:
        ran.append("body")
        return note(1)

    made = attempt(body).value
    sleep(60)
    return made


@workflow
async def arecomputed() -> Any:
    async def body() -> Any:
        ran.append("body")
        return await note.aio(1)

    made = (await aio.attempt(body)).value
    await aio.sleep(60)
    return made


@both(recomputed, arecomputed)
def test_the_value_of_a_block_is_computed_again_on_each_pass(lab: Lab, flow: Workflow[..., Any]) -> None:
    """AT3 The block's value is recomputed on each pass, its steps are not run again."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == 1
    assert ran == ["body", 1, "body"]


def helper() -> None:
    note("before")
    refused()


async def ahelper() -> None:
    await note.aio("before")
    await refused.aio()


@workflow
def from_inside() -> Any:
    def turn() -> Any:
        refused()
        return Break(None)

    made = [
        attempt(lambda: loop(turn, name="turns"), name="in-loop"),
        attempt(helper),
        attempt(lambda: [refused.attempt(), refused()], name="second"),
        attempt(lambda: attempt(refused, catch=("join",), name="inner"), name="outer"),
    ]
    sleep(60)
    return [told(each) for each in made]


@workflow
async def afrom_inside() -> Any:
    async def turn() -> Any:
        await refused.aio()
        return Break(None)

    async def second() -> None:
        await refused.aio.attempt()
        await refused.aio()

    made = [
        await aio.attempt(lambda: aio.loop(turn, name="turns"), name="in-loop"),
        await aio.attempt(ahelper, name="helper"),
        await aio.attempt(second),
        await aio.attempt(lambda: aio.attempt(refused.aio, catch=("join",), name="inner"), name="outer"),
    ]
    await aio.sleep(60)
    return [told(each) for each in made]


@both(from_inside, afrom_inside)
def test_a_failure_from_a_loop_or_helper_is_the_steps(lab: Lab, flow: Workflow[..., Any]) -> None:
    """AT4 A terminal step failure escaping the body gives `source="step"` and that step's name, from anywhere inside."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == [
        [False, "critical", "step", "refused", 1, "refused"],
        [False, "critical", "step", "refused", 1, "refused"],
        [False, "critical", "step", "refused#2", 1, "refused"],
        [False, "critical", "step", "refused", 1, "refused"],
    ]


@workflow
def around_branches() -> Any:
    made = [
        attempt(lambda: join("pair", a=refused, b=down), name="j"),
        attempt(lambda: race("pair", a=refused, b=down), name="r"),
        attempt(lambda: join(a=lambda: race("deep", b=refused)), name="n"),
        join(inside=lambda: attempt(lambda: join(x=refused), name="x"))["inside"],
    ]
    sleep(60)
    return [told(each)[:-1] for each in made]


@workflow
async def aaround_branches() -> Any:
    made = [
        await aio.attempt(lambda: aio.join("pair", a=refused.aio, b=down.aio), name="j"),
        await aio.attempt(lambda: aio.race("pair", a=refused.aio, b=down.aio), name="r"),
        await aio.attempt(lambda: aio.join(a=lambda: aio.race("deep", b=refused.aio)), name="n"),
        (await aio.join(inside=lambda: aio.attempt(lambda: aio.join(x=refused.aio), name="x")))["inside"],
    ]
    await aio.sleep(60)
    return [told(each)[:-1] for each in made]


@both(around_branches, aaround_branches)
def test_a_join_or_race_error_is_that_entrys(lab: Lab, flow: Workflow[..., Any]) -> None:
    """AT5 A `JoinError` or `RaceError` gives `source="join"` or `"race"`, that entry's name, and 0 attempts."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == [
        [False, "critical", "join", "pair", 0],
        [False, "critical", "race", "pair", 0],
        [False, "critical", "join", "join", 0],
        [False, "critical", "join", "join", 0],
    ]


@both(around_branches, aaround_branches)
def test_blocks_around_and_in_branches_survive_every_crash(flow: Workflow[..., Any]) -> None:
    """AT5, AT1 The same values wherever the process dies."""
    seen = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=at_most(12))

    assert seen.status == "completed"


@workflow
def numbered() -> Any:
    join(a=lambda: None)
    first = told(attempt(lambda: join(a=refused), name="x"))
    second = told(attempt(lambda: (join(a=lambda: None), join(a=refused)), name="y"))
    return [*first[2:4], second[3]]


@workflow
async def anumbered() -> Any:
    async def nothing() -> None:
        return None

    async def twice() -> None:
        await aio.join(a=nothing)
        await aio.join(a=refused.aio)

    await aio.join(a=nothing)
    first = told(await aio.attempt(lambda: aio.join(a=refused.aio), name="x"))[2:4]
    return [*first, told(await aio.attempt(twice, name="y"))[3]]


@both(numbered, anumbered)
def test_the_name_of_a_failed_join_is_its_entrys(lab: Lab, flow: Workflow[..., Any]) -> None:
    """AT5 The name is the entry's, its number included."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == ["join", "join", "join#2"]


# --- rollback ---------------------------------------------------------------------------------------------------------------

ROLLBACK = ("step", "join", "race", "rollback")


def throw(error: BaseException) -> Any:
    raise error


async def athrow(error: BaseException) -> Any:
    raise error


def handled_then_rollback() -> None:
    try:
        refused()
    except CriticalError as error:
        raise RollbackError("gave up") from error


async def ahandled_then_rollback() -> None:
    try:
        await refused.aio()
    except CriticalError as error:
        raise RollbackError("gave up") from error


@workflow
def rollback_caught() -> Any:
    made = [
        attempt(lambda: throw(RollbackError("by hand")), name="a", catch=ROLLBACK),
        attempt(handled_then_rollback, name="b", catch=["rollback"]),
        attempt(undo_all, name="c", catch="rollback"),
        attempt(lambda: join(x=undo_all, y=refused), name="d", catch=ROLLBACK),
        attempt(lambda: race(x=lambda: join(z=lambda: throw(RollbackError("deep")))), name="e", catch=ROLLBACK),
    ]
    sleep(60)
    return [told(each)[:-1] for each in made]


@workflow
async def arollback_caught() -> Any:
    made = [
        await aio.attempt(lambda: athrow(RollbackError("by hand")), name="a", catch=ROLLBACK),
        await aio.attempt(ahandled_then_rollback, name="b", catch=["rollback"]),
        await aio.attempt(undo_all.aio, name="c", catch="rollback"),
        await aio.attempt(lambda: aio.join(x=undo_all.aio, y=refused.aio), name="d", catch=ROLLBACK),
        await aio.attempt(
            lambda: aio.race(x=lambda: aio.join(z=lambda: athrow(RollbackError("deep")))), name="e", catch=ROLLBACK
        ),
    ]
    await aio.sleep(60)
    return [told(each)[:-1] for each in made]


@both(rollback_caught, arollback_caught)
def test_with_rollback_in_catch_it_is_caught(lab: Lab, flow: Workflow[..., Any]) -> None:
    """AT6 A `RollbackError` of the block itself is `source="block"`, one in a join or race is theirs; caught by `"rollback"`."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == [
        [False, "rollback", "block", "a", 0],
        [False, "rollback", "block", "b", 0],
        [False, "rollback", "step", "undo_all", 1],
        [False, "rollback", "join", "join", 0],
        [False, "rollback", "race", "race", 0],
    ]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (lambda: throw(RollbackError("by hand")), RollbackError),
        (lambda: join(x=undo_all, y=refused), JoinError),
        (lambda: race(x=undo_all, y=refused), RaceError),
        (lambda: join(x=lambda: race(y=lambda: throw(RollbackError("deep")))), JoinError),
    ],
    ids=["block", "join", "race", "deep"],
)
def test_without_rollback_in_catch_it_is_not(lab: Lab, body: Any, error: type[Exception]) -> None:
    """AT6 Only with `"rollback"`: a `JoinError` or `RaceError` that holds a `RollbackError` is not caught by default."""

    @workflow
    def flow() -> Any:
        return told(attempt(body, name="block"))

    lab.start("r", flow)

    with pytest.raises(error):
        lab.run_to_end("r")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (lambda: athrow(RollbackError("by hand")), RollbackError),
        (lambda: aio.join(x=undo_all.aio, y=refused.aio), JoinError),
        (lambda: aio.race(x=undo_all.aio, y=refused.aio), RaceError),
    ],
    ids=["block", "join", "race"],
)
def test_without_rollback_in_catch_it_is_not_in_async_code(lab: Lab, body: Any, error: type[Exception]) -> None:
    """AT6 Only with `"rollback"`, in async code too."""

    @workflow
    async def flow() -> Any:
        return told(await aio.attempt(body, name="block"))

    lab.start("r", flow)

    with pytest.raises(error):
        lab.run_to_end("r")


@pytest.mark.parametrize(
    ("body", "catch", "error"),
    [
        (refused, ("join", "race"), CriticalError),
        (lambda: join(a=refused), ("step", "race"), JoinError),
        (lambda: race(a=refused), ("step", "join"), RaceError),
        (refused, ("rollback",), CriticalError),
        (refused, (), CriticalError),
    ],
    ids=["step", "join", "race", "rollback", "nothing"],
)
def test_what_catch_does_not_name_is_raised_through(lab: Lab, body: Any, catch: Any, error: type[Exception]) -> None:
    """AT6 Each source is caught only with its word in `catch`."""

    @workflow
    def flow() -> Any:
        return told(attempt(body, name="block", catch=catch))

    lab.start("r", flow)

    with pytest.raises(error):
        lab.run_to_end("r")


# --- never caught -----------------------------------------------------------------------------------------------------------


def wraps() -> None:
    try:
        down()
    except StepExhausted as error:
        raise ValueError("wrapped") from error


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (lambda: throw(ValueError("own")), ValueError),
        (wraps, ValueError),
        (lambda: receive("x", timeout=5), ReceiveTimeout),
        (owing, RollbackCheckpointError),
        (lambda: join(a=owing), RollbackCheckpointError),
        (lambda: throw(CriticalError("not a step's")), CriticalError),
    ],
    ids=["own", "wrapped", "receive", "checkpoint", "checkpoint-in-join", "critical-by-hand"],
)
def test_other_exceptions_are_never_caught(lab: Lab, body: Any, error: type[Exception]) -> None:
    """AT7 Never caught: any exception that is not a terminal step, join or race failure."""

    @workflow
    def flow() -> Any:
        return told(attempt(body, name="block", catch=ROLLBACK))

    lab.start("r", flow)

    with pytest.raises(error):
        lab.run_to_end("r")

    assert "owing" not in ran


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (lambda: athrow(ValueError("own")), ValueError),
        (lambda: aio.receive("x", timeout=5), ReceiveTimeout),
        (lambda: owing.aio(), RollbackCheckpointError),
        (lambda: aio.join(a=owing.aio), RollbackCheckpointError),
    ],
    ids=["own", "receive", "checkpoint", "checkpoint-in-join"],
)
def test_other_exceptions_are_never_caught_in_async_code(lab: Lab, body: Any, error: type[Exception]) -> None:
    """AT7 Never caught in async code either."""

    @workflow
    async def flow() -> Any:
        return told(await aio.attempt(body, name="block", catch=ROLLBACK))

    lab.start("r", flow)

    with pytest.raises(error):
        lab.run_to_end("r")


@workflow
def waits_inside() -> Any:
    return told(attempt(lambda: (down.options(retries=1, backoff=30, name="late").attempt(), receive("go").data), name="block"))


@workflow
async def awaits_inside() -> Any:
    async def body() -> Any:
        made = await down.options(retries=1, backoff=30, name="late").aio.attempt()
        return made, (await aio.receive("go")).data

    return told(await aio.attempt(body))


@both(waits_inside, awaits_inside)
def test_waits_and_retries_pass_through_a_block(lab: Lab, flow: Workflow[..., Any]) -> None:
    """AT7 Waits and retries are never caught: the run parks from inside the block."""
    lab.start("r", flow)

    first = lab.run_once("r")
    lab.advance(30)
    second = lab.run_once("r")

    assert (first.status, first.waiting_for, second.waiting_for) == ("sleeping", [], ["go"])
    lab.send("r", "go", 1)
    assert lab.run_to_end("r")[1][1] == 1


@workflow(name="blocked")
def old() -> Any:
    return told(attempt(lambda: (note(1), sleep(60)), name="block"))


@workflow(name="blocked")
def new() -> Any:
    return told(attempt(lambda: (refused(), sleep(60)), name="block", catch=ROLLBACK))


@workflow(name="blocked")
async def aold() -> Any:
    async def body() -> None:
        await note.aio(1)
        await aio.sleep(60)

    return told(await aio.attempt(body, name="block"))


@workflow(name="blocked")
async def anew() -> Any:
    async def body() -> None:
        await refused.aio()
        await aio.sleep(60)

    return told(await aio.attempt(body, name="block", catch=ROLLBACK))


@pytest.mark.parametrize(("before", "after"), [(old, new), (aold, anew)], ids=["plain", "async"])
def test_divergence_passes_through_a_block(lab: Lab, before: Workflow[..., Any], after: Workflow[..., Any]) -> None:
    """AT7 Divergence is never caught."""
    lab.start("r", before)
    lab.run_once("r")

    made = lab.run_once("r", workflow=after)

    assert made.status == "blocked"
    assert isinstance(made.error, HistoryDiverged)
