"""What the tests of bulks share: runs that failed or sleep, and bulks that were asked or carried out."""

from __future__ import annotations

from typing import Any

from flowkit import receive, sleep, step, workflow
from flowkit.client.bulk import Bulk, Bulks, BulkWish, Picks, narrowed
from flowkit.client.walk import Walker
from flowkit.testing import Lab

__all__ = ["ALL", "BROKEN", "OP", "asked", "asleep", "bill", "counts", "done", "failing", "nap", "special", "statuses", "wait"]

OP = "a" * 32
ALL = Picks()
BROKEN: list[bool] = []


@step(retries=0)
def charge(n: int) -> int:
    if BROKEN:
        raise ValueError("no")
    return n


@workflow
def bill(n: int) -> int:
    return charge(n)


@workflow
def nap() -> str:
    sleep("1h")
    return "rested"


@workflow
def wait() -> Any:
    return receive("go")


@workflow(tags=["vip"])
def special() -> None:
    sleep("1h")


def failing(lab: Lab, count: int) -> list[str]:
    """So many runs that have failed, and would not fail again."""
    BROKEN.append(True)
    ids = [f"bill-{number}" for number in range(count)]
    for id in ids:
        lab.start(id, bill, 1)
        lab.run_once(id)
    BROKEN.clear()
    return ids


def asleep(lab: Lab, count: int, flow: Any = nap) -> list[str]:
    ids = [f"{flow.name}-{number}" for number in range(count)]
    for id in ids:
        lab.start(id, flow)
        lab.run_once(id)
    return ids


def asked(lab: Lab, verb: str, op: str = OP, picks: Picks = ALL, **fields: Any) -> Bulk:
    """A bulk that was begun and not carried out."""
    bulks = Bulks(lab.client, "tester")
    wish = BulkWish(verb=verb, picks=narrowed(verb, picks), top=bulks.newest_run(), **fields)
    return bulks.begin(op, wish, bulks.count(wish.picks, wish.top))


def done(lab: Lab, verb: str, op: str = OP, **fields: Any) -> Bulk:
    """A bulk that was carried out."""
    bulk = Walker(lab.client).walk(asked(lab, verb, op, **fields).seq)
    assert bulk is not None
    return bulk


def counts(bulk: Bulk | None) -> tuple[str, int, int, int]:
    assert bulk is not None
    return bulk.state, bulk.done, bulk.failed, bulk.skipped


def statuses(lab: Lab) -> list[str]:
    return [item.status for item in lab.client.runs(limit=500)]
