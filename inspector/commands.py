"""Verbs: a page that says what one would do, and the POST that does it once.

Pause, resume and wake act from their buttons; the others ask first. Every wish has an `op`, so that the same POST again
gets the first answer, and recover, replay and resume carry the head that their page was made from. An answer is a
redirect to the run, whose page reads back what happened; a refusal is the page again, filled in as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from flowkit.client.livecode import Answer
from flowkit.client.reader import RunRow
from flowkit.client.verbs import OFFERED

from .forms import Form, read_form
from .present.confirm import Confirm, confirm_of
from .present.rollback import handlers_of
from .present.runs import VERBS, command_line
from .present.values import shown
from .site import Asked, Notice, Page, asked_of, json_response, new_op, render
from .urls import run_url, with_query
from .views.errors import no_run, wrong_page
from .views.rollback import steps_in_code
from .views.run import Head, head_of, is_fork

__all__ = ["ConfirmPage", "confirm", "do_verb"]

_OP = re.compile(r"[0-9a-f]{32}")
_GUARDED = frozenset(("recover", "replay", "resume"))
_STATUS = {"moved": 409, "refused": 409, "faulty": 422, "missing": 404}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPage:
    """What a verb would do, and the form that does it."""

    head: Head
    verb: str
    label: str
    busy: str
    action: str
    op: str
    seen: int
    told: Confirm
    command: str
    rollback_command: str
    values: dict[str, str]
    waits_for: tuple[str, ...]
    offered: bool
    must_type: str


def confirm(asked: Asked) -> Page:
    """GET /runs/{id}/{verb}."""
    return _page(asked, asked.query)


def _page(asked: Asked, values: Mapping[str, str], *, op: str = "", status: int = 200, notice: Notice | None = None) -> Page:
    id, verb = asked.text("id"), asked.text("verb")
    row = asked.reader.run(id)
    if verb not in VERBS:
        return wrong_page(404, f"There is no verb {shown(verb)!r}.")
    if row is None:
        return no_run(asked, id)
    head = head_of(asked, row, "")
    offered = row.status in OFFERED[verb]
    awaited = [name for name in row.waiting or () if name != "*"]
    if verb == "send" and awaited and "name" not in values:
        values = {**values, "name": awaited[0]}
    label, busy = VERBS[verb]
    model = ConfirmPage(
        head=head, verb=verb, label=label, busy=busy, action=run_url(id, verb), op=op or new_op(), seen=row.head,
        told=_told(asked, row, verb, values.get("from", "")), command=_command(asked, id, verb, values),
        rollback_command=command_line(asked.site.settings.database, "cancel", id, "--rollback") if verb == "cancel" else "",
        values={name: shown(values.get(name, "")) for name in ("from", "name", "data", "key")}, offered=offered,
        waits_for=tuple(shown(name) for name in awaited),
        must_type=shown(id) if verb == "cancel" and row.status == "rolling_back" else "",
    )  # fmt: skip
    if not offered and notice is None:
        notice = Notice(f"{label} is not possible: the run is {row.status}.", good=False)
        status = 409
    title = f"{label.lower()} · {head.item.label}"
    return Page(
        template="confirm.html", title=title, model=model, here="runs", status=status, notice=notice, run=id, token=head.token,
        parts={"dialog": "_confirm.html", "now": "_run_now.html"},
    )  # fmt: skip


def _told(asked: Asked, row: RunRow, verb: str, location: str) -> Confirm:
    verbs, handlers, fork = asked.site.verbs, handlers_of(steps_in_code(asked, row)), is_fork(asked, row)
    match verb:
        case "recover":
            plan, undo = verbs.recovery(row.id), asked.reader.undoing(row)
            return confirm_of(row, verb, plan=plan, undo=undo, handlers=handlers, fork=fork)
        case "replay":
            plan = verbs.replaying(row.id, location or None)
            return confirm_of(row, verb, plan=plan, location=location, once=_once(asked, row), fork=fork)
        case "cancel":
            return confirm_of(row, verb, undo=asked.reader.undoing(row), handlers=handlers, fork=fork)
        case _:
            return confirm_of(row, verb)


def _once(asked: Asked, row: RunRow) -> frozenset[str] | None:
    """The steps that the run's workflow declares `at_most_once`; None where its code is not loaded."""
    state = asked.site.code_state()
    found = [each for each in state.workflows if each.name == row.workflow] if state is not None else []
    return frozenset(step.name for step in found[0].steps if step.at_most_once) if found else None


