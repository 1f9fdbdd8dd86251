"""The page of one entry, and raw values: text to be saved, never shown as a page."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from flowkit.client.facts import TakenMessage, taken_messages, waited_names
from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry, FailedAttempt
from flowkit.core.fork import asks_for
from flowkit.core.resolution import by_hand_of

from ..present.entry import AttemptView, ErrorView, attempts_of, error_of
from ..present.history import rewind_labels
from ..present.logs import LineView
from ..present.notes import placeholder_text
from ..present.resolve import HandView, by_hand_view
from ..present.runs import command_line
from ..present.states import State, entry_state, hollow
from ..present.times import Stamp, length, stamp
from ..present.values import EXPANDABLE, Value, one_line, preview, shown
from ..site import Asked, Page, Site, asked_of
from ..urls import entry_url, run_url, with_query
from .errors import no_run, wrong_page
from .logs import lines_of_entry
from .run import Head, body_of, gone_in, head_of, is_fork, only_code

__all__ = ["EntryPage", "entry", "raw_value"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPage:
    """One entry."""

    head: Head
    href: str
    seq: int
    location: str
    kind: str
    state: State
    struck: bool
    told: str
    source: str
    round: int
    created: Stamp | None
    started: Stamp | None
    settled: Stamp | None
    due: Stamp | None
    took: str
    rollback: str
    args: Value | None
    output: Value | None
    error: ErrorView | None
    attempts: tuple[AttemptView, ...]
    waits_for: str
    messages: tuple[tuple[str, str], ...]
    history_href: str
    previous_href: str
    next_href: str
    archived: str
    by_hand: HandView | None
    lines: tuple[LineView, ...]
    lines_href: str
    resolve_href: str
    replay_href: str
    fork_href: str
    command: str


def entry(asked: Asked) -> Page:
    """GET /runs/{id}/e/{seq}."""
    id, seq = asked.text("id"), int(asked.text("seq"))
    row = asked.reader.run(id)
    if row is None:
        return no_run(asked, id)
    archived = asked.number("archived")
    found = asked.reader.entry(row.seq, seq, archived=archived) if seq < 1 << 62 else None
    if found is None:
        return wrong_page(404, f"Run {shown(id)!r} has no entry {seq}.")
    head = head_of(asked, row, "history")
    told = _told(asked, row, found, archived)
    state = entry_state(found, row, handled=archived is None and _handled(found, head))
    lines, lines_href = lines_of_entry(asked, row, found)
    replay = "" if not any(verb.verb == "replay" for verb in head.verbs) or archived is not None else "replay"
    model = EntryPage(
        head=head, href=with_query(entry_url(id, seq), archived=archived), seq=seq, kind=found.kind,
        location=shown(found.location),
        state=hollow(state) if told else state, struck=bool(told), told=told, source=shown(found.source), round=found.round,
        created=stamp(found.created_at, asked.now), started=stamp(found.started_at, asked.now),
        settled=stamp(found.settled_at, asked.now), due=stamp(found.due_at, asked.now),
        took="" if found.settled_at is None or _was_given(found) else length(found.settled_at - found.created_at),
        rollback=found.rollback,
        args=_value(asked, id, row.seq, seq, "args", archived), output=_output(asked, id, row.seq, found, archived),
        error=error_of(found), attempts=attempts_of(found, _attempts(asked, row.seq, found), asked.now),
        waits_for=_waits_for(found),
        messages=tuple(_message(message) for message in taken_messages(found)), archived=_label(asked, row.seq, archived),
        history_href=with_query(run_url(id), at=seq, archived=archived),
        previous_href=_previous(asked, id, row.seq, seq, archived), next_href=_next(asked, id, row.seq, seq, archived),
        by_hand=by_hand_view(found, asked.now), lines=lines, lines_href=lines_href,
        resolve_href=_resolve(asked, row, found, archived, state),
        fork_href=_fork(asked, row, found, archived),
        replay_href=with_query(run_url(id, "replay"), **{"from": found.location}) if replay else "",
        command=command_line(asked.site.settings.database, "replay", id, "--from", found.location),
    )  # fmt: skip
    title = f"{model.state.word} · {model.location} · {head.item.label}"
    return Page(
        template="entry.html", title=title, model=model, here="runs", run=row.id, token=head.token,
        parts={"now": "_run_now.html", "pane": "_pane.html"},
    )  # fmt: skip


def _resolve(asked: Asked, row: RunRow, found: Entry, archived: int | None, state: State) -> str:
    """Where the outcome of a step that failed a run, or that a fork asks for, is given; the page there says whether it is one."""
    asked_for = archived is None and not asked.site.settings.read_only and asks_for([found], row.status, row.ending, row.current)
    if asked_for and is_fork(asked, row):
        return entry_url(row.id, found.seq, "resolve")
    stopped = found.kind == "step" and found.status in ("failed", "exhausted") and row.status == "failed"
    offered = stopped and archived is None and state.word in ("failed", "exhausted") and not asked.site.settings.read_only
    return entry_url(row.id, found.seq, "resolve") if offered and not row.ending and not row.undone else ""


def _fork(asked: Asked, row: RunRow, found: Entry, archived: int | None) -> str:
    offered = found.kind in ("step", "message") and archived is None and not asked.site.settings.read_only
    return with_query(run_url(row.id, "fork"), at=found.seq) if offered else ""


def _was_given(found: Entry) -> bool:
    """Whether no body of the step came to this: how long it took would be how long it lay there."""
    given = by_hand_of(found)
    return given is not None and given.how in ("value", "error")


def _told(asked: Asked, row: RunRow, found: Entry, archived: int | None) -> str:
    """Why this entry is struck, if it is: a placeholder, or no longer made by the code."""
    if found.kind == "removed":
        return f"{placeholder_text(found, only_code(asked, row))}."
    gone = gone_in(asked, row)
    if archived is not None or not gone.holds(found.location):
        return ""
    return f"Code {gone.code} no longer makes this entry: so the last check found."


def _waits_for(found: Entry) -> str:
    waits = found.kind == "message" and not found.settled
    return shown(" or ".join(waited_names(found)) or "any message") if waits else ""


def _handled(found: Entry, head: Head) -> bool:
    location = head.failure.location if head.failure is not None else None
    stopping = location is not None and (found.location == location or found.location.startswith(f"{location}/"))
    return not stopping and head.item.state.word not in ("rolling_back", "blocked")


def _value(asked: Asked, id: str, run: int, seq: int, field: str, archived: int | None) -> Value | None:
    body = body_of(asked.reader, run, field, seq, archived, EXPANDABLE)
    here = with_query(entry_url(id, seq), reveal="1", archived=archived)
    raw = with_query(entry_url(id, seq, "input" if field == "args" else field), archived=archived)
    return preview(body, raw=raw, reveal=here, revealed=asked.query.get("reveal") == "1")


def _output(asked: Asked, id: str, run: int, found: Entry, archived: int | None) -> Value | None:
    if found.kind in ("checkpoint", "sleep", "send", "removed") or found.error is not None or not found.settled:
        return None
    return _value(asked, id, run, found.seq, "output", archived)


def _message(message: TakenMessage) -> tuple[str, str]:
    return shown(message.name), one_line(message.data, 400)


def _attempts(asked: Asked, run: int, found: Entry) -> list[FailedAttempt]:
    """Those up to its own round: a recovered entry keeps its number, so later attempts under that number are not its own."""
    return [attempt for attempt in asked.reader.attempts(run, found.seq) if attempt.round <= found.round]


def _label(asked: Asked, run: int, archived: int | None) -> str:
    rewinds = asked.reader.rewinds(run, 1_000) if archived is not None else ()
    labels = zip(rewind_labels(rewinds), rewinds, strict=True)
    return next((label for label, rewind in labels if rewind.head == archived), "")


def _previous(asked: Asked, id: str, run: int, seq: int, archived: int | None) -> str:
    if archived is None:
        found = asked.reader.window(run, before=seq, limit=1)
    else:
        found = asked.reader.set_aside(run, archived, limit=1, before=seq)
    return with_query(entry_url(id, found[0].seq), archived=archived) if found else ""


def _next(asked: Asked, id: str, run: int, seq: int, archived: int | None) -> str:
    if archived is None:
        found = asked.reader.window(run, after=seq, limit=1)
    else:
        found = asked.reader.set_aside(run, archived, after=seq, limit=1)
    return with_query(entry_url(id, found[0].seq), archived=archived) if found else ""


async def raw_value(request: Request) -> Response:
    """GET a value as it is stored."""
    return await run_in_threadpool(_raw, request)


def _raw(request: Request) -> Response:
    asked = asked_of(request)
    site: Site = asked.site
    id, field = asked.text("id"), asked.path.rpartition("/")[2]
    row = site.reader.run(id)
    seq = int(asked.text("seq")) if "seq" in asked.params else None
    if row is None or (seq is not None and seq >= 1 << 62):
        raise HTTPException(404)
    body = body_of(site.reader, row.seq, "args" if field == "input" and seq is not None else field, seq, asked.number("archived"))
    if body.data is None or body.damage:
        raise HTTPException(404, body.damage or "there is no such value")
    name = f"{id}-{'' if seq is None else f'{seq}-'}{field}.json"
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
    return Response(body.data, media_type="text/plain; charset=utf-8", headers=headers)
