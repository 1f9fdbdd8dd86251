"""The start form. The arguments are checked where the code is, in another process; here they are texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from flowkit.client.livecode import CodeInfo, CodeState, Fault, StartAnswer, StartWish, WorkflowInfo

from ..forms import Form, read_form
from ..present.field_views import FieldView, views_of
from ..present.fields import Acted, acted, argument_texts, filled_in, initial
from ..present.launch import start_command, start_line
from ..present.values import shown
from ..site import Asked, Notice, Page, Site, asked_of, json_response, new_op, render
from ..urls import run_url, start_url
from .errors import wrong_page

__all__ = ["StartPage", "do_start", "start"]

_MADE_UP = 12
_NO_CODE = Fault(field="", message="No code is loaded here: use the command below.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPage:
    """The form, or where there is no code the command that does the same."""

    name: str
    href: str
    doc: str
    loaded: bool
    known: bool
    fields: tuple[FieldView, ...]
    id: str
    tags: str
    delay: str
    faults: dict[str, str]
    command: str
    python: str
    older_code: str


def start(asked: Asked) -> Page:
    """GET /workflows/{name}/start."""
    info = _info(asked.site.code_state(), asked.text("name"))
    parameters = () if info is None else info.parameters
    return _form(asked, initial(parameters, _input_of(asked, asked.query.get("from", ""))))


def _form(
    asked: Asked, given: Mapping[str, str], faults: tuple[Fault, ...] = (), status: int = 200, pressed: Acted | None = None
) -> Page:
    state, name = asked.site.code_state(), asked.text("name")
    info = _info(state, name)
    if info is None and name not in asked.reader.workflows() and state is None:
        return wrong_page(404, f"No run of a workflow {shown(name)!r} is in this database.")
    told = {fault.field: shown(fault.message) for fault in faults}
    parameters = () if info is None else info.parameters
    broken = state is not None and state.status in ("broken", "dead", "stuck")
    id = given.get("id", "") or f"{name}-{new_op()[:_MADE_UP]}"
    app = "APP" if state is None or info is None else state.app
    texts, tags = filled_in(parameters, given), _tags(given.get("tags", ""))
    model = StartPage(
        name=shown(name), href=start_url(name), doc="" if info is None else shown(info.doc), loaded=state is not None,
        known=info is not None,
        fields=views_of(parameters, given, faults, "" if pressed is None else pressed.fresh), faults=told,
        tags=shown(given.get("tags", "")), id=shown(id), delay=shown(given.get("delay", "")),
        command=start_command(
            asked.site.settings.database, f"{app}:{name}", parameters, texts, id=id, tags=tags, delay=given.get("delay", "")
        ),
        python=start_line(name, parameters, texts, id=id, tags=tags, delay=given.get("delay", "")),
        older_code=state.running[:6] if state is not None and broken else "",
    )  # fmt: skip
    said = told.get("") or ("" if pressed is None else pressed.problem)
    notice = Notice(said, good=False) if said else None
    return Page(template="start.html", title=f"start {model.name}", model=model, here="workflows", status=status, notice=notice)


def _info(state: CodeState | None, name: str) -> WorkflowInfo | None:
    found = () if state is None else state.workflows
    return next((workflow for workflow in found if workflow.name == name), None)


def _tags(text: str) -> tuple[str, ...]:
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())


def _input_of(asked: Asked, run: str) -> dict[str, object]:
    """The input of another run, by parameter."""
    row = asked.reader.run(run) if run else None
    return {} if row is None else asked.reader.body(row.seq, "input").arguments()


# --- starting -------------------------------------------------------------------------------------------------------


async def do_start(request: Request) -> Response:
    """POST /workflows/{name}/start."""
    form = await read_form(request)
    return await run_in_threadpool(_start, request, form)


def _start(request: Request, form: Form) -> Response:
    asked = asked_of(request)
    site: Site = asked.site
    info = _info(site.code_state(), asked.text("name"))
    wants_json = form.is_json or asked.path.endswith(".json")
    if "do" in form.fields and info is not None and not wants_json:
        pressed = acted(info.parameters, form.fields, form.get("do"))
        return render(request, asked, replace(_form(asked, pressed.fields, pressed=pressed), live=False))
    answer, code = StartAnswer(faults=(_NO_CODE,)), 409
    if site.code is not None and info is not None:
        answer, code = _answer(site.code, info, form), 422
    if not answer.faults:
        here = run_url(answer.run_id)
        if wants_json:
            return json_response({"id": answer.run_id, "created": answer.created, "href": here})
        return Response(status_code=303, headers={"Location": here})
    if wants_json:
        return json_response({"faults": answer.faults}, code)
    return render(request, asked, replace(_form(asked, form.fields, answer.faults, code), live=False))


def _answer(code: CodeInfo, info: WorkflowInfo, form: Form) -> StartAnswer:
    faults: list[Fault] = []
    parameters, given = info.parameters, dict(form.fields)
    if form.is_json:  # what is not in it is left to its default
        given = {f"a.{each.name}": given[each.name] for each in parameters if each.name in given} | given
        parameters = tuple(each for each in parameters if f"a.{each.name}" in given)
    arguments = argument_texts(parameters, given, faults)
    if faults:
        return StartAnswer(faults=tuple(faults))
    return code.start(
        StartWish(
            workflow=info.name, id=form.get("id"), arguments=arguments, tags=_tags(form.get("tags")), delay=form.get("delay")
        )
    )
