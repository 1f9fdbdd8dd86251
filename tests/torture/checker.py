"""What must be true after every trial, whatever was done to the processes: faults off, everything reopened.

Each check gives the violations that it finds, as sentences that begin with its number. What it compares with is the log
outside the store, in which bodies, workflows, workers and clients said what they did and what they were promised. What a
program computes and which of its steps run at most once is the program's to say, as a `Workflows`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowkit.core.entry import Entry, Message
from flowkit.core.run import TERMINAL
from flowkit.drivers.base import BodyRef, Driver, RunQuery, RunView
from flowkit.errors import FlowkitError
from tests.torture.log import Logged, read_log
from tests.torture.stores import Database, ask, opened, sound

__all__ = ["Workflows", "check", "check_store", "contained", "digest"]

UNCLAIMED_SECONDS = 2.0
OPEN_FILES = 100
RESIDENT_KILOBYTES = 400_000


@dataclass(frozen=True)
class Workflows:
    """What the checker cannot know of the workflows that ran.

    `outputs` computes a workflow's output from its recorded entries; `at_most_once` and `ephemeral` know the locations of
    such steps; `fails` knows the runs that end in an error with or without a fault.
    """

    outputs: Mapping[str, Callable[[Sequence[Entry]], object]] = field(default_factory=dict)
    at_most_once: Callable[[str], bool] = lambda location: False
    ephemeral: Callable[[str], bool] = lambda location: False
    fails: Callable[[str], bool] = lambda run: False


def digest(tokens: list[str]) -> str:
    """The output of a storm's workflow: a function of all the tokens that it saw, in order."""
    return hashlib.sha256(" ".join(tokens).encode()).hexdigest()[:16]


def check(
    database: Database, log: Path, workflows: Workflows | None = None, *, stderr: str = "", now: float | None = None
) -> list[str]:
    """All violations, C1 to C10, of a database that nobody has open."""
    logged = read_log(log)
    try:
        driver = opened(database)
    except FlowkitError as error:
        return [f"C9: it cannot be opened: {error}"]
    try:
        found = check_store(driver, logged, workflows, now=time.time() if now is None else now)
    finally:
        driver.close()
    return [*found, *_whole(database), *contained(stderr)]


def check_store(driver: Driver, logged: Logged, workflows: Workflows | None = None, *, now: float) -> list[str]:
    """What any driver can be asked: C1 to C8, C10, and every checksum."""
    known = workflows or Workflows()
    views, found = _views(driver)
    found += [*_acked(driver, logged, views), *_recorded(logged, views, known), *_same_answer(logged, views, known)]
    found += [*_fenced(logged, views), *_messages(driver, logged, views), *_awake(driver, views, now)]
    found += [*_cancels(logged, views), *_alive(driver, views), *_bounded(logged), *_ended_well(driver, views, known)]
    return found


def contained(stderr: str) -> list[str]:
    """C10: what processes said on their way. No traceback is among it, of ours or of a thread's."""
    return (
        [f"C10: a traceback came out of a process:\n{stderr[-2_000:]}"] if "Traceback (most recent call last)" in stderr else []
    )


def _views(driver: Driver) -> tuple[dict[str, RunView], list[str]]:
    """Every run, all its checksums compared (C9)."""
    views: dict[str, RunView] = {}
    found: list[str] = []
    after: int | None = None
    while rows := driver.runs(RunQuery(after=after, limit=200)):
        after = rows[-1].seq
        for row in rows:
            try:
                view = driver.load(row.seq)
                for body in ("input", "output", "error", "state"):
                    driver.body(BodyRef(run=row.seq, field=body))  # type: ignore[arg-type]  # one of the literals
            except FlowkitError as error:
                found.append(f"C9: {row.id} cannot be read: {error}")
                continue
            if view is not None:
                views[row.id] = view
    return views, found


def _value(driver: Driver, view: RunView) -> Any:
    """A run's output, decoded."""
    data = driver.body(BodyRef(run=view.row.seq, field="output"))
    return None if data is None else json.loads(data)


