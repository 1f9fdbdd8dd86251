"""`removed`: a placeholder for what the code no longer makes."""

from __future__ import annotations

import pytest

from flowkit import Break, step
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.scripts import Calls, start
from tests.worlds import World, both


def old_shop(do: World) -> Calls:
    yield do.step("a")
    yield do.receive("go")
    return "old"


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
    """CH17 a loop, join or race with all that lies in it."""
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
