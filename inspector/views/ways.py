"""A run's page in one of the ways in which a run can be looked at: ``?view=`` names it, and without one it is the history."""

from __future__ import annotations

from collections.abc import Mapping

from ..site import Asked, Page, View
from .graph import graph
from .rollback import rollback
from .run import run
from .timeline import timeline

__all__ = ["WAYS", "run_page"]

WAYS: Mapping[str, View] = {"graph": graph, "rollback": rollback, "timeline": timeline}


def run_page(asked: Asked) -> Page:
    """GET /runs/{id}."""
    return WAYS.get(asked.query.get("view", ""), run)(asked)
