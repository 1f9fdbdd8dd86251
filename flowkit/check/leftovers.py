"""`removed` and `version` lines that no open run needs any more, each tried without.

Which lines there are is read from the source; a line whose place is not to be had is not judged. A run needs a line if it
does not fit without it, or comes to an end of its own there. Where several lines are passed they are first left out together:
most runs need none of them, and that is one pass more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flowkit.check.places import code_at
from flowkit.check.rehearsal import Rehearsal
from flowkit.core.graph import Node
from flowkit.core.trial import Trial
from flowkit.core.verdict import Finding, Leftover
from flowkit.definitions import Workflow
from flowkit.definitions.graphs import graph_of
from flowkit.drivers.base import RunView

__all__ = ["Leftovers"]

Attempt = Callable[[Trial], Rehearsal | Finding]


class Leftovers:
    """The lines of one workflow, and which of them are known to be needed."""

    def __init__(self, workflow: Workflow[..., Any]) -> None:
        self.lines = {
            node.source: node for node in _nodes(graph_of(workflow).nodes) if node.kind in ("removed", "version") and node.source
        }
        self._workflow = workflow.name
        self._needed: set[str] = set()

    def judge(self, view: RunView, found: Rehearsal, attempt: Attempt) -> None:
        """Find out which lines this open run needs. `found` is its pass with all of them."""
        if not self.lines:
            return
        passed = {call.source for call in found.calls} & (self.lines.keys() - self._needed)
        if not passed:
            return
        if view.row.status == "rolling_back" or view.row.ending:
            self._needed |= passed  # undoing takes another way through the code, so it is not risked
            return
        if _does_without(passed, found, attempt):
            return
        alone = {source for source in passed if not _does_without({source}, found, attempt)}
        self._needed |= alone or passed

    def found(self) -> list[Leftover]:
        """Those that no run has needed, in the order of the code."""
        return [
            Leftover(workflow=self._workflow, kind=node.kind, name=node.name, source=source, code=code_at(source))
            for source, node in self.lines.items()
            if source not in self._needed
        ]


def _does_without(sources: set[str], found: Rehearsal, attempt: Attempt) -> bool:
    tried = attempt(Trial(without=frozenset(sources)))
    if isinstance(tried, Finding):
        return False
    same_error = type(tried.error) is type(found.error) and str(tried.error) == str(found.error)
    return tried.misfit is None and same_error and dict(tried.frontiers) == dict(found.frontiers)


def _nodes(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from _nodes(node.body)
