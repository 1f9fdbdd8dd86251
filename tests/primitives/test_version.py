"""`version`: which code a run takes, pinned once asked."""

from __future__ import annotations

from typing import Any

import pytest

from flowkit import Break, Continue, receive, removed, workflow
from flowkit.testing import Lab
from tests.scripts import Calls, start
from tests.worlds import World, both


def old_shop(do: World) -> Calls:
    yield do.step("a")
    yield do.receive("go")
    return "old"


def versioned(do: World) -> Calls:
    found = yield do.version("v", 2)
    yield do.step("a")
    yield do.receive("go")
    return found


@both
def test_version_answers_1_where_the_run_went_past_and_latest_on_a_fresh_path(colour: str) -> None:
    """CH20 1 if the current scope has a recorded child that this pass has not visited, else `latest`."""
    world = World(colour)
    with Lab() as lab:
        start(lab, world, old_shop)
        lab.send("r", "go")
        lab.start("fresh", world.flow(versioned))
        lab.send("fresh", "go")

        assert lab.run_once("r", workflow=world.flow(versioned)).output == 1
        assert lab.run_once("fresh").output == 2


@both
def test_a_version_behind_all_that_is_recorded_is_fresh(colour: str) -> None:
    """CH20 a run that has not come so far takes the new code."""
    world = World(colour)

    def old(do: World) -> Calls:
        yield do.step("a")
        yield do.receive("go")
        yield do.step("b")

    def new(do: World) -> Calls:
        yield do.step("a")
        yield do.receive("go")
        return (yield do.version("v", 3))

    with Lab() as lab:
        start(lab, world, old)
        lab.send("r", "go")

        assert lab.run_once("r", workflow=world.flow(new)).output == 3


@both
def test_the_answer_is_pinned_for_each_turn_and_branch_by_itself(colour: str) -> None:
    """CH20 the turn under way stays with the old code, the next turn takes the new."""
    world = World(colour)
    answers: list[tuple[int, int]] = []

    def old_turn(do: World, n: int) -> Calls:
        yield do.step("a")
        yield do.receive("go")
        return Continue(n + 1) if n < 2 else Break(n)

    def new_turn(do: World, n: int) -> Calls:
        found = yield do.version("v", 2)
        answers.append((n, found))
        yield do.step("a")
        yield do.receive("go")
        return Continue(n + 1) if n < 2 else Break(n)

    def old(do: World) -> Calls:
        yield do.loop(do.body(old_turn), state=0, name="l")

    def new(do: World) -> Calls:
        yield do.loop(do.body(new_turn), state=0, name="l")

    with Lab() as lab:
        start(lab, world, old)
        lab.run_once("r", workflow=world.flow(new))
        lab.send("r", "go")
        lab.run_once("r")
        lab.send("r", "go")
        lab.send("r", "go")
        lab.run_to_end("r")

        assert dict(answers) == {0: 1, 1: 2, 2: 2}
        assert [(e.location, e.output) for e in lab.history("r") if e.kind == "version"] == [
            ("l/~0/v", 1),
            ("l/~1/v", 2),
            ("l/~2/v", 2),
        ]


@both
def test_an_answer_stays_pinned_when_the_code_moves_on(colour: str) -> None:
    """CH20, CH23 the entry keeps it: a run that took 2 takes 2 under code that knows 5."""
    world = World(colour)

    def newer(do: World) -> Calls:
        found = yield do.version("v", 5)
        yield do.step("a")
        yield do.receive("go")
        return found

    with Lab() as lab:
        start(lab, world, versioned)
        lab.send("r", "go")

        assert lab.run_once("r", workflow=world.flow(newer)).output == 2


@both
def test_version_removed_and_checkpoint_make_no_commit_of_their_own(colour: str) -> None:
    """CH21 they ride on the next commit."""
    world = World(colour)

    def flow(do: World) -> Calls:
        yield do.version("v", 2)
        yield do.removed("x", "step")
        yield do.checkpoint("c")
        yield do.step("a")
        yield do.version("w", 2)

    with Lab() as lab:
        lab.start("r", world.flow(flow))
        before = lab.commits

        lab.run_once("r")

        assert lab.commits - before == 2
        assert [e.location for e in lab.history("r")] == ["v", "x", "c", "a", "w"]


@both
def test_version_and_removed_may_come_before_unvisited_children(colour: str) -> None:
    """CH21 they are exempt from CH2 and CH3, open entries behind them or not."""
    world = World(colour)

    def new(do: World) -> Calls:
        yield do.removed("gone", "step")
        yield do.version("v", 9)
        yield do.step("a")
        yield do.receive("go")
        return "new"

    with Lab() as lab:
        start(lab, world, old_shop)
        lab.send("r", "go")

        assert lab.run_once("r", workflow=world.flow(new)).output == "new"


@both
@pytest.mark.parametrize("latest", [0, -1, 1.5, True, "2"])
def test_latest_must_be_a_whole_number_of_at_least_1(colour: str, latest: Any) -> None:
    """CH22 else `ValueError`."""
    world = World(colour)

    def flow(do: World) -> Calls:
        yield do.version("v", latest)

    with Lab() as lab:
        lab.start("r", world.flow(flow))

        made = lab.run_once("r")

        assert made.status == "failed"
        assert isinstance(made.error, ValueError)


@both
def test_a_recorded_answer_greater_than_latest_is_divergence(colour: str) -> None:
    """CH22 older code that comes back does not run what newer code began."""
    world = World(colour)

    def older(do: World) -> Calls:
        yield do.version("v", 1)
        yield do.step("a")
        yield do.receive("go")

    with Lab() as lab:
        start(lab, world, versioned)

        made = lab.run_once("r", workflow=world.flow(older))

        assert made.status == "blocked"
        assert ".py:" in str(made.error)
        assert lab.run_once("r", workflow=world.flow(versioned)).status == "sleeping"


@both
def test_a_gate_is_retired_with_removed(colour: str) -> None:
    """CH23 `removed(name, "version")`, for runs with the gate and without."""
    world = World(colour)

    def retired(do: World) -> Calls:
        yield do.removed("v", "version")
        yield do.step("a")
        yield do.receive("go")
        return "retired"

    with Lab() as lab:
        start(lab, world, versioned)
        lab.send("r", "go")
        lab.start("fresh", world.flow(retired))
        lab.send("fresh", "go")

        assert lab.run_once("r", workflow=world.flow(retired)).output == "retired"
        assert lab.run_once("fresh").output == "retired"


@both
def test_replay_from_a_later_entry_does_not_flip_a_version(colour: str) -> None:
    """CH23 the recorded 1 stays 1."""
    world = World(colour)

    def new(do: World) -> Calls:
        found = yield do.version("v", 2)
        yield do.step("a")
        yield do.receive("go")
        yield do.step("b")
        return found

    with Lab() as lab:
        start(lab, world, old_shop)
        lab.send("r", "go")
        assert lab.run_once("r", workflow=world.flow(new)).output == 1

        lab.get("r").replay("b")

        assert lab.run_once("r").output == 1


def test_names_and_kinds_of_removed_are_checked() -> None:
    """CH17, CH18 a kind that there is not, and a name that cannot be."""

    @workflow
    def flow(name: str, kind: str) -> None:
        removed(name, kind)
        receive("go")

    with Lab() as lab:
        lab.start("kind", flow, "a", "thing")
        lab.start("name", flow, "a/b", "step")

        assert isinstance(lab.run_once("kind").error, ValueError)
        assert isinstance(lab.run_once("name").error, ValueError)
