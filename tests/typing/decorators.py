"""What the decorators infer. Never run: a house test has the type checkers read it.

R is what the call returns, so a step with an async body is a ``Step[P, Coroutine[Any, Any, T]]``.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

import flowkit
from flowkit import Attempt, Message, Run, Step, Winner, Workflow, step, workflow


@step
def charge(order: int, *, currency: str = "EUR") -> str:
    return f"{order} {currency}"


@step(retries=5, timeout=None)
def charge_with_options(order: int, *, currency: str = "EUR") -> str:
    return f"{order} {currency}"


@step
async def fetch(url: str) -> bytes:
    return url.encode()


@step(retries=5)
async def fetch_with_options(url: str) -> bytes:
    return url.encode()


@workflow
def checkout(order: int) -> dict[str, str]:
    assert_type(charge(order), str)
    assert_type(charge.attempt(order), Attempt[str])
    assert_type(fetch.plain("a"), bytes)
    return {}


@workflow(name="other", tags=("vip",))
def named(order: int) -> list[int]:
    return [order]


@workflow
async def gather(order: int) -> float:
    assert_type(await fetch("a"), bytes)
    assert_type(await fetch.attempt("a"), Attempt[bytes])
    assert_type(await charge.aio(order, currency="USD"), str)
    assert_type(await charge.aio.attempt(order), Attempt[str])
    return 0.5


class Shop:
    @step
    def price(self, item: str) -> int:
        return len(item)


def test_a_step_keeps_the_functions_signature() -> None:
    assert_type(charge(1, currency="USD"), str)
    assert_type(charge_with_options(1, currency="USD"), str)
    charge("one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # the pin: an int is wanted
    charge(1, "USD")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]  # the pin: keyword only


def test_a_step_with_an_async_body_returns_a_coroutine() -> None:
    step_of_bytes: Step[[str], Coroutine[Any, Any, bytes]] = fetch
    assert_type(step_of_bytes.plain("a"), bytes)
    assert_type(fetch_with_options.plain("a"), bytes)


def test_options_give_the_same_step() -> None:
    assert_type(charge.options(retries=9)(1), str)
    assert_type(charge.options(name="again").attempt(1), Attempt[str])


def test_a_closure_becomes_a_step_by_a_call() -> None:
    assert_type(step(lambda: 3, name="three")(), int)


def test_a_step_binds_as_a_method() -> None:
    assert_type(Shop().price("pen"), int)
    assert_type(Shop().price.attempt("pen"), Attempt[int])


def test_a_workflow_keeps_the_functions_signature() -> None:
    assert_type(checkout(1), dict[str, str])
    assert_type(named(1), list[int])
    again: Workflow[[int], list[int]] = named.options(tags=("vip",), delay="5m")
    assert_type(again(1), list[int])


def test_a_run_knows_what_its_workflow_returns() -> None:
    with flowkit.open(":memory:") as fk:
        assert_type(fk.start("a", checkout, 1), Run[dict[str, str]])
        assert_type(fk.run("b", checkout, 1), dict[str, str])
        assert_type(fk.start("c", gather, 1).result(timeout=1), float)
        fk.start("d", checkout, "one")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]  # the pin


def test_primitives_say_what_they_return() -> None:
    assert_type(flowkit.receive("go"), Message)
    assert_type(flowkit.receive_batch("go", count=3), list[Message])
    assert_type(flowkit.version("rounding", 2), int)
    assert_type(flowkit.race(one=lambda: 1), Winner[int])
    assert_type(flowkit.join(one=lambda: 1), dict[str, int])
    assert_type(flowkit.attempt(lambda: 1), Attempt[int])
