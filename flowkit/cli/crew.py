"""Who works on the runs of a database, for `list --workers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.store import looking

if TYPE_CHECKING:
    from flowkit.drivers.base import WorkerRow

__all__ = ["list_workers"]


def list_workers(db: str, as_json: bool) -> None:
    """Print the workers that live, or did until a moment ago, those that joined last first."""
    from flowkit.cli.render import print_json, print_table

    with looking(db) as flowkit:
        now = flowkit.house.clock.now()
        rows = sorted((row for row in flowkit.driver.workers() if row.kind == "worker"), key=lambda row: row.id, reverse=True)
    found = [_worker(row) for row in rows if row.alive or row.owned]
    if as_json:
        print_json({"workers": found})
    elif not found:
        click.echo("no workers", err=True)
    else:
        print_table(["ID", "NAME", "PID", "STATE", "VERSION", "RUNS", "SEEN", "SERVES"], [_cells(each, now) for each in found])


def _worker(row: WorkerRow) -> dict[str, Any]:
    from flowkit.runtime.serving import read_serving

    serving = read_serving(row.info)
    return {
        "id": row.id, "name": row.name, "host": row.host, "pid": row.pid, "state": _state(row, serving.leaving),
        "version": serving.version, "drains_older": serving.drains_older, "code": serving.code, "owned": row.owned,
        "started_at": row.started_at, "seen_at": row.seen_at, "workflows": serving.workflows,
    }  # fmt: skip


def _state(row: WorkerRow, leaving: bool) -> str:
    if not row.alive:
        return "dead"
    return "draining" if leaving else "working"


def _cells(worker: dict[str, Any], now: float) -> list[str]:
    from flowkit.durations import format_seconds

    serves = "not told" if worker["workflows"] is None else ", ".join(worker["workflows"])
    seen = format_seconds(round(max(0.0, now - worker["seen_at"])))
    return [
        str(worker["id"]), worker["name"], str(worker["pid"]), worker["state"], worker["version"] or "-", str(worker["owned"]),
        f"{seen} ago", serves,
    ]  # fmt: skip
