"""From a commit of another process to the page that shows it, and what watching costs while nothing happens."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.inspector.alone import alone
from tests.inspector.budgets import Budget, at
from tests.inspector.served import Served
from tests.inspector.stories import build_small

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

COMMITS = 15
BY_STREAM, POLL_EVERY, BY_POLL = 0.350, 3.0, 3.5
"""Seconds from a commit to the page that shows it, and how often a page polls that has no stream."""

COMMITTER = """
import sys, time
from pathlib import Path
from flowkit.client import Flowkit
from flowkit.drivers import open_driver
with Flowkit(open_driver(Path(sys.argv[1])), worker=False, workflows=()) as client:
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        client.get("approval-1").send("comment", {"number": number})
        print(time.monotonic(), flush=True)
"""


@dataclass(frozen=True)
class Committer:
    """Another process, which sends a message to a run whenever it is told to."""

    asked: IO[str]
    told: IO[str]

    def commit(self) -> float:
        """Commit now; the instant at which that was durable, by the clock that processes of a machine share."""
        self.asked.write("\n")
        self.asked.flush()
        return float(self.told.readline())


@contextmanager
def committing(file: Path) -> Iterator[Committer]:
    command = [sys.executable, "-c", COMMITTER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield Committer(process.stdin, process.stdout)
        process.stdin.close()


def file_of(served: Served) -> Path:
    return Path(served.app.site.settings.database)


def part_of(served: Served) -> str:
    """Where the run's page fetches its upper part, as long as it shows what there is."""
    return str(served.ask("/runs/approval-1.json").json()["head"]["part_href"])


@pytest.mark.budget
def test_a_commit_of_another_process_is_on_the_page_soon_by_the_stream(own: Served, budget: Budget) -> None:
    taken = []
    with committing(file_of(own)) as other:
        token = own.ask("/runs/approval-1.json").json()["head"]["token"]
        with own.stream(f"/events?run=approval-1&since={token}") as stream:
            for _ in range(COMMITS):
                part = part_of(own)
                committed = other.commit()
                while not stream.readline().startswith(b"event: run"):
                    pass
                assert own.ask(part).status == 200
                taken.append(time.monotonic() - committed)

    assert at(taken, 0.95 if budget.exact else 0.5) <= budget.allowed(BY_STREAM)


@pytest.mark.budget
def test_a_commit_of_another_process_is_on_the_page_with_the_next_poll(own: Served, budget: Budget) -> None:
    taken = []
    with committing(file_of(own)) as other:
        for _ in range(COMMITS):
            part = part_of(own)
            assert own.ask(part).status == 204
            other.commit()
            began = time.monotonic()
            assert own.ask(part).status == 200
            taken.append(time.monotonic() - began)

    assert f"every {POLL_EVERY:.0f}s" in own.ask("/runs/approval-1").text
    assert POLL_EVERY + at(taken, 0.95 if budget.exact else 0.5) <= POLL_EVERY + budget.allowed(BY_POLL - POLL_EVERY)


@pytest.mark.budget
def test_three_idle_windows_cost_the_inspector_next_to_nothing(tmp_path: Path, budget: Budget) -> None:
    build_small(tmp_path / "idle.db")
    with alone(tmp_path / "idle.db") as inspector, ExitStack() as windows:
        for path in ("/events?since=x", "/events?run=order-1&since=x", "/events?run=approval-1&since=x"):
            windows.enter_context(inspector.stream(path)).readline()
        inspector.get("/")
        settled = time.monotonic() + 1
        while time.monotonic() < settled:
            time.sleep(0.05)

        used, began = inspector.cpu_seconds(), time.monotonic()
        while time.monotonic() < began + 4:
            time.sleep(0.05)
        share = (inspector.cpu_seconds() - used) / (time.monotonic() - began)

    assert share <= budget.allowed(0.01), f"{share:.2%}"
