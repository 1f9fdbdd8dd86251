"""`examples/checkout.py`, in both colours."""

from __future__ import annotations

from typing import Any

import pytest

from examples.checkout import Order, Shipped, checkout, checkout_async
from flowkit import ReceiveTimeout, Workflow
from flowkit.testing import Lab

both = pytest.mark.parametrize("workflow", [checkout, checkout_async], ids=["plain", "async"])


@both
def test_an_order_is_charged_shipped_and_told(workflow: Workflow[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    with Lab() as lab:
        lab.start("order-7", workflow, Order(id=7))
        waiting = lab.run_once("order-7")
        lab.send("order-7", "shipment-confirmed", {"tracking": "1Z"})

        output = lab.run_to_end("order-7")

    assert (waiting.status, waiting.waiting_for, waiting.wake_at - lab.now) == ("sleeping", ["shipment-confirmed"], 3 * 86400)
    assert output == Shipped("receipt-7", "1Z")
    assert capsys.readouterr().out.splitlines() == [
        "charged 42.00 for order 7",
        "told customer@example.com: order 7 is on its way as 1Z",
    ]


@both
def test_an_order_that_never_ships_is_refunded(workflow: Workflow[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    with Lab() as lab:
        lab.start("order-7", workflow, Order(id=7))

        with pytest.raises(ReceiveTimeout):
            lab.run_to_end("order-7")

    assert capsys.readouterr().out.splitlines() == ["charged 42.00 for order 7", "refunded 42.00 of receipt-7"]


@both
def test_a_crash_charges_nobody_twice(workflow: Workflow[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    with Lab() as lab:
        lab.start("order-7", workflow, Order(id=7))
        lab.run_once("order-7")
        lab.crash()
        lab.send("order-7", "shipment-confirmed", {"tracking": "1Z"})

        lab.run_to_end("order-7")

    assert capsys.readouterr().out.count("charged") == 1


def test_both_colours_leave_the_same_history() -> None:
    with Lab() as lab:
        for workflow in (checkout, checkout_async):
            lab.start(workflow.name, workflow, Order(id=7))
            lab.send(workflow.name, "shipment-confirmed", {"tracking": "1Z"})
            lab.run_to_end(workflow.name)

        plain, other = ([(e.location, e.kind, e.status) for e in lab.history(name)] for name in ("checkout", "checkout_async"))

    assert plain == other
