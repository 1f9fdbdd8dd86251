"""Rollback: which steps owe one, how handlers are found again, and in which order they undo what was done.

Longer than 400 lines because every workflow stands here twice, plain and async.
"""

from __future__ import annotations

from typing import Any

import pytest

from flowkit import (
    Break,
    Continue,
    CriticalError,
    HistoryDiverged,
    RollbackCheckpointError,
    RunCancelled,
    Winner,
    Workflow,
    aio,
    attempt,
    checkpoint,
    join,
    loop,
    race,
    receive,
    removed,
    sleep,
    step,
    version,
    workflow,
)
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import both, note, ran, scripted


def statuses(lab: Lab) -> dict[str, str]:
    """The status of each entry by its location."""
    return {entry.location: entry.status for entry in lab.history("r")}


def undone() -> list[Any]:
    """What was undone, in order."""
    return [each[5:] for each in ran if str(each).startswith("undo ")]


def undo(value: str) -> None:
    ran.append(f"undo {value}")


@step(rollback=undo)
def book(value: str) -> str:
    ran.append(f"book {value}")
    return value


@step(retries=0)
def refuse(word: str = "no") -> None:
    raise CriticalError(word)


def newest_first(*names: str) -> Any:
    """A check for `crash_everywhere`: undone in this order, a handler at most twice and then at once again."""

    def check(_: Lab) -> None:
        order = undone()
        ran.clear()
        once = [name for position, name in enumerate(order) if order[position - 1 : position] != [name]]
        assert once == list(names)
        assert len(order) <= len(names) + 1

    return check


# --- checkpoints ------------------------------------------------------------------------------------------------------------


@workflow
def without() -> Any:
    try:
        return attempt(lambda: book("x"), name="block", catch=("step", "join", "race", "rollback"))
    except Exception:
        note("went on")
        return "hidden"


@workflow
async def awithout() -> Any:
    try:
        return await aio.attempt(lambda: book.aio("x"), name="block", catch=("step", "join", "race", "rollback"))
    except Exception:
        await note.aio("went on")
        return "hidden"


