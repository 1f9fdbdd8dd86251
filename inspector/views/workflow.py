"""One workflow: how its steps fare and under which code its runs went, from a sample that says of how many."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.client.reader import Count, RunFilter, serving_of

from ..present.stats import CodeStats, StepStats, code_stats, step_stats
from ..present.values import shown
from ..site import Asked, Page
from ..urls import start_url, with_query, workflow_url
from .errors import wrong_page

__all__ = ["WorkflowPage", "workflow"]

_COUNTED = 1_001


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowPage:
    """A workflow. `sampled` runs were looked at, of `total`."""

    name: str
    doc: str
    source: str
    loaded: bool
    serves: bool
    total: str
    sampled: int
    whole: bool
    steps: tuple[StepStats, ...]
    codes: tuple[CodeStats, ...]
    start_href: str
    runs_href: str
    failed_href: str
    timers_href: str
    part_href: str


def workflow(asked: Asked) -> Page:
    """GET /workflows/{name}."""
    name = asked.text("name")
    token = asked.site.pulse.token()
    if asked.is_current(token):
        return Page(same=True)
    sample = asked.site.across.sample(name, asked.now)
    state = asked.site.code_state()
    known = next((each for each in (state.workflows if state is not None else ()) if each.name == name), None)
    if known is None and not sample.runs:
        return wrong_page(404, f"No workflow {shown(name)!r} is loaded, and no run is one of it.")
    count = Count(len(sample.runs)) if sample.whole else asked.reader.newer(RunFilter(workflow=name), 0, _COUNTED)
    running = frozenset(serving_of(worker).code for worker in asked.reader.workers() if worker.alive)
    if state is not None:
        running |= {state.running}
    here = workflow_url(name)
    model = WorkflowPage(
        name=shown(name), doc=shown(known.doc) if known is not None else "", source=shown(known.source) if known else "",
        loaded=state is not None, serves=asked.site.crew().serves(name),
        total=f"{count.number - count.more:,}{'+' if count.more else ''}", sampled=len(sample.runs), whole=sample.whole,
        steps=step_stats(sample, asked.now), codes=code_stats(sample, running, asked.now), start_href=start_url(name),
        runs_href=with_query("/runs", workflow=name), failed_href=with_query("/runs", workflow=name, status="failed"),
        timers_href=with_query("/timers", workflow=name), part_href=with_query(here, part="now", as_of=token),
    )  # fmt: skip
    title = f"{model.name} · workflow"
    return Page(
        template="workflow.html", title=title, model=model, here="workflows", token=token, parts={"now": "_workflow.html"}
    )
