"""One verdict a run: open runs and finished ones under code that was edited, each edit as somebody would make it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from flowkit import CriticalError, Workflow, checkpoint, receive, removed, step, workflow
from flowkit.check import replay_runs
from flowkit.testing import Lab, MemoryDriver
from tests.check.replays import Shop, charge, notify, only, place, plain, refuse, shop, verdicts, waits
from tests.worlds import World, both

__all__ = ["shop"]

Calls = Generator[Any, Any, Any]


def test_an_open_run_goes_on_at_the_call_that_comes_next(shop: Shop) -> None:
    shop.begin("r", waits)

    found = only(shop.replay(waits))

    assert (found.verdict, found.ended, found.runs, found.samples) == ("goes on", False, 1, ("r",))
    assert [(each.location, each.source) for each in found.places] == [("go", place(waits, 3))]


def test_a_finished_run_that_reaches_its_recorded_end_is_the_same(shop: Shop) -> None:
    shop.begin("r", plain)

    assert verdicts(shop.replay(plain)) == [("same", True, 1)]


def test_a_finished_run_that_would_do_something_more_goes_on_there(shop: Shop) -> None:
    @workflow(name="shop")
    def more() -> str:
        charge(1)
        notify()
        return "done"

    shop.begin("r", plain)

    found = only(shop.replay(more))

    assert (found.verdict, found.ended) == ("goes on", True)
    assert [(each.location, each.source) for each in found.places] == [("notify", place(more, 3))]


def test_a_finished_run_with_another_output_tells_where_and_not_what(shop: Shop) -> None:
    def made(price: int) -> Workflow[..., Any]:
        @workflow(name="shop")
        def flow() -> dict[str, Any]:
            return {"id": charge(1), "items": [{"price": 1}, {"price": price}]}

        return flow

    shop.begin("r", made(5))

    found = only(shop.replay(made(7)))

    assert (found.verdict, found.ended, found.made, found.path) == (
        "other end", True, "completed with another output", "$.items[1].price",
    )  # fmt: skip


def test_an_output_that_is_only_written_in_another_order_is_the_same(shop: Shop) -> None:
    @workflow(name="shop")
    def one() -> dict[str, int]:
        return {"a": 1, "b": 2}

    @workflow(name="shop")
    def other() -> dict[str, int]:
        return {"b": 2, "a": 1}

    shop.begin("r", one)

    assert verdicts(shop.replay(other)) == [("same", True, 1)]


def test_a_failed_run_that_fails_for_the_same_reason_is_the_same(shop: Shop) -> None:
    broken = step(refuse, name="broken")

    @workflow(name="shop")
    def flow() -> None:
        charge(1)
        broken()

    shop.begin("r", flow)

    assert verdicts(shop.replay(flow)) == [("same", True, 1)]


def test_a_failed_run_whose_undone_steps_are_recalled_is_the_same(shop: Shop) -> None:
    undone = step(lambda: 1, name="undone", rollback=lambda value: None)
    broken = step(refuse, name="broken")

    @workflow(name="shop")
    def flow() -> None:
        checkpoint("start")
        undone()
        broken()

    shop.begin("r", flow)

    assert [entry.status for entry in shop.lab.history("r")] == ["completed", "rolled_back", "failed"]
    assert verdicts(shop.replay(flow)) == [("same", True, 1)]


def test_a_failed_run_that_now_succeeds_has_another_end(shop: Shop) -> None:
    broken = step(refuse, name="broken")

    @workflow(name="shop")
    def old() -> None:
        broken()

    @workflow(name="shop")
    def caught() -> str:
        try:
            broken()
        except CriticalError:
            return "handled"
        return "fine"

    shop.begin("r", old)

    found = only(shop.replay(caught))

    assert (found.verdict, found.recorded, found.made) == ("other end", "failed with CriticalError", "completed")


def test_a_completed_run_whose_code_now_raises_has_another_end(shop: Shop) -> None:
    @workflow(name="shop")
    def stricter() -> str:
        raise ValueError(f"{charge(1)} is too little")

    shop.begin("r", plain)

    found = only(shop.replay(stricter))

    assert (found.verdict, found.recorded, found.made) == ("other end", "completed", "failed with ValueError")


def test_a_cancelled_run_is_the_same_if_it_comes_as_far_as_it_came(shop: Shop) -> None:
    @workflow(name="shop")
    def short() -> str:
        charge(1)
        removed("go", "message")
        return "done"

    shop.begin("r", waits)
    shop.lab.get("r").cancel()

    assert verdicts(shop.replay(waits)) == [("same", True, 1)]
    assert [(each.verdict, each.made) for each in shop.replay(short).findings] == [("other end", "completed")]


def test_a_held_run_names_both_sides_and_the_lines(shop: Shop) -> None:
    @workflow(name="shop")
    def without() -> str:
        receive("go")
        return "done"

    shop.begin("r", waits)

    replay = shop.replay(without)

    found = only(replay)
    assert (found.verdict, found.ended, found.location, replay.held) == ("held", False, "charge", 1)
    assert (found.recorded, found.made) == ("step `charge`", "message `go`")
    assert [(line.text, line.where, line.source) for line in found.lines] == [
        ('removed("charge", "step")', "before", place(without, 2))
    ]


def test_a_finished_run_that_no_longer_fits_holds_up_nobody(shop: Shop) -> None:
    @workflow(name="shop")
    def without() -> str:
        return "done"

    shop.begin("r", plain)

    replay = shop.replay(without)

    assert verdicts(replay) == [("held", True, 1)]
    assert replay.held == 0


def test_what_does_not_decode_is_told_by_value_path_and_annotation(shop: Shop) -> None:
    @step(name="price")
    def old_price() -> dict[str, int]:
        return {"n": 1}

    @step(name="price")
    def new_price() -> dict[str, list[int]]:
        return {}

    @workflow(name="shop")
    def old() -> None:
        old_price()
        receive("go")

    @workflow(name="shop")
    def new() -> None:
        new_price()
        receive("go")

    shop.begin("r", old)

    replay = shop.replay(new)

    found = only(replay)
    assert (found.verdict, found.recorded, found.path, found.annotation) == (
        "does not decode", "the value of `price`", "$.n", "dict[str, list[int]]",
    )  # fmt: skip
    assert replay.held == 1


def test_an_input_that_does_not_decode_names_its_parameter(shop: Shop) -> None:
    @workflow(name="shop")
    def old(order: dict[str, Any]) -> None:
        receive("go")

    @workflow(name="shop")
    def new(order: list[int]) -> None:
        receive("go")

    shop.begin("r", old, {"id": 7})

    found = only(shop.replay(new))

    assert (found.verdict, found.recorded, found.path, found.annotation) == (
        "does not decode", "the input", "$.order", "list[int]",
    )  # fmt: skip


def test_an_output_that_does_not_decode_is_the_finished_runs_own(shop: Shop) -> None:
    @workflow(name="shop")
    def old() -> dict[str, Any]:
        return {"n": "five"}

    @workflow(name="shop")
    def new() -> dict[str, int]:
        return {"n": 5}

    shop.begin("r", old)

    found = only(shop.replay(new))

    assert (found.verdict, found.ended, found.recorded, found.path) == ("does not decode", True, "the output", "$.n")


@both
def test_a_finished_run_of_every_primitive_is_the_same(colour: str) -> None:
    world = World(colour)

    def turn(do: World, n: int) -> Calls:
        yield do.step("label")
        return do.Continue(n + 1) if n < 30 else do.Break(n)

    def branch(do: World) -> Calls:
        yield do.step("inside")
        return 1

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        yield do.sleep(0.001)
        turns = yield do.loop(do.body(turn), 0, name="pack", prune_every=5)
        joined = yield do.join(a=do.body(branch), b=do.body(branch))
        won = yield do.race(a=do.body(branch))
        tried = yield do.attempt(do.body(branch))
        return [turns, joined, won.value, tried.value]

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", world.flow(flow))
        ended = lab.run_to_end("r")
        world.log.clear()

        replay = replay_runs(driver, {"flow": world.flow(flow)})

    assert (ended, world.log) == ([30, {"a": 1, "b": 1}, 1, 1], [])
    assert verdicts(replay) == [("same", True, 1)]
