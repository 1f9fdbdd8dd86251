"""The form that gives a failed step's outcome by hand, and the POST that does it once.

Where code is loaded the form is made from the step's return annotation, and the process that holds the code checks what is
given; otherwise JSON is taken as it is, and the page says so. The answer is the run's page, or this one again, filled in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from flowkit.client.livecode import Answer, CodeState, Fault, Parameter, ResolveWish, StepInfo
from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry
from flowkit.core.location import split

from ..forms import Form, read_form
from ..present.entry import ErrorView, error_of
from ..present.field_views import FieldView, views_of
from ..present.fields import acted, argument_texts, initial
from ..present.resolve import changed_arguments, editable, rollback_text
from ..present.runs import command_line
from ..present.values import EXPANDABLE, shown
from ..site import Asked, Notice, Page, asked_of, json_response, new_op, render
from ..urls import entry_url, run_url, with_query
from .errors import no_run, wrong_page
from .run import Head, head_of, is_fork

__all__ = ["ResolvePage", "do_resolve", "resolve"]

_OP = re.compile(r"[0-9a-f]{32}")
_STATUS = {"moved": 409, "refused": 409, "faulty": 422, "missing": 404}
_UNKNOWN = Parameter(name="value", kind="json")
_WAYS = ("value", "nothing", "error", "again")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvePage:
    """The form. `checked`: code is loaded that knows the step; `refused` says why there is nothing to be given."""

    head: Head
    location: str
    seq: int
    href: str
    entry_href: str
    op: str
    seen: int
    refused: str
    asks: bool
    checked: bool
    error: ErrorView | None
    field: FieldView
    annotation: str
    allows_nothing: bool
    rollback: str
    arguments: str
    values: dict[str, str]
    how: str
    command: str


def resolve(asked: Asked) -> Page:
    """GET /runs/{id}/e/{seq}/resolve."""
    return _page(asked, None)


def _page(
    asked: Asked, form: Mapping[str, str] | None, *, op: str = "", notice: Notice | None = None, status: int = 200,
    faults: tuple[Fault, ...] = (), fresh: str = "",
) -> Page:  # fmt: skip
    id, seq = asked.text("id"), int(asked.text("seq"))
    row = asked.reader.run(id)
    if row is None:
        return no_run(asked, id)
    found = asked.reader.entry(row.seq, seq) if seq < 1 << 62 else None
    if found is None:
        return wrong_page(404, f"Run {shown(id)!r} has no entry {seq}.")
    head = head_of(asked, row, "")
    step = _step(asked.site.code_state(), row, found)
    returns = _returns(step)
    given = _untouched(returns) if form is None else form
    how = given.get("how", "value")
    model = ResolvePage(
        head=head, location=shown(found.location), seq=seq, href=entry_url(id, seq, "resolve"), entry_href=entry_url(id, seq),
        op=op or new_op(), seen=row.head, refused=shown(_refused(asked, row, seq)),
        asks=row.status == "paused", checked=step is not None,
        error=error_of(found), field=_field(returns, given, faults, fresh),
        annotation=shown(returns.annotation), allows_nothing=returns.optional or step is None,
        rollback=rollback_text(step), how=how if how in _WAYS else "value",
        arguments=shown(given.get("arguments", editable(_recorded(asked, row, seq)))),
        values={name: shown(given.get(name, "")) for name in ("reason", "type", "text", "norollback")},
        command=command_line(
            asked.site.settings.database, "resolve", id, found.location, "--value", "JSON", "--reason", "TEXT"
        ),
    )  # fmt: skip
    return Page(
        template="resolve.html", title=f"resolve {model.location} · {head.item.label}", model=model, here="runs", run=row.id,
        token=head.token, notice=notice, status=status, parts={"now": "_run_now.html"},
    )  # fmt: skip


def _step(state: CodeState | None, row: RunRow, found: Entry) -> StepInfo | None:
    name = split(found.location)[1].partition("#")[0]
    workflows = () if state is None else state.workflows
    return next((step for each in workflows if each.name == row.workflow for step in each.steps if step.name == name), None)


def _returns(step: StepInfo | None) -> Parameter:
    return _UNKNOWN if step is None or step.returns is None else step.returns


def _untouched(returns: Parameter) -> dict[str, str]:
    """The fields of a value that is there: that it may be None is another way to resolve the step."""
    made = initial([returns], {})
    given = acted([returns], made, f"give {returns.name}")
    return made if given.problem else given.fields


def _field(returns: Parameter, given: Mapping[str, str], faults: tuple[Fault, ...], fresh: str) -> FieldView:
    view = replace(_free(views_of([returns], given, faults, fresh)[0]), label="Value")
    inner = tuple(replace(each, label="Value") for each in view.children)
    return replace(view, children=inner) if view.control == "maybe" else view


def _free(view: FieldView) -> FieldView:
    """Not demanded by the browser: another way to resolve the step may be chosen, and then this is out of sight."""
    return replace(view, required=False, children=tuple(map(_free, view.children)))


def _refused(asked: Asked, row: RunRow, seq: int) -> str:
    found = asked.site.verbs.resolvable(row.id)
    if isinstance(found, str):
        return found
    return "" if seq in found else "this step did not stop the run"


def _recorded(asked: Asked, row: RunRow, seq: int) -> object:
    body = asked.reader.body(row.seq, "args", seq, most=EXPANDABLE)
    return None if body.size is not None or body.damage else body.plain()


# --- doing it -------------------------------------------------------------------------------------------------------


async def do_resolve(request: Request) -> Response:
    """POST /runs/{id}/e/{seq}/resolve."""
    form = await read_form(request)
    return await run_in_threadpool(_do, request, form)


def _do(request: Request, form: Form) -> Response:
    asked = asked_of(request)
    wants_json = form.is_json or asked.path.endswith(".json")
    op = form.get("op") or (new_op() if wants_json else "")
    id = asked.text("id")
    if "do" in form.fields and not wants_json:
        return render(request, asked, _pressed(asked, form, op if _OP.fullmatch(op) else ""))
    answer = _carry_out(asked, id, int(asked.text("seq")), op, form)
    if wants_json:
        body = {"outcome": answer.outcome, "message": answer.message, "status": answer.status, "op": op, "faults": answer.faults}
        return json_response(body, _STATUS.get(answer.outcome, 200))
    if answer.outcome == "done":
        return Response(status_code=303, headers={"Location": with_query(_back(asked, id), op=op)})
    said = "This run moved on since the page was made. Look again." if answer.outcome == "moved" else answer.message
    again = "" if answer.outcome == "moved" else op if _OP.fullmatch(op) else ""
    notice = Notice(f"Nothing was changed: {shown(said)}", good=False)
    status = _STATUS[answer.outcome]
    return render(request, asked, _page(asked, form.fields, op=again, notice=notice, status=status, faults=answer.faults))


def _back(asked: Asked, id: str) -> str:
    """To the run; to what it asks next, if it is a fork."""
    row = asked.reader.run(id)
    return run_url(id, "fork") if row is not None and is_fork(asked, row) else run_url(id)


def _pressed(asked: Asked, form: Form, op: str) -> Page:
    """The form after one of its own buttons, which change nothing but the form."""
    row = asked.reader.run(asked.text("id"))
    seq = int(asked.text("seq"))
    found = asked.reader.entry(row.seq, seq) if row is not None and seq < 1 << 62 else None
    if row is None or found is None:
        return _page(asked, form.fields)
    pressed = acted([_returns(_step(asked.site.code_state(), row, found))], form.fields, form.get("do"))
    notice = Notice(pressed.problem, good=False) if pressed.problem else None
    return _page(asked, pressed.fields, op=op, notice=notice, fresh=pressed.fresh)


def _carry_out(asked: Asked, id: str, seq: int, op: str, form: Form) -> Answer:
    row = asked.reader.run(id)
    found = asked.reader.entry(row.seq, seq) if row is not None and seq < 1 << 62 else None
    if row is None or found is None:
        return Answer("missing", "there is no such run or entry")
    if not _OP.fullmatch(op):
        return Answer("faulty", "the form has no valid op; load its page again")
    deed = asked.reader.deed(op)
    if deed is not None:
        return Answer("done", status=deed.result) if deed.run == row.seq else Answer("faulty", "this op was another wish")
    try:
        wish = _wish(asked, row, found, op, form)
    except _Unreadable as error:
        return Answer("faulty", str(error), faults=error.faults)
    except ValueError as error:
        return Answer("faulty", str(error))
    code = asked.site.code if _step(asked.site.code_state(), row, found) is not None else None
    answer = asked.site.verbs.resolve(wish) if code is None else code.resolve(wish)
    # The same wish may have been carried out between the look at the record and the write, by the other half of a double click.
    late = answer.outcome in ("moved", "refused")
    return (asked.site.verbs.repeated(row.id, op) or answer) if late else answer


def _wish(asked: Asked, row: RunRow, found: Entry, op: str, form: Form) -> ResolveWish:
    how, seen = form.get("how"), form.get("seen")
    if seen and not (seen.isascii() and seen.isdigit() and len(seen) < 19):
        raise ValueError("seen is a number")
    changed = changed_arguments(_recorded(asked, row, found.seq), form.fields.get("arguments", "")) if how == "again" else {}
    return ResolveWish(
        run=row.id, location=found.location, how=how, reason=form.get("reason"), op=op, who=asked.site.verbs.who,
        seen=int(seen) if seen else None, value=_value(asked, row, found, form) if how == "value" else "",
        type=form.get("type"), text=form.fields.get("text", ""), arguments=changed, rollback=not form.get("norollback"),
    )  # fmt: skip


class _Unreadable(Exception):
    """Some fields hold what is no JSON."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults


def _value(asked: Asked, row: RunRow, found: Entry, form: Form) -> str:
    parameter = _returns(_step(asked.site.code_state(), row, found))
    given = form.fields.get("a.value", form.fields.get("value") if form.is_json else None)
    if form.is_json and given is not None and parameter.kind == "json":
        return given
    faults: list[Fault] = []
    fields = form.fields if given is None else {**form.fields, "a.value": given}
    text = argument_texts([parameter], fields, faults).get(parameter.name)
    if faults:
        raise _Unreadable(tuple(faults))
    if text is None:
        raise ValueError("give the value, or choose that it gave nothing")
    return text
