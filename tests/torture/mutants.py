"""Guards of the program, each with what it looks like when it is taken away, and the fault that must notice.

A mutant is a few replacements in the text of `flowkit`; each text must stand there exactly once, so that a guard that has
moved is missed at once. They are made in a copy of the repository, never here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.house.source import ROOT

__all__ = ["MUTANTS", "Edit", "Mutant", "Verdict", "put_to_the_test"]

FOLDERS = ("flowkit", "inspector", "templates", "tests", "examples")
FILES = ("pyproject.toml", "README.md")
PATIENCE_SECONDS = 240


@dataclass(frozen=True)
class Edit:
    """Replace `old` by `new` in the file `where`."""

    where: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A guard that is gone, the fault that must turn red, and where its test is."""

    guard: str
    fault: str
    test: str
    edits: tuple[Edit, ...]
    only: str = ""
    """As pytest's `-k`."""
    long: bool = False
    """Its fault takes minutes to turn red, so it is left to the long run."""


@dataclass(frozen=True)
class Verdict:
    """What the fault's tests said: `violations` from the report, `skipped` if a tool is missing. A control that showed nothing
    is none: it has no seed to replay.
    """

    violations: int
    skipped: bool
    said: str


def put_to_the_test(mutant: Mutant, folder: Path) -> Verdict:
    """Copy the repository into `folder`, take the guard away, and inject the fault until the first violation."""
    copy = _mutated(mutant, folder)
    report = folder / "report.json"
    ours = ("PYTEST_", "FLOWKIT_", "SEED", "DIR")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment |= {"F": mutant.fault, "FLOWKIT_TORTURE": "brief", "FLOWKIT_TORTURE_REPORT": str(report), "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", mutant.only, mutant.test]
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    rows = json.loads(report.read_text()) if report.exists() else []
    violations = sum(row["violations"] for row in rows if row["fault"] == mutant.fault and row["replay"])
    return Verdict(violations, " skipped" in done.stdout and not violations, done.stdout[-3_000:] + done.stderr[-1_000:])


def _mutated(mutant: Mutant, folder: Path) -> Path:
    copy = folder / "copy"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.db*"))
    for name in FILES:
        shutil.copy(ROOT / name, copy / name)
    for edit in mutant.edits:
        place = copy / edit.where
        text = place.read_text()
        assert text.count(edit.old) == 1, f"{mutant.guard}: {edit.where} holds {text.count(edit.old)} times:\n{edit.old}"
        place.write_text(text.replace(edit.old, edit.new))
    return copy


_SQLITE, _KV = "flowkit/drivers/sqlite_write.py", "flowkit/drivers/kv_write.py"
_STATEMENTS = "flowkit/drivers/sqlite_change.py"
_CONNECTIONS, _CHANGE = "flowkit/drivers/postgres_connections.py", "flowkit/drivers/postgres_change.py"
_COMPARED = "if row.epoch != change.epoch or row.head != change.head:"
_COMPARED_KV = "if (row.epoch, row.head) != (change.epoch, change.head):"
_FENCE = '_FENCE = "WHERE seq = ? AND epoch = ? AND head = ?"'
_WRITE = "            results = self._driver.write(ops, self._clock.now())\n"
_REHEARSE = """
class _Rehearsed(Exception):
    pass


def _rehearse(driver, ops, now):
    from flowkit.drivers.sqlite_write import Writing

    def work(cursor):
        raise _Rehearsed(Writing(cursor, now, driver.limits).apply(ops))

    try:
        driver._connections.transact(work)
    except _Rehearsed as rehearsed:
        return rehearsed.args[0]


class Writer:
"""

