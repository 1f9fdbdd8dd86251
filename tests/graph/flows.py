"""Small workflows, each with the outline of its graph and arguments that lead through its ways.

Longer than 400 lines because every shape of code that a graph is read from stands here once.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import flowkit
from flowkit import (
    Break,
    Continue,
    CriticalError,
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
from flowkit.definitions import Workflow

__all__ = ["FLOWS", "Flow", "charge"]


@dataclass(frozen=True)
class Flow:
    """A workflow, what its graph is to look like, and the arguments to run it with."""

    workflow: Workflow[..., Any]
    outline: str
    runs: tuple[tuple[Any, ...], ...]


FLOWS: list[Flow] = []


def flow(outline: str, *runs: tuple[Any, ...]) -> Callable[[Callable[..., Any]], Workflow[..., Any]]:
    """Make a function a workflow of the list."""

    def decorate(function: Callable[..., Any]) -> Workflow[..., Any]:
        made = workflow(function)
        FLOWS.append(Flow(made, outline, runs or ((),)))
        return made

    return decorate


@step
def charge(n: int = 0) -> int:
    if n < 0:
        raise CriticalError("no money")
    return n


@step
async def fetch(n: int = 0) -> int:
    return n


@step
def tell(n: int = 0) -> None: ...


# --- one after the other


@flow(
    """
    step charge
    step charge
    step tell
    sleep nap
    sleep sleep
    """
)
def straight() -> None:
    charge(1)
    charge(2)
    tell(3)
    sleep(1, name="nap")
    flowkit.sleep_until(0)


@flow(
    """
    step fetch
    step charge
    step charge
    sleep sleep
    """
)
async def awaited() -> None:
    await fetch(1)
    await charge.aio(2)
    await charge.aio.attempt(3)
    await aio.sleep(1)


@flow("step fetch\nstep charge")
def through_plain() -> int:
    return charge(fetch.plain(1))


@flow(
    """
    step other
    step big
    step item-… (dynamic)
    """,
    (3,),
)
def renamed(n: int) -> None:
    charge.options(name="other")(1)
    big = charge.options(name="big", retries=1)
    big(2)
    charge.options(name=f"item-{n}")(n)


@flow(
    """
    step charge
    if tried.ok
      step tell
    else
    """,
    (1,), (-1,),
)  # fmt: skip
def attempted(n: int) -> None:
    tried = charge.attempt(n)
    if tried.ok:
        tell()


# --- closures and functions


@flow(
    """
    step post
    step inner
    step outer
    step later
    """
)
def closures() -> None:
    step(lambda: 1, name="post")()

    @step
    def inner() -> int:
        return 1

    @step(name="outer")
    def another() -> int:
        return inner_value()

    def inner_value() -> int:
        return 2

    inner()
    another()
    late = step(name="later")(inner_value)
    late()


@flow("step … (dynamic)", ("a",))
def named_at_run_time(name: str) -> None:
    step(lambda: 1, name=name)()


def bill(n: int) -> int:
    """A helper that another one calls."""
    return charge(n)


def settle(n: int, then: Callable[[int], Any] = tell) -> None:
    """A helper that calls what it is given."""
    bill(n)
    then(n)


@flow(
    """
    in settle
      in bill
        step charge
      step tell
    in settle
      in bill
        step charge
      step charge
    """
)
def through_helpers() -> None:
    settle(1)
    settle(2, charge)
    len([bill])


@flow(
    """
    if n
      in countdown
        step charge
        if n
          again countdown
        else
    else
    """,
    (2,),
)
def recursive(n: int) -> None:
    if n:
        countdown(n)


def countdown(n: int) -> None:
    """Calls itself."""
    charge(n)
    if n:
        countdown(n - 1)


@dataclass
class Shop:
    """Steps and helpers as methods."""

    n: int = 1

    @step
    def pack(self, n: int) -> int:
        return n + self.n

    def ship(self) -> None:
        """Calls a step of its own."""
        self.pack(3)


SHOP = Shop()
HANDLERS: dict[str, Any] = {"card": charge, "note": tell}


@flow(
    """
    step pack
    in ship
      step pack
    step pack
    """
)
def methods() -> None:
    SHOP.pack(1)
    SHOP.ship()
    Shop(2).pack(1)


@flow(
    """
    HANDLERS[how]
      card
        step charge
      note
        step tell
    """,
    ("card",), ("note",),
)  # fmt: skip
def from_a_table(how: str) -> None:
    HANDLERS[how](1)


def made(name: str) -> Any:
    """Makes a step."""
    return step(lambda: 1, name=f"made-{name}")


@flow("step made-x\nstep charge\nstep charge")
def factories() -> None:
    made("x")()
    functools.partial(charge, 1)()
    pay = functools.partial(charge)
    pay(2)


@contextlib.contextmanager
def around() -> Iterator[None]:
    """Does something before and after."""
    charge(1)
    yield
    tell()


@flow("in around\n  step charge\n  step tell\nsleep sleep")
def in_a_context() -> None:
    with around():
        sleep(1)


# --- ways


@flow(
    """
    if n == 1
      step charge
    elif n == 2
      step tell
    elif n == 3
      raise ValueError(n)
    else
      sleep other
    step charge
    """,
    (1,), (2,), (4,),
)  # fmt: skip
def branching(n: int) -> None:
    if n == 1:
        charge(n)
    elif n == 2:
        tell(n)
    elif n == 3:
        raise ValueError(n)
    else:
        sleep(1, name="other")
    charge()


@flow(
    """
    case 1 | 2
      step charge
    case {'n': int(k)} if k
      step tell
    no case of what
    """,
    (1,), ({"n": 3},), ("x",),
)  # fmt: skip
def matching(what: Any) -> None:
    match what:
        case 1 | 2:
            charge()
        case {"n": int(k)} if k:
            tell(k)


@flow(
    """
    if not n
      return None
    else
    step charge
    """,
    (0,), (1,),
)  # fmt: skip
def early(n: int) -> int | None:
    if not n:
        return None
    return charge(n)


@flow(
    """
    try
      step charge
      step tell
    except CriticalError
      sleep late
    finally
      step tell
    """,
    (1,), (-1,),
)  # fmt: skip
def handled(n: int) -> None:
    try:
        charge(n)
        tell()
    except CriticalError:
        sleep(1, name="late")
    finally:
        tell()


@flow(
    """
    if n > 0
      step charge
    else
      step tell
    if n
      step charge
    else
    """,
    (1,), (0,),
)  # fmt: skip
def expressions(n: int) -> Any:
    found = charge(n) if n > 0 else tell(n)
    return found, n and charge(n)


# --- again and again


@flow(
    """
    step fetch-all
    for n in step(lambda: [1, 2], name='fetch-all')()
      step charge
    while count < 4
      step tell
      sleep pause-… (dynamic)
    """
)
def cycles() -> None:
    for n in step(lambda: [1, 2], name="fetch-all")():
        charge(n)
    count = 2
    while count < 4:
        tell(count)
        sleep(1, name=f"pause-{count}")
        count += 1


@flow("for n in range(3) if n\n  step charge\nfor n in (1, 2)\n  in bill\n    step charge")
def comprehensions() -> Any:
    found = [charge(n) for n in range(3) if n]
    return found, {n: bill(n) for n in (1, 2)}


@flow("as map() calls it\n  step charge")
def handed_on() -> list[int]:
    return list(map(charge, (1, 2)))


@flow("for pay in (charge, tell)\n  pay\n    if it is charge\n      step charge\n    if it is tell\n      step tell")
def each_of_several() -> None:
    for pay in (charge, tell):
        pay(1)


# --- scopes


@flow(
    """
    loop turn
      step charge
      if n == 2
        return Break(n)
      else
      sleep sleep
    loop loop
      step tell
    """
)
def loops() -> None:
    def turn(n: int) -> Any:
        charge(n)
        if n == 2:
            return Break(n)
        sleep(1)
        return Continue(n + 1)

    loop(turn, state=0)
    loop(lambda: Break(tell()))


def quote() -> int:
    """A branch."""
    return charge(7)


@flow(
    """
    join join
      branch a
        step charge
      branch b
        step charge
      branch c
        join inner
          branch x
            step tell
          branch y
            sleep sleep
    """
)
def joins() -> None:
    def inner() -> Any:
        return join("inner", {"x": lambda: tell(1), "y": functools.partial(sleep, 1)})

    join(a=quote, b=lambda: charge(8), c=inner)


@flow(
    """
    join all
      branch item-… (dynamic)
        step charge
    join grown
      branch first
        step tell
      branch more-… (dynamic)
        step charge
    race race
      branch fast
        step charge
      branch slow
        sleep sleep
    """
)
def computed_branches() -> None:
    join("all", {f"item-{n}": functools.partial(charge, n) for n in range(3)})
    grown: dict[str, Any] = {"first": tell}
    for n in range(2):
        grown[f"more-{n}"] = functools.partial(charge, n)
    join("grown", grown)
    race({"fast": charge}, slow=lambda: sleep("1h"))


@flow("join join\n  branch … (dynamic)\n    step charge\nrace one\n  branch … (dynamic)", ({"a": 1},))
def unknown_branches(given: dict[str, int]) -> None:
    join({name: functools.partial(charge, n) for name, n in given.items()})
    race("one", dict(**{name: lambda: 1 for name in given}))


@flow(
    """
    attempt attempt
      step charge
      attempt within
        step tell
    attempt quote
      step charge
    """,
    (1,), (-1,),
)  # fmt: skip
def blocks(n: int) -> None:
    def within() -> None:
        tell()

    attempt(lambda: (charge(n), attempt(within)))
    attempt(quote)


@flow(
    """
    checkpoint start
    version new-way
    if version('new-way', 2) >= 2
      step charge
    else
    removed gone
    """
)
def changed() -> None:
    checkpoint("start")
    if version("new-way", 2) >= 2:
        charge()
    removed("gone", "step")


@flow(
    """
    message go
    message receive
    message named
    message … (dynamic)
    """,
    ("x",),
)
def messages(name: str) -> None:
    with contextlib.suppress(flowkit.ReceiveTimeout):
        receive("go", timeout=1)
    flowkit.receive_batch("a", "b", count=2, timeout=1)
    flowkit.receive_batch(count=1, timeout=1, as_name="named")
    flowkit.receive_batch(name, count=1, timeout=1)


@flow(
    """
    if urgent
      step charge
    else
    step charge
    loop loop
      if n % 2
        attempt attempt
          step charge
      else
        attempt attempt
          step tell
    """,
    (True,), (False,),
)  # fmt: skip
def alike(urgent: bool) -> None:
    if urgent:
        charge(1)
    charge(2)

    def turn(n: int) -> Any:
        if n % 2:
            attempt(lambda: charge(n))
        else:
            attempt(lambda: tell(n))
        return Continue(n + 1) if n < 3 else Break()

    loop(lambda n: turn(n), state=0)


# fmt: off
@flow("step far\nstep charge\nsleep sleep")
def spread_over_lines() -> None:
    (charge
        .options(name="far")
        (1))
    (charge
        .attempt(2))
    (flowkit
        .sleep(1))
# fmt: on
