"""The compensation map: a run's page as what would be undone."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.client.livecode import StepInfo, TriesUndoing, UndoTrial
from flowkit.client.reader import RunRow
from flowkit.client.undoing import UndoMap
from flowkit.core.run import TERMINAL
from flowkit.errors import PayloadError

from ..present.rollback import Undoing, handlers_of, undoing_of
from ..present.values import shown
from ..site import Asked, Notice, Page
from ..urls import run_url, with_query
from .run import Head, head_of

__all__ = ["RollbackPage", "rollback", "steps_in_code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackPage:
    """The map of a run. `try_href` tries it where code is loaded; else `untried` says why it cannot be tried."""

    head: Head
    undoing: Undoing
    try_href: str
    untried: str
    part_href: str
    recover_href: str


def rollback(asked: Asked, row: RunRow, token: str) -> Page:
    """GET /runs/{id}?view=rollback."""
    id = row.id
    head = head_of(asked, row, "rollback")
    try:
        found, notice = asked.reader.undoing(row), None
    except PayloadError as error:
        found, notice = UndoMap(), Notice(f"The history cannot be read: {shown(str(error))}", good=False)
    trial = _trial(asked, row) if asked.query.get("try") == "1" else None
    undoing = undoing_of(row, found, asked.now, handlers_of(steps_in_code(asked, row)), trial)
    can_try = _trier(asked) is not None and bool(found.owing)
    live = row.status not in TERMINAL and trial is None
    model = RollbackPage(
        head=head, undoing=undoing, try_href=with_query(run_url(id), view="rollback", **{"try": "1"}) if can_try else "",
        untried=_untried(asked, found, row),
        part_href=with_query(run_url(id), view="rollback", part="rollback", as_of=token) if live else "",
        recover_href=run_url(id, "recover") if row.status == "failed" and not asked.site.settings.read_only else "",
    )  # fmt: skip
    return Page(
        template="rollback.html", title=f"rollback · {head.item.label}", model=model, here="runs", run=id, token=token,
        parts={"now": "_run_now.html", "rollback": "_rollback.html"}, notice=notice,
    )  # fmt: skip


def steps_in_code(asked: Asked, row: RunRow) -> tuple[StepInfo, ...]:
    """The steps of the run's workflow in the code that is loaded; none where there is none."""
    state = asked.site.code_state()
    found = [each for each in state.workflows if each.name == row.workflow] if state is not None else []
    return found[0].steps if found else ()


def _trial(asked: Asked, row: RunRow) -> UndoTrial | None:
    trier = _trier(asked)
    return None if trier is None else trier.try_undoing(row.id)


def _trier(asked: Asked) -> TriesUndoing | None:
    code: object = asked.site.code
    return code if isinstance(code, TriesUndoing) else None


def _untried(asked: Asked, found: UndoMap, row: RunRow) -> str:
    if not found.owing or row.status == "cancelled":
        return ""
    if asked.site.code is None:
        return "No code is loaded here, so this page cannot tell the handlers, nor try them: under flowkit dev it can."
    return ""
