"""Workflows in both colours that are looked at."""

from __future__ import annotations

import flowkit.aio as aio
from flowkit import CriticalError, checkpoint, join, receive, sleep, step, workflow

__all__ = [
    "Refused",
    "fails",
    "fails_async",
    "naps",
    "naps_async",
    "relays",
    "shops",
    "shops_async",
    "undoes",
    "waits",
    "waits_async",
]


class Refused(Exception):
    """What a shop's steps raise."""


tries: dict[str, int] = {}


@step(retries=2, backoff=0.001)
def charge(order: str) -> str:
    tries[order] = tries.get(order, 0) + 1
    if tries[order] == 1:
        raise Refused(f"not yet, {order}")
    return f"receipt of {order}"


@step
def ship(order: str) -> str:
    return f"parcel for {order}"


@step
async def ship_async(order: str) -> str:
    return f"parcel for {order}"


@workflow
def shops(order: str) -> dict[str, str]:
    charge(order)
    return join(left=lambda: ship(order), right=lambda: ship(order))


@workflow
async def shops_async(order: str) -> dict[str, str]:
    await charge.aio(order)
    return await aio.join(left=lambda: ship_async(order), right=lambda: ship.aio(order))


@workflow
def naps() -> str:
    ship("before")
    sleep(1)
    return ship("after")


@workflow
async def naps_async() -> str:
    await ship_async("before")
    await aio.sleep(1)
    return await ship_async("after")


@workflow
def waits() -> str:
    ship("before")
    return str(receive("go").data)


@workflow
async def waits_async() -> str:
    await ship_async("before")
    return str((await aio.receive("go")).data)


@workflow
def relays(to: str) -> None:
    from flowkit import send

    send(to, "go", 7)


@step(retries=1, backoff=0.001)
def breaks() -> None:
    raise Refused("never")


@workflow
def fails() -> None:
    breaks()


@workflow
async def fails_async() -> None:
    await breaks.aio()


def give_back() -> None:
    return None


@step(rollback=give_back)
def take() -> None:
    return None


@workflow
def undoes() -> None:
    checkpoint("all")
    take()
    raise CriticalError("back")
