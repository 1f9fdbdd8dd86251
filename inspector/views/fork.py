"""What-if forks: the form that makes one from an entry of a run, and a fork beside its original, with what it asks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from flowkit.client.facts import taken_messages
from flowkit.client.forking import default_id
from flowkit.client.livecode import Answer, ResolveWish
from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry
from flowkit.core.fork import Fork
from flowkit.core.location import split
from flowkit.core.run import TERMINAL
from flowkit.errors import PayloadError

from ..forms import Form, read_form
from ..live import run_token
from ..present.fork import Beside, Offer, Question, beside, cut, offer_of, questions_of
from ..present.runs import command_line
from ..present.values import EXPANDABLE, mask, one_line, shown
from ..site import Asked, Notice, Page, asked_of, json_response, new_op, render
from ..urls import run_url, with_query
from .errors import no_run, wrong_page
from .notices import notice_of
from .rollback import steps_in_code
from .run import Head, head_of

__all__ = ["Choice", "ForkPage", "NewForkPage", "do_fork", "fork"]

_OP = re.compile(r"[0-9a-f]{32}")
_STATUS = {"refused": 409, "faulty": 422, "missing": 404}
_WINDOW = 500
_CHOICES = 200
_CHANGED = frozenset(("step", "message"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An entry from which a fork can begin."""

    seq: int
    location: str
    kind: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewForkPage:
    """The form of a fork at one entry, or the entries to choose from."""

    head: Head
    href: str
    at: int
    location: str
    kind: str
    choices: tuple[Choice, ...]
    op: str
    how: str
    value: str
    values: dict[str, str]
    checked: bool
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkPage:
    """A fork beside its original. `gone`: the original is not there any more. `next_href` and `first_href`: other windows."""

    head: Head
    origin: str
    origin_href: str
    at_href: str
    location: str
    reason: str
    beside: Beside
    questions: tuple[Question, ...]
    offers: tuple[Offer, ...]
    gone: bool
    part_href: str
    next_href: str
    first_href: str
    can_write: bool


def fork(asked: Asked) -> Page:
    """GET /runs/{id}/fork: with ``?at=`` the form, else a fork beside its original, or what a fork could begin from."""
    return _page(asked, {})


def _page(asked: Asked, given: Mapping[str, str], *, notice: Notice | None = None, status: int = 200) -> Page:
    id = asked.text("id")
    row = asked.reader.run(id)
    if row is None:
        return no_run(asked, id)
    at = given.get("at") or asked.query.get("at", "")
    if not at and not given:
        try:
            found = asked.reader.fork(row.seq)
        except PayloadError as error:
            return wrong_page(409, f"The record that makes this run a fork cannot be read: {error}")
        if found is not None:
            return _beside(asked, row, found)
    if asked.site.settings.read_only:
        return wrong_page(404, "This inspector only looks; `flowkit fork` makes forks.")
    seq = int(at) if at.isascii() and at.isdigit() and len(at) < 19 else 0
    entry = asked.reader.entry(row.seq, seq) if seq else None
    if at and entry is None:
        return wrong_page(404, f"Run {shown(id)!r} has no entry {shown(at)}.")
    if entry is not None and entry.kind not in _CHANGED:
        return wrong_page(422, f"{shown(entry.location)} is a {entry.kind}: a fork changes what a step gave, or a message.")
    return _form(asked, row, entry, given, notice, status)


# --- the form -------------------------------------------------------------------------------------------------------


