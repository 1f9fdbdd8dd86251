"""`Lab.load`: a run goes through its record again, in another Lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowkit import (
    Break,
    Continue,
    RunConflict,
    Winner,
    join,
    loop,
    race,
    receive,
    run_info,
    run_state,
    send,
    sleep,
    step,
    workflow,
)
from flowkit.testing import Lab, Stuck
from tests.export.records import NEVER, loaded_ends_alike, note, recorded


def test_steps_are_answered_with_their_attempts_and_instants() -> None:
    tries: list[int] = []

    @step(backoff=5)
    def shaky() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("busy")
        return "up"

    @workflow
    def shop() -> float:
        shaky()
        return run_info().started_at

    record = recorded(shop)

    with Lab() as lab:
        run = lab.load(record, shop)
        output = lab.run_to_end("r")
        (entry,) = run.history()

    assert len(tries) == 3
    assert (entry.attempts, entry.settled_at) == (3, record["entries"][0]["settled_at"])
    assert output == record["run"]["output"]


def test_a_message_comes_when_it_came_and_not_before() -> None:
    def late(lab: Lab) -> None:
        lab.run_once("r")
        lab.advance("1h")
        lab.run_once("r")
        lab.advance("2h")
        lab.send("r", "go", {"n": 2})

    @workflow
    def survives() -> list[Any]:
        try:
            receive("go", timeout="1h", as_name="first")
        except Exception:
            note("between")
        return [False, receive("go", timeout="9h", as_name="second").data]

    loaded_ends_alike(recorded(survives, meanwhile=late), survives)


def test_a_race_is_won_by_who_won_it() -> None:
    @workflow
    def hurry() -> list[str]:
        first = race("first", slow=lambda: (sleep("5h"), note("slow"))[1], quick=lambda: (sleep("1h"), note("quick"))[1])
        second = race("second", never=lambda: note("never") and receive("x").data, timer=lambda: sleep("1m"))
        return [first.name, second.name]

    loaded_ends_alike(recorded(hurry), hurry)


def test_a_step_that_lost_its_race_is_not_run() -> None:
    tries: list[str] = []

    @step
    def raced(text: str) -> str:
        if text == "loser" and not tries:
            tries.append(text)
            raise OSError("again")
        NEVER.append(text)
        return text

    @workflow
    def hurry() -> str:
        found: Winner[str] = race("first", a=lambda: raced("winner"), b=lambda: raced.options(backoff=9000)("loser"))
        return found.name

    record = recorded(hurry)

    assert record["run"]["output"] == "a"
    loaded_ends_alike(record, hurry)


def test_branches_meet_in_the_order_of_their_recorded_instants() -> None:
    @workflow
    def both() -> dict[str, Any]:
        def first() -> str:
            sleep("2h")
            note("a1")
            sleep("1h")
            return note("a2")

        def second() -> str:
            note("b1")
            sleep("150m")
            return note("b2")

        return join("both", a=first, b=second)

    record = recorded(both)

    with Lab() as lab:
        run = lab.load(record, both)
        lab.run_to_end("r")
        found = sorted((entry.settled_at or 0.0, entry.location) for entry in run.history() if entry.kind == "step")

    assert [place for _, place in found] == ["both/b/note", "both/a/note", "both/b/note#2", "both/a/note#2"]
    loaded_ends_alike(record, both)


def test_a_loop_whose_first_turns_were_pruned_is_answered_whole() -> None:
    @workflow
    def long(turns: int) -> int:
        def turn(n: int) -> Any:
            note(str(n))
            return Continue(n + 1) if n < turns else Break(n)

        return loop(turn, 0, name="turns", prune_every=5, keep=2)

    record = recorded(long, 23)

    assert record["entries"][0]["output"]["pruned"] > 0
    loaded_ends_alike(record, long)


def test_nothing_is_sent_again() -> None:
    @workflow
    def tells() -> str:
        send("other", "hello", {"n": 1})
        return note("told")

    @workflow
    def listens() -> Any:
        return receive("hello").data

    record = recorded(tells, meanwhile=lambda lab: lab.start("other", listens) and None)

    with Lab() as lab:
        lab.start("other", listens)
        lab.load(record, tells)
        lab.run_to_end("r")
        with pytest.raises(Stuck):
            lab.run_to_end("other")


def test_the_state_that_steps_left_is_there() -> None:
    @step
    def keep(value: int) -> None:
        run_state()["value"] = value

    broken = [True]

    @step(retries=0)
    def fragile() -> Any:
        if broken[0]:
            raise OSError("broken")
        return dict(run_state())

    @workflow
    def shop() -> Any:
        keep(1)
        keep(2)
        return fragile()

    record = recorded(shop)
    broken[0] = False

    with Lab() as lab:
        lab.load(record, shop)

        assert lab.run_to_end("r") == {"value": 2}


def test_a_crash_of_the_lab_loses_no_answer() -> None:
    @workflow
    def shop() -> str:
        note("a")
        sleep("1h")
        return note("b")

    record = recorded(shop)

    with Lab() as lab:
        run = lab.load(record, shop)
        lab.run_once("r")
        lab.crash()
        output = lab.run_to_end("r")

    assert (output, NEVER) == ("b", [])
    assert run.recorded_output() == "b"


@pytest.mark.parametrize("store", ["file", "memory"])
def test_a_record_is_loaded_into_any_store(tmp_path: Path, store: str) -> None:
    @workflow
    def shop() -> str:
        receive("go")
        return note("a")

    record = recorded(shop, meanwhile=lambda lab: lab.send("r", "go"))

    with Lab(tmp_path / "runs.db" if store == "file" else None) as lab:
        run = lab.load(record, shop)

        assert lab.run_to_end("r") == "a"
        assert run.order() == {"": ["message go", "step note"]}


def test_what_is_no_record_is_refused() -> None:
    @workflow
    def shop() -> None: ...

    with Lab() as lab, pytest.raises(ValueError, match="no exported run"):
        lab.load({"run": {}}, shop)


def test_a_run_is_loaded_once() -> None:
    @workflow
    def shop() -> None: ...

    record = recorded(shop)
    with Lab() as lab:
        lab.load(record, shop)

        with pytest.raises(RunConflict, match="already"):
            lab.load(record, shop)
