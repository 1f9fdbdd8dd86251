"""Bulks: the list of them, one with its progress, the page before one, and the acts that begin and stop it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from flowkit.client.bulk import Bulk, BulkWish, Found, Picks, narrowed
from flowkit.core.run import STATUSES

from ..forms import Form, read_form
from ..present.bulk import (
    BULK_VERBS,
    TYPED_ABOVE,
    BulkItem,
    Part,
    Wish,
    bulk_item,
    bulk_words,
    count_text,
    meaning,
    parts_of,
    picks_query,
    same_count,
)
from ..present.runs import RunItem, command_line, run_item
from ..present.values import shown
from ..site import Asked, Notice, Page, asked_of, json_response, new_op, render
from ..urls import with_query
from .errors import wrong_page
from .failures import reasons_of
from .runs import filter_of

__all__ = ["begin_bulk", "bulk", "bulks", "new_bulk", "stop_bulk"]

_PAGE = 50
_OP = re.compile(r"[0-9a-f]{32}")
_FILTERS = ("status", "workflow", "tag", "since", "until", "q")
_FIELDS = frozenset((*_FILTERS, "verb", "step", "name", "key", "data", "op", "top", "count", "typed", "part"))
"""What a form or an address may hold. A filter that is misspelt must not mean all runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulksPage:
    """The bulks, newest first, and what a new one is asked with."""

    items: tuple[BulkItem, ...]
    next_href: str
    part_href: str
    verbs: tuple[tuple[str, str], ...]
    statuses: tuple[str, ...]
    workflows: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPage:
    """One bulk."""

    item: BulkItem
    part_href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBulkPage:
    """What a bulk would do, to how many, and the form that begins it. `hidden` is what it was frozen as."""

    verb: str
    label: str
    busy: str
    sentences: tuple[str, ...]
    count: str
    filter: tuple[Part, ...]
    sample: tuple[RunItem, ...]
    more_than_sample: bool
    refused: str
    offered: bool
    must_type: str
    hidden: tuple[tuple[str, str], ...]
    wish: Wish
    runs_href: str
    command: str


# --- looking --------------------------------------------------------------------------------------------------------


def bulks(asked: Asked) -> Page:
    """GET /bulk."""
    token = asked.site.pulse.bulk_token("all")
    if asked.is_current(token):
        return Page(same=True)
    before = asked.number("before")
    found = asked.reader.bulks(_PAGE + 1, before=before)
    model = BulksPage(
        items=tuple(bulk_item(each, asked.now, asked.site.settings.database) for each in found[:_PAGE]),
        next_href=with_query("/bulk", before=found[_PAGE - 1].seq) if len(found) > _PAGE else "",
        part_href=with_query("/bulk", before=before, part="now", as_of=token),
        verbs=tuple((verb, words[0].removesuffix(" to")) for verb, words in BULK_VERBS.items()), statuses=STATUSES,
        workflows=tuple(name for name in asked.reader.workflows() if shown(name) == name),
    )  # fmt: skip
    return Page(
        template="bulks.html", title="bulk", model=model, here="bulk", token=token, bulk="all", parts={"now": "_bulks.html"}
    )


def bulk(asked: Asked) -> Page:
    """GET /bulk/{seq}."""
    seq = int(str(asked.params["seq"]))
    token = asked.site.pulse.bulk_token(str(seq))
    if asked.is_current(token):
        return Page(same=True)
    found = asked.reader.bulk(seq) if seq < 1 << 62 else None
    if found is None:
        return wrong_page(404, f"There is no bulk {seq}. Those that have ended are forgotten after 90 days.")
    item = bulk_item(found, asked.now, asked.site.settings.database)
    model = BulkPage(item=item, part_href=with_query(item.href, part="now", as_of=token))
    return Page(
        template="bulk.html", title=f"{item.state.word} · {item.label.lower()}", model=model, here="bulk", token=token,
        bulk=str(seq), live=found.is_open, parts={"now": "_bulk.html"},
    )  # fmt: skip


# --- before -----------------------------------------------------------------------------------------------------------


def new_bulk(asked: Asked) -> Page:
    """GET /bulk/new."""
    return _new_page(asked, asked.query)


def _new_page(asked: Asked, values: Mapping[str, str], *, op: str = "", status: int = 200, notice: Notice | None = None) -> Page:
    verb = values.get("verb", "").replace("-", "_")
    if verb not in BULK_VERBS:
        return wrong_page(404, f"There is no verb {shown(verb)!r} for many runs.")
    given, problem = _picks_of(asked, values)
    picks = narrowed(verb, given)
    top = asked.site.bulks.newest_run()
    found = asked.site.bulks.count(picks, top) if not problem else Found(0, False, ())
    wish = Wish(**{name: shown(values.get(name, "")) for name in ("step", "name", "key", "data")})
    count = count_text(found.number, found.more)
    label, busy, _ = BULK_VERBS[verb]
    told = picks if picks.statuses else given
    query = picks_query(told)
    offered = not problem and not found.refused and (found.number > 0 or found.more)
    one = found.number == 1 and not found.more
    hidden = {"op": op or new_op(), "verb": verb, **query, "top": str(top), "count": count}
    model = NewBulkPage(
        verb=verb, label=f"{label} {count} {'run' if one else 'runs'}", busy=busy, sentences=meaning(verb, picks), count=count,
        filter=parts_of(told), sample=_sample(asked, found), more_than_sample=found.more or found.number > len(found.sample),
        refused=problem or found.refused, offered=offered, must_type=count if _is_many(found) else "",
        hidden=tuple((name, value) for name, value in hidden.items() if value), wish=wish,
        runs_href=with_query("/runs", **query),
        command=command_line(asked.site.settings.database, *bulk_words(picks, verb, found, wish)),
    )  # fmt: skip
    if problem and notice is None:
        notice, status = Notice(problem, good=False), 422
    return Page(
        template="bulk_new.html", title=model.label.lower(), model=model, here="bulk", status=status, notice=notice,
    )  # fmt: skip


