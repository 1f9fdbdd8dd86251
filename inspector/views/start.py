"""The start form. The arguments are checked where the code is, in another process; here they are texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from flowkit.client.livecode import CodeState, Fault, Parameter, StartAnswer, StartWish, WorkflowInfo

from ..forms import Form, read_form
from ..present.launch import start_command, start_line
from ..present.schema import described, example, schema_text
from ..present.values import shown
from ..site import Asked, Notice, Page, Site, asked_of, json_response, new_op, render
from ..urls import run_url
from .errors import wrong_page

__all__ = ["FieldView", "StartPage", "argument_text", "do_start", "field_of", "start"]

_MADE_UP = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldView:
    """A field of the form. `control`: text, number, choice, checkbox, date, datetime or json.

    `schema` says what a JSON area takes, `said` what it says of itself in words, and `placeholder` is an example of that shape.
    """

    name: str
    label: str
    control: str
    hint: str
    value: str
    required: bool
    choices: tuple[str, ...] = ()
    fault: str = ""
    said: str = ""
    schema: str = ""
    placeholder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPage:
    """The form, or where there is no code the command that does the same."""

    name: str
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
    name = asked.text("name")
    return _form(asked, name, _prefilled(asked, asked.query.get("from", "")), ())


def _form(asked: Asked, name: str, given: Mapping[str, str], faults: tuple[Fault, ...], status: int = 200) -> Page:
    state = asked.site.code_state()
    info = _info(state, name)
    if info is None and name not in asked.reader.workflows() and state is None:
        return wrong_page(404, f"No run of a workflow {shown(name)!r} is in this database.")
    told = {fault.field: shown(fault.message) for fault in faults}
    parameters = () if info is None else info.parameters
    broken = state is not None and state.status in ("broken", "dead", "stuck")
    id = given.get("id", "") or f"{name}-{new_op()[:_MADE_UP]}"
    app = "APP" if state is None or info is None else state.app
    texts, tags = _texts(parameters, given), _tags(given.get("tags", ""))
    model = StartPage(
        name=shown(name), doc="" if info is None else shown(info.doc), loaded=state is not None, known=info is not None,
        fields=tuple(field_of(each, given, told) for each in parameters), faults=told, tags=shown(given.get("tags", "")),
        id=shown(id), delay=shown(given.get("delay", "")),
        command=start_command(
            asked.site.settings.database, f"{app}:{name}", parameters, texts, id=id, tags=tags, delay=given.get("delay", "")
        ),
        python=start_line(name, parameters, texts, id=id, tags=tags, delay=given.get("delay", "")),
        older_code=state.running[:6] if state is not None and broken else "",
    )  # fmt: skip
    notice = Notice(told[""], good=False) if told.get("") else None
    return Page(template="start.html", title=f"start {model.name}", model=model, here="workflows", status=status, notice=notice)


def _info(state: CodeState | None, name: str) -> WorkflowInfo | None:
    found = () if state is None else state.workflows
    return next((workflow for workflow in found if workflow.name == name), None)


def field_of(parameter: Parameter, given: Mapping[str, str], faults: Mapping[str, str]) -> FieldView:
    """A parameter as a field, with what was given for it, else its default."""
    controls = {"str": "text", "int": "number", "float": "text", "bool": "checkbox", "choice": "choice", "date": "date"}
    default = _text_of(parameter.default) if parameter.kind != "json" else parameter.default
    return FieldView(
        name=f"a.{parameter.name}", label=shown(parameter.name), control=controls.get(parameter.kind, parameter.kind),
        hint=shown(parameter.annotation), value=shown(given.get(f"a.{parameter.name}", default)), required=parameter.required,
        choices=(*(("",) if parameter.optional else ()), *map(shown, parameter.choices)), fault=_fault(parameter.name, faults),
        said=described(parameter.schema), schema=schema_text(parameter.schema), placeholder=example(parameter.schema),
    )  # fmt: skip


def _fault(name: str, faults: Mapping[str, str]) -> str:
    mine = [
        f"{path.removeprefix(name)} {text}".strip()
        for path, text in faults.items()
        if path == name or path.startswith(f"{name}.")
    ]
    return "; ".join(mine)


def _text_of(default: str) -> str:
    try:
        value = json.loads(default) if default else ""
    except ValueError:
        return default
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def _texts(parameters: tuple[Parameter, ...], given: Mapping[str, str]) -> dict[str, str]:
    """What is filled in, as the JSON texts that a start would send."""
    filled = {each.name: argument_text(each, given[f"a.{each.name}"]) for each in parameters if given.get(f"a.{each.name}")}
    return {name: text for name, text in filled.items() if text}


def _tags(text: str) -> tuple[str, ...]:
    return tuple(tag.strip() for tag in text.split(",") if tag.strip())


def _prefilled(asked: Asked, run: str) -> dict[str, str]:
    """The input of another run, as the form's fields."""
    row = asked.reader.run(run) if run else None
    data = None if row is None else asked.reader.body(row.seq, "input").plain()
    if not isinstance(data, dict):
        return {}
    return {
        f"a.{name}": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for name, value in data.items()
    }


# --- starting -------------------------------------------------------------------------------------------------------


async def do_start(request: Request) -> Response:
    """POST /workflows/{name}/start."""
    form = await read_form(request)
    return await run_in_threadpool(_start, request, form)


def _start(request: Request, form: Form) -> Response:
    asked = asked_of(request)
    site: Site = asked.site
    name = asked.text("name")
    info = _info(site.code_state(), name)
    if site.code is None or info is None:
        answer = StartAnswer(faults=(Fault(field="", message="No code is loaded here: use the command below."),))
        code = 409
    else:
        answer, code = site.code.start(_wish(info, form)), 422
    if not answer.faults:
        here = run_url(answer.run_id)
        if form.is_json or asked.path.endswith(".json"):
            return json_response({"id": answer.run_id, "created": answer.created, "href": here})
        return Response(status_code=303, headers={"Location": here})
    if form.is_json or asked.path.endswith(".json"):
        return json_response({"faults": answer.faults}, code)
    page = _form(asked, name, dict(form.fields), answer.faults, code)
    return render(request, asked, replace(page, live=False))


def _wish(info: WorkflowInfo, form: Form) -> StartWish:
    arguments: dict[str, str] = {}
    for each in info.parameters:
        given = form.fields.get(f"a.{each.name}")
        if form.is_json and given is None:
            given = form.fields.get(each.name)
        text = argument_text(each, given)
        if text is not None:
            arguments[each.name] = text
    return StartWish(
        workflow=info.name, id=form.get("id"), arguments=arguments, tags=_tags(form.get("tags")), delay=form.get("delay")
    )


def argument_text(parameter: Parameter, given: str | None) -> str | None:
    """A field as JSON text; None leaves the parameter to its default."""
    if parameter.kind == "bool":
        return "true" if given in ("on", "true", "1") else "false"
    if given is None or (not given.strip() and parameter.kind != "str"):
        return "null" if parameter.optional and parameter.required else None
    if parameter.kind in ("int", "float", "json"):
        return given.strip()
    if not given and not parameter.required:
        return None
    return "null" if not given and parameter.optional else json.dumps(given, ensure_ascii=False)