# --- C1 to C3: what was promised, recorded and seen ---------------------------------------------------------------------


def _acked(driver: Driver, logged: Logged, views: Mapping[str, RunView]) -> Iterator[str]:
    """C1: what was acknowledged is there."""
    for run in logged.started:
        if run not in views:
            yield f"C1: the start of {run} was acknowledged and is gone"
    for run, key in logged.sent:
        if run not in views:
            yield f"C1: message {key} to {run} was acknowledged, and the run is gone"
    for run, output in logged.results.items():
        if run not in views:
            yield f"C1: the result of {run} was given, and the run is gone"
        elif (views[run].row.status, str(_value(driver, views[run]))) != ("completed", output):
            yield f"C1: {run} was said to have ended with {output}; it is {views[run].row.status}"


def _recorded(logged: Logged, views: Mapping[str, RunView], known: Workflows) -> Iterator[str]:
    """C2: a recorded output is a token of the log; once it was recorded, the body never ran again."""
    for run, view in views.items():
        locations = [entry.location for entry in view.entries]
        if len(set(locations)) != len(locations):
            yield f"C2: {run} has two entries at one location"
        for entry in view.entries:
            ran = logged.ran.get((run, entry.location), [])
            if (entry.settled_at is not None) != (entry.status in _SETTLED):
                yield f"C2: {entry.location} of {run} is {entry.status} and settled at {entry.settled_at}"
            if known.at_most_once(entry.location) and len(ran) > 1:
                yield f"C2: {entry.location} of {run} runs at most once and ran {len(ran)} times"
            if entry.kind != "step" or entry.output is None:
                continue
            token = json.loads(entry.output)
            if token not in ran:
                yield f"C2: {run} recorded {token} at {entry.location}, which no body gave: {ran}"
            elif ran[-1] != token:
                yield f"C2: {entry.location} of {run} ran again after {token} was recorded: {ran}"


_SETTLED = frozenset(("completed", "failed", "exhausted", "cancelled", "rolled_back"))


def _same_answer(logged: Logged, views: Mapping[str, RunView], known: Workflows) -> Iterator[str]:
    """C3: over all passes and processes a workflow sees one token per location, the recorded one, and ends with what follows."""
    for (run, location), tokens in logged.saw.items():
        if len(set(tokens)) != 1 and not known.ephemeral(location):
            yield f"C3: {run} saw {sorted(set(tokens))} at {location}"
    for run, view in views.items():
        entries = {entry.location: entry for entry in view.entries if entry.kind == "step" and entry.output is not None}
        for location, entry in entries.items():
            seen = logged.saw.get((run, location))
            if seen is None and view.row.status == "completed":
                yield f"C3: {run} completed without having seen {location}"
            elif seen is not None and seen[-1] != json.loads(entry.output or b""):
                yield f"C3: {run} saw {seen[-1]} at {location}, recorded is {json.loads(entry.output or b'')}"


# --- C4: the fence ------------------------------------------------------------------------------------------------------


def _fenced(logged: Logged, views: Mapping[str, RunView]) -> Iterator[str]:
    """C4: each head of a run was acknowledged once, with rising heads the epoch never falls, and the row is not behind."""
    rows = {view.row.seq: view.row for view in views.values()}
    for run, commits in logged.commits.items():
        ordered = sorted(commits)
        heads = [head for head, _ in ordered]
        epochs = [epoch for _, epoch in ordered]
        if len(set(heads)) != len(heads):
            yield f"C4: run number {run} acknowledged one head twice: {ordered}"
        if epochs != sorted(epochs):
            yield f"C4: run number {run} went on under an old epoch: {ordered}"
        row = rows.get(run)
        if row is not None and (row.head < heads[-1] or row.epoch < epochs[-1]):
            yield f"C4: {row.id} acknowledged head {heads[-1]} of epoch {epochs[-1]}, and is at {row.head} of {row.epoch}"
    for run, claims in logged.claims.items():
        taken = [epoch for epoch, _ in claims]
        if len(set(taken)) != len(taken):
            yield f"C4: run number {run} was claimed twice under one epoch: {sorted(taken)}"


