"""Joins: branches side by side, all of them to their ends, and what comes of them as one value or one error.

Longer than 400 lines because every workflow stands here twice, plain and async.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from functools import partial
from typing import Any

import pytest

from flowkit import (
    Break,
    Continue,
    CriticalError,
    Evicted,
    HistoryDiverged,
    JoinError,
    Parked,
    PayloadError,
    RecordedError,
    RollbackCheckpointError,
    Workflow,
    aio,
    checkpoint,
    join,
    loop,
    race,
    receive,
    sleep,
    step,
    workflow,
)
from flowkit.core.outcome import decisive
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import at_most, both, locations, note, ran, scripted


def statuses(lab: Lab) -> dict[str, str]:
    """The status of each entry by its location."""
    return {entry.location: entry.status for entry in lab.history("r")}


class Declined(CriticalError):
    """An error with an attribute, for which no attempt is made again."""

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


@step
def refuse(code: int) -> None:
    ran.append(f"refuse {code}")
    raise Declined(f"declined with {code}", code=code)


# --- all branches, side by side ---------------------------------------------------------------------------------------------

meeting = threading.Barrier(2, timeout=5)


@step
def meet(name: str) -> str:
    meeting.wait()
    return name


met: list[asyncio.Event] = []


@step
async def ameet(mine: int) -> int:
    met[mine].set()
    await met[1 - mine].wait()
    return mine


@workflow
def meets() -> dict[str, str]:
    return join(a=lambda: meet("first"), b=lambda: meet("second"))


@workflow
async def ameets() -> dict[str, int]:
    met[:] = [asyncio.Event(), asyncio.Event()]
    return await aio.join(a=lambda: ameet(0), b=lambda: ameet(1))


@both(meets, ameets)
def test_branches_run_at_the_same_time(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN1 Branches run concurrently: each of these two waits for the other."""
    lab.start("r", flow)

    made = lab.run_once("r")

    assert list(made.output) == ["a", "b"]


@workflow
def one_fails() -> dict[str, Any]:
    return join(bad=lambda: refuse(1), late=lambda: (sleep(60), note("late"))[1])


@workflow
async def aone_fails() -> dict[str, Any]:
    async def late() -> Any:
        await aio.sleep(60)
        return await note.aio("late")

    return await aio.join(bad=lambda: refuse.aio(1), late=late)


