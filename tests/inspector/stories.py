"""Workflows whose runs end, wait and fail in every way that a page must show, and databases full of them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from flowkit import (
    Break,
    Continue,
    CriticalError,
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
from flowkit.core.line import Line, Part, number_at
from flowkit.definitions.manifest import manifest_of
from flowkit.drivers import open_driver
from flowkit.drivers.base import Log
from flowkit.testing import FakeClock, Lab
from flowkit.testing.clock import START

__all__ = ["HOSTILE", "build_hostile", "build_long", "build_small"]

HOSTILE = (
    "</script><script>alert(1)</script>",
    '" hx-get="/evil" onload="alert(1)',
    "{{7*7}}{% raw %}",
    "javascript:alert(1)",
    "safe\u202egnp.exe",
    "<img src=x onerror=alert(1)>",
    "'><svg/onload=alert(1)>",
    "ünï/cödé#1 ☃ %2F..",
)
"""Texts that must arrive as text wherever they are shown."""


class CardDeclined(Exception):
    """The card was declined."""


def refund(receipt: str) -> None:
    """Give the money back."""


@step(retries=1, backoff=0.1, rollback=refund)
def charge(order: dict[str, Any]) -> str:
    if order.get("declined"):
        raise CardDeclined(f"card of order {order['id']} was declined\nby the bank")
    return f"receipt-{order['id']}"


@step(rollback=refund)
def reserve(order: dict[str, Any]) -> str:
    return f"reserved {order['id']}"


@step
def notify(order: dict[str, Any], tracking: str) -> str:
    return f"told customer of {order['id']} about {tracking}"


@workflow
def checkout(order: dict[str, Any]) -> dict[str, Any]:
    """Charge, wait for the shipment, tell the customer."""
    checkpoint("billing")
    reserve(order)
    receipt = charge(order)
    sleep("10m", name="cool-off")
    shipped = receive("shipment-confirmed", timeout="3d")
    notify(order, shipped.data["tracking"])
    return {"receipt": receipt, "tracking": shipped.data["tracking"], "password": "hunter2"}


@step(retries=3, backoff=60, backoff_max=600)
def flaky(n: int) -> int:
    raise TimeoutError(f"no answer to try of {n}")


@workflow
def fetch(n: int) -> int:
    """Retries for a while."""
    return flaky(n)


@step
def label(item: int) -> str:
    if item % 7 == 5:
        raise CriticalError(f"item {item} has no label")
    return f"label-{item}"


@workflow
def pack(items: int) -> int:
    """Labels items in a loop, attempts each."""

    def turn(n: int) -> Continue[int] | Break[int]:
        label.attempt(n)
        return Continue(n + 1) if n + 1 < items else Break(n)

    done = loop(turn, state=0, name="pack", prune_every=20)
    version("tell", 2)
    removed("old-mail", "step")
    return done


@step
def quote(carrier: str) -> dict[str, Any]:
    if carrier == "owl":
        raise CriticalError("owls are asleep")
    return {"carrier": carrier, "cents": len(carrier) * 100, "token": "s3cret"}


@workflow
def ship(parcel: dict[str, Any]) -> Any:
    """Joins and races carriers."""

    def slow() -> dict[str, Any]:
        sleep("1h", name="wait")
        return quote("snail")

    quotes = join("quotes", {"ups": lambda: quote("ups"), "dhl": lambda: quote("dhl"), "post": lambda: quote("post")})
    winner = race("fastest", {"drone": lambda: quote("drone"), "snail": slow})
    tried = attempt(lambda: quote("owl"), name="owl")
    return {"quotes": len(quotes), "winner": winner.name, "owl": tried.ok}


@step
def big(n: int) -> list[str]:
    return ["x" * 1000 for _ in range(n)]


@workflow
def archive(n: int) -> int:
    """Has a large value."""
    return len(big(n))


@workflow
def approval(request: dict[str, Any]) -> Any:
    """Waits for a person."""
    return receive("approved", "rejected", timeout="30d").name


@workflow
def other_code(order: dict[str, Any]) -> str:
    """Another shape under the name of checkout."""
    return notify(order, "none")


def build_small(file: Path, now: float = START) -> None:
    """Runs in every status, the first one begun at `now`."""
    with Lab(file, clock=FakeClock(now)) as lab:
        lab.start("order-1", checkout, {"id": 1})
        lab.run_once("order-1")
        lab.advance("11m")
        lab.send("order-1", "shipment-confirmed", {"tracking": "1Z-1"})
        lab.run_to_end("order-1")
        for n in (2, 3):
            lab.start(f"order-{n}", checkout, {"id": n, "declined": True})
            _until_it_fails(lab, f"order-{n}")
        lab.start("order-4", checkout, {"id": 4})
        lab.run_once("order-4")
        lab.start("order-5", checkout, {"id": 5})
        lab.run_once("order-5")
        lab.get("order-5").pause()
        lab.start("order-6", checkout, {"id": 6})
        lab.run_once("order-6")
        lab.get("order-6").cancel()
        lab.start("fetch-1", fetch, 1)
        lab.run_once("fetch-1")
        lab.start("pack-1", pack, 40)
        lab.run_to_end("pack-1")
        lab.start("ship-1", ship, {"kg": 3})
        lab.run_once("ship-1")
        lab.start("archive-1", archive, 600)
        lab.run_to_end("archive-1")
        lab.start("approval-1", approval, {"who": "ada"})
        lab.run_once("approval-1")
        lab.send("approval-1", "comment", {"text": "nobody waits for this"})
        lab.start("held-1", checkout, {"id": 9})
        lab.run_once("held-1")
        lab.run_once("held-1", workflow=workflow(name="checkout")(other_code.function))
        lab.start("waiting-for-a-worker", checkout, {"id": 10})
    publish(file, now)
    write_log(file)


TRACEBACK = """\
the card was declined
Traceback (most recent call last):
  File "/srv/shop/app.py", line 31, in charge
    receipt = till.charge(order, idempotency_key=order["id"])
