"""Short ways to make operations."""

from typing import Any

from flowkit.core.change import Change
from flowkit.core.entry import Entry
from flowkit.drivers.base import Driver, Send, Start, Started, Steer, Verb, WorkerInfo

NOW = 1_700_000_000.0


def start(id: str = "r", **fields: Any) -> Start:
    base: dict[str, Any] = {"workflow": "w", "input": b"[]", "input_hash": "h", "start_at": NOW, "token": f"t-{id}"}
    return Start(id=id, **{**base, **fields})


def change(run: int = 1, head: int = 0, **fields: Any) -> Change:
    return Change(**{"run": run, "epoch": 1, "head": head, "entries": 0, "seen": 0, "owes": 0, **fields})


def entry(seq: int, **fields: Any) -> Entry:
    base: dict[str, Any] = {"location": f"s{seq}", "kind": "step", "status": "completed", "settled_at": NOW}
    return Entry(seq=seq, **{**base, "output": b"1", **fields})


def send(to: str = "r", message_id: str = "m", **fields: Any) -> Send:
    return Send(**{"to": to, "message_id": message_id, "name": "n", "body": b"1", **fields})


def steer(verb: Verb, run: str = "r", op: str = "op") -> Steer:
    return Steer(run=run, verb=verb, op=op)


def worker(driver: Driver) -> int:
    return driver.join(WorkerInfo(name="tester", host="here", pid=1), NOW)


def owned(driver: Driver, *ids: str) -> list[int]:
    """New runs in the hands of a new worker, epoch 1, head 0."""
    holder = worker(driver)
    results = driver.write([start(id, worker=holder) for id in ids], NOW)
    return [result.run for result in results if isinstance(result, Started)]