def _form(asked: Asked, row: RunRow, entry: Entry | None, given: Mapping[str, str], notice: Notice | None, status: int) -> Page:
    head = head_of(asked, row, "")
    location = "" if entry is None else shown(entry.location)
    kind = "" if entry is None else entry.kind
    ways = ("message",) if kind == "message" else ("value", "nothing", "error")
    how = given.get("how", "")
    words = ("--message", "JSON") if kind == "message" else ("--value", "JSON")
    model = NewForkPage(
        head=head, href=run_url(row.id, "fork"), at=0 if entry is None else entry.seq, location=location, kind=kind,
        choices=_choices(asked, row) if entry is None else (), op=given.get("op") or new_op(),
        how=how if how in ways else ways[0],
        value=shown(given.get("value", "" if entry is None else _recorded(asked, row, entry))),
        values={name: shown(given.get(name, "")) for name in ("reason", "type", "text", "name", "id")},
        checked=entry is not None and entry.kind == "step" and _knows(asked, row, entry),
        command=command_line(asked.site.settings.database, "fork", row.id, "ENTRY" if entry is None else entry.location, *words),
    )  # fmt: skip
    return Page(
        template="fork_new.html", title=f"what if · {head.item.label}", model=model, here="runs", run=row.id, token=head.token,
        notice=notice, status=status, parts={"now": "_run_now.html"},
    )  # fmt: skip


def _choices(asked: Asked, row: RunRow) -> tuple[Choice, ...]:
    return tuple(
        Choice(seq=e.seq, location=shown(e.location), kind=e.kind, href=with_query(run_url(row.id, "fork"), at=e.seq))
        for e in asked.reader.last(row.seq, _CHOICES)
        if e.kind in _CHANGED
    )


def _knows(asked: Asked, row: RunRow, entry: Entry) -> bool:
    name = split(entry.location)[1].partition("#")[0]
    return any(step.name == name for step in steps_in_code(asked, row))


def _recorded(asked: Asked, row: RunRow, entry: Entry) -> str:
    """What was recorded, as JSON to be edited; nothing where it is large, secret, or was none."""
    if entry.kind == "message":
        took = taken_messages(entry)
        known: object = None if not took else took[0].data if len(took) == 1 else [each.data for each in took]
        there = bool(took)
    else:
        body = asked.reader.body(row.seq, "output", entry.seq, most=EXPANDABLE)
        known = None if body.size is not None or body.damage else body.plain()
        there = entry.status in ("completed", "rolled_back") and body.data is not None and not body.damage
    if not there or mask(known) != known:
        return ""
    try:
        return json.dumps(known, ensure_ascii=False, indent=2)
    except (ValueError, TypeError, RecursionError):
        return ""


# --- a fork beside its original -------------------------------------------------------------------------------------


def _beside(asked: Asked, row: RunRow, found: Fork) -> Page:
    token = run_token(row, asked.site.crew(), asked.now)
    if asked.is_current(token):
        return Page(same=True, token=token, run=row.id)
    head = head_of(asked, row, "fork")
    original = asked.reader.run(found.origin)
    gone = original is None or original.seq != found.run
    after = _after(asked.query.get("after", ""), found.first - 1)
    there = () if gone else asked.reader.window(found.run, after=after[0], limit=_WINDOW + 1)
    here = asked.reader.window(row.seq, after=after[1], limit=_WINDOW + 1)
    shown_here = cut(there, here, after, _WINDOW)
    open_ones = asked.site.verbs.resolvable(row.id) if row.status == "paused" else ()
    asks = frozenset(() if isinstance(open_ones, str) else open_ones)
    entries = [each for each in (asked.reader.entry(row.seq, seq) for seq in sorted(asks)) if each is not None]
    by_place = {each.location: each for each in there}
    offers = [offer_of(each, by_place.get(each.location)) for each in here if not each.settled and not row.ending]
    commands = {
        each.seq: command_line(asked.site.settings.database, "resolve", row.id, each.location, "--real", "--reason", "TEXT")
        for each in entries
    }
    model = ForkPage(
        head=head, origin=shown(found.origin), origin_href=run_url(found.origin),
        at_href="" if gone else run_url(found.origin, "e", found.at), location=shown(found.location),
        reason=shown(found.by_hand.reason), gone=gone,
        beside=beside(
            found, shown_here.there, shown_here.here, asks, (found.origin, row.id), more=shown_here.next is not None,
            ended=row.status in TERMINAL,
        ),
        questions=questions_of(entries, row.id, row.ending, commands, _args(asked, row, found, entries, by_place)),
        offers=tuple(_safe(offers)),
        part_href=with_query(run_url(row.id, "fork"), part="beside", after=asked.query.get("after"), as_of=token),
        next_href="" if shown_here.next is None else with_query(run_url(row.id, "fork"), after="{}.{}".format(*shown_here.next)),
        first_href=run_url(row.id, "fork") if max(after) >= found.first else "",
        can_write=not asked.site.settings.read_only,
    )  # fmt: skip
    op = asked.query.get("op", "")
    return Page(
        template="fork.html", title=f"fork · {head.item.label}", model=model, here="runs", run=row.id, token=token,
        parts={"now": "_run_now.html", "beside": "_beside.html"}, notice=notice_of(asked, row, op) if op else None,
    )  # fmt: skip


