"""`v2.py` with the two lines that `flowkit check` gave: old runs go on with what they have, new ones take the new code."""

from __future__ import annotations

from flowkit import receive, removed, step, version, workflow


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
    if version("add-notify", 2) >= 2:
        notify(id)
    shelf = reserve(id)
    removed("validate", "step")
    receive("paid")
    return ship(id, shelf)
