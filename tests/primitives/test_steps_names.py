"""Names of steps and of everything else in a scope: numbering, and names that meet."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import (
    Break,
    DuplicateName,
    InvalidName,
    Workflow,
    attempt,
    checkpoint,
    join,
    loop,
    race,
    receive_batch,
    removed,
    send,
    sleep,
    sleep_until,
    step,
    version,
    workflow,
)
from flowkit.testing import Lab
from tests.primitives.colours import Colour, every_colour, native_colours


def locations(flow: Workflow[..., Any]) -> list[str]:
    """Where the entries of a run stand that went as far as it could."""
    with Lab() as lab:
        lab.start("other", flow.options())
        lab.start("r", flow)
        lab.run_once("r")
        return [entry.location for entry in lab.history("r")]


@step
def charge() -> int:
    """A step with a default name."""
    return 1


@step
async def fetch() -> int:
    """An async one."""
    return 1


@every_colour
def test_a_default_name_that_is_taken_is_numbered(colour: Colour) -> None:
    """ST26: the lowest free number, counted per pass."""
    seen: list[Any] = []
    called = colour.step(lambda: 1, name="x")

    def body() -> int:
        return 1

    one = colour.step(body)
    flow = colour.all_of(one, one, called, one)

    assert (locations(flow), seen) == (["body", "body#2", "x", "body#3"], [])


def test_names_are_counted_over_all_kinds_in_plain_code() -> None:
    """ST26: and names given to removed() are included."""

    @workflow
    def flow() -> None:
        checkpoint("charge")
        charge()
        removed("charge#3", "step")
        charge()
        sleep(0)
        checkpoint("sleepy")

    assert locations(flow) == ["charge", "charge#2", "charge#3", "charge#4", "sleep", "sleepy"]


def test_names_are_counted_over_all_kinds_in_async_code() -> None:
    """ST26: and names given to removed() are included."""

    @workflow
    async def flow() -> None:
        await aio.checkpoint("fetch")
        await fetch()
        await aio.removed("fetch#3", "step")
        await fetch()
        await aio.sleep(0)

    assert locations(flow) == ["fetch", "fetch#2", "fetch#3", "fetch#4", "sleep"]


def test_an_async_call_takes_its_name_when_it_is_awaited() -> None:
    """ST26: in the order of awaits."""

    @workflow
    async def flow() -> None:
        later, sooner = fetch(), fetch.options(record_args=False)()
        await sooner
        await later

    assert locations(flow) == ["fetch", "fetch#2"]


def test_each_scope_counts_for_itself() -> None:
    """ST26: branches, turns and blocks."""

    @workflow
    def flow() -> None:
        charge()
        join(a=charge, b=charge)
        attempt(lambda: charge(), name="block")
        charge()

    assert sorted(locations(flow)) == ["block/charge", "charge", "charge#2", "join", "join/a/charge", "join/b/charge"]


@native_colours
def test_an_explicit_name_used_twice_is_refused(colour: Colour) -> None:
    """ST27: DuplicateName, and the run is blocked."""
    named = colour.step(lambda: 1, name="pay")
    with Lab() as lab:
        lab.start("r", colour.all_of(named, named))

        made = lab.run_once("r")

        assert made.status == "blocked"
        assert isinstance(made.error, DuplicateName)
        assert (made.error.asked_name, made.error.asked_kind) == ("pay", "step")
        assert "colours.py:" in made.error.source


def test_an_explicit_name_that_another_kind_holds_is_refused() -> None:
    """ST27: whichever kind holds it."""

    @workflow
    def flow() -> None:
        sleep(0)
        checkpoint("sleep")

    with Lab() as lab:
        lab.start("r", flow)

        assert isinstance(lab.run_once("r").error, DuplicateName)


def test_a_default_name_that_meets_an_explicit_one_is_numbered() -> None:
    """ST27: only the explicit one must be free."""

    @workflow
    def flow() -> None:
        step(lambda: 1, name="charge")()
        charge()

    assert locations(flow) == ["charge", "charge#2"]


def body() -> Break[None]:
    """A loop's body."""
    return Break(None)


async def awaited_body() -> Break[None]:
    """An async loop's body."""
    return Break(None)


def test_default_names_in_plain_code() -> None:
    """ST28: each kind's own word, a single message's name, the body's name."""

    @workflow
    def flow() -> None:
        sleep(0)
        sleep_until(0)
        receive_batch("paid", count=1, timeout=0)
        receive_batch("a", "b", count=1, timeout=0)
        receive_batch(count=1, timeout=0)
        send("other", "hello")
        join()
        race(a=lambda: 1)
        loop(body)
        loop(lambda: Break(None))
        attempt(charge)
        attempt(lambda: charge())
        version("gate", 2)

    assert locations(flow) == [
        "sleep", "sleep#2", "paid", "receive", "receive#2", "hello", "join", "race", "body", "loop", "charge/charge",
        "attempt/charge", "gate",
    ]  # fmt: skip


