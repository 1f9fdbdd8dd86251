"""A small shop that tests of forks trade in, in both colours. `done` is what it did outside, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flowkit
from flowkit import CriticalError, RunConflict, Workflow, aio, checkpoint, step, workflow
from flowkit.drivers.base import RunView
from flowkit.testing import Lab, Pass, SimulatedCrash

__all__ = [
    "Refused", "asked", "asks_at", "done", "ended", "leave", "original", "ran", "stock", "through", "trade", "trade_aio",
    "view_of",
]  # fmt: skip

done: list[str] = []
"""What bodies, handlers and hooks did."""


class Refused(Exception):
    """The bank said no."""


def refund(output: str) -> None:
    done.append(f"refund {output}")


@step(retries=2, backoff=1)
def price(item: str) -> int:
    done.append(f"price {item}")
    return 100


@step(rollback=refund, retries=2, backoff=1)
def charge(cents: int) -> str:
    done.append(f"charge {cents}")
    if cents == 13:
        raise CriticalError("unlucky")
    return f"receipt for {cents}"


@step(name="pack")
def packed(item: str) -> str:
    done.append(f"pack {item}")
    return f"a box of {item}"


def told(event: object) -> None:
    done.append(f"hook {type(event).__name__}")


@workflow(on_error=told)
def trade(item: str) -> dict[str, Any]:
    """Price, charge, wait, sleep, tell, pack."""
    checkpoint("shop")
    cents = price(item)
    receipt = charge(cents)
    where = flowkit.receive("address", timeout="3d")
    flowkit.sleep("1h")
    flowkit.send("stock", "sold", {"item": item, "cents": cents})
    box = packed(item)
    return {"receipt": receipt, "to": where.data, "box": box}


@workflow(on_error=told)
async def trade_aio(item: str) -> dict[str, Any]:
    """As `trade`."""
    await aio.checkpoint("shop")
    cents = await price.aio(item)
    receipt = await charge.aio(cents)
    where = await aio.receive("address", timeout="3d")
    await aio.sleep("1h")
    await aio.send("stock", "sold", {"item": item, "cents": cents})
    box = await packed.aio(item)
    return {"receipt": receipt, "to": where.data, "box": box}


@workflow
def stock() -> list[Any]:
    """Takes what is sold, two at most."""
    return [flowkit.receive("sold").data for _ in range(2)]


def original(lab: Lab, code: Workflow[..., Any] = trade, id: str = "o") -> Any:
    """A run of `trade` that came to its end; `done` begins anew."""
    lab.start("stock", stock)
    run = lab.start(id, code, "tea")
    lab.send(id, "address", "Leith")
    lab.run_to_end(id)
    done.clear()
    return run


def view_of(lab: Lab, id: str) -> RunView:
    """All that the store has of a run."""
    row = lab.client.driver.get(id)
    assert row is not None
    view = lab.client.driver.load(row.seq)
    assert view is not None
    return view


def asked(lab: Lab, id: str) -> tuple[str, str | None]:
    """The status after one pass, and what lists say of it."""
    made = lab.run_once(id)
    return made.status, view_of(lab, id).row.error_line


def ended(lab: Lab, id: str) -> Pass:
    """Passes until nothing but a person, a message or the end is left."""
    for _ in range(50):
        made = lab.run_once(id)
        if made.status not in ("pending", "sleeping", "rolling_back"):
            return made
        if made.wake_at is None:
            return made
        lab.clock.set(max(made.wake_at, lab.now))
    raise AssertionError("it does not come to rest")


def ran(lab: Lab, code: Workflow[..., Any]) -> Any:
    """A run ``o`` of `code` that came to its end."""
    run = lab.start("o", code, 1)
    ended(lab, "o")
    return run


def asks_at(lab: Lab, id: str) -> str | None:
    """The location that lists show, which is that of what it asks."""
    return view_of(lab, id).row.current


def leave(lab: Lab, fork: Any) -> None:
    """Take everything that it asks for done."""
    while fork.status() == "paused":
        fork.resolve(value=None, reason="leave it")
        ended(lab, fork.id)


def through(lab: Lab, fork: Any, act: Callable[[], object] = lambda: None) -> None:
    """Do it, and let the fork come to rest in spite of a crash."""
    for _ in range(3):
        try:
            act()
            ended(lab, fork.id)
            return
        except SimulatedCrash:
            continue
        except RunConflict:  # it had landed before the crash
            act = _nothing


def _nothing() -> None:
    """There is nothing left to be done."""
