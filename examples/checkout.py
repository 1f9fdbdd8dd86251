"""An order: charge the card, wait for the warehouse, tell the customer. Once as plain functions, once as async ones.

    flowkit run examples/checkout.py:checkout '{"id": 7, "cents": 4200}' --id order-7
    flowkit send order-7 shipment-confirmed '{"tracking": "1Z"}'      # in another terminal

The wait costs neither thread nor memory, and outlives restarts: it ends with the message, or after three days with a
`ReceiveTimeout`, which fails the run. Then, or when the customer cannot be told, the money goes back: `charge` has a
rollback, and the checkpoint before it says from where on a failed run is undone.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowkit import aio, checkpoint, receive, step, workflow


@dataclass(frozen=True)
class Order:
    """What was bought."""

    id: int
    cents: int = 4200
    email: str = "customer@example.com"


@dataclass(frozen=True)
class Receipt:
    """What the payment service answered."""

    id: str
    cents: int


@dataclass(frozen=True)
class Shipped:
    """How a checkout ends well."""

    receipt: str
    tracking: str


def refund(receipt: Receipt) -> None:
    """Give the money back."""
    print(f"refunded {receipt.cents / 100:.2f} of {receipt.id}")


@step(retries=5, rollback=refund)
def charge(order: Order) -> Receipt:
    """Take the money. A real payment service would be given the order's id, so that it charges once however often we ask."""
    print(f"charged {order.cents / 100:.2f} for order {order.id}")
    return Receipt(f"receipt-{order.id}", order.cents)


@step
def notify(order: Order, tracking: str) -> None:
    """Tell the customer."""
    print(f"told {order.email}: order {order.id} is on its way as {tracking}")


@workflow
def checkout(order: Order) -> Shipped:
    """Charge, wait for the shipment, notify."""
    checkpoint("billing")
    receipt = charge(order)
    shipped = receive("shipment-confirmed", timeout="3d")
    notify(order, shipped.data["tracking"])
    return Shipped(receipt.id, shipped.data["tracking"])


# --- the same in async code -----------------------------------------------------------------------------------------


@step(name="charge", retries=5, rollback=refund)
async def charge_async(order: Order) -> Receipt:
    """Take the money, with an async client."""
    print(f"charged {order.cents / 100:.2f} for order {order.id}")
    return Receipt(f"receipt-{order.id}", order.cents)


@workflow
async def checkout_async(order: Order) -> Shipped:
    """As `checkout`. A plain step is awaited through its `.aio`: its body then runs in a thread."""
    await aio.checkpoint("billing")
    receipt = await charge_async(order)
    shipped = await aio.receive("shipment-confirmed", timeout="3d")
    await notify.aio(order, shipped.data["tracking"])
    return Shipped(receipt.id, shipped.data["tracking"])
