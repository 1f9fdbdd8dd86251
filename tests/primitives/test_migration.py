"""`removed` and `version`: how code changes under runs that are open, and what a worker makes of blocked ones."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import Break, Continue, HistoryDiverged, receive, removed, step, workflow
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.worlds import World, both

Calls = Generator[Any, Any, Any]


def start(lab: Lab, world: World, script: Any) -> None:
    """A run of `script` that has made one pass."""
    lab.start("r", world.flow(script))
    lab.run_once("r")
    world.log.clear()


def old_shop(do: World) -> Calls:
    yield do.step("a")
    yield do.receive("go")
    return "old"


# --- who tries a blocked run again --------------------------------------------------------------------------------------


def until(look: Any, wanted: object) -> None:
    """Wait for `look()` to be `wanted`, for at most three seconds."""
    end = time.monotonic() + 3
    while look() != wanted and time.monotonic() < end:
        time.sleep(0.01)
    assert look() == wanted


@both
def test_a_blocked_run_goes_on_by_itself_when_the_code_is_mended(colour: str, tmp_path: Path) -> None:
    """CH13 a blocked run is tried again by the first worker with other code; CH14 when it fits that pass goes on."""
    world = World(colour)

    def bad(do: World) -> Calls:
        yield do.step("b")

    with flowkit.open(tmp_path / "x.db", workflows=[world.flow(old_shop)]) as fk:
        run = fk.start("r", fk.workflow_named("flow"))
        until(run.status, "sleeping")
    with flowkit.open(tmp_path / "x.db", workflows=[world.flow(bad)]) as fk:
        run = fk.get("r")
        run.wake()
        until(run.status, "blocked")
        with pytest.raises(HistoryDiverged, match="step `a`"):
            run.result(timeout=1)

    with flowkit.open(tmp_path / "x.db", workflows=[world.flow(old_shop)]) as fk:
        fk.get("r").send("go")

        until(fk.get("r").status, "completed")
        assert fk.get("r").output() == "old"


@both
def test_a_blocked_run_is_tried_once_by_each_code_and_again_at_each_resume(colour: str, tmp_path: Path) -> None:
    """CH13 not again under a fingerprint under which it was blocked; once more at each `resume()`."""
    world = World(colour)
    passes: list[str] = []

    def bad(do: World) -> Calls:
        passes.append("pass")
        yield do.step("b")

    bad_flow = world.flow(bad)
    with flowkit.open(tmp_path / "x.db", workflows=[world.flow(old_shop)]) as fk:
        until(fk.start("r", fk.workflow_named("flow")).status, "sleeping")
    with flowkit.open(tmp_path / "x.db", workflows=[bad_flow]) as fk:
        fk.get("r").wake()
        until(fk.get("r").status, "blocked")
    first = len(passes)
    with flowkit.open(tmp_path / "x.db", workflows=[bad_flow]) as fk:
        time.sleep(0.5)

        assert len(passes) == first
        fk.get("r").resume()
        until(lambda: len(passes) > first and fk.get("r").status() == "blocked", True)


@both
def test_a_workflow_that_no_worker_has_is_left_alone(colour: str, tmp_path: Path) -> None:
    """CH16 its runs stay as they are and are not blocked."""
    world = World(colour)

    @workflow(name="another")
    def another() -> int:
        return 1

    with flowkit.open(tmp_path / "x.db", workflows=[world.flow(old_shop)]) as fk:
        until(fk.start("r", fk.workflow_named("flow")).status, "sleeping")
    with flowkit.open(tmp_path / "x.db", workflows=[another]) as fk:
        fk.get("r").send("go")
        fk.run("s", another)
        time.sleep(0.3)

        assert fk.get("r").status() == "sleeping"
        assert fk.get("r").error() is None


# --- removed ------------------------------------------------------------------------------------------------------------


@both
def test_removed_accepts_the_old_entry_and_an_earlier_placeholder(colour: str) -> None:
    """CH17 an entry of that kind; or a placeholder; or nothing, and then it writes one."""
    world = World(colour)

    def new(do: World) -> Calls:
        yield do.removed("a", "step")
        yield do.step("b")
        yield do.receive("go")
        return "new"

    with Lab() as lab:
        lab.start("fresh", world.flow(new))
        lab.run_once("fresh")
        lab.start("r", world.flow(old_shop))
        lab.run_once("r")
        for run in ("fresh", "r"):
            lab.send(run, "go")

        outputs = [lab.run_once("fresh").output, lab.run_once("r", workflow=world.flow(new)).status]

        assert outputs == ["new", "blocked"]
        assert [(e.location, e.kind) for e in lab.history("fresh")][:2] == [("a", "removed"), ("b", "step")]


@both
def test_removed_stands_in_for_an_entry_of_that_kind(colour: str) -> None:
    """CH17 the recorded entry stays as it is, and nothing is written for it."""
    world = World(colour)

    def new(do: World) -> Calls:
        yield do.removed("a", "step")
        yield do.receive("go")
        return "new"

    with Lab() as lab:
        start(lab, world, old_shop)
        lab.send("r", "go")

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.output == "new"
        assert [(e.location, e.kind, e.status) for e in lab.history("r")] == [
            ("a", "step", "completed"),
            ("go", "message", "completed"),
        ]


@both
def test_removed_of_another_kind_diverges_and_says_where(colour: str) -> None:
    """CH17 it diverges on any other kind; CH9 with file:line."""
    world = World(colour)

    def new(do: World) -> Calls:
        yield do.removed("a", "loop")
        yield do.receive("go")

    with Lab() as lab:
        start(lab, world, old_shop)

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert 'removed("a", "step")' in str(made.error)
        assert ".py:" in str(made.error)


@both
def test_removed_claims_the_whole_subtree(colour: str) -> None:
    """CH17 a loop, join or race with all that lies in it (in the original the children diverged)."""
    world = World(colour)

    def turn(do: World, n: int) -> Calls:
        yield do.step("t")
        return Break(n)

    def branch(do: World) -> Calls:
        yield do.step("x")

    def old(do: World) -> Calls:
        yield do.loop(do.body(turn), state=0, name="l")
        yield do.join("j", {"b": do.body(branch)})
        yield do.race("k", {"b": do.body(branch)})
        yield do.receive("go")

    def new(do: World) -> Calls:
        yield do.removed("l", "loop")
        yield do.removed("j", "join")
        yield do.removed("k", "race")
        yield do.receive("go")
        return "new"

    with Lab() as lab:
        start(lab, world, old)
        lab.send("r", "go")

        assert lab.run_once("r", workflow=world.flow(new)).output == "new"


@both
def test_removed_takes_numbered_names(colour: str) -> None:
    """CH18 `charge#2`, and the number is then taken."""
    world = World(colour)

    def old(do: World) -> Calls:
        yield do.step("a", default_name=True)
        yield do.step("a", default_name=True)
        yield do.receive("go")

    def new(do: World) -> Calls:
        yield do.step("a", default_name=True)
        yield do.removed("a#2", "step")
        yield do.receive("go")
        yield do.step("a", default_name=True)

    with Lab() as lab:
        start(lab, world, old)
        lab.send("r", "go")

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "completed"
        assert [e.location for e in lab.history("r")] == ["a", "a#2", "go", "a#3"]


@both
def test_removed_takes_the_kind_attempt_for_a_block(colour: str) -> None:
    """CH18 with the open entries in it, and on every later pass."""
    world = World(colour)

    def block(do: World) -> Calls:
        yield do.step("x")
        yield do.receive("never")

    def old(do: World) -> Calls:
        yield do.attempt(do.body(block), name="pay")

    def new(do: World) -> Calls:
        yield do.removed("pay", "attempt")
        yield do.sleep("1h")
        return "new"

    with Lab() as lab:
        start(lab, world, old)
        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "sleeping"
        assert made.waiting_for == []
        assert lab.run_to_end("r") == "new"
        assert [(e.location, e.kind, e.status) for e in lab.history("r")] == [
            ("pay/x", "step", "completed"),
            ("pay/never", "message", "cancelled"),
            ("pay", "removed", "completed"),
            ("sleep", "sleep", "completed"),
        ]


@both
def test_removed_of_a_step_in_the_place_of_a_block_diverges(colour: str) -> None:
    """CH17, CH18 a block is of the kind `attempt` only."""
    world = World(colour)

    def block(do: World) -> Calls:
        yield do.step("x")

    def old(do: World) -> Calls:
        yield do.attempt(do.body(block), name="pay")
        yield do.receive("go")

    def new(do: World) -> Calls:
        yield do.removed("pay", "step")
        yield do.receive("go")

    with Lab() as lab:
        start(lab, world, old)

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert 'removed("pay", "attempt")' in str(made.error)


@both
@pytest.mark.parametrize("kind", ["sleep", "message", "loop", "join", "race"])
def test_an_open_entry_that_removed_stands_in_for_is_cancelled(colour: str, kind: str) -> None:
    """CH19 it becomes `cancelled` with the next commit, and the run does not wait for it."""
    world = World(colour)

    def fails(do: World) -> Calls:
        yield do.receive("never")

    def old(do: World) -> Calls:
        calls = {
            "sleep": lambda: do.sleep("60d", name="old"),
            "message": lambda: do.receive("never", as_name="old"),
            "loop": lambda: do.loop(do.body(fails), name="old"),
            "join": lambda: do.join("old", {"b": do.body(fails)}),
            "race": lambda: do.race("old", {"b": do.body(fails)}),
        }
        yield calls[kind]()

    def new(do: World) -> Calls:
        yield do.removed("old", kind)
        yield do.sleep("1s")
        return "new"

    with Lab() as lab:
        start(lab, world, old)

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.wake_at == pytest.approx(lab.now + 1)
        assert lab.run_to_end("r") == "new"
        assert {e.status for e in lab.history("r") if e.location.startswith("old")} == {"cancelled"}


@both
def test_a_retrying_step_that_removed_stands_in_for_is_cancelled(colour: str) -> None:
    """CH19 its stored retry wakes nobody."""
    world = World(colour)
    fails = step(lambda: 1 / 0, name="old", backoff=3600)

    def old(do: World) -> Calls:
        yield fails.aio() if do.awaits else fails()

    def new(do: World) -> Calls:
        yield do.removed("old", "step")
        yield do.sleep("1s")
        return "new"

    with Lab() as lab:
        start(lab, world, old)

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.wake_at == pytest.approx(lab.now + 1)
        assert lab.run_to_end("r") == "new"
        assert [(e.location, e.status) for e in lab.history("r")] == [("old", "cancelled"), ("sleep", "completed")]


@both
def test_a_migration_survives_a_crash_at_any_commit(colour: str) -> None:
    """CH17, CH19, CH20 with a crash at each side of each commit."""
    world = World(colour)

    def old(do: World) -> Calls:
        yield do.step("a")
        yield do.sleep("1h", name="nap")

    def new(do: World) -> Calls:
        yield do.step("a")
        if (yield do.version("v", 2)) >= 2:
            yield do.step("b")
        yield do.removed("nap", "sleep")
        yield do.step("c")
        return "new"

    before, after = world.flow(old), world.flow(new)

    told = crash_everywhere(
        Script(
            "r",
            (
                lambda lab: lab.start("r", before),
                lambda lab: lab.run_once("r", workflow=before),
                lambda lab: lab.run_to_end("r", workflow=after),
            ),
        )
    )

    assert told.output == "new"
    assert [entry[:3] for entry in told.entries] == [
        ("a", "step", "completed"),
        ("c", "step", "completed"),
        ("nap", "sleep", "cancelled"),
        ("v", "version", "completed"),
    ]


# --- version ------------------------------------------------------------------------------------------------------------


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
    """CH23 the recorded 1 stays 1 (in the original it could flip)."""
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
