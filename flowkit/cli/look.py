"""`list`, `show` and `history`: what is in the database, read without writing to it."""

from __future__ import annotations

import re
import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from flowkit.cli.failure import Failure, refusing
from flowkit.cli.options import as_json, database, run_id
from flowkit.cli.store import described, find_run, looking, row_of

if TYPE_CHECKING:
    from flowkit.client import Flowkit, HistoryEntry, Run, RunItem
    from flowkit.drivers.base import RunRow

__all__ = ["history_command", "instant_of", "list_command", "show_command"]

LAST_ENTRIES = 8
_WIDTH = 60


@click.command("list", short_help="List runs, newest first.")
@click.option("--status", "statuses", multiple=True, help="Only runs with this status; may be repeated.")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--tag", help="Only runs with this tag.")
@click.option("--since", metavar="INSTANT", help='Only runs started since then: "2026-11-20T09:00Z", or "2h" for two hours ago.')
@click.option("--until", metavar="INSTANT", help="Only runs started before then.")
@click.option("--limit", type=int, default=50, show_default=True, help="How many runs at most.")
@click.option("--after", metavar="CURSOR", type=int, help="Go on after a page, with the cursor that it ended with.")
@click.option("--workers", is_flag=True, help="List the workers instead: who serves what, and who leaves.")
@database
@as_json
def list_command(
    statuses: tuple[str, ...], workflow: str | None, tag: str | None, since: str | None, until: str | None, limit: int,
    after: int | None, workers: bool, db: str, as_json: bool,
) -> None:  # fmt: skip
    """List runs, newest first, a page at a time.

    \b
    Example:
      flowkit list --status failed --status blocked --since 2h
    """
    from flowkit.cli.crew import list_workers
    from flowkit.cli.render import print_json, print_table

    if workers:
        return list_workers(db, as_json)
    with looking(db) as flowkit, refusing(ValueError, OverflowError):
        now = flowkit.house.clock.now()
        page = flowkit.runs(
            status=statuses, workflow=workflow, tag=tag, limit=limit, after=after,
            since=instant_of(since, "--since", now), until=instant_of(until, "--until", now),
        )  # fmt: skip
    if as_json:
        print_json({"runs": [_item_data(item) for item in page], "next": page.next})
        return
    if not page.items:
        click.echo("no runs" if not (statuses or workflow or tag or since or until or after) else "no runs match", err=True)
        return
    print_table(
        ["ID", "WORKFLOW", "STATUS", "STARTED", "UPDATED", "AT"], [_item_cells(item, now) for item in page], wraps=["ID", "AT"]
    )
    if page.next is not None:
        click.echo(f"more: --after {page.next}", err=True)


def instant_of(text: str | None, what: str, now: float) -> float | datetime | None:
    """The instant that the option `what` names, None if it is not given."""
    from flowkit.durations import seconds

    if text is None:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        if instant.utcoffset() is None:
            raise Failure(f"{what} {text!r} has no time zone. Write {instant.isoformat()}Z for UTC, or an offset such as +02:00.")
        return instant
    try:
        return now - seconds(text)
    except ValueError:
        raise Failure(f'{what} {text!r} is no instant. Give "2026-11-20T09:00Z", epoch seconds, or "2h" for 2 h ago.') from None


def _item_data(item: RunItem) -> dict[str, Any]:
    return {
        "id": item.id, "workflow": item.workflow, "status": item.status, "created_at": item.created_at,
        "updated_at": item.updated_at, "tags": list(item.tags), "current": item.current, "attempts": item.attempts,
        "wake_at": item.wake_at, "error": item.error_line,
    }  # fmt: skip


def _item_cells(item: RunItem, now: float) -> list[Any]:
    from flowkit.cli.render import ago, compact, state
    from flowkit.core.fork import asked_line

    place = item.current or ""
    if item.status in ("failed", "blocked") and item.error_line:
        place = item.error_line
    elif asks := asked_line(item.status, item.error_line):
        place = asks
    elif item.status == "sleeping" and item.wake_at is not None:
        place = f"{place}, due {ago(item.wake_at, now)}".removeprefix(", ")
    started, updated = ago(item.created_at, now), ago(item.updated_at, now)
    return [item.id, item.workflow, state(item.status), started, updated, compact(place, _WIDTH)]


# --- show -----------------------------------------------------------------------------------------------------------


@click.command("show", short_help="Show one run: status, input, output, what it waits for.")
@run_id
@database
@as_json
def show_command(id: str, db: str, as_json: bool) -> None:
    """Show one run: its status, times, input, output or error, what it waits for, and its last entries.

    \b
    Example:
      flowkit show order-7
    """
    from flowkit.cli.render import print_fields, print_json

    with looking(db) as flowkit:
        run = find_run(flowkit, id)
        row = row_of(flowkit, run)
        fields: tuple[Literal["input", "output", "state"], ...] = ("input", "output", "state")
        bodies: dict[str, Any] = {name: described(flowkit, run, name) for name in fields}
        error, now = run.error(), flowkit.house.clock.now()
        entries = _last_entries(flowkit, row)
    if as_json:
        print_json(_run_data(row, bodies, error, [_entry_data(entry) for entry in entries]))
        return
    print_fields(_run_fields(row, bodies, error, now))
    if entries:
        click.echo(f"\nlast {len(entries)} entries:" if row.entries > len(entries) else "\nentries:")
        _print_entries(entries, now)
    hint = _hint(row)
    if hint:
        click.echo(f"\n{hint}", err=True)