def _after(text: str, start: int) -> tuple[int, int]:
    """The numbers behind which a window begins, there and here: ``after=12.14``."""
    parts = text.split(".")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        return start, start
    return max(int(parts[0]), start), max(int(parts[1]), start)


def _args(
    asked: Asked, row: RunRow, fork: Fork, entries: Sequence[Entry], there: Mapping[str, Entry]
) -> dict[int, tuple[str, str]]:
    """The arguments of what is asked, and those that the original has there, each on one line."""
    found = {}
    for entry in entries:
        was = there.get(entry.location)
        theirs = "" if was is None else one_line(asked.reader.body(fork.run, "args", was.seq, most=EXPANDABLE).plain(), 400)
        found[entry.seq] = (one_line(asked.reader.body(row.seq, "args", entry.seq, most=EXPANDABLE).plain(), 400), theirs)
    return found


def _safe(offers: list[Offer | None]) -> list[Offer]:
    """Those whose data can stand in a form: nothing of it is secret."""
    return [
        Offer(location=each.location, name=each.name, data=json.dumps(each.data), line=each.line)
        for each in offers
        if each is not None and mask(each.data) == each.data
    ]


# --- doing it -------------------------------------------------------------------------------------------------------


async def do_fork(request: Request) -> Response:
    """POST /runs/{id}/fork."""
    form = await read_form(request)
    return await run_in_threadpool(_do, request, form)


def _do(request: Request, form: Form) -> Response:
    asked = asked_of(request)
    wants_json = form.is_json or asked.path.endswith(".json")
    op = form.get("op") or (new_op() if wants_json else "")
    made, answer = _carry_out(asked, op, form)
    if wants_json:
        body = {"outcome": answer.outcome, "message": answer.message, "status": answer.status, "op": op, "id": made}
        return json_response(body, _STATUS.get(answer.outcome, 200))
    if answer.outcome == "done":
        return Response(status_code=303, headers={"Location": run_url(made, "fork")})
    notice = Notice(f"No fork was made: {shown(answer.message)}", good=False)
    again = {**form.fields, "op": op if _OP.fullmatch(op) else ""}
    return render(request, asked, _page(asked, again, notice=notice, status=_STATUS[answer.outcome]))


def _carry_out(asked: Asked, op: str, form: Form) -> tuple[str, Answer]:
    row = asked.reader.run(asked.text("id"))
    at = form.get("at")
    seq = int(at) if at.isascii() and at.isdigit() and len(at) < 19 else 0
    entry = asked.reader.entry(row.seq, seq) if row is not None and seq else None
    if row is None or entry is None:
        return "", Answer("missing", "there is no such run or entry")
    if not _OP.fullmatch(op):
        return "", Answer("faulty", "the form has no valid op; load its page again")
    made = form.get("id").strip() or default_id(row.id, op)
    wish = ResolveWish(
        run=row.id, location=entry.location, how=form.get("how"), reason=form.get("reason").strip() or "what if", op=op,
        who=asked.site.verbs.who, value=form.fields.get("value", ""), type=form.get("type"), text=form.fields.get("text", ""),
        fork=made, name=form.get("name").strip(),
    )  # fmt: skip
    code = asked.site.code if entry.kind == "step" and _knows(asked, row, entry) else None
    return made, asked.site.verbs.resolve(wish) if code is None else code.resolve(wish)
