"""A shop whose bank declines: workflows that a failed step stops, for the tests of `resolve()`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

from flowkit import CriticalError, RollbackError, checkpoint, join, step, workflow
from flowkit.testing import Lab


class Declined(Exception):
    """What the shop's steps raise."""


@dataclass(frozen=True)
class Receipt:
    """What a charge gives."""

    id: str
    cents: int


@dataclass
class Shop:
    """The world outside: what was done to it, and what is broken in it."""

    log: list[Any] = field(default_factory=list)
    broken: bool = True


shop = Shop()


def refund(receipt: Receipt, cents: int) -> None:
    shop.log.append(("refund", receipt, cents))


@step(retries=1, backoff=0, rollback=refund)
def charge(cents: int) -> Receipt:
    shop.log.append(("charge", cents))
    if shop.broken:
        raise Declined("no funds")
    return Receipt("real", cents)


@step(retries=0)
def note(text: str = "") -> str | None:
    shop.log.append(("note", text))
    return text


@step(retries=0)
def fail(text: str) -> None:
    raise CriticalError(text)


@workflow
def order(cents: int) -> Any:
    checkpoint("begin")
    receipt = charge(cents)
    note(receipt.id)
    return receipt


@workflow
def handled(cents: int) -> Any:
    checkpoint("begin")
    try:
        return charge(cents).id
    except Declined as error:
        return note(f"declined: {error}")


@workflow
def then_undone(cents: int) -> Any:
    checkpoint("begin")
    charge(cents)
    raise RollbackError("stop")


def failed(lab: Lab, flow: Any = order, *args: Any) -> Any:
    run = lab.start("r", flow, *(args or (500,)))
    with contextlib.suppress(Exception):
        lab.run_to_end("r")
    assert run.status() == "failed"
    shop.log.clear()
    return run


def entry_of(lab: Lab, location: str) -> Any:
    return next(entry for entry in lab.history("r") if entry.location == location)


def stored(lab: Lab, run: Any, location: str) -> Any:
    return next(entry for entry in run.desk.driver.history(run.seq) if entry.location == location)


@step(retries=0)
def charge_plain(cents: int) -> int:
    raise ValueError("the network is gone")


@step(retries=0)
def fail_while_broken() -> None:
    if shop.broken:
        raise Declined("still")


@workflow
def both(cents: int) -> Any:
    return join("pair", left=lambda: charge_plain(cents), right=lambda: charge_plain(cents))
