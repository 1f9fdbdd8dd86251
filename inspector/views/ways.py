"""A run's page in one of the ways in which a run can be looked at: ``?view=`` names it, and without one it is the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flowkit.client.reader import RunRow

from ..live import run_token
from ..site import Asked, Page
from .errors import no_run
from .graph import graph
from .rollback import rollback
from .run import run
from .timeline import timeline

__all__ = ["WAYS", "run_page"]

WAYS: Mapping[str, Callable[[Asked, RunRow, str], Page]] = {"graph": graph, "rollback": rollback, "timeline": timeline}


def run_page(asked: Asked) -> Page:
    """GET /runs/{id}."""
    way = WAYS.get(asked.query.get("view", ""))
    if way is None:
        return run(asked)
    id = asked.text("id")
    row = asked.reader.run(id)
    if row is None:
        return no_run(asked, id)
    token = run_token(row, asked.site.crew(), asked.now)
    return Page(same=True, token=token, run=id) if asked.is_current(token) else way(asked, row, token)