# --- C5: messages -------------------------------------------------------------------------------------------------------


def _messages(driver: Driver, logged: Logged, views: Mapping[str, RunView]) -> Iterator[str]:
    """C5: a message is in the inbox or consumed, once, in the order of its number; with a key twice it came once.

    The sender of a logged message gave it its key for data, so that both ends can be compared.
    """
    for run, view in views.items():
        consumed = _consumed(view.entries)
        waiting = driver.inbox(view.row.seq, (), 100_000)
        numbers = [number for number, _ in consumed]
        if numbers != sorted(numbers):
            yield f"C5: {run} took messages out of order: {numbers}"
        everything = [*numbers, *(message.seq for message in waiting)]
        if len(set(everything)) != len(everything):
            yield f"C5: {run} has message numbers twice: {sorted(everything)}"
        if everything and max(everything) > view.row.inbox:
            yield f"C5: {run} has message {max(everything)} and counted {view.row.inbox}"
        words = [*(word for _, word in consumed), *(message.key or _word(message) for message in waiting)]
        for sent, key in dict.fromkeys(logged.sent):
            if sent == run and words.count(key) != 1:
                yield f"C5: message {key} to {run} was acknowledged and is there {words.count(key)} times"


def _consumed(entries: Sequence[Entry]) -> list[tuple[int, str]]:
    """Number and data of the messages that a run took, in the order of its entries."""
    taken: list[tuple[int, str]] = []
    for entry in entries:
        if entry.kind == "message" and entry.status == "completed" and entry.output is not None:
            taken += [(message["number"], str(message["data"])) for message in json.loads(entry.output)]
    return taken


def _word(message: Message) -> str:
    return str(json.loads(message.body))


# --- C6 to C8: wake-ups, cancels, life ----------------------------------------------------------------------------------


def _awake(driver: Driver, views: Mapping[str, RunView], now: float) -> Iterator[str]:
    """C6: nobody sleeps over a message, nobody due is left lying, no timer fired before its deadline."""
    for run, view in views.items():
        row = view.row
        for entry in view.entries:
            early = entry.due_at is not None and entry.settled_at is not None and entry.settled_at < entry.due_at
            if entry.kind == "sleep" and entry.status == "completed" and early:
                yield f"C6: {entry.location} of {run} ended at {entry.settled_at}, before its time {entry.due_at}"
        if row.owner is not None or row.status in TERMINAL or row.status in ("paused", "blocked"):
            continue
        if row.wake_at is not None and row.wake_at < now - UNCLAIMED_SECONDS:
            yield f"C6: {run} has been due for {now - row.wake_at:.1f} s and nobody took it"
        if row.status == "sleeping" and row.waiting is not None and (row.wake_at is None or row.wake_at > now):
            names = () if "*" in row.waiting else row.waiting
            missed = [message.seq for message in driver.inbox(row.seq, names, 100) if message.seq > row.seen]
            if missed:
                yield f"C6: {run} sleeps until {row.wake_at}, and messages {missed} that it waits for are there"


def _cancels(logged: Logged, views: Mapping[str, RunView]) -> Iterator[str]:
    """C7: a cancelled run stays so, and whoever had it writes no more."""
    for run, fence in logged.cancelled.items():
        view = views.get(run)
        if view is None:
            yield f"C7: {run} was cancelled and is gone"
            continue
        row = view.row
        if row.status not in TERMINAL:
            yield f"C7: {run} was cancelled and is {row.status}"
        late = [(head, epoch) for head, epoch in logged.commits.get(row.seq, []) if head > fence.head]
        if row.status == "cancelled" and (late or row.head != fence.head or row.epoch != fence.epoch):
            yield f"C7: {run} was cancelled at {fence} and went on to head {row.head} of epoch {row.epoch}: {late}"
        still = [entry.location for entry in view.entries if not entry.settled]
        if row.status == "cancelled" and still:
            yield f"C7: {run} is cancelled and {still} are open"


