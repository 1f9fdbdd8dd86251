"""The APP of the tests of `resolve`; never imported by them, only named."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit import checkpoint, step, workflow


class Declined(Exception):
    """What the bank says."""


@dataclass
class Receipt:
    """What a charge gives."""

    id: str
    cents: int


def refund(receipt: Receipt) -> None:
    """Undoes a charge."""
    print("refunded", receipt.id)


@step(retries=0, rollback=refund)
def charge(cents: int, currency: str = "EUR") -> Receipt:
    if cents > 400:
        raise Declined("no funds")
    return Receipt(currency, cents)


@step(retries=0)
def ask(name: str) -> str | None:
    raise ValueError("nobody is there")


@workflow
def order(cents: int) -> str:
    checkpoint("begin")
    try:
        return f"paid {charge(cents).id}"
    except Declined as error:
        if str(error) == "by hand":
            return "declined"
        raise


@workflow
def asking() -> str:
    return f"said {ask('ada')}"
