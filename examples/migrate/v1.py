"""An order as it was when its runs began: reserve, validate, wait for the payment, ship."""

from __future__ import annotations

from flowkit import receive, step, workflow


@step
def reserve(order: str) -> str:
    """Set the goods aside."""
    return f"shelf of {order}"


@step
def validate(order: str) -> bool:
    """Ask the fraud service."""
    return True


@step
def ship(order: str, shelf: str) -> str:
    """Send the goods."""
    return f"{order} shipped from the {shelf}"


@workflow
def order(id: str) -> str:
    """From the shelf to the customer."""
    shelf = reserve(id)
    validate(id)
    receive("paid")
    return ship(id, shelf)