def _alive(driver: Driver, views: Mapping[str, RunView]) -> Iterator[str]:
    """C8: every run has ended or waits for a message, and nobody who is gone owns any."""
    workers = driver.workers()
    present = {worker.id for worker in workers if worker.alive}
    for run, view in views.items():
        row = view.row
        waits = row.status == "sleeping" and row.waiting is not None
        if row.status not in TERMINAL and not waits:
            yield f"C8: {run} is {row.status}"
        if row.owner is not None and (row.status in TERMINAL or row.owner not in present):
            yield f"C8: {run} is {row.status} and owned by worker {row.owner}"
    for worker in workers:
        if worker.kind == "worker" and worker.state == "live" and not worker.alive:
            yield f"C8: worker {worker.id} is dead and nobody has noticed"


# --- C9 and C10: the file, the processes --------------------------------------------------------------------------------


def _bounded(logged: Logged) -> Iterator[str]:
    """C9: a process that survived it all has not grown; it noted `left PID FILES KILOBYTES`."""
    for note in logged.notes:
        match note:
            case ["left", pid, files, kilobytes] if int(files) > OPEN_FILES or int(kilobytes) > RESIDENT_KILOBYTES:
                yield f"C9: process {pid} left with {files} open files and {kilobytes} kB"


def _ended_well(driver: Driver, views: Mapping[str, RunView], known: Workflows) -> Iterator[str]:
    """C3, C10: every run that has ended did so as without the fault: completed, with what its entries add up to."""
    for run, view in views.items():
        if view.row.status == "failed" and not known.fails(run):
            yield f"C10: {run} failed: {view.row.error_line}"
        expected = known.outputs.get(view.row.workflow)
        if view.row.status == "completed" and expected is not None:
            wanted, output = expected(view.entries), _value(driver, view)
            if wanted != output:
                yield f"C3: {run} ended with {output!r}, and its tokens make {wanted!r}"


def _whole(database: Database) -> Iterator[str]:
    """C9: the store is sound, and its counters fit its rows."""
    if verdicts := sound(database):
        yield f"C9: integrity_check says {verdicts[:5]}"
    for sql, fault in _COUNTS.items():
        if rows := ask(database, sql):
            yield f"C9: {fault}: {rows[:5]}"


_OF_RUNS = ("entries", "archive", "run_io", "run_tags", "inbox", "keys", "attempts", "replies", "steering")
_COUNTS = {
    "SELECT id, entries FROM runs r WHERE entries < (SELECT max(seq) FROM (SELECT seq FROM entries WHERE run = r.seq "
    "UNION ALL SELECT seq FROM archive WHERE run = r.seq) AS given)": "an entry beyond the counter",
    "SELECT id, inbox FROM runs r WHERE inbox < (SELECT max(seq) FROM inbox WHERE run = r.seq)": "a message beyond the counter",
    "SELECT id, seen, inbox FROM runs WHERE seen > inbox": "a run that has seen more messages than came",
    "SELECT id, owes FROM runs r WHERE status <> 'completed' AND owes <> "
    "(SELECT count(*) FROM entries WHERE run = r.seq AND rollback = 'owes')": "a wrong count of what is owed",
    "SELECT id FROM runs r WHERE NOT EXISTS (SELECT 1 FROM run_io WHERE run = r.seq)": "a run without its input",
    "SELECT id FROM runs r WHERE head = 0 AND EXISTS (SELECT 1 FROM entries WHERE run = r.seq)": "entries that no commit wrote",
    "SELECT run, seq FROM entries GROUP BY run, seq HAVING count(*) > 1": "two entries of one number",
    "SELECT run, seq FROM inbox GROUP BY run, seq HAVING count(*) > 1": "two messages of one number",
    "SELECT run FROM entries WHERE settled_at IS NULL AND run IN (SELECT seq FROM runs WHERE status = 'completed')":
        "open entries of a completed run",
    **{f"SELECT run FROM {table} WHERE run NOT IN (SELECT seq FROM runs)": f"{table} of no run" for table in _OF_RUNS},
}  # fmt: skip
