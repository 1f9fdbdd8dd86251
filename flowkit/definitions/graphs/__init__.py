"""The graph of a workflow's code: what it can do, read from its source and never by running it."""

from __future__ import annotations

from flowkit.definitions.graphs.charting import graph_of

__all__ = ["graph_of"]
