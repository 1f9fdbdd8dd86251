"""What runs here: the verbs that were carried out, the workers, the database, and who may look."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from flowkit.client.across import Statement, StoreFacts
from flowkit.client.reader import Deed, WorkerRow, serving_of

from ..present.times import Stamp, length, stamp
from ..present.values import shown, size_text
from ..security import Settings
from ..site import Asked, Page
from ..urls import run_url, with_query

__all__ = ["SystemPage", "system"]

PAGE = 50
_WORKERS = 100
_READS = 15
_TEXT = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class DeedView:
    """A verb as it was carried out; `run` is empty where the run has been deleted since."""

    at: Stamp | None
    verb: str
    run: str
    run_href: str
    number: int
    op: str
    who: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker. `memory` is told of processes of this machine alone."""

    id: int
    name: str
    alive: bool
    state: str
    generation: int
    version: str
    code: str
    pid: int
    host: str
    memory: str
    owned: int
    serves: str
    started: Stamp | None
    seen: Stamp | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementView:
    """A read of the store with its times."""

    text: str
    count: int
    p50: str
    slowest: str
    last: Stamp | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemPage:
    """The system. `told`: whether this store keeps a record of verbs that can be read; `timed`: whether reads are measured."""

    told: bool
    deeds: tuple[DeedView, ...]
    next_href: str
    first_href: str
    workers: tuple[WorkerView, ...]
    more_workers: int
    store: tuple[tuple[str, str], ...]
    posture: tuple[tuple[str, str], ...]
    timed: bool
    reads: tuple[StatementView, ...]
    part_href: str


def system(asked: Asked) -> Page:
    """GET /system."""
    token = asked.site.pulse.token()
    if asked.is_current(token):
        return Page(same=True)
    before = _before(asked.query.get("before", ""))
    deeds = asked.site.across.deeds(PAGE + 1, before=before)
    workers = sorted(asked.reader.workers(), key=lambda worker: (not worker.alive, -worker.id))
    reads = asked.site.across.slowest(_READS)
    rest = f"{deeds[PAGE - 1].at!r}_{deeds[PAGE - 1].op}" if deeds is not None and len(deeds) > PAGE else ""
    model = SystemPage(
        told=deeds is not None, deeds=tuple(_deed(asked, deed) for deed in (deeds or ())[:PAGE]),
        next_href=with_query("/system", before=rest) if rest else "", first_href="/system" if before is not None else "",
        workers=tuple(_worker(worker, asked.now) for worker in workers[:_WORKERS]), more_workers=len(workers[_WORKERS:]),
        store=store_lines(asked.site.across.facts(), asked.site.settings.database, asked.now),
        posture=posture_lines(asked.site.settings), timed=reads is not None,
        reads=tuple(_read(each, asked.now) for each in reads or ()),
        part_href=with_query("/system", before=asked.query.get("before"), part="now", as_of=token),
    )  # fmt: skip
    return Page(template="system.html", title="system", model=model, here="system", token=token, parts={"now": "_system.html"})


def _before(text: str) -> tuple[float, str] | None:
    at, _, op = text.partition("_")
    try:
        return (float(at), op) if op else None
    except ValueError:
        return None


def _deed(asked: Asked, deed: Deed) -> DeedView:
    row = asked.site.across.row(deed.run)
    return DeedView(
        at=stamp(deed.at, asked.now), verb=shown(deed.verb).replace("_", " and "), run="" if row is None else shown(row.id),
        run_href="" if row is None else run_url(row.id), number=deed.run, op=deed.op, who=shown(deed.who),
        result=shown(deed.result),
    )  # fmt: skip


def _worker(worker: WorkerRow, now: float) -> WorkerView:
    serving = serving_of(worker)
    names = serving.workflows
    return WorkerView(
        id=worker.id, name=shown(worker.name), alive=worker.alive, state="draining" if serving.leaving else shown(worker.state),
        generation=serving.generation, version=shown(serving.version),
        code=shown(serving.code[:6]), pid=worker.pid, host=shown(worker.host), owned=worker.owned,
        memory=_memory(worker.pid) if worker.alive and worker.host == socket.gethostname() else "",
        serves="not told" if names is None else shown(", ".join(names[:20])) + (" …" if len(names) > 20 else ""),
        started=stamp(worker.started_at, now), seen=stamp(worker.seen_at, now),
    )  # fmt: skip


def _read(found: Statement, now: float) -> StatementView:
    text = " ".join(found.text.split())
    return StatementView(
        text=shown(text if len(text) <= _TEXT else f"{text[:_TEXT]} …"), count=found.count, p50=f"{found.p50 * 1000:,.2f} ms",
        slowest=f"{found.slowest * 1000:,.2f} ms", last=stamp(found.last_at, now),
    )  # fmt: skip


def _memory(pid: int) -> str:
    """What a process of this machine holds in memory; nothing where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return ""
    return size_text(pages * os.sysconf("SC_PAGE_SIZE"))


def store_lines(facts: StoreFacts | None, database: str, now: float) -> tuple[tuple[str, str], ...]:
    """The database as names and texts."""
    if facts is None:
        return (("Database", shown(database) or "in memory"), ("Told", "this store tells nothing more of itself"))
    log = size_text(facts.log_size) if facts.log_size else "empty"
    if facts.log_size and facts.log_at is not None:
        log = f"{log}, written {length(max(0.0, now - facts.log_at))} ago"
    return (
        ("Path", shown(facts.path)), ("Size", f"{size_text(facts.size)}, of which {size_text(facts.free)} are free"),
        ("Log (WAL)", log), ("Schema", str(facts.schema)), ("Engine", f"{facts.engine}, journal {facts.journal}"),
        ("Runs ever", f"{facts.runs:,}"),
    )  # fmt: skip


def posture_lines(settings: Settings) -> tuple[tuple[str, str], ...]:
    """Who may look, and what they may do."""
    hosts = ", ".join(["localhost", "*.localhost", "127.0.0.1", "[::1]", *sorted(map(shown, settings.hosts))])
    return (
        ("Answers to", hosts), ("Port", str(settings.port)),
        ("Token", "needed for every page" if settings.token is not None else "none: whoever is on this machine may look"),
        ("Errors and values", "shown" if settings.expose_errors else "hidden: types and places only"),
        ("Writes", "none, it is read-only" if settings.read_only else "verbs and starts, from its own pages alone"),
    )  # fmt: skip
