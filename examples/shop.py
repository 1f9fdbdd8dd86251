"""A small shop with a mistake in it, for `make demo`: wait for the release, charge, wait for the parcel, ship.

`examples/demo_dev.py` copies this file, makes some runs and serves them under `flowkit dev`. One of them is stopped by the
mistake: the inspector shows where it is. Mend the copy, save it, press Recover.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowkit import CriticalError, checkpoint, receive, sleep, step, workflow


@dataclass(frozen=True)
class Voucher:
    """A present that pays for a part of an order."""

    code: str
    cents: int


@dataclass(frozen=True)
class Order:
    """What was bought. `released_in` is how long a pre-order waits, such as "2d"."""

    item: str
    cents: int
    city: str = "Lisbon"
    voucher: Voucher | None = None
    released_in: str | None = None


@dataclass(frozen=True)
class Receipt:
    """What the payment service answered."""

    id: str
    cents: int


def refund(receipt: Receipt) -> None:
    """Give the money back."""
    print(f"refunded {receipt.cents / 100:.2f} of {receipt.id}")


@step(retries=2, rollback=refund)
def charge(order: Order) -> Receipt:
    """Take the money; what a voucher pays for is not taken."""
    due = order.cents
    if order.voucher:
        # Here is the mistake: look at the fields of Voucher above. One letter is missing.
        due -= order.voucher.cent
    print(f"charged {due / 100:.2f} for the {order.item}")
    return Receipt(f"receipt for the {order.item}", due)


@step
def ship(order: Order, grams: int) -> str:
    """Give the parcel to a carrier; its tracking number. No retry helps where no carrier goes."""
    if order.city == "Atlantis":
        raise CriticalError(f"no carrier goes to {order.city}")
    print(f"shipped the {order.item}, {grams} g, to {order.city}")
    return f"1Z-{order.item}-{grams}"


@workflow
def checkout(order: Order) -> str:
    """Charge when the item is out, ship when it is packed. If it cannot be shipped, the money goes back."""
    if order.released_in:
        sleep(order.released_in, name="until-release")
    checkpoint("billing")
    charge(order)
    packed = receive("packed", timeout="3d")
    return ship(order, packed.data["grams"])
