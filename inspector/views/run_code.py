"""The code under which a run began against the code of now, step by step, as workers have told it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowkit.client.reader import RunRow, serving_of

from ..live import run_token
from ..present.codes import StepChange, changes_of, summary
from ..site import Asked, Page
from ..urls import run_url, with_query
from .errors import no_run
from .run import Head, gone_in, head_of

__all__ = ["RunCodePage", "run_code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCodePage:
    """Two codes compared. `told_first` and `told_now`: whether a worker has told what that code consists of."""

    head: Head
    first: str
    last: str
    now: str
    now_is: str
    told_first: bool
    told_now: bool
    changes: tuple[StepChange, ...]
    summary: str
    gone: tuple[str, ...]
    part_href: str


def run_code(asked: Asked) -> Page:
    """GET /runs/{id}/code."""
    id = asked.text("id")
    row = asked.reader.run(id)
    if row is None:
        return no_run(asked, id)
    token = run_token(row, asked.site.crew(), asked.now)
    if asked.is_current(token):
        return Page(same=True, token=token, run=id)
    head = head_of(asked, row, "code")
    first, (now, now_is) = asked.reader.first_code(row.seq), _code_of_now(asked, row)
    before, after = _steps(asked, first, row.workflow), _steps(asked, now, row.workflow)
    changes = changes_of(before, after) if before is not None and after is not None else ()
    model = RunCodePage(
        head=head, first=first[:6], last=head.code, now=now[:6], now_is=now_is, told_first=before is not None,
        told_now=after is not None, changes=changes, summary=summary(changes), gone=gone_in(asked, row).places,
        part_href=with_query(run_url(id, "code"), part="code", as_of=token),
    )  # fmt: skip
    parts = {"now": "_run_now.html", "code": "_run_code.html"}
    title = f"code · {head.item.label}"
    return Page(template="run_code.html", title=title, model=model, here="runs", run=row.id, token=token, parts=parts)


def _code_of_now(asked: Asked, row: RunRow) -> tuple[str, str]:
    """The code that a next pass would run under, and how that is known."""
    state = asked.site.code_state()
    living = [serving_of(worker) for worker in asked.reader.workers() if worker.alive]
    if state is not None and state.running:  # its first digits, of which its worker has told the rest
        full = (serving.code for serving in living if serving.code.startswith(state.running))
        return next(full, state.running), "loaded now"
    told = [serving for serving in living if serving.code and row.workflow in (serving.workflows or ())]
    if told:
        return max(told, key=lambda serving: serving.generation).code, "of a worker that is running"
    return asked.reader.last_code(row), "of its last pass; no worker that is running serves it"


def _steps(asked: Asked, code: str, workflow: str) -> Mapping[str, str] | None:
    """Step → hash of its body; None where nobody has told."""
    return asked.reader.manifest(code).workflows.get(workflow) if code else None
