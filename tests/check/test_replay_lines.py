"""What a replay says besides verdicts: numbered calls that have moved, and lines that no run needs any more."""

from __future__ import annotations

from flowkit import receive, removed, version, workflow
from flowkit.core.verdict import Replay
from tests.check.replays import Shop, charge, notify, place, shop, validate, verdicts, waits

__all__ = ["shop"]


def test_the_first_of_three_calls_taken_out_is_a_warning_and_holds_nobody(shop: Shop) -> None:
    @workflow(name="shop")
    def three() -> None:
        for amount in (1, 2, 3):
            charge(amount)
        receive("go")

    @workflow(name="shop")
    def two() -> None:
        charge(2)
        charge(3)
        removed("charge#3", "step")
        receive("go")

    for run in ("a", "b"):
        shop.begin(run, three)

    replay = shop.replay(two)

    assert verdicts(replay) == [("goes on", False, 2)]
    assert [(each.location, each.source, each.runs, each.samples) for each in replay.warnings] == [
        ("charge", place(two, 2), 2, ("b", "a")), ("charge#2", place(two, 3), 2, ("b", "a")),
    ]  # fmt: skip


def test_other_arguments_of_a_step_that_is_called_once_are_no_warning(shop: Shop) -> None:
    @workflow(name="shop")
    def dearer() -> str:
        charge(2)
        receive("go")
        return "done"

    shop.begin("r", waits)

    assert shop.replay(dearer).warnings == ()


@workflow(name="shop")
def validated() -> None:
    validate()
    receive("go")


@workflow(name="shop")
def mended() -> None:
    removed("validate", "step")
    if version("add-notify", 2) >= 2:
        notify()
    receive("go")


def leftovers(replay: Replay) -> list[tuple[str, str]]:
    return [(each.kind, each.name) for each in replay.leftovers]


def test_lines_that_no_open_run_needs_are_named_with_their_place(shop: Shop) -> None:
    shop.lab.start("fresh", mended)

    replay = shop.replay(mended)

    assert [(each.kind, each.name, each.source, each.code) for each in replay.leftovers] == [
        ("removed", "validate", place(mended, 2), 'removed("validate", "step")'),
        ("version", "add-notify", place(mended, 3), 'if version("add-notify", 2) >= 2:'),
    ]


def test_lines_that_an_open_run_needs_are_not_named(shop: Shop) -> None:
    shop.begin("old", validated)

    assert leftovers(shop.replay(mended)) == []


def test_a_placeholder_that_a_run_has_recorded_is_needed_until_that_run_ends(shop: Shop) -> None:
    shop.begin("new", mended)
    while_open = leftovers(shop.replay(mended))
    shop.lab.send("new", "go")
    shop.lab.run_once("new")

    assert while_open == []
    assert leftovers(shop.replay(mended)) == [("removed", "validate"), ("version", "add-notify")]


def test_only_the_line_that_is_needed_is_kept(shop: Shop) -> None:
    @workflow(name="shop")
    def half() -> None:
        removed("validate", "step")
        receive("go")
        removed("notify", "step")

    shop.begin("old", validated)

    assert leftovers(shop.replay(half)) == [("removed", "notify")]


def test_while_a_run_is_held_no_line_is_called_a_leftover(shop: Shop) -> None:
    @workflow(name="shop")
    def other() -> None:
        removed("notify", "step")
        receive("other")

    shop.begin("old", validated)

    replay = shop.replay(other)

    assert (leftovers(replay), replay.undecided, replay.held) == ([], ("shop",), 1)