def _command(asked: Asked, id: str, verb: str, values: Mapping[str, str]) -> str:
    words = [verb, id]
    if verb == "replay" and values.get("from"):
        words += ["--from", values["from"]]
    if verb == "send":
        words += [values.get("name") or "NAME", values.get("data") or "{…}"]
        words += ["--key", values["key"]] if values.get("key") else []
    return command_line(asked.site.settings.database, *words)


# --- doing it -------------------------------------------------------------------------------------------------------


async def do_verb(request: Request) -> Response:
    """POST /runs/{id}/{verb}."""
    form = await read_form(request)
    return await run_in_threadpool(_do, request, form)


def _do(request: Request, form: Form) -> Response:
    asked = asked_of(request)
    id, verb = asked.text("id"), asked.text("verb")
    wants_json = form.is_json or asked.path.endswith(".json")
    op = form.get("op") or (new_op() if wants_json else "")
    answer = _untold(verb, form) or _carry_out(asked, id, verb, op, form)
    if wants_json:
        body = {"outcome": answer.outcome, "message": answer.message, "status": answer.status, "op": op}
        return json_response(body, _STATUS.get(answer.outcome, 200))
    if answer.outcome == "done":
        return Response(status_code=303, headers={"Location": with_query(run_url(id), op=op)})
    said = "This run moved on since the page was made. Look again." if answer.outcome == "moved" else answer.message
    notice = Notice(f"{VERBS.get(verb, (verb, ''))[0]} was refused: {shown(said)}", good=False)
    again = "" if answer.outcome == "moved" else op if _OP.fullmatch(op) else ""
    page = _page(asked, form.fields, op=again, status=_STATUS[answer.outcome], notice=notice)
    return render(request, asked, replace(page, status=page.status if page.status != 200 else 409))


def _untold(verb: str, form: Form) -> Answer | None:
    """A page lists what a replay from one entry does; from another it would be something else, so that is told first."""
    if verb != "replay" or form.fields.get("told", form.get("from")) == form.get("from"):
        return None
    return Answer("refused", "the entry is another one now. Below is what a replay from there does; press again if that is meant")


def _carry_out(asked: Asked, id: str, verb: str, op: str, form: Form) -> Answer:
    row = asked.reader.run(id)
    if row is None or verb not in VERBS:
        return Answer("missing", "there is no such run or verb")
    if not _OP.fullmatch(op):
        return Answer("faulty", "the form has no valid op; load its page again")
    deed = asked.reader.deed(op)
    if deed is not None:
        return Answer("done", status=deed.result) if deed.run == row.seq else Answer("faulty", "this op was another wish")
    if verb != "send" and row.status not in OFFERED[verb]:
        return asked.site.verbs.repeated(row.id, op) or Answer("refused", f"the run is {row.status}", row.status)
    seen = form.get("seen")
    if verb in _GUARDED and seen and not (seen.isascii() and seen.isdigit()):
        return Answer("faulty", "seen is a number")
    answer = _write(asked, row, verb, op, form, int(seen) if verb in _GUARDED and seen else None)
    # The same wish may have been carried out between the look at the record and the write, by the other half of a double click.
    late = answer.outcome == "moved" or (answer.outcome == "refused" and verb in ("recover", "replay"))
    return (asked.site.verbs.repeated(row.id, op) or answer) if late else answer


def _write(asked: Asked, row: RunRow, verb: str, op: str, form: Form, seen: int | None) -> Answer:
    verbs = asked.site.verbs
    match verb:
        case "recover":
            return verbs.recover(row.id, op, seen=seen)
        case "replay":
            return verbs.replay(row.id, op, form.get("from") or None, seen=seen)
        case "send":
            return verbs.send(
                row.id, op, form.get("name"), form.fields.get("data", "").encode("utf-8", "replace"), form.get("key") or None
            )
        case "cancel":
            return _cancel(asked, row, op, form)
        case "pause" | "resume" | "wake" | "evict":
            return verbs.steer(row.id, verb, op, seen=seen)
        case _:
            return Answer("missing", "there is no such verb")


def _cancel(asked: Asked, row: RunRow, op: str, form: Form) -> Answer:
    rollback = form.get("rollback") in ("1", "true", "on")
    if row.status == "rolling_back" and form.get("typed") != row.id:
        return Answer("faulty", "the run is being rolled back: type its id to leave the rest undone")
    if rollback and row.status == "blocked":
        return Answer("refused", "nothing can be rolled back while the run is held", row.status)
    return asked.site.verbs.steer(row.id, "cancel_rollback" if rollback else "cancel", op)