@both(without, awithout)
def test_a_step_with_a_rollback_needs_a_checkpoint_before_it(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB1 Without a checkpoint before it the step raises instead of running; no block catches it and the run fails."""
    lab.start("r", flow)

    made = lab.run_once("r")

    assert made.status == "failed"
    assert isinstance(made.error, RollbackCheckpointError)
    assert ran == []


@workflow
def half_guarded() -> Any:
    join(good=lambda: (checkpoint("inner"), book("in"), note("out of step"))[1], bad=lambda: (sleep(5), book("out"))[1])


@workflow
async def ahalf_guarded() -> Any:
    async def good() -> None:
        await aio.checkpoint("inner")
        await book.aio("in")

    async def bad() -> None:
        await aio.sleep(5)
        await book.aio("out")

    await aio.join(good=good, bad=bad)


@both(half_guarded, ahalf_guarded)
def test_a_missing_checkpoint_undoes_what_other_branches_did(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB1, RB4 The run that fails for a missing checkpoint is rolled back like any other."""
    lab.start("r", flow)

    with pytest.raises(RollbackCheckpointError):
        lab.run_to_end("r")

    assert undone() == ["in"]
    assert "book out" not in ran


@workflow
def checkpoint_in_a_branch() -> Any:
    join(a=lambda: (checkpoint("inner"), book("in"))[1])
    book("out")


@workflow
async def acheckpoint_in_a_branch() -> Any:
    async def a() -> None:
        await aio.checkpoint("inner")
        await book.aio("in")

    await aio.join(a=a)
    await book.aio("out")


@workflow
def checkpoint_in_a_block() -> Any:
    attempt(lambda: (checkpoint("inner"), book("in"))[1], name="block")
    book("out")


@workflow
async def acheckpoint_in_a_block() -> Any:
    async def a() -> None:
        await aio.checkpoint("inner")
        await book.aio("in")

    await aio.attempt(a, name="block")
    await book.aio("out")


@workflow
def checkpoint_in_a_turn() -> Any:
    def turn(n: int) -> Any:
        if n == 0:
            checkpoint("inner")
        book("in" if n == 0 else "out")
        return Continue(n + 1)

    loop(turn, 0)


@workflow
async def acheckpoint_in_a_turn() -> Any:
    async def turn(n: int) -> Any:
        if n == 0:
            await aio.checkpoint("inner")
        await book.aio("in" if n == 0 else "out")
        return Continue(n + 1)

    await aio.loop(turn, 0)


@pytest.mark.parametrize(
    "flow",
    [
        checkpoint_in_a_branch,
        acheckpoint_in_a_branch,
        checkpoint_in_a_block,
        acheckpoint_in_a_block,
        checkpoint_in_a_turn,
        acheckpoint_in_a_turn,
    ],
)
def test_a_checkpoint_does_not_count_outside_its_scope(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB2 A checkpoint counts in its scope and those opened inside it later, not outside."""
    lab.start("r", flow)

    with pytest.raises(RollbackCheckpointError):
        lab.run_to_end("r")

    assert ran == ["book in", "undo in"]


def turn_twice(n: int) -> Any:
    book(f"turn {n}")
    return Continue(n + 1) if n < 1 else Break(None)


async def aturn_twice(n: int) -> Any:
    await book.aio(f"turn {n}")
    return Continue(n + 1) if n < 1 else Break(None)


@workflow
def everywhere() -> Any:
    checkpoint("one")
    book("root")
    checkpoint("two")
    attempt(lambda: book("block"), name="block")
    loop(turn_twice, 0)
    join(a=lambda: book("branch"), b=lambda: race(c=lambda: (sleep(5), book("deep"))[1]))
    refuse()


@workflow
async def aeverywhere() -> Any:
    async def deep() -> None:
        await aio.sleep(5)
        await book.aio("deep")

    await aio.checkpoint("one")
    await book.aio("root")
    await aio.checkpoint("two")
    await aio.attempt(lambda: book.aio("block"), name="block")
    await aio.loop(aturn_twice, 0)
    await aio.join(a=lambda: book.aio("branch"), b=lambda: aio.race(c=deep))
    await refuse.aio()


EVERYTHING = ["deep", "branch", "turn 1", "turn 0", "block", "root"]


@both(everywhere, aeverywhere)
def test_steps_owe_wherever_they_lie(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB3 Completed steps are undone wherever they lie: run, branch, turn, attempt block; checkpoints do not divide (RB2)."""
    lab.start("r", flow)

    with pytest.raises(CriticalError, match="no"):
        lab.run_to_end("r")

    assert undone() == EVERYTHING
    assert "completed" not in {status for location, status in statuses(lab).items() if location.endswith("book")}


@both(everywhere, aeverywhere)
def test_a_rollback_survives_every_crash(flow: Workflow[..., Any]) -> None:
    """RB14 Each finished handler is committed before the next starts; wherever the process dies it goes on with the next."""
    script = Script("r", scripted(lambda lab: lab.start("r", flow)))

    told = crash_everywhere(script, check=newest_first(*EVERYTHING))

    assert told.status == "failed"
    assert "CriticalError: no" in told.error


# --- when a run is rolled back ----------------------------------------------------------------------------------------------


@workflow
def owing_and_failing() -> Any:
    checkpoint("start")
    book("x")
    raise ValueError("own")


@workflow
async def aowing_and_failing() -> Any:
    await aio.checkpoint("start")
    await book.aio("x")
    raise ValueError("own")


@both(owing_and_failing, aowing_and_failing)
def test_an_error_sets_the_run_rolling_back(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB4 An error that leaves the workflow stores the error and sets `rolling_back`."""
    lab.start("r", flow)
    lab.crash_at(2, "after")

    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    assert lab.get("r").status() == "rolling_back"
    assert lab.get("r").error().message == "own"
    assert undone() == []


@workflow
def failing_only() -> Any:
    checkpoint("start")
    note("x")
    raise ValueError("own")


@workflow
async def afailing_only() -> Any:
    await aio.checkpoint("start")
    await note.aio("x")
    raise ValueError("own")


@both(failing_only, afailing_only)
def test_an_error_with_nothing_owed_fails_the_run_at_once(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB4 If nothing owes, the run is `failed` in the commit of its error."""
    lab.start("r", flow)
    lab.crash_at(2, "after")

    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    assert lab.get("r").status() == "failed"


@workflow(max_crashes=2, name="waits")
def owing_and_waiting() -> Any:
    checkpoint("start")
    book("x")
    note("n")
    return receive("go").data


@workflow(max_crashes=2, name="waits")
async def aowing_and_waiting() -> Any:
    await aio.checkpoint("start")
    await book.aio("x")
    await note.aio("n")
    return (await aio.receive("go")).data


@workflow(name="waits")
def other_code() -> Any:
    checkpoint("start")
    note("n")


@both(owing_and_waiting, aowing_and_waiting)
@pytest.mark.parametrize("verb", ["evict", "pause", "cancel"])
def test_parking_and_steering_never_roll_back(lab: Lab, flow: Workflow[..., Any], verb: str) -> None:
    """RB5 Parking, evict, pause and plain cancel never roll back."""
    lab.start("r", flow)
    lab.run_once("r")
    getattr(lab.get("r"), verb)()

    lab.run_once("r")

    assert statuses(lab)["book"] == "completed"
    assert undone() == []


@both(owing_and_waiting, aowing_and_waiting)
def test_divergence_never_rolls_back(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB5 Divergence never rolls back: a bad deploy undoes nothing."""
    lab.start("r", flow)
    lab.run_once("r")

    made = lab.run_once("r", workflow=other_code)

    assert made.status == "blocked"
    assert undone() == []
    lab.send("r", "go", 1)
    assert lab.run_once("r", workflow=flow).output == 1


@both(owing_and_waiting, aowing_and_waiting)
def test_quarantine_never_rolls_back(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB5 Quarantine never rolls back."""
    lab.start("r", flow)
    lab.crash_at(1, "after")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")
    lab.crash_at(1, "before")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    made = lab.run_once("r")

    assert made.status == "blocked"
    assert undone() == []


# --- collecting -------------------------------------------------------------------------------------------------------------


@workflow
def with_closures() -> Any:
    checkpoint("start")
    rate = note(3)

    def turn(n: int) -> Any:
        price = n * rate
        step(lambda: f"seat {n}", name="seat", rollback=lambda seat: ran.append(f"undo {seat} at {price}"))()
        return Continue(n + 1) if n < 2 else Break("seats")

    word = loop(turn, 1)
    step(lambda: "hotel", name="hotel", rollback=lambda hotel: ran.append(f"undo {hotel} after {word}"))()
    refuse()


@workflow
async def awith_closures() -> Any:
    await aio.checkpoint("start")
    rate = await note.aio(3)

    async def turn(n: int) -> Any:
        price = n * rate

        async def release(seat: str) -> None:
            ran.append(f"undo {seat} at {price}")

        await step(lambda: f"seat {n}", name="seat", rollback=release).aio()
        return Continue(n + 1) if n < 2 else Break("seats")

    word = await aio.loop(turn, 1)
    await step(lambda: "hotel", name="hotel", rollback=lambda hotel: ran.append(f"undo {hotel} after {word}")).aio()
    await refuse.aio()


def goes_on(lab: Lab) -> None:
    """The process lives."""


def dies(lab: Lab) -> None:
    """The process dies when the run's error is stored."""
    lab.crash_at(6, "after")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")


@both(with_closures, awith_closures)
@pytest.mark.parametrize("first", [goes_on, dies])
def test_closures_see_what_they_saw(lab: Lab, flow: Workflow[..., Any], first: Any) -> None:
    """RB6 Handlers are collected by a frozen pass from the top, so closures see what they saw."""
    lab.start("r", flow)
    first(lab)

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert undone() == ["hotel after seats", "seat 2 at 6", "seat 1 at 3"]


@both(with_closures, awith_closures)
def test_collecting_writes_nothing(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB6 The frozen pass writes nothing: a rollback is a commit for the error, one for each handler and one for the end."""
    lab.start("r", flow)
    before = lab.commits

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert lab.commits - before == 5 + 1 + 3 + 1


@workflow
def open_join() -> Any:
    checkpoint("start")
    join(
        done=lambda: book("done"),
        waits=lambda: (book("waits"), sleep(3600)),
        fails=lambda: (book("fails"), refuse())[1],
        mail=lambda: (book("mail"), receive("never")),
    )


@workflow
async def aopen_join() -> Any:
    async def waits() -> None:
        await book.aio("waits")
        await aio.sleep(3600)

    async def fails() -> None:
        await book.aio("fails")
        await refuse.aio()

    async def mail() -> None:
        await book.aio("mail")
        await aio.receive("never")

    await aio.checkpoint("start")
    await aio.join(done=lambda: book.aio("done"), waits=waits, fails=fails, mail=mail)


@both(open_join, aopen_join)
def test_an_open_join_enters_all_branches(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB7 In the collecting pass an open join enters all branches."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.get("r").cancel(rollback=True)

    with pytest.raises(RunCancelled):
        lab.run_to_end("r")

    assert sorted(undone()) == ["done", "fails", "mail", "waits"]


paused_lab: list[Lab] = []


@step(rollback=undo)
def book_and_pause(value: str) -> str:
    paused_lab[0].get("r").pause()
    return value


@workflow
def open_race() -> Any:
    checkpoint("start")
    race(done=lambda: book_and_pause("done"), other=lambda: (book("other"), book("more"), receive("never")))


@workflow
async def aopen_race() -> Any:
    async def other() -> None:
        await book.aio("other")
        await book.aio("more")
        await aio.receive("never")

    await aio.checkpoint("start")
    await aio.race(done=lambda: book_and_pause.aio("done"), other=other)


@both(open_race, aopen_race)
@pytest.mark.parametrize("turn", range(3))
def test_an_open_race_enters_all_branches(lab: Lab, flow: Workflow[..., Any], turn: int) -> None:
    """RB7 In the collecting pass an open race enters its branches, though one has what it takes to win."""
    paused_lab[:] = [lab]
    lab.start("r", flow)
    lab.run_once("r")
    owing = {location.split("/")[1] for location in statuses(lab) if "book" in location}
    lab.get("r").cancel(rollback=True)

    with pytest.raises(RunCancelled):
        lab.run_to_end("r")

    assert statuses(lab)["race"] != "completed"
    assert {"done"} <= owing
    assert "completed" not in {status for location, status in statuses(lab).items() if "book" in location}


@workflow
def kept_losers() -> Any:
    def turn(n: int) -> Any:
        book(f"turn {n}")
        sleep(100) if n == 2 else None
        return Continue(n + 1)

    checkpoint("start")
    won = race(
        lost=lambda: (book("lost"), receive("never")),
        loops=lambda: loop(turn, 0),
        joins=lambda: join(a=lambda: book("joined"), b=lambda: receive("never")),
        won=lambda: (book("won"), sleep(5), "won")[2],
    )
    assert won == Winner("won", "won")
    ran.append("decided")
    sleep(5)
    refuse()


@workflow
async def akept_losers() -> Any:
    async def turn(n: int) -> Any:
        await book.aio(f"turn {n}")
        if n == 2:
            await aio.sleep(100)
        return Continue(n + 1)

    async def lost() -> None:
        await book.aio("lost")
        await aio.receive("never")

    async def winner() -> str:
        await book.aio("won")
        await aio.sleep(5)
        return "won"

    await aio.checkpoint("start")
    won = await aio.race(
        lost=lost,
        loops=lambda: aio.loop(turn, 0),
        joins=lambda: aio.join(a=lambda: book.aio("joined"), b=lambda: aio.receive("never")),
        won=winner,
    )
    assert won == Winner("won", "won")
    ran.append("decided")
    await aio.sleep(5)
    await refuse.aio()


@both(kept_losers, akept_losers)
def test_what_losers_completed_is_undone_with_the_run(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB18, RB7 Steps completed in a race loser are undone when the run rolls back, not when they lose, loops and joins too."""
    lab.start("r", flow)

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert sorted(undone()) == ["joined", "lost", "turn 0", "turn 1", "turn 2", "won"]
    assert ran.index("decided") < ran.index(f"undo {undone()[0]}")


@both(kept_losers, akept_losers)
def test_what_a_loser_undid_stays_undone_after_recover(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB18, RN18 A recovered race keeps its winner: what its losers had done stays undone and is not run again."""
    lab.start("r", flow)
    with pytest.raises(CriticalError):
        lab.run_to_end("r")
    ran.clear()

    lab.get("r").recover()
    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert ran == ["book won", "decided", "decided", "undo won"]
    assert {status for location, status in statuses(lab).items() if location.endswith("book")} == {"rolled_back"}


@both(kept_losers, akept_losers)
def test_undoing_losers_survives_every_crash(flow: Workflow[..., Any]) -> None:
    """RB18 Wherever the process dies, the same entries end undone."""
    told = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=lambda _: ran.clear())

    assert told.status == "failed"
    assert [entry[2] for entry in told.entries if entry[0].endswith("book")] == ["rolled_back"] * 6


@workflow
def many_turns() -> Any:
    def turn(state: dict[str, int]) -> Any:
        n = state["n"]
        if n == 3:
            checkpoint("late")
        if n in (3, 5):
            attempt(lambda: book(f"{n} of {state['sum']}"), name="b") if n == 3 else note(n)
        note(n)
        return Continue({"n": n + 1, "sum": state["sum"] + n}) if n < 8 else Break(state["sum"])

    loop(turn, {"n": 0, "sum": 0}, prune_every=2, keep=1)
    refuse()


@workflow
async def amany_turns() -> Any:
    async def turn(state: dict[str, int]) -> Any:
        n = state["n"]
        if n == 3:
            await aio.checkpoint("late")
            await aio.attempt(lambda: book.aio(f"{n} of {state['sum']}"), name="b")
        await note.aio(n)
        return Continue({"n": n + 1, "sum": state["sum"] + n}) if n < 8 else Break(state["sum"])

    await aio.loop(turn, {"n": 0, "sum": 0}, prune_every=2, keep=1)
    await refuse.aio()


@both(many_turns, amany_turns)
def test_a_loop_enters_each_turn_from_the_first_that_owes(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB7 A loop enters each turn from the first that owes, with that turn's starting state."""
    lab.start("r", flow)

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert undone() == ["3 of 3"]


@workflow(name="versions")
def versions_1() -> Any:
    checkpoint("start")
    note("old")
    book("x")
    sleep(60)
    refuse()


@workflow(name="versions")
def versions_2() -> Any:
    checkpoint("start")
    removed("note", "step")
    if version("print", 2) >= 2:
        book("never")
    book("x")
    sleep(60)
    refuse()


@workflow(name="versions")
async def aversions_1() -> Any:
    await aio.checkpoint("start")
    await note.aio("old")
    await book.aio("x")
    await aio.sleep(60)
    await refuse.aio()


@workflow(name="versions")
async def aversions_2() -> Any:
    await aio.checkpoint("start")
    await aio.removed("note", "step")
    if await aio.version("print", 2) >= 2:
        await book.aio("never")
    await book.aio("x")
    await aio.sleep(60)
    await refuse.aio()


@pytest.mark.parametrize(("old", "new"), [(versions_1, versions_2), (aversions_1, aversions_2)], ids=["plain", "async"])
def test_version_and_removed_answer_while_collecting(lab: Lab, old: Workflow[..., Any], new: Workflow[..., Any]) -> None:
    """RB8 `version()` and `removed()` answer as in a forward pass, without writing."""
    lab.start("r", old)
    lab.run_once("r")
    lab.get("r").cancel(rollback=True)
    recorded = list(statuses(lab))

    made = lab.run_once("r", workflow=new)

    assert made.status == "cancelled"
    assert undone() == ["x"]
    assert list(statuses(lab)) == recorded


@workflow
def tolerant() -> Any:
    checkpoint("start")
    book("before")
    attempt(refuse)
    try:
        join(a=lambda: book("in join"), b=refuse)
    except Exception:
        book("handler")
    refuse.attempt()
    book("after")
    raise ValueError("own")


@workflow
async def atolerant() -> Any:
    await aio.checkpoint("start")
    await book.aio("before")
    await aio.attempt(refuse.aio, name="refuse")
    try:
        await aio.join(a=lambda: book.aio("in join"), b=refuse.aio)
    except Exception:
        await book.aio("handler")
    await refuse.aio.attempt()
    await book.aio("after")
    raise ValueError("own")


@both(tolerant, atolerant)
def test_collecting_goes_on_behind_a_tolerated_failure(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB9 A failure that the code tolerated is recalled and the collecting goes on behind it."""
    lab.start("r", flow)

    with pytest.raises(ValueError, match="own"):
        lab.run_to_end("r")

    assert undone() == ["after", "handler", "in join", "before"]


# --- what is missing --------------------------------------------------------------------------------------------------------


@workflow(name="missing")
def complete_code() -> Any:
    checkpoint("start")
    book("a")
    step(lambda: "b", name="b", rollback=undo)()
    sleep(60)


@workflow(name="missing")
def without_rollback() -> Any:
    checkpoint("start")
    book("a")
    step(lambda: "b", name="b")()
    sleep(60)


@workflow(name="missing")
def taken_out() -> Any:
    checkpoint("start")
    book("a")
    removed("b", "step")
    sleep(60)


@workflow(name="missing")
def ends_early() -> Any:
    checkpoint("start")
    book("a")
    raise ValueError("too early")


@workflow(name="missing")
async def acomplete_code() -> Any:
    await aio.checkpoint("start")
    await book.aio("a")
    await step(lambda: "b", name="b", rollback=undo).aio()
    await aio.sleep(60)


@workflow(name="missing")
async def awithout_rollback() -> Any:
    await aio.checkpoint("start")
    await book.aio("a")
    await step(lambda: "b", name="b").aio()
    await aio.sleep(60)


@workflow(name="missing")
async def ataken_out() -> Any:
    await aio.checkpoint("start")
    await book.aio("a")
    await aio.removed("b", "step")
    await aio.sleep(60)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (complete_code, without_rollback),
        (complete_code, taken_out),
        (complete_code, ends_early),
        (acomplete_code, awithout_rollback),
        (acomplete_code, ataken_out),
    ],
    ids=["no-rollback", "removed", "ends-early", "async-no-rollback", "async-removed"],
)
def test_a_handler_that_is_missing_blocks_before_the_first_runs(
    lab: Lab, old: Workflow[..., Any], new: Workflow[..., Any]
) -> None:
    """RB10 Every entry that owes must be found, else the run is blocked, names the missing, and nothing is undone."""
    lab.start("r", old)
    lab.run_once("r")
    lab.get("r").cancel(rollback=True)

    made = lab.run_once("r", workflow=new)

    assert made.status == "blocked"
    assert isinstance(made.error, HistoryDiverged)
    assert "`b`" in str(made.error)
    assert undone() == []
    assert lab.run_once("r", workflow=old).status == "cancelled"
    assert undone() == ["b", "a"]


# --- order ------------------------------------------------------------------------------------------------------------------


@workflow
def out_of_order() -> Any:
    checkpoint("start")
    book("first")
    join(
        slow=lambda: (sleep(30), book("slow")),
        quick=lambda: (sleep(10), book("quick")),
        retried=lambda: flaky_book("retried"),
    )
    refuse()


@workflow
async def aout_of_order() -> Any:
    async def late(seconds: float, name: str) -> None:
        await aio.sleep(seconds)
        await book.aio(name)

    await aio.checkpoint("start")
    await book.aio("first")
    await aio.join(slow=lambda: late(30, "slow"), quick=lambda: late(10, "quick"), retried=lambda: flaky_book.aio("retried"))
    await refuse.aio()


@step(rollback=undo, backoff=10)
def flaky_book(value: str) -> str:
    ran.append("flaky")
    if ran.count("flaky") == 1:
        raise OSError("down")
    return value


@both(out_of_order, aout_of_order)
def test_handlers_run_newest_completion_first(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB11 Handlers run one at a time, newest completion first and not newest start, across branches."""
    lab.start("r", flow)

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert undone() == ["slow", "retried", "quick", "first"]


@workflow
def side_by_side() -> Any:
    checkpoint("start")
    join({str(n): lambda n=n: book(str(n)) for n in range(6)})
    refuse()


@workflow
async def aside_by_side() -> Any:
    await aio.checkpoint("start")
    await aio.join({str(n): lambda n=n: book.aio(str(n)) for n in range(6)})
    await refuse.aio()


@both(side_by_side, aside_by_side)
def test_completions_at_one_instant_keep_their_order(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB11 The order of completion holds at one instant of the clock, too."""
    lab.start("r", flow)

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    by_completion = [
        e.location.split("/")[1] for e in sorted(lab.history("r"), key=lambda e: e.settled_at) if "book" in e.location
    ]
    assert undone() == by_completion[::-1]