MUTANTS = (
    Mutant(
        "the epoch is not compared", "F3", "tests/torture/test_zombies.py",
        (
            Edit(_SQLITE, _COMPARED, "if row.head != change.head:"),
            Edit(_STATEMENTS, _FENCE, '_FENCE = "WHERE seq = ? AND ? IS NOT NULL AND head = ?"'),
        ),
        long=True,
    ),
    Mutant(
        "the head is not compared", "F1", "tests/torture/test_every_call.py",
        (
            Edit(_SQLITE, _COMPARED, "if row.epoch != change.epoch:"),
            Edit(_STATEMENTS, _FENCE, '_FENCE = "WHERE seq = ? AND epoch = ? AND ? IS NOT NULL"'),
            Edit(_KV, _COMPARED_KV, "if row.epoch != change.epoch:"),
        ),
    ),
    Mutant(
        "a settled entry is overwritten", "F15", "tests/model/test_model.py",
        (
            Edit(_KV, "if stored is None or stored.settled:", "if stored is None:"),
        ),
    ),
    Mutant(
        "a settled entry of a file is overwritten", "F15", "tests/model/test_model.py",
        (
            Edit(
                _STATEMENTS,
                'AS BLOB)) END "\n    "WHERE run = ? AND seq = ? AND settled_at IS NULL"',
                'AS BLOB)) END "\n    "WHERE run = ? AND seq = ?"',
            ),
        ),
        only="sqlite",
        long=True,
    ),
    Mutant(
        "a run parks whatever has come to its inbox", "F13", "tests/torture/test_wake_up_race.py",
        (
            Edit("flowkit/drivers/rules.py", "and row.inbox > change.seen:", "and row.inbox < 0:"),
        ),
    ),
    Mutant(
        "a message is taken by a later commit than its record", "F1", "tests/torture/test_every_call.py",
        (
            Edit(
                "flowkit/core/ledger.py",
                "            self._flying = batch\n            self.taken_version",
                '            late, self._late = getattr(self, "_late", ()), batch.consume\n'
                "            self._flying = batch\n            self.taken_version",
            ),
            Edit("flowkit/core/ledger.py", "consume=batch.consume,", "consume=late,"),
        ),
    ),
    Mutant(
        "an outcome is told before its COMMIT", "F2", "tests/torture/test_storm.py",
        (
            Edit("flowkit/drivers/writer.py", "\nclass Writer:\n", _REHEARSE),
            Edit(
                "flowkit/drivers/writer.py", _WRITE,
                "            now = self._clock.now()\n"
                "            self._answer(batch.items, _rehearse(self._driver, ops, now))\n"
                "            time.sleep(0.005)  # a disk that takes its time\n"
                "            results = self._driver.write(ops, now)\n",
            ),
        ),
    ),
    Mutant(
        "COMMIT does not wait for the disk", "F4", "tests/torture/test_power_cut.py",
        (
            Edit("flowkit/drivers/pragmas.py", '"FULL" if durability == "full" else "NORMAL"', '"NORMAL"'),
        ),
    ),
    Mutant(
        "a failed COMMIT is believed", "F6", "tests/torture/test_failed_commit.py",
        (
            Edit(
                "flowkit/drivers/connections.py",
                'raise translated(error, self.name, "unknown") from error', "raise translated(error, self.name) from error",
            ),
        ),
    ),
    Mutant(
        "the id of a message is not compared", "F1", "tests/torture/test_every_call.py",
        (
            Edit(
                _SQLITE, "key = message_key(op.message_id) if op.key is None else stored_key(op.key)",
                "key = None if op.key is None else stored_key(op.key)",
            ),
            Edit(
                _KV, "key = message_key(op.message_id) if op.key is None else stored_key(op.key)",
                "key = None if op.key is None else stored_key(op.key)",
            ),
        ),
    ),
    Mutant(
        "the gate is not taken", "F10", "tests/torture/test_crowd.py",
        (
            Edit(
                "flowkit/drivers/gate.py", "if not self._asked:\n            try:\n",
                "if self:\n            return\n            try:\n",
            ),
        ),
    ),
    Mutant(
        "a takeover leaves the epoch as it is", "F3", "tests/torture/test_zombies.py",
        (
            Edit("flowkit/drivers/rules.py", "    fate.epoch += 1\n    fate.crashes += 1\n", "    fate.crashes += 1\n"),
        ),
        long=True,
    ),
    Mutant(
        "a checksum is not compared",
        "F8",
        "tests/torture/test_damage.py",
        (
            Edit(
                "flowkit/drivers/sql.py",
                "    raise PayloadError(\n        f\"{what} does not match its stored checksum",
                "    return\n    raise PayloadError(\n        f\"{what} does not match its stored checksum",
            ),
        ),
    ),
    Mutant(
        "a failed attempt is not recorded", "F1", "tests/torture/test_every_call.py",
        (
            Edit("flowkit/core/ledger.py", "failures=batch.failures, forget", "failures=(), forget"),
        ),
    ),
    Mutant(
        "what settles in a closed scope is recorded", "F14", "tests/torture/test_simulation.py",
        (
            Edit("flowkit/core/ledger.py", "if gate is not None and gate.stop is not None:", "if gate is not None and not gate:"),
        ),
    ),
    Mutant(
        "the clock is looked at only when a timer was due", "F9", "tests/torture/test_clock_jumps.py",
        (
            Edit("flowkit/settings.py", 'poll: float = _time("worker", 1.0', 'poll: float = _time("worker", 60.0'),
        ),
        long=True,
    ),
    Mutant(
        "a worker leaves without waiting for its bodies", "F21", "tests/torture/test_leaving.py",
        (
            Edit("flowkit/runtime/worker.py", "deadline = time.monotonic() + grace", "deadline = time.monotonic() + 0 * grace"),
        ),
        only="told_to_leave",
        long=True,
    ),
    Mutant(
        "a child keeps the locks of its parent", "F21", "tests/torture/test_leaving.py",
        (
            Edit("flowkit/drivers/gate.py", "os.register_at_fork(after_in_child=_close_inherited)", "pass"),
        ),
        only="forks",
        long=True,
    ),
    Mutant(
        "the id of a message over a network is not compared", "F12", "tests/torture/test_network.py",
        (
            Edit(
                _SQLITE, "key = message_key(op.message_id) if op.key is None else stored_key(op.key)",
                "key = None if op.key is None else stored_key(op.key)",
            ),
        ),
        only="cut_anywhere",
    ),
    Mutant(
        "a COMMIT that got no answer is taken for none", "F12", "tests/torture/test_network.py",
        (
            Edit(
                _CONNECTIONS, 'raise translated(error, self.name, "unknown") from error\n        return result',
                "raise translated(error, self.name) from error\n        return result",
            ),
            Edit(
                _CONNECTIONS, 'raise translated(error, self.name, "unknown") from error\n            time.sleep',
                "raise translated(error, self.name) from error\n            time.sleep",
            ),
        ),
        only="cut_anywhere",
        long=True,
    ),
    Mutant(
        "the epoch is not compared on a server", "F3", "tests/torture/test_zombies.py",
        (
            Edit(_SQLITE, _COMPARED, "if row.head != change.head:"),
            Edit(_CHANGE, "r.seq = b.run AND r.epoch = b.epoch AND", "r.seq = b.run AND"),
            Edit(_CHANGE, "seq = %(run)s AND epoch = %(epoch)s AND", "seq = %(run)s AND"),
        ),
        only="server",
        long=True,
    ),
)  # fmt: skip
