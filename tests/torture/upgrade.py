"""Files of earlier schemas: how one is made, and how every run in it is brought to its end.

    python -m tests.torture.upgrade make

writes `tests/torture/schemas/0001.sql`, named after the schema of the code that runs: a dump of a file with a run in each
telling state. It is made again as long as that schema is not released, and never afterwards: later code must open it.

    python -m tests.torture.upgrade kill FOLDER

opens a new file in a child process that is killed before the n-th statement of the migration, for n = 1, 2, … until it comes
through, opens what is left in a second one, and prints as JSON how many kills there were and what was wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import tempfile
import types
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import flowkit
from flowkit import (
    Break,
    Continue,
    CriticalError,
    Workflow,
    checkpoint,
    join,
    loop,
    race,
    receive,
    run_state,
    sleep,
    step,
    version,
    workflow,
)
from flowkit.drivers import connections, schema
from flowkit.testing import FakeClock, Lab, SimulatedCrash

__all__ = ["ENDINGS", "dump", "fill", "finish", "fixtures", "restored", "tables"]

SCHEMAS = Path(__file__).with_name("schemas")
LATER = 86_400.0

BROKEN = {"flaky": True}
"""What does not work while the file is made."""


# --- the runs in it -------------------------------------------------------------------------------------------------


def unbook(booked: str) -> None:
    """Undo a booking; the first time it fails, so that the rollback has to wait."""
    seen = run_state()
    seen["undone"] = int(seen.get("undone", 0)) + 1
    if seen["undone"] == 1:
        raise LookupError("the hotel does not answer")


@step(rollback=unbook)
def book(what: str) -> str:
    """Something to be undone."""
    run_state()["booked"] = what
    return f"booked {what}"


@step(retries=3, backoff="10s")
def flaky() -> str:
    """Fails as long as it is broken."""
    if BROKEN["flaky"]:
        raise TimeoutError("no answer")
    return "at last"


@step(at_most_once=True)
def once() -> str:
    """What may not be done twice."""
    return "once"


@step
def doom() -> None:
    """Fails for good."""
    raise CriticalError("no such account")


@workflow
def trip(ending: str) -> Any:
    """Books, and then fails, sleeps or waits."""
    checkpoint("begin")
    booked = book("room")
    match ending:
        case "fail":
            doom()
        case "sleep":
            sleep("1h")
        case "wait":
            booked += str(receive("more", timeout="7d").data)
    return booked


@workflow
def patient() -> str:
    """Tries again."""
    return flaky()


@workflow
def careful() -> str:
    """Its body may have run when its worker died."""
    made = once.attempt()
    return made.value if made.ok else made.failure.kind


@workflow
def rounds() -> Any:
    """A loop that waits in each turn, over branches and a race."""

    def turn(state: list[int]) -> Any:
        state = [*state, receive("number").data]
        return Break(state) if len(state) == 3 else Continue(state)

    checkpoint("begin")
    both = join("both", {"now": lambda: book("car"), "later": lambda: str(receive("key").data)})
    first = race("first", {"fast": lambda: version("v", 2), "slow": lambda: receive("never")})
    return [both, first.name, loop(turn, [], name="rounds", prune_every=1)]


@workflow
def holds() -> str:
    """Holds a message that it has not completed."""
    message = receive("question", completable=True)
    sleep("1h")
    message.complete("answer")
    return str(message.data)


@workflow(name="other")
def other_code() -> str:
    """What the code of a blocked run was."""
    checkpoint("begin")
    return book("boat")


@workflow(name="other")
def other_code_now() -> str:
    """What it is, for a while."""
    return flaky()


FLOWS: dict[str, Workflow[..., Any]] = {each.name: each for each in (trip, patient, careful, rounds, holds, other_code)}

ENDINGS: dict[str, tuple[str, Any]] = {
    "blocked": ("completed", "booked boat"),
    "cancelled": ("cancelled", None),
    "done": ("completed", "booked room"),
    "failed": ("failed", None),
    "holding": ("completed", "why"),
    "intent": ("completed", "critical"),
    "paused": ("completed", "booked room"),
    "pending": ("completed", "booked room"),
    "replayed": ("completed", "booked room"),
    "retrying": ("completed", "at last"),
    "rolling-back": ("failed", None),
    "rounds": ("completed", [{"now": "booked car", "later": "k"}, "fast", [1, 2, 3]]),
    "sleeping": ("completed", "booked room"),
    "waiting": ("completed", "booked room!"),
}


def fill(file: Path) -> None:
    """Make a file with a run in each state, and leave it as a process that was killed leaves it."""
    BROKEN["flaky"] = True
    with Lab(file) as lab:
        for id in ("done", "failed", "rolling-back", "sleeping", "waiting", "paused", "pending", "replayed", "cancelled"):
            ending = {"failed": "fail", "rolling-back": "fail", "sleeping": "sleep", "waiting": "wait", "cancelled": "wait"}
            lab.start(id, trip.options(tags=("fixture", id)), ending.get(id, "done"))
        for id in ("done", "replayed", "sleeping", "waiting", "cancelled", "rolling-back"):
            lab.run_once(id)
        run_to(lab, "failed", "failed")
        lab.send("waiting", "other", {"not": "looked at"}, key="twice")
        lab.get("replayed").replay("book")
        lab.get("paused").pause()
        lab.get("cancelled").cancel()
        for id, flow in (("retrying", patient), ("rounds", rounds), ("holding", holds), ("blocked", other_code)):
            lab.start(id, flow)
        lab.send("rounds", "key", "k")
        for number in (1, 2):
            lab.send("rounds", "number", number)
        lab.send("holding", "question", "why", key="k")
        for id in ("retrying", "rounds", "holding"):
            lab.run_once(id)
        block(lab)
        lab.start("intent", careful)
        lab.crash_at(2)
        try:
            lab.run_once("intent")
        except SimulatedCrash:
            return
        raise AssertionError("the run that was to die with its worker did not")


def run_to(lab: Lab, id: str, status: str) -> None:
    while lab.run_once(id, workflow=FLOWS[trip.name]).status != status:
        lab.advance("1h")


def block(lab: Lab) -> None:
    """One that its code does not fit any more."""
    lab.crash_at(2)
    try:
        lab.run_once("blocked")
    except SimulatedCrash:
        lab.run_once("blocked", workflow=other_code_now)


def finish(file: Path) -> dict[str, tuple[str, Any]]:
    """Bring every run to its end; its status and output."""
    clock = FakeClock()
    clock.advance(LATER)
    BROKEN["flaky"] = False
    with Lab(file, clock=clock) as lab:
        lab.client.driver.reap(clock.now())
        for id, name, data in (("waiting", "more", "!"), ("rounds", "number", 3)):
            lab.send(id, name, data)
        lab.get("paused").resume()
        for id in ENDINGS:
            row = lab.client.driver.get(id)
            assert row is not None
            workflow = FLOWS[str(row.workflow)]
            try:
                lab.run_to_end(id, workflow=workflow)
            except flowkit.FlowkitError:
                continue  # failed or cancelled: its status says so
        return {id: (lab.get(id).status(), lab.get(id).output()) for id in ENDINGS}


# --- files ----------------------------------------------------------------------------------------------------------


def fixtures() -> list[Path]:
    """Dumps of all schemas, oldest first."""
    return sorted(SCHEMAS.glob("*.sql"))


def dump(file: Path) -> str:
    """A file as the SQL that makes it."""
    with closing(sqlite3.connect(file)) as connection:
        return "\n".join(connection.iterdump()) + "\n"


def restored(fixture: Path, file: Path) -> Path:
    """The file that a dump was made of."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(fixture.read_text())
    return file


