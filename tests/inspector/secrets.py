"""A database in which user code has put one word into every message, traceback and value that there is, and code that says it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import flowkit
from flowkit import Break, Continue, attempt, checkpoint, join, loop, race, receive, run_state, send, sleep, step, workflow
from flowkit.client import Flowkit
from flowkit.client.bulk import Bulks, BulkWish
from flowkit.client.livecode import (
    Answer,
    CodeState,
    LoadError,
    ResolveWish,
    SourceLine,
    StartAnswer,
    StartWish,
    TriedStep,
    UndoTrial,
    WorkflowInfo,
)
from flowkit.client.walk import Walker
from flowkit.core.bulk import Picks
from flowkit.core.health import Report
from tests.runtime.waiting import until

__all__ = ["SECRET", "Says", "fill"]

SECRET = "XYZZY9secret"
log = logging.getLogger(__name__)


class Odd(Exception):
    """An error of the user's own, with attributes."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.card = SECRET
        self.error = {"type": "Inner", "message": SECRET}


@step(retries=1, backoff=0.01)
def breaks(card: str) -> None:
    log.warning("charging %s", card)
    raise Odd(f"no money on {card}")


@step
def says(card: str) -> dict[str, str]:
    run_state()["card"] = card
    return {card: card}


def undo(receipt: dict[str, str]) -> None:
    raise Odd(f"cannot undo {receipt}")


@step(rollback=undo, rollback_retries=0)
def books(card: str) -> dict[str, str]:
    return {"booked": card}


@workflow(name="whole")
def whole(card: str) -> dict[str, Any]:
    says(card)
    attempt(lambda: breaks(card), name="tried")
    total = loop(lambda seen: Break(seen) if len(seen) > 1 else Continue([*seen, card]), [card], name="turns")
    both = join("both", {"a": lambda: says(card), "b": lambda: says.options(name="other")(card)})
    first = race("first", {"a": lambda: says(card)})
    told = receive("told").data
    send("waits", "from-whole", {"card": card})
    return {"total": total, "both": both, "first": first.value, "told": told}


@workflow(name="fails")
def fails(card: str) -> None:
    says(card)
    breaks(card)


@workflow(name="joins")
def joins(card: str) -> None:
    join("both", {"good": lambda: says(card), "bad": lambda: breaks(card)})


@workflow(name="waits")
def waits(card: str) -> None:
    loop(lambda seen: Continue(receive("next").data), card, name="turns")


@workflow(name="undoes")
def undoes(card: str) -> None:
    checkpoint("begun")
    books(card)
    raise Odd(f"after {card}")


@step(retries=5, backoff=3_600, backoff_max=7_200)
def retries_later(card: str) -> None:
    raise Odd(f"later {card}")


@workflow(name="retries")
def retries(card: str) -> None:
    retries_later(card)


@workflow(name="held")
def held(card: str) -> None:
    says(card)
    receive("never")


@workflow(name="held")
def held_otherwise(card: str) -> None:
    sleep(0.001, name="another")
    receive("never")


def fill(file: Path) -> None:
    """Make the database."""
    with flowkit.open(file, workflows=[whole, fails, joins, waits, undoes, retries, held]) as fk:
        runs = [fk.start(flow.name, flow, SECRET) for flow in (whole, fails, joins, waits, undoes, retries, held)]
        until(lambda: {run.status() for run in runs} <= {"sleeping", "failed"} and runs[4].status() == "failed")
        fk.send("whole", "told", {"card": SECRET})
        until(lambda: runs[0].status() == "completed")
        fk.send("waits", "next", {"card": SECRET})
        fk.send("waits", "kept", {"card": SECRET})
        _steered(fk)
    with flowkit.open(file, workflows=[held_otherwise]) as fk:
        fk.get("held").wake()
        until(lambda: fk.get("held").status() == "blocked")
    with flowkit.open(file, worker=False) as fk:
        _reported(fk)
        _bulk(fk)


def _steered(fk: Flowkit) -> None:
    """Entries that are set aside, and one that a person has decided."""
    for id in ("fails", "joins"):
        fk.get(id).recover()
        until(lambda: fk.get(id).status() == "failed")  # noqa: B023  # asked at once
    fk.get("fails").resolve(again=True, args={"card": f"{SECRET} by hand"}, reason="another card")
    until(lambda: fk.get("fails").status() == "failed")
    fk.get("whole").fork("says", value={SECRET: SECRET}, reason="what if", id="fork")
    fk.get("whole").fork("says", error=Odd(SECRET), reason="what if not", id="fork-2")
    fk.get("whole").replay("told")
    until(lambda: fk.get("whole").status() == "completed")


def _reported(fk: Flowkit) -> None:
    now = time.time()
    said = Report(
        workflow="held", kind="import", type="ImportError", line=SECRET, place="app.py:3", since=now, last=now, source="w-7"
    )
    fk.driver.report("w-7/0", [said], now + 3_600, now)


def _bulk(fk: Flowkit) -> None:
    bulks = Bulks(fk, "test")
    picks, top = Picks(), bulks.newest_run()
    wish = BulkWish(verb="send", picks=picks, top=top, name="bulk", data=f'{{"card": "{SECRET}"}}'.encode())
    made = bulks.begin("0" * 32, wish, bulks.count(picks, top))
    Walker(fk).walk(made.seq)


class Says:
    """Loaded code that is broken, and says the word in all that it tells of it."""

    def state(self) -> CodeState:
        error = LoadError(
            type="ImportError", message=SECRET, source="app.py:3", lines=(SourceLine(number=3, text=SECRET, marked=True),),
            frames=(f"app.py:3 in {SECRET}",), hint=SECRET, output=(SECRET,),
        )  # fmt: skip
        names = ("whole", "fails", "joins", "waits", "undoes", "retries", "held")
        flows = tuple(WorkflowInfo(name=name) for name in names)
        return CodeState(version=1, status="broken", app="app.py", error=error, notes=(SECRET,), workflows=flows)

    def start(self, wish: StartWish) -> StartAnswer:
        return StartAnswer()

    def resolve(self, wish: ResolveWish) -> Answer:
        return Answer("refused", "not now")

    def kill(self) -> None:
        return None

    def try_undoing(self, run_id: str) -> UndoTrial:
        return UndoTrial(problem=SECRET, steps=(TriedStep(location="books", problem=SECRET),))