def _picks_of(asked: Asked, values: Mapping[str, str]) -> tuple[Picks, str]:
    """The filter, and what of it could not be read."""
    unknown = sorted(values.keys() - _FIELDS)
    if unknown:
        return Picks(), f"there is no filter {shown(unknown[0])!r}; there are {', '.join(_FILTERS)}"
    given, problem = filter_of(replace(asked, query=values))
    if given.searches:
        return Picks(), "a search (error:, input:) looks only as far as there is time, so no verb goes over what it finds"
    picks = Picks(
        statuses=given.statuses, workflow=given.workflow, tag=given.tag, since=given.since, until=given.until,
        id_prefix=given.id_prefix,
    )  # fmt: skip
    return picks, problem


def _sample(asked: Asked, found: Found) -> tuple[RunItem, ...]:
    reasons, crew = reasons_of(asked.reader, found.sample), asked.site.crew()
    return tuple(run_item(row, asked.now, reasons.get(row.seq), crew) for row in found.sample)


def _is_many(found: Found) -> bool:
    return found.more or found.number > TYPED_ABOVE


# --- doing it -------------------------------------------------------------------------------------------------------


async def begin_bulk(request: Request) -> Response:
    """POST /bulk."""
    form = await read_form(request)
    return await run_in_threadpool(_begin, request, form)


def _begin(request: Request, form: Form) -> Response:
    asked = asked_of(request)
    wants_json = form.is_json or asked.path.endswith(".json")
    op = form.get("op") or (new_op() if wants_json else "")
    begun, status = _begun(asked, op, form)
    if isinstance(begun, Bulk):
        asked.site.carrier.wake()
        if wants_json:
            return json_response({"outcome": "begun", "message": "", "bulk": begun.seq, "op": op})
        return Response(status_code=303, headers={"Location": f"/bulk/{begun.seq}"})
    if wants_json:
        return json_response({"outcome": "refused", "message": begun, "bulk": None, "op": op}, status)
    again = op if _OP.fullmatch(op) and status == 422 else ""
    return render(request, asked, _new_page(asked, form.fields, op=again, status=status, notice=Notice(begun, good=False)))


def _begun(asked: Asked, op: str, form: Form) -> tuple[Bulk | str, int]:
    """The bulk, or why there is none and the status that says so."""
    if not _OP.fullmatch(op):
        return "The form has no valid op; load its page again.", 422
    stored = asked.site.bulks.get(op)
    if stored is not None:
        return stored, 200
    verb = form.get("verb").replace("-", "_")
    if verb not in BULK_VERBS:
        return f"There is no verb {shown(verb)!r} for many runs.", 422
    given, problem = _picks_of(asked, form.fields)
    picks = narrowed(verb, given)
    top = form.get("top") or str(asked.site.bulks.newest_run())
    if problem or not (top.isascii() and top.isdigit() and len(top) < 19):
        return problem or "top is a number; load the page again.", 422
    found = asked.site.bulks.count(picks, int(top))
    if not found.number and not found.more:
        return "No run meets this any more, so nothing was begun.", 409
    if refusal := _untyped(found, form):
        return refusal
    wish = BulkWish(
        verb=verb, picks=picks, top=int(top), step=form.get("step") or None, name=form.get("name"),
        key=form.get("key") or None, data=form.fields.get("data", "").encode("utf-8", "replace"),
    )  # fmt: skip
    try:
        return asked.site.bulks.begin(op, wish, found), 200
    except ValueError as error:
        return f"This was refused: {shown(str(error))}", 422


def _untyped(found: Found, form: Form) -> tuple[str, int] | None:
    """Why a bulk over many runs is not begun yet."""
    if not _is_many(found):
        return None
    now = count_text(found.number, found.more)
    if not same_count(form.get("typed"), form.get("count")):
        return f"These are {now} runs: type their number to go on.", 422
    shown_then = int(form.get("count").replace(",", "").removesuffix("+"))
    if found.number > shown_then or (found.more and not form.get("count").endswith("+")):
        return f"These are {now} runs by now, more than the page said. Look again.", 409
    return None


async def stop_bulk(request: Request) -> Response:
    """POST /bulk/{seq}/stop."""
    form = await read_form(request)
    return await run_in_threadpool(_stop, request, form)


def _stop(request: Request, form: Form) -> Response:
    asked = asked_of(request)
    seq = int(str(asked.params["seq"]))
    wants_json = form.is_json or asked.path.endswith(".json")
    found = asked.site.bulks.stop(seq) if seq < 1 << 62 else None
    if found is None:
        if wants_json:
            return json_response({"outcome": "missing", "message": f"there is no bulk {seq}", "state": ""}, 404)
        return render(request, asked, wrong_page(404, f"There is no bulk {seq}."))
    asked.site.carrier.wake()
    if wants_json:
        return json_response({"outcome": "done", "message": "", "state": found.state})
    return Response(status_code=303, headers={"Location": f"/bulk/{seq}"})
