"""A request that a person must approve before a deadline: a message and a timer race, and the first wins.

flowkit run examples/approval.py:approval '{"what": "a new laptop", "cents": 180000}' --id laptop
flowkit send laptop decision '{"approved": true, "by": "Grace"}'      # in another terminal
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowkit import race, receive, sleep, step, workflow


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    what: str
    cents: int


@dataclass(frozen=True)
class Decision:
    """How it ended."""

    approved: bool
    reason: str


@step
def ask(request: Request) -> None:
    """Bring the request before somebody."""
    print(f"please decide: {request.what} for {request.cents / 100:.2f}")


@step
def buy(request: Request) -> str:
    """What is done once it is approved."""
    print(f"bought {request.what}")
    return f"bought {request.what}"


@workflow
def approval(request: Request, deadline: str = "2d") -> Decision:
    """Ask, wait for a decision until the deadline, and act on it."""
    ask(request)

    def decided() -> Any:
        return receive("decision").data

    def too_late() -> None:
        sleep(deadline)

    first = race("decision", decided=decided, too_late=too_late)
    if first.name == "too_late":
        return Decision(False, f"nobody decided within {deadline}")
    if not first.value["approved"]:
        return Decision(False, f"refused by {first.value['by']}")
    return Decision(True, f"{buy(request)}, approved by {first.value['by']}")
