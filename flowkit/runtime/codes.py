"""The fingerprints of the code that a worker serves, each taken once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowkit.definitions import Workflow
from flowkit.registry import fingerprint

__all__ = ["Codes"]


class Codes:
    """`sources` is the digest of the code's files."""

    def __init__(self, sources: str) -> None:
        self._sources = sources
        self._known: dict[str, tuple[Workflow[..., Any], str]] = {}

    def of(self, workflow: Workflow[..., Any]) -> str:
        """The fingerprint of a workflow's code."""
        known = self._known.get(workflow.name)
        if known is None or known[0] is not workflow:
            known = (workflow, fingerprint(workflow, self._sources))
            self._known[workflow.name] = known
        return known[1]

    def all(self, workflows: Mapping[str, Workflow[..., Any]]) -> dict[str, str]:
        """Those of all these workflows, by name."""
        return {name: self.of(workflow) for name, workflow in workflows.items()}
