"""Live code: the workflows that are loaded, and what became of the newest save."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.client.livecode import CodeState, WorkflowInfo

from ..present.banner import Banner, banner_of
from ..present.values import shown
from ..site import Asked, Page
from ..urls import start_url, with_query, workflow_url

__all__ = ["MigratePage", "WorkflowsPage", "migrate", "workflows"]


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
    """GET /migrate."""
    state = asked.site.code_state()
    model = MigratePage(
        loaded=state is not None, app="" if state is None else shown(state.app), banner=banner_of(state),
        code="" if state is None else state.code[:6], running="" if state is None else state.running[:6],
        blocked_href=with_query("/runs", status="blocked"),
    )  # fmt: skip
    parts = {"banner": "_banner.html", "now": "_migrate.html"}
    return Page(template="migrate.html", title="code", model=model, here="migrate", token=_version(state), parts=parts)


def _version(state: CodeState | None) -> str:
    return "" if state is None else str(state.version)