@both(one_fails, aone_fails)
def test_all_branches_settle_even_when_one_fails(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN1 All branches settle, even when one fails."""
    lab.start("r", flow)

    with pytest.raises(JoinError):
        lab.run_to_end("r")

    assert ran == ["refuse 1", "late"]
    assert statuses(lab)["join/late/note"] == "completed"


@workflow
def ordered() -> dict[str, Any]:
    return join("trip", {"z": lambda: (sleep(60), "last")[1], "m": lambda: "at once"}, a=lambda: note("a"))


@workflow
async def aordered() -> dict[str, Any]:
    async def slow() -> str:
        await aio.sleep(60)
        return "last"

    async def quick() -> str:
        return "at once"

    return await aio.join("trip", {"z": slow, "m": quick}, a=lambda: note.aio("a"))


@both(ordered, aordered)
def test_the_dict_has_the_order_of_the_call(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN1 The dict has the order of the call, whichever branch ended first."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert list(output.items()) == [("z", "last"), ("m", "at once"), ("a", "a")]


# --- failures ---------------------------------------------------------------------------------------------------------------


@workflow
def two_of_three() -> list[Any]:
    try:
        join(x=lambda: refuse(1), fine=lambda: note("fine"), y=lambda: refuse(2))
    except JoinError as error:
        seen = [error.name, [(name, type(each).__name__, str(each), each.code) for name, each in error.errors.items()]]
        sleep(60)
        return seen
    raise AssertionError("the join did not fail")


@workflow
async def atwo_of_three() -> list[Any]:
    try:
        await aio.join(x=lambda: refuse.aio(1), fine=lambda: note.aio("fine"), y=lambda: refuse.aio(2))
    except JoinError as error:
        seen = [error.name, [(name, type(each).__name__, str(each), each.code) for name, each in error.errors.items()]]
        await aio.sleep(60)
        return seen
    raise AssertionError("the join did not fail")


@both(two_of_three, atwo_of_three)
def test_the_error_holds_the_failed_branches_with_their_recorded_exceptions(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN2 `JoinError.errors` holds only the failed names, with the recorded exceptions, on replay too."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    expected = [("x", "Declined", "declined with 1", 1), ("y", "Declined", "declined with 2", 2)]
    assert output == ["join", expected]


@workflow
def raises_itself() -> str:
    def broken() -> None:
        raise KeyError("shelf")

    try:
        join(broken=broken)
    except JoinError as error:
        return repr(error.errors["broken"])
    return "no error"


@workflow
async def araises_itself() -> str:
    async def broken() -> None:
        raise KeyError("shelf")

    try:
        await aio.join(broken=broken)
    except JoinError as error:
        return repr(error.errors["broken"])
    return "no error"


@both(raises_itself, araises_itself)
def test_an_error_of_a_branchs_own_code_is_collected(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN2 What a branch raises by itself is its failure like a step's."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == "KeyError('shelf')"


@workflow
def unstorable() -> str:
    try:
        join(odd=lambda: {"lock": threading.Lock()}, fine=lambda: note("fine"))
    except JoinError as error:
        odd = error.errors["odd"]
        assert isinstance(odd, PayloadError)
        sleep(60)
        return odd.path
    return "no error"


@workflow
async def aunstorable() -> str:
    async def odd_value() -> Any:
        return {"lock": threading.Lock()}

    try:
        await aio.join(odd=odd_value, fine=lambda: note.aio("fine"))
    except JoinError as error:
        odd = error.errors["odd"]
        assert isinstance(odd, PayloadError)
        await aio.sleep(60)
        return odd.path
    return "no error"


@both(unstorable, aunstorable)
def test_a_value_that_cannot_be_stored_is_its_branchs_failure(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN2 A branch value that cannot be encoded fails that branch, with the path to it."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == "$.lock"


def test_an_error_of_a_lost_type_keeps_its_name_in_a_join(lab: Lab) -> None:
    """JN2 The recorded exception of a type that is gone is a `RecordedError` that keeps its name."""

    class Local(CriticalError):
        pass

    @step
    def fails() -> None:
        raise Local("gone")

    @workflow
    def flow() -> str:
        try:
            join(a=fails)
        except JoinError as error:
            found = error.errors["a"]
            assert isinstance(found, RecordedError)
            return found.type_name
        return "no error"

    lab.start("r", flow)

    assert lab.run_to_end("r").endswith("Local")


# --- finished branches ------------------------------------------------------------------------------------------------------


@workflow
def finished_and_waiting() -> dict[str, Any]:
    def good() -> str:
        ran.append("good entered")
        return "good"

    def bad() -> None:
        ran.append("bad entered")
        raise ValueError("bad")

    try:
        return join(good=good, bad=bad, late=lambda: (sleep(60), sleep(60), "late")[2])
    except JoinError as error:
        return {name: str(each) for name, each in error.errors.items()}


@workflow
async def afinished_and_waiting() -> dict[str, Any]:
    async def good() -> str:
        ran.append("good entered")
        return "good"

    async def bad() -> None:
        ran.append("bad entered")
        raise ValueError("bad")

    async def late() -> str:
        await aio.sleep(60)
        await aio.sleep(60)
        return "late"

    try:
        return await aio.join(good=good, bad=bad, late=late)
    except JoinError as error:
        return {name: str(each) for name, each in error.errors.items()}


@both(finished_and_waiting, afinished_and_waiting)
def test_a_finished_branch_is_not_entered_again(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN3 A branch that finished, well or badly, is not entered again on later passes, a crash in between or not."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.crash()
    lab.advance(60)
    lab.run_once("r")

    output = lab.run_to_end("r")

    assert output == {"bad": "bad"}
    assert sorted(ran) == ["bad entered", "good entered"]


@workflow
def waits_all_over() -> dict[str, Any]:
    return join(
        nap=lambda: sleep(600),
        one=lambda: receive("one", timeout=300).data,
        two=lambda: receive("two", "three").data,
        flaky=step(fail_once, name="flaky", backoff=50, backoff_max=1000),
    )


@workflow
async def awaits_all_over() -> dict[str, Any]:
    async def one() -> Any:
        return (await aio.receive("one", timeout=300)).data

    async def two() -> Any:
        return (await aio.receive("two", "three")).data

    return await aio.join(
        nap=lambda: aio.sleep(600),
        one=one,
        two=two,
        flaky=step(fail_once, name="flaky", backoff=50, backoff_max=1000).aio,
    )


def fail_once() -> str:
    ran.append("flaky")
    if len(ran) == 1:
        raise OSError("down")
    return "up"


@both(waits_all_over, awaits_all_over)
def test_an_open_join_waits_for_the_earliest_deadline_and_all_names(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN4 A branch that waits or retries leaves the join open: the run waits for the earliest deadline and all names."""
    lab.start("r", flow)
    started = lab.now

    made = lab.run_once("r")

    assert made.status == "sleeping"
    assert made.wake_at == started + 100
    assert sorted(made.waiting_for) == ["one", "three", "two"]
    assert statuses(lab)["join"] == "running"


# --- what ends the pass -----------------------------------------------------------------------------------------------------


@step(rollback=lambda value: ran.append(f"undo {value}"))
def owing(value: str) -> str:
    ran.append(value)
    return value


@workflow
def unguarded() -> Any:
    try:
        return join(nap=lambda: sleep(3600), owing=lambda: owing("x"), fails=lambda: refuse(1))
    except Exception as error:  # the engine must see to it that this cannot hide the mistake
        return f"hidden {error}"


@workflow
async def aunguarded() -> Any:
    try:
        return await aio.join(nap=lambda: aio.sleep(3600), owing=lambda: owing.aio("x"), fails=lambda: refuse.aio(1))
    except Exception as error:
        return f"hidden {error}"


@both(unguarded, aunguarded)
def test_a_missing_checkpoint_beats_waiting_and_failures(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN5 `RollbackCheckpointError` beats waiting and failures: the run fails at once, though a branch sleeps."""
    lab.start("r", flow)

    made = lab.run_once("r")

    assert made.status == "failed"
    assert isinstance(made.error, RollbackCheckpointError)
    assert "x" not in ran


@workflow(name="diverging")
def recorded() -> Any:
    return join(a=lambda: (note("a"), sleep(60)), b=lambda: sleep(60), c=lambda: sleep(60))


@workflow(name="diverging")
def changed() -> Any:
    renamed = step(lambda: ran.append("renamed"), name="renamed")
    return join(a=lambda: (renamed(), sleep(60)), b=lambda: (sleep(60), refuse(1)), c=lambda: (sleep(60), owing("x")))


@workflow(name="diverging")
async def arecorded() -> Any:
    async def a() -> None:
        await note.aio("a")
        await aio.sleep(60)

    return await aio.join(a=a, b=lambda: aio.sleep(60), c=lambda: aio.sleep(60))


@workflow(name="diverging")
async def achanged() -> Any:
    async def a() -> None:
        await step(lambda: ran.append("renamed"), name="renamed").aio()
        await aio.sleep(60)

    async def b() -> None:
        await aio.sleep(60)
        await refuse.aio(1)

    async def c() -> None:
        await aio.sleep(60)
        await owing.aio("x")

    return await aio.join(a=a, b=b, c=c)


@pytest.mark.parametrize(("old", "new"), [(recorded, changed), (arecorded, achanged)], ids=["plain", "async"])
def test_divergence_beats_a_missing_checkpoint_waiting_and_failures(
    lab: Lab, old: Workflow[..., Any], new: Workflow[..., Any]
) -> None:
    """JN5 Divergence beats a missing checkpoint, waiting and failures."""
    lab.start("r", old)
    lab.run_once("r")
    lab.advance(60)

    made = lab.run_once("r", workflow=new)

    assert made.status == "blocked"
    assert isinstance(made.error, HistoryDiverged)
    assert ran == ["a"]


RANKED = [
    Evicted("the run leaves this worker"),
    HistoryDiverged("code and history do not fit"),
    RollbackCheckpointError("no checkpoint"),
    Parked("the run waits"),
    ValueError("a failure"),
]


@pytest.mark.parametrize("first", range(4))
def test_the_worst_end_of_a_branch_is_decisive(first: int) -> None:
    """JN5 What ends a pass beats branch failures: evict, divergence, a missing checkpoint, waiting, in this order."""
    ends = RANKED[first:]

    assert decisive(ends) is RANKED[first]
    assert decisive(reversed(ends)) is RANKED[first]
    assert decisive(RANKED[4:]) is None


# --- entries ----------------------------------------------------------------------------------------------------------------


@workflow
def nested() -> Any:
    def turn(n: int) -> Continue[int] | Break[int]:
        note(n)
        return Continue(n + 1) if n < 1 else Break(n)

    return join(
        "outer", inner=lambda: join("deep", a=lambda: note("a"), b=lambda: race(c=lambda: note("c"))), turns=lambda: loop(turn, 0)
    )


@workflow
async def anested() -> Any:
    async def turn(n: int) -> Continue[int] | Break[int]:
        await note.aio(n)
        return Continue(n + 1) if n < 1 else Break(n)

    return await aio.join(
        "outer",
        inner=lambda: aio.join("deep", a=lambda: note.aio("a"), b=lambda: aio.race(c=lambda: note.aio("c"))),
        turns=lambda: aio.loop(turn, 0),
    )


@both(nested, anested)
@pytest.mark.parametrize("k", range(1, 8))
def test_no_entry_is_durable_before_what_it_lies_in(flow: Workflow[..., Any], k: int) -> None:
    """JN6 No entry is durable before the join, race or loop it lies in, whichever commit was the last."""
    with Lab() as lab:
        lab.start("r", flow)
        lab.crash_at(k, "after")

        with contextlib.suppress(SimulatedCrash):
            lab.run_to_end("r")

        seqs = {entry.location: entry.seq for entry in lab.history("r")}
        around = {"outer": "outer/x", "outer/inner/deep": "outer/inner/deep/x", "outer/turns/turn": "outer/turns/turn/x"}
        early = [
            location
            for location in seqs
            for parent, inside in around.items()
            if location.startswith(inside[:-1]) and seqs.get(parent, 10_000) >= seqs[location]
        ]
        assert early == []


@both(nested, anested)
def test_nested_joins_races_and_loops_survive_every_crash(flow: Workflow[..., Any]) -> None:
    """JN6, RC9 Wherever the process dies, the nest comes to the same output and the same entries."""
    told = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=at_most(7))

    assert told.status == "completed"
    assert told.output["turns"] == 1


@workflow(name="branches")
def two() -> Any:
    return (join(a=lambda: 1, b=lambda: 2), sleep(60))[0]


@workflow(name="branches")
def turned() -> Any:
    return (join(b=lambda: 2, a=lambda: 1), sleep(60))[0]


@workflow(name="branches")
def three() -> Any:
    return (join(a=lambda: 1, b=lambda: 2, c=lambda: 3), sleep(60))[0]


@workflow(name="branches")
def open_two() -> Any:
    return join(a=lambda: sleep(60), b=lambda: 2)


@workflow(name="branches")
def open_turned() -> Any:
    return join(b=lambda: 2, a=lambda: sleep(60))


@workflow(name="branches")
def open_other() -> Any:
    return join(a=lambda: sleep(60), c=lambda: 2)


async def _value(value: Any) -> Any:
    return value


@workflow(name="branches")
async def atwo() -> Any:
    made = await aio.join(a=partial(_value, 1), b=partial(_value, 2))
    await aio.sleep(60)
    return made


@workflow(name="branches")
async def aturned() -> Any:
    made = await aio.join(b=partial(_value, 2), a=partial(_value, 1))
    await aio.sleep(60)
    return made


@workflow(name="branches")
async def athree() -> Any:
    made = await aio.join(a=partial(_value, 1), b=partial(_value, 2), c=partial(_value, 3))
    await aio.sleep(60)
    return made


@workflow(name="branches")
async def aopen_two() -> Any:
    return await aio.join(a=lambda: aio.sleep(60), b=partial(_value, 2))


@workflow(name="branches")
async def aopen_turned() -> Any:
    return await aio.join(b=partial(_value, 2), a=lambda: aio.sleep(60))


@workflow(name="branches")
async def aopen_other() -> Any:
    return await aio.join(a=lambda: aio.sleep(60), c=partial(_value, 2))


@pytest.mark.parametrize(
    ("old", "new"),
    [(two, three), (three, two), (open_two, open_other), (atwo, athree), (athree, atwo), (aopen_two, aopen_other)],
    ids=["more", "fewer", "open", "async-more", "async-fewer", "async-open"],
)
def test_other_branch_names_are_divergence(lab: Lab, old: Workflow[..., Any], new: Workflow[..., Any]) -> None:
    """JN7 The branch names of the code and of the entry must be the same set, settled or not."""
    lab.start("r", old)
    lab.run_once("r")

    made = lab.run_once("r", workflow=new)

    assert made.status == "blocked"
    assert isinstance(made.error, HistoryDiverged)
    assert "test_join.py:" in made.error.source


@pytest.mark.parametrize(
    ("old", "new"),
    [(two, turned), (open_two, open_turned), (atwo, aturned), (aopen_two, aopen_turned)],
    ids=["settled", "open", "async-settled", "async-open"],
)
def test_the_order_of_branches_does_not_matter(lab: Lab, old: Workflow[..., Any], new: Workflow[..., Any]) -> None:
    """JN7 Branches may come in another order; the dict has the order of the code that runs now."""
    lab.start("r", old)
    lab.run_once("r")
    lab.advance(60)

    made = lab.run_once("r", workflow=new)

    assert made.status == "completed"
    assert list(made.output) == ["b", "a"]


@workflow
def empty() -> dict[str, Any]:
    made = join()
    note("after")
    return made


@workflow
async def aempty() -> dict[str, Any]:
    made = await aio.join()
    await note.aio("after")
    return made


@both(empty, aempty)
def test_a_join_of_no_branches_is_an_entry_and_an_empty_dict(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN8 `join()` of no branches returns `{}` and is an entry."""
    lab.start("r", flow)

    made = lab.run_once("r")

    assert made.output == {}
    first = lab.history("r")[0]
    assert (first.location, first.kind, first.status) == ("join", "join", "completed")


@workflow
def racing_nobody() -> str:
    try:
        race({})
    except ValueError as error:
        return str(error)
    return "no error"


@workflow
async def aracing_nobody() -> str:
    try:
        await aio.race({})
    except ValueError as error:
        return str(error)
    return "no error"


@both(racing_nobody, aracing_nobody)
def test_a_race_of_nobody_is_a_value_error(lab: Lab, flow: Workflow[..., Any]) -> None:
    """JN8 `race()` of no branches is a `ValueError`, and no entry."""
    lab.start("r", flow)

    made = lab.run_once("r")

    assert "at least one branch" in made.output
    assert locations(lab) == []


# --- with waits and crashes -------------------------------------------------------------------------------------------------


@workflow
def deep() -> Any:
    def turn(n: int) -> Continue[int] | Break[int]:
        join(a=lambda: note(f"a{n}"), b=lambda: (sleep(10), note(f"b{n}")))
        return Continue(n + 1) if n < 1 else Break(n)

    checkpoint("start")
    return join(
        turns=lambda: loop(turn, 0),
        mail=lambda: receive("go").data,
        inner=lambda: join(x=lambda: (sleep(5), sleep(30), note("x"))[2], y=lambda: owing("y")),
    )


@workflow
async def adeep() -> Any:
    async def b(n: int) -> None:
        await aio.sleep(10)
        await note.aio(f"b{n}")

    async def turn(n: int) -> Continue[int] | Break[int]:
        await aio.join(a=lambda: note.aio(f"a{n}"), b=lambda: b(n))
        return Continue(n + 1) if n < 1 else Break(n)

    async def mail() -> Any:
        return (await aio.receive("go")).data

    async def x() -> Any:
        await aio.sleep(5)
        await aio.sleep(30)
        return await note.aio("x")

    await aio.checkpoint("start")
    return await aio.join(turns=lambda: aio.loop(turn, 0), mail=mail, inner=lambda: aio.join(x=x, y=lambda: owing.aio("y")))


@both(deep, adeep)
def test_joins_that_wait_in_every_branch_survive_every_crash(flow: Workflow[..., Any]) -> None:
    """JN4 Waits in nested joins and loops go on where they were, wherever the process dies."""
    acts = scripted(lambda lab: lab.start("r", flow), lambda lab: lab.send("r", "go", 7, key="go"))

    told = crash_everywhere(Script("r", acts), check=at_most(9))

    assert told.output == {"turns": 1, "mail": 7, "inner": {"x": "x", "y": "y"}}
