"""What `doctor` finds out about a SQLite file, without ever writing to it.

It asks SQLite itself and not the driver, since a file that the driver refuses (damaged, newer, something else's) is just
the one that needs a doctor. Each question stands alone: one that fails becomes a finding, and the others are still asked.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flowkit.durations import format_seconds
from flowkit.settings import in_force

__all__ = ["Finding", "Report", "examine_file", "standing"]

_MEGABYTE = 1_000_000
_LARGE_LOG = 256 * _MEGABYTE


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about, and what to do. `trouble` is False for a mere hint."""

    text: str
    trouble: bool = True


@dataclass(slots=True)
class Report:
    """All facts by name, in order, and the findings."""

    facts: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong with the database itself."""
        return not any(finding.trouble for finding in self.findings)


def examine_file(path: Path, now: float, *, full: bool = False) -> Report:
    """Everything about the database file at `path`; `full` reads and checks every page and index."""
    from flowkit.drivers.connections import translated

    report = Report({"database": str(path.absolute()), "sqlite": sqlite3.sqlite_version})
    report.facts |= _sizes(path)
    report.findings += _place(path, report.facts)
    try:
        with closing(_connect(path)) as db:
            _examine(db, report, now, full)
    except sqlite3.Error as error:
        report.findings.append(Finding(str(translated(error, str(path)))))
    return report


def _connect(path: Path) -> sqlite3.Connection:
    """In a folder that cannot be written SQLite must be told that nobody is writing: it cannot lay its own files there."""
    alone = not os.access(path.absolute().parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
    place = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"
    return sqlite3.connect(place, uri=True, isolation_level=None, timeout=in_force().cli_patience)


def _sizes(path: Path) -> dict[str, Any]:
    def size(suffix: str) -> int:
        beside = path.with_name(path.name + suffix)
        return beside.stat().st_size if beside.exists() else 0

    locks = path.with_name(path.name + "-locks")
    return {
        "file_bytes": size(""),
        "log_bytes": size("-wal"),
        "lock_folder": str(locks.absolute()) if locks.is_dir() else None,
        "lock_files": len(list(locks.iterdir())) if locks.is_dir() else 0,
    }


def _place(path: Path, facts: dict[str, Any]) -> Iterator[Finding]:
    from flowkit.drivers.gate import refuse_network_folder
    from flowkit.errors import StoreError

    try:
        refuse_network_folder(path)
    except StoreError as error:
        yield Finding(str(error))
    if not os.access(path, os.W_OK) or not os.access(path.absolute().parent, os.W_OK):
        yield Finding(f"{path} or its folder is read-only for this user: nothing can be started or steered from here.", False)
    if facts["log_bytes"] > _LARGE_LOG:
        yield Finding(
            f"the log beside the file has {facts['log_bytes'] // _MEGABYTE} MB: a reader (a backup, an open database tool) "
            "may be holding it. It shrinks when that ends.", False,
        )  # fmt: skip


def _examine(db: sqlite3.Connection, report: Report, now: float, full: bool) -> None:
    from flowkit.drivers.schema import VERSION, found_version
    from flowkit.errors import SchemaTooNew, StoreError

    check = "integrity_check" if full else "quick_check"
    said = [row[0] for row in db.execute(f"PRAGMA {check}(5)")]
    report.facts["integrity"] = "ok" if said == ["ok"] else said
    if said != ["ok"]:
        report.findings.append(Finding(f"the file is damaged: {said[0]}. Stop the workers and restore a backup."))
    try:
        report.facts["schema"] = found_version(db, str(report.facts["database"]))
    except (SchemaTooNew, StoreError) as error:
        report.findings.append(Finding(str(error)))
        return
    if report.facts["schema"] < VERSION:
        text = f"its schema is {report.facts['schema']}, this flowkit writes {VERSION}: the next command that writes migrates it."
        report.findings.append(Finding(text, False))
    if report.facts["schema"]:
        _count(db, report, now)


def _count(db: sqlite3.Connection, report: Report, now: float) -> None:
    report.facts["runs"] = dict(db.execute("SELECT status, count(*) FROM runs GROUP BY status ORDER BY 2 DESC").fetchall())
    report.facts["entries"] = db.execute("SELECT count(*) FROM entries").fetchone()[0]
    report.facts["messages"] = db.execute("SELECT count(*) FROM inbox").fetchone()[0]
    oldest = db.execute(
        "SELECT id, workflow, wake_at FROM runs WHERE owner IS NULL AND wake_at IS NOT NULL ORDER BY wake_at LIMIT 1"
    ).fetchone()
    report.facts["next_due"] = None if oldest is None else dict(zip(("id", "workflow", "wake_at"), oldest, strict=True))
    report.findings += standing(report.facts, now)


def standing(facts: dict[str, Any], now: float) -> Iterator[Finding]:
    """What waits for a person: runs that are overdue, blocked or failed."""
    due = facts.get("next_due")
    if due is not None and due["wake_at"] < now - in_force().late:
        late = format_seconds(now - due["wake_at"])
        text = f"run {due['id']} has been due for {late} and nobody works on it. Start a worker for workflow {due['workflow']}."
        yield Finding(text, False)
    for status, advice in (("blocked", "flowkit show ID says why"), ("failed", "flowkit recover ID lets one go on")):
        count = facts.get("runs", {}).get(status, 0)
        if count:
            yield Finding(f"{count} run{'s are' if count > 1 else ' is'} {status}; {advice}.", False)