def _last_entries(flowkit: Flowkit, row: RunRow) -> list[HistoryEntry]:
    from flowkit.client.history import read_entry

    entries = flowkit.driver.history(row.seq, before=1 << 62, limit=LAST_ENTRIES)
    return [read_entry(flowkit.driver, row.seq, entry) for entry in entries]


def _run_data(row: RunRow, bodies: dict[str, Any], error: Any, entries: list[Any]) -> dict[str, Any]:
    from flowkit.cli.render import error_data

    return {
        "id": row.id, "workflow": row.workflow, "status": row.status, "tags": list(row.tags), "created_at": row.created_at,
        "started_at": row.started_at, "updated_at": row.updated_at, "finished_at": row.finished_at, "wake_at": row.wake_at,
        "waiting_for": list(row.waiting or ()), "current": row.current, "attempts": row.attempts, "passes": row.passes,
        "crashes": row.crashes, "entry_count": row.entries, "input": bodies["input"],
        "output": bodies["output"] if row.status == "completed" else None, "error": error_data(error), "state": bodies["state"],
        "entries": entries,
    }  # fmt: skip


def _run_fields(row: RunRow, bodies: dict[str, Any], error: Any, now: float) -> list[tuple[str, Any]]:
    from flowkit.cli.render import error_text, state, value_text, when
    from flowkit.core.fork import asked_line

    fields: list[tuple[str, Any]] = [
        ("run", row.id),
        ("workflow", row.workflow),
        ("status", state(row.status, f"at {row.current}" if row.current and row.finished_at is None else "")),
        ("tags", ", ".join(row.tags)),
        ("created", when(row.created_at, now)),
        ("started", when(row.started_at, now)),
        ("finished", when(row.finished_at, now)) if row.finished_at is not None else ("updated", when(row.updated_at, now)),
        ("asks", asked_line(row.status, row.error_line).removeprefix("asks: ")),
        ("due", when(row.wake_at, now) if row.wake_at is not None and row.finished_at is None else ""),
        ("waits for", "any message" if row.waiting == ("*",) else ", ".join(row.waiting or ())),
        ("passes", f"{row.passes}{f', crashes {row.crashes}' if row.crashes else ''}"),
        ("input", value_text(bodies["input"])),
        ("output", value_text(bodies["output"]) if row.status == "completed" else ""),
        ("error", error_text(error) if error is not None else ""),
    ]
    return [(name, value) for name, value in fields if value]


def _hint(row: RunRow) -> str:
    from flowkit.core.fork import asked_line

    id = shlex.quote(row.id)
    match row.status:
        case "failed":
            return f"flowkit recover {id}   lets it go on where it failed"
        case "paused" if asked_line(row.status, row.error_line):
            how = "--real|--nothing|--value JSON --reason TEXT"
            return f"flowkit resolve {id} {shlex.quote(row.current or '')} {how}   answers what it asks"
        case "paused" | "blocked":
            return f"flowkit resume {id}   lets it go on"
        case _ if row.waiting:
            name = "NAME" if row.waiting == ("*",) else shlex.quote(row.waiting[0])
            return f"flowkit send {id} {name} '{{…}}'   sends what it waits for"
        case _:
            return ""


# --- history --------------------------------------------------------------------------------------------------------


@click.command("history", short_help="List what a run recorded.")
@run_id
@click.option("--archived", is_flag=True, help="List what a replay or a recovery set aside instead.")
@database
@as_json
def history_command(id: str, archived: bool, db: str, as_json: bool) -> None:
    """List the entries of a run, in the order in which they were recorded.

    \b
    Example:
      flowkit history order-7 --json
    """
    from flowkit.cli.render import print_json

    with looking(db) as flowkit:
        run: Run[Any] = find_run(flowkit, id)
        entries, now = run.history(archived=archived), flowkit.house.clock.now()
    if as_json:
        print_json({"id": run.id, "archived": archived, "entries": [_entry_data(entry) for entry in entries]})
    elif entries:
        _print_entries(entries, now)
    else:
        click.echo("nothing was set aside" if archived else "nothing is recorded yet", err=True)


def _entry_data(entry: HistoryEntry) -> dict[str, Any]:
    from flowkit.cli.render import error_data, to_data

    return {
        "seq": entry.seq, "location": entry.location, "kind": entry.kind, "status": entry.status, "attempts": entry.attempts,
        "args": to_data(entry.args), "output": to_data(entry.output), "error": error_data(entry.error),
        "created_at": entry.created_at, "settled_at": entry.settled_at, "due_at": entry.due_at, "source": entry.source,
        "by_hand": to_data(entry.by_hand),
    }  # fmt: skip


def _print_entries(entries: list[HistoryEntry], now: float) -> None:
    from flowkit.cli.render import ago, compact, print_table, state, value_text
    from flowkit.durations import format_seconds

    def cells(entry: HistoryEntry) -> list[Any]:
        took = "" if entry.settled_at is None else format_seconds(max(0.0, entry.settled_at - entry.created_at))
        if entry.settled_at is None and entry.due_at is not None:
            took = f"due {ago(entry.due_at, now)}"
        said = str(entry.error) if entry.error is not None else "" if entry.output is None else value_text(entry.output)
        if entry.by_hand is not None:
            said = f"by hand: {entry.by_hand['reason']}{' · ' if said else ''}{said}"
        attempts = str(entry.attempts) if entry.kind == "step" else ""
        return [str(entry.seq), entry.location, entry.kind, state(entry.status), attempts, took, compact(said, _WIDTH)]

    columns = ["SEQ", "LOCATION", "KIND", "STATUS", "TRIES", "TOOK", "RESULT"]
    print_table(columns, [cells(entry) for entry in entries], wraps=["LOCATION", "RESULT"], right=["SEQ", "TRIES"])