def test_default_names_in_async_code() -> None:
    """ST28: the same words."""

    @workflow
    async def flow() -> None:
        await aio.sleep(0)
        await aio.sleep_until(0)
        await aio.receive_batch("paid", count=1, timeout=0)
        await aio.receive_batch("a", "b", count=1, timeout=0)
        await aio.send("other", "hello")
        await aio.join()

        async def quick() -> int:
            return 1

        await aio.race(a=quick)
        await aio.loop(awaited_body)
        await aio.attempt(fetch)

    assert locations(flow) == [
        "sleep", "sleep#2", "paid", "receive", "hello", "join", "race", "awaited_body", "fetch/fetch",
    ]  # fmt: skip


def test_a_lambda_needs_a_name_to_be_a_step() -> None:
    """ST28: InvalidName."""
    with pytest.raises(InvalidName, match="name="):
        step(lambda: 1)
    with pytest.raises(InvalidName):
        step(functools.partial(lambda: 1))


@pytest.mark.parametrize("name", ["", "a/b", "a#2", "~3", "x" * 201, "tab\t", "\ud800"])
def test_a_name_that_cannot_be_is_refused_at_decoration(name: str) -> None:
    """DB6, and the names of API section 3."""
    with pytest.raises(InvalidName):
        step(lambda: 1, name=name)
    with pytest.raises(InvalidName):
        step(name=name)
    with pytest.raises(InvalidName):
        workflow(name=name)


@native_colours
@pytest.mark.parametrize("name", ["größe", "a b", "x" * 200, "支払い", "a~b", "…"])
def test_any_other_name_will_do(colour: Colour, name: str) -> None:
    """DB6: names differ by code point."""
    assert locations(colour.one(colour.step(lambda: 1, name=name))) == [name]


class Shop:
    """Steps as methods."""

    def __init__(self, rate: int) -> None:
        self.rate = rate

    @step
    def charge(self, order: int) -> int:
        """A plain one."""
        return order * self.rate

    @step(retries=1)
    async def fetch(self, order: int) -> int:
        """An async one."""
        return order * self.rate

    @staticmethod
    @step
    def parse(text: str) -> int:
        """One without self."""
        return int(text)


def test_a_method_binds_as_a_function_does() -> None:
    """API section 3: self is not recorded."""

    @workflow
    def flow() -> list[int]:
        shop = Shop(2)
        return [shop.charge(3), Shop(5).charge(order=3), shop.fetch.plain(4), shop.parse("7"), shop.charge.attempt(1).value or 0]

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == [6, 15, 8, 7, 2]
        assert [(e.location, e.args) for e in lab.history("r")] == [
            ("charge", {"order": 3}),
            ("charge#2", {"order": 3}),
            ("fetch", {"order": 4}),
            ("parse", {"text": "7"}),
            ("charge#3", {"order": 1}),
        ]


def test_a_method_binds_in_async_code_too() -> None:
    """API section 3: `.aio` and `options` of a bound step as well."""

    @workflow
    async def flow() -> list[int]:
        shop = Shop(2)
        return [await shop.charge.aio(3), await shop.fetch(4), await shop.charge.options(name="pay").aio(5)]

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == [6, 8, 10]
        assert [e.location for e in lab.history("r")] == ["charge", "fetch", "pay"]


def test_a_callable_object_in_a_class_is_not_bound() -> None:
    """API section 3: it binds as a function does, and what does not bind stays as it is."""

    class Adder:
        def __call__(self, n: int) -> int:
            return n + 1

    class Till:
        add = step(Adder(), name="add")

    @workflow
    def flow() -> int:
        return Till().add(1)

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == 2


def test_a_closure_can_be_a_step() -> None:
    """API section 3: step(fn, name=…) works as a call."""

    @workflow
    def flow(n: int) -> int:
        return step(lambda: n + 1, name="post")()

    with Lab() as lab:
        lab.start("r", flow, 41)

        assert lab.run_to_end("r") == 42


def test_options_give_another_step_and_leave_the_first() -> None:
    """API section 3: other options or name."""
    other = charge.options(name="refund", retries=0)

    @workflow
    def flow() -> int:
        return charge() + other() + charge.options(retries=1)()

    assert locations(flow) == ["charge", "refund", "charge#2"]
