"""An APP with a price and a charge."""

from __future__ import annotations

from flowkit import step, workflow


class Declined(Exception):
    """The bank said no."""


@step
def price(item: str) -> int:
    return 100


@step
def charge(cents: int) -> str:
    return f"receipt for {cents}"


@workflow
def trade(item: str) -> str:
    """Charge what it costs."""
    return charge(price(item))