def tables(file: Path) -> dict[str, str]:
    """Every table, index and view with the statement that makes it, but for those that list migrations."""
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: " ".join(sql.split()) for name, sql in found if not name.startswith(("_sqlite", "sqlite_"))}


# --- kills ----------------------------------------------------------------------------------------------------------


def kill_everywhere(folder: Path) -> dict[str, Any]:
    """See the module's head."""
    wanted = opened(folder / "untouched.db", 0)
    kills, wrong = 0, []
    while True:
        file = folder / f"killed-{kills + 1}.db"
        if in_a_child(lambda file=file, statement=kills + 1: opened(file, statement)) == 0:
            return {"kills": kills, "wrong": wrong}
        kills += 1
        if tables(file) not in ({}, wanted):
            wrong.append(f"killed before statement {kills}: half of the tables were there")
        if in_a_child(lambda file=file: compared(file, wanted)) != 0:
            wrong.append(f"killed before statement {kills}: it did not open as a new file does")


def in_a_child(work: Callable[[], object]) -> int:
    """How a forked child ended that did this."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # the child must end here, whatever happened, and say it by its code
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def opened(file: Path, statement: int) -> dict[str, str]:
    """Open a file and look at its tables; killed before that statement of its migration, if it is not 0."""
    if statement:
        connections.migrate = dying(statement)  # type: ignore[attr-defined]  # in a child of our own that is to die there
    flowkit.open(file, worker=False).close()
    return tables(file)


def dying(statement: int) -> Callable[[sqlite3.Connection], None]:
    def migrate(connection: sqlite3.Connection) -> None:
        left = statement

        def count(sql: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        connection.set_trace_callback(count)
        schema.migrate(connection)

    return migrate


def compared(file: Path, wanted: dict[str, str]) -> None:
    found = opened(file, 0)
    if found != wanted:
        raise AssertionError(f"{file.name} has other tables: {sorted(set(wanted.items()) ^ set(found.items()))[:3]}")
    with closing(sqlite3.connect(file)) as connection:
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            raise AssertionError(f"{file.name} is damaged")
    with Lab(file) as lab:
        lab.start("r", trip, "done")
        if lab.run_to_end("r") != "booked room":
            raise AssertionError(f"{file.name} takes no run")


def main(task: str, folder: str = "") -> None:
    """See the module's head."""
    if task == "kill":
        print(json.dumps(kill_everywhere(Path(folder))))
        return
    with tempfile.TemporaryDirectory() as made_in:
        file = Path(made_in) / "making.db"
        placeless().fill(file)
        (SCHEMAS / f"{schema.VERSION:04}.sql").write_text(dump(file))


def placeless() -> Any:
    """This module once more, whose tracebacks name its file as it is seen from the root of the repository."""
    name = "tests.torture.upgrade"
    module: Any = types.ModuleType(name)
    module.__file__ = __file__
    sys.modules[name] = module
    exec(compile(Path(__file__).read_text(), "tests/torture/upgrade.py", "exec"), module.__dict__)
    return module


if __name__ == "__main__":
    main(*sys.argv[1:])
