"""`doctor`: whether the database is well, and what is waiting in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.checkup import Finding, Report, examine_file
from flowkit.cli.failure import STORE, Failure
from flowkit.cli.options import as_json, database
from flowkit.cli.store import file_of, looking
from flowkit.errors import FlowkitError

if TYPE_CHECKING:
    from flowkit.drivers.base import WorkerRow
    from flowkit.settings import InForce

__all__ = ["doctor_command"]


@click.command("doctor", short_help="Examine the database.")
@click.option("--full", is_flag=True, help="Read and check every page and index; slow on a large file.")
@click.option("--settings", "settings", is_flag=True, help="Print all settings and where each comes from, and nothing else.")
@database
@as_json
def doctor_command(full: bool, settings: bool, db: str, as_json: bool) -> None:
    """Examine the database without writing to it: integrity, schema, sizes, runs, workers, what is overdue; and say which
    settings are in force and where they come from.

    The exit code is 4 if something is wrong with the database itself.

    \b
    Example:
      flowkit doctor --db orders.db --full
    """
    from flowkit.cli.render import print_json
    from flowkit.clock import SystemClock
    from flowkit.settings import read_settings

    found = read_settings()
    if settings:
        return print_json({"settings": _settings_data(found)}) if as_json else _print_settings(found, everything=True)

    now = SystemClock().now()
    file = file_of(db)
    report = _of_file(file, now, full) if file is not None else _elsewhere(db, now)
    workers = _workers(db, report)
    if as_json:
        hints = [finding.text for finding in report.findings]
        print_json(
            {
                **report.facts, "workers": [_worker_data(each) for each in workers], "healthy": report.healthy, "hints": hints,
                "settings": _settings_data(found),
            }
        )  # fmt: skip
    else:
        _print(report, workers, now)
        _print_settings(found, everything=False)
    if not report.healthy:
        raise SystemExit(STORE)


def _of_file(file: Path, now: float, full: bool) -> Report:
    if file.is_dir():
        raise Failure(f"{file} is a folder. Name a database file in it.", STORE)
    if not file.exists():
        raise Failure(f"there is no database {str(file)!r}. Name one with --db or $FLOWKIT_DB.", STORE)
    return examine_file(file, now, full=full)


def _elsewhere(db: str, now: float) -> Report:
    from flowkit.cli.checkup_server import examine_server

    return examine_server(db, now) if "://" in db else Report({"database": db})


def _workers(db: str, report: Report) -> list[WorkerRow]:
    if not report.healthy:
        return []
    try:
        with looking(db) as flowkit:
            return [worker for worker in flowkit.driver.workers() if worker.state == "live"]
    except FlowkitError as error:
        report.findings.append(Finding(f"the workers cannot be listed: {error}", trouble=False))
        return []


def _worker_data(worker: WorkerRow) -> dict[str, Any]:
    return {
        "id": worker.id, "host": worker.host, "pid": worker.pid, "alive": worker.alive, "runs": worker.owned,
        "started_at": worker.started_at, "seen_at": worker.seen_at,
    }  # fmt: skip


def _print(report: Report, workers: list[WorkerRow], now: float) -> None:
    from flowkit.cli.render import print_fields, when

    facts = report.facts
    runs: dict[str, int] = facts.get("runs", {})
    due = facts.get("next_due")
    fields = [
        ("database", f"{facts['database']}"),
        ("size", _size(facts) if "file_bytes" in facts else ""),
        ("integrity", _said(facts.get("integrity"))),
        ("schema", str(facts.get("schema", ""))),
        ("sqlite", facts.get("sqlite", "")),
        ("engine", facts.get("engine", "")),
        ("locks", f"{facts['lock_folder']}, {facts['lock_files']} files" if facts.get("lock_folder") else ""),
        ("runs", ", ".join(f"{count:,} {status}" for status, count in runs.items()) or ("none" if "runs" in facts else "")),
        ("entries", f"{facts['entries']:,}, and {facts['messages']:,} messages that wait" if "entries" in facts else ""),
        ("next due", "" if due is None else f"{due['id']} ({due['workflow']}) {when(due['wake_at'], now)}"),
    ]
    if report.healthy:
        fields += [("worker", _worker_text(worker, now)) for worker in workers] or [("workers", "none")]
    print_fields([(name, value) for name, value in fields if value])
    for finding in report.findings:
        click.echo(f"\n{'✕' if finding.trouble else '•'} {finding.text}")
    if report.healthy:
        click.echo("\n✓ the database is well")


def _size(facts: dict[str, Any]) -> str:
    log = f", log {facts['log_bytes']:,}" if "log_bytes" in facts else ""
    return f"{facts.get('file_bytes', 0):,} bytes{log}"


def _settings_data(found: InForce) -> dict[str, Any]:
    from flowkit.settings import rules

    return {
        name: {"value": getattr(found.settings, name), "unit": rule.unit, "range": rule.range, "source": found.sources[name]}
        for name, rule in rules().items()
    }


def _print_settings(found: InForce, *, everything: bool) -> None:
    from flowkit.cli.render import print_fields
    from flowkit.settings import rules

    shown = [name for name in rules() if everything or found.sources[name] != "default"]
    if shown and not everything:
        click.echo("\nsettings")
    print_fields([(name, f"{rules()[name].text(getattr(found.settings, name))}  ({found.sources[name]})") for name in shown])
    if not everything:
        others = len(rules()) - len(shown)
        click.echo(f"{others} settings are as by default; `flowkit doctor --settings` lists them.")


def _said(integrity: Any) -> str:
    return "" if integrity is None else integrity if isinstance(integrity, str) else "\n".join(integrity)


def _worker_text(worker: WorkerRow, now: float) -> str:
    from flowkit.cli.render import ago

    life = "alive" if worker.alive else "dead: another worker takes its runs over"
    return f"pid {worker.pid} on {worker.host}, {life}, {worker.owned} runs, since {ago(worker.started_at, now)}"
