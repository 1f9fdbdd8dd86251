"""What pages over all runs are told is the same on PostgreSQL as on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowkit.core.change import Change, Finish, Park
from flowkit.core.entry import Entry
from flowkit.drivers.base import BodyRef, Driver, RunQuery, Send, Start, Steer, WorkerInfo
from flowkit.drivers.postgres import PostgresDriver
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.settings import Settings
from tests.drivers.pg import execute
from tests.postgres.server import NEWEST, emptied_database

NOW = 1_700_000_000.0
LARGE = b'"' + b"x" * 300_000 + b'"'


def entry(seq: int, **fields: Any) -> Entry:
    base: dict[str, Any] = {"kind": "step", "status": "completed", "settled_at": NOW, "output": b"1"}
    return Entry(seq=seq, location=f"s{seq}", **{**base, **fields})


def fill(driver: Driver) -> None:
    """Some of everything."""
    worker = driver.join(WorkerInfo(name="x", host="h", pid=1), NOW)
    starts = [
        Start(
            id=f"r{n}", workflow="vw"[n % 2], input=b'["In%d"]' % n, input_hash="", token=f"t{n}", start_at=NOW + n, tags=("t",)
        )
        for n in range(8)
    ]
    driver.write(starts, NOW)
    claims = {claim.id: claim for claim in driver.claim(worker, {"v": "c", "w": "c"}, 4, NOW + 4).runs}

    def write(id: str, head: int, **fields: Any) -> None:
        base: dict[str, Any] = {"entries": 9, "seen": 0, "owes": 0}
        driver.write([Change(run=claims[id].run, epoch=1, head=head, **{**base, **fields})], NOW + 5)

    write("r0", 0, add=[entry(1, output=LARGE), entry(2), entry(3, status="sleeping", settled_at=None, due_at=NOW + 60)])
    write("r0", 1, status="sleeping", park=Park(wake_at=NOW + 60, waiting=("m",)))
    write("r1", 0, add=[entry(1, status="failed", output=None, error=b'{"type": "E"}')])
    ended = Finish(error=b'{"type": "E", "message": "100%_wrong"}', failed_entry=1)
    write("r1", 1, status="failed", error_line="E: 100%_wrong", finish=ended, release=True)
    write("r2", 0, add=[entry(1), entry(2)], state=LARGE)
    write("r2", 1, bump="replay", op="again", who="me", archive=[2], status="pending", wake_at=NOW + 6)
    driver.write([Send(to=f"r{n}", message_id=f"m{n}", name="m", body=b"1", key=f"k{n}") for n in (4, 0, 5)], NOW + 7)
    driver.write([Steer(run="r5", verb="pause", op="p", who="you"), Steer(run="r6", verb="cancel", op="c", who="me")], NOW + 8)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[SQLiteDriver, PostgresDriver]]:
    """The same on both databases."""
    file, server = SQLiteDriver(tmp_path / "f.db", "process"), PostgresDriver(emptied_database(NEWEST), "process")
    for each in (file, server):
        fill(each)
    yield file, server
    file.close()
    server.close()


Question = Callable[[Any], Any]

QUESTIONS: dict[str, Question] = {
    "count": lambda driver: driver.survey().count("pending", 2),
    "tally": lambda driver: driver.survey().tally(),
    "timers": lambda driver: driver.survey().timers(5, NOW, None),
    "timers of one": lambda driver: driver.survey().timers(5, NOW, ["v"]),
    "endings": lambda driver: driver.survey().endings([1, 2, 3]),
    "cut": lambda driver: driver.survey().cut(RunQuery(tag="t", error="wrong")),
    "holding": lambda driver: driver.survey().holding([1, 2, 3, 4], "iN3", 5.0),
    "workflows": lambda driver: driver.survey().workflows(9),
    "deed": lambda driver: driver.survey().deed("again"),
    "no deed": lambda driver: driver.survey().deed("nothing"),
    "stop": lambda driver: [driver.survey().stop(run) for run in range(1, 9)],
    "rewinds": lambda driver: driver.survey().rewinds(3, 5),
    "set aside": lambda driver: driver.survey().set_aside(3, 1, 0, None, 5),
    "set aside before": lambda driver: driver.survey().set_aside(3, 1, 0, 9, 5),
    "body aside": lambda driver: driver.survey().body_aside(BodyRef(run=3, field="output", entry=2), 1),
    "beginning": lambda driver: driver.survey().beginning(BodyRef(run=1, field="output", entry=1), 1_000, 5),
    "beginning of a state": lambda driver: driver.survey().beginning(BodyRef(run=3, field="state"), 1_000, 5),
    "no beginning": lambda driver: driver.survey().beginning(BodyRef(run=1, field="output", entry=2), 1_000, 5),
    "due": lambda driver: driver.across().due((NOW, 0), 3, None),
    "due after": lambda driver: driver.across().due((NOW + 5, 6), 3, ["v", "w"]),
    "waits": lambda driver: driver.across().waits([1, 2], 5),
    "kept": lambda driver: driver.across().kept(1, 5),
    "deeds": lambda driver: driver.across().deeds(None, 5),
    "deeds before": lambda driver: driver.across().deeds((NOW + 8, "c"), 5),
    "errors": lambda driver: driver.runs(RunQuery(error="100%_WRONG")),
    "no errors": lambda driver: driver.runs(RunQuery(error="100_%wrong")),
    "errors of two statuses": lambda driver: driver.runs(RunQuery(error="e", statuses=("failed", "blocked"))),
    "tagged": lambda driver: driver.runs(RunQuery(tag="t", statuses=("pending", "paused"), workflow="v")),
    "prefix": lambda driver: driver.runs(RunQuery(id_prefix="r", statuses=("pending",))),
    "since": lambda driver: driver.runs(RunQuery(since=NOW, until=NOW + 1, after=5)),
    "newer": lambda driver: driver.runs(RunQuery(newer_than=6)),
    "archived": lambda driver: driver.history(3, archived=True),
    "last of it": lambda driver: driver.history(1, before=3, limit=1),
    "first code": lambda driver: [driver.first_code(run) for run in (1, 8)],
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_has_the_same_answer(stores: tuple[SQLiteDriver, PostgresDriver], name: str) -> None:
    file, server = stores

    assert QUESTIONS[name](server) == QUESTIONS[name](file)


def test_a_search_out_of_time_keeps_what_it_found(stores: tuple[SQLiteDriver, PostgresDriver]) -> None:
    _, server = stores
    execute(server, "UPDATE runs SET status = 'failed', error_line = 'wrong'")

    hurried = PostgresDriver(server.url, settings=Settings(search=0.005))

    assert len(hurried.runs(RunQuery(error="wrong"))) <= len(server.runs(RunQuery(error="wrong"))) == 8
    hurried.close()


def test_the_facts_are_those_of_the_server(stores: tuple[SQLiteDriver, PostgresDriver]) -> None:
    facts = stores[1].across().facts()

    assert facts.engine.startswith("PostgreSQL ")
    assert (facts.runs, facts.schema) == (8, 1)
    assert facts.size > 0