ConnectionError: the till at 10.0.0.7 did not answer within 30 s"""


def write_log(file: Path) -> None:
    """What the code of order-2 might have logged: of both attempts of its charge and around it."""
    said: list[tuple[str, Part, int, int, str]] = [
        ("", "code", 0, 20, "order 2 for ada@example.com, 3 items"),
        ("reserve", "step", 1, 20, "reserved 3 of 3"),
        ("charge", "step", 1, 10, "POST https://till.example/charges"),
        ("charge", "step", 1, 30, "the till is slow: 28 s"),
        ("charge", "step", 1, 40, TRACEBACK),
        ("charge", "step", 2, 20, "POST https://till.example/charges"),
        ("charge", "step", 2, 40, TRACEBACK),
        ("", "code", 0, 20, "giving up"),
        ("reserve", "rollback", 1, 20, "released 3 of 3"),
    ]
    with closing(open_driver(file)) as driver:
        for id in ("order-2", "order-4"):
            row = driver.get(id)
            assert row is not None
            lines = [
                Line(
                    seq=number_at(row.created_at) + n + 1, at=row.created_at + n / 7, location=location, part=part,
                    attempt=attempt, level=level, logger="shop.tills" if location else "shop", text=text.encode(),
                )
                for n, (location, part, attempt, level, text) in enumerate(said)
            ]  # fmt: skip
            driver.write([Log(run=row.seq, lines=lines)], row.created_at)


def publish(file: Path, now: float = START) -> None:
    """What a worker would tell of the code, which has no name here."""
    driver = open_driver(str(file))
    try:
        driver.publish("", manifest_of([checkout, fetch, pack, ship, archive, approval]).encode(), now)
    finally:
        driver.close()


def _until_it_fails(lab: Lab, id: str) -> None:
    try:
        lab.run_to_end(id)
    except Exception:  # the failure that the page is to show
        return


class Ticking(FakeClock):
    """Moves by a fifth of a millisecond whenever it is read."""

    def now(self) -> float:
        self.advance(0.0002)
        return super().now()


@step
def handle(n: int) -> str:
    return f"item-{n}"


@workflow
def long(entries: int) -> int:
    """Records many entries: mostly steps, a tenth checkpoints."""
    for n in range(entries):
        if n % 10:
            handle(n)
        else:
            checkpoint(f"point-{n}")
    return entries


def build_long(file: Path, entries: int) -> None:
    """One run with this many entries, which took their time."""
    with Lab(driver=open_driver(file, durability="process"), clock=Ticking()) as lab:
        lab.start("long-1", long, entries)
        lab.run_to_end("long-1")


def build_hostile(file: Path) -> None:
    """Ids, tags, values, names and errors that try to be markup."""
    with Lab(file) as lab:
        for n, text in enumerate(HOSTILE):
            name = _as_name(text)
            made = workflow(name=name)(_echo_of(text))
            lab.start(text, made.options(tags=(name,)), {"text": text, text: [text] * 3, "password": "p"})
            lab.run_once(text)
            if n % 2 or "\u202e" in text:
                lab.send(text, "go", {text: text})
                _until_it_fails(lab, text)
    with closing(open_driver(file)) as driver:
        for text in HOSTILE:
            row = driver.get(text)
            assert row is not None
            hostile = (f"{text}\n{text * 40}".encode(), b"\xff\x00\x1b[31mred", text.encode() + b"x" * 7_000)
            lines = [
                Line(
                    seq=number_at(row.created_at) + n, at=row.created_at, location=place, part="step", attempt=n, level=10 + n,
                    logger=text, text=line,
                )
                for n, (place, line) in enumerate(zip((text, "", _as_name(text)), hostile, strict=True), 1)
            ]  # fmt: skip
            driver.write([Log(run=row.seq, lines=lines)], row.created_at)


def _as_name(text: str) -> str:
    return text.replace("/", "∕").replace("#", "♯")


def _echo_of(text: str) -> Any:
    name = _as_name(text)

    def body(value: str) -> str:
        return value + "\x00" + "y" * 200

    def bad(value: str) -> str:
        raise CriticalError(value * 3)

    def echo(value: dict[str, Any]) -> str:
        step(body, name=name)(text)
        receive("go")
        return step(bad, name=f"{name}!")(text)

    return echo
