"""Live code: the workflows that are loaded, and what became of the newest save."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from flowkit.client.livecode import Answer, CodeState, Decides, Decision, WorkflowInfo

from ..editors import opener
from ..forms import read_form
from ..present.banner import Banner, banner_of
from ..present.replay import Chosen, ReplayView, replay_view
from ..present.values import shown
from ..site import Asked, Notice, Page, asked_of, json_response, render
from ..urls import start_url, with_query, workflow_url

__all__ = ["MigratePage", "WorkflowsPage", "decide", "migrate", "workflows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowView:
    """A workflow of the loaded code."""

    name: str
    doc: str
    source: str
    parameters: str
    steps: tuple[tuple[str, str], ...]
    href: str
    start_href: str
    runs_href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowsPage:
    """What the code has, and what only the history has."""

    loaded: bool
    app: str
    workflows: tuple[WorkflowView, ...]
    others: tuple[tuple[str, str, str], ...]
    found: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MigratePage:
    """The banner in full."""

    loaded: bool
    app: str
    banner: Banner | None
    code: str
    running: str
    blocked_href: str
    report: ReplayView | None
    causes_below: bool
    part_href: str


def workflows(asked: Asked) -> Page:
    """GET /workflows."""
    state = asked.site.code_state()
    known = () if state is None else state.workflows
    names = {workflow.name for workflow in known}
    model = WorkflowsPage(
        loaded=state is not None, app="" if state is None else shown(state.app),
        workflows=tuple(_workflow(workflow) for workflow in known), found=() if state is None else tuple(map(shown, state.found)),
        others=tuple(
            (shown(name), workflow_url(name), start_url(name))
            for name in asked.reader.workflows() if name not in names
        ),
    )  # fmt: skip
    return Page(
        template="workflows.html", title="workflows", model=model, here="workflows", token=_version(state),
        parts={"now": "_workflows.html"},
    )  # fmt: skip


def _workflow(workflow: WorkflowInfo) -> WorkflowView:
    return WorkflowView(
        name=shown(workflow.name), doc=shown(workflow.doc), source=shown(workflow.source),
        parameters=", ".join(
            f"{shown(each.name)}: {shown(each.annotation) or each.kind}{f' = {shown(each.default)}' if not each.required else ''}"
            for each in workflow.parameters
        ),
        steps=tuple((shown(step.name), shown(step.source)) for step in workflow.steps),
        href=workflow_url(workflow.name), start_href=start_url(workflow.name),
        runs_href=with_query("/runs", workflow=workflow.name),
    )  # fmt: skip


def migrate(asked: Asked) -> Page:
    """GET /migrate, with the report of a `save`, and of it a `workflow`, a `verdict`, or the ``open`` or ``finished`` `runs`."""
    state = asked.site.code_state()
    names = ("workflow", "verdict", "runs")
    chosen = Chosen(save=asked.number("save"), **{name: asked.query.get(name, "") for name in names})
    report = None if state is None else replay_view(state.replays, chosen, asked.now, opener(asked.site.settings.editor))
    model = MigratePage(
        loaded=state is not None, app="" if state is None else shown(state.app), banner=banner_of(state),
        code="" if state is None else state.code[:6], running="" if state is None else state.running[:6],
        blocked_href=with_query("/runs", status="blocked"),
        report=report, causes_below=report is not None and report.over and report.code == (state.code[:6] if state else ""),
        part_href=with_query("/migrate", part="now", save=chosen.save, **{name: getattr(chosen, name) for name in names}),
    )  # fmt: skip
    parts = {"banner": "_banner.html", "now": "_migrate.html"}
    return Page(template="migrate.html", title="code", model=model, here="migrate", token=_version(state), parts=parts)


async def decide(request: Request) -> Response:
    """POST /apply: what becomes of the code that waits."""
    form = await read_form(request)
    match form.get("act"):
        case "apply" | "hold" | "discard" as act:
            decision = Decision(act=act, code=form.get("code"))
        case _:
            raise HTTPException(422, "act is apply, hold or discard")
    return await run_in_threadpool(_decide, request, decision, form.is_json)


def _decide(request: Request, decision: Decision, is_json: bool) -> Response:
    asked = asked_of(request)
    code = asked.site.code
    answer = code.decide(decision) if isinstance(code, Decides) else Answer("refused", "no code waits to be applied")
    status = 200 if answer.outcome == "done" else 409
    if is_json or asked.path.endswith(".json"):
        return json_response({"outcome": answer.outcome, "message": answer.message}, status)
    if answer.outcome == "done":
        return Response(status_code=303, headers={"Location": "/migrate"})
    notice = Notice(f"Nothing was changed: {shown(answer.message)}.", good=False)
    return render(request, asked, replace(migrate(asked), notice=notice, status=status))


def _version(state: CodeState | None) -> str:
    return "" if state is None else str(state.version)
