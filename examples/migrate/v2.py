"""The same order a year later: nothing is validated any more, and the customer hears of the order at once."""

from __future__ import annotations

from flowkit import receive, step, workflow


@step
def reserve(order: str) -> str:
    """Set the goods aside."""
    return f"shelf of {order}"


@step
def notify(order: str) -> None:
    """Tell the customer that the order has come."""
    print(f"{order}: thank you")


@step
def ship(order: str, shelf: str) -> str:
    """Send the goods."""
    return f"{order} shipped from the {shelf}"


@workflow
def order(id: str) -> str:
    """From the shelf to the customer."""
    notify(id)
    shelf = reserve(id)
    receive("paid")
    return ship(id, shelf)
