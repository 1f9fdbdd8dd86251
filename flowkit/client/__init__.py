"""Starting, steering and reading runs: what a program holds in its hand."""

from __future__ import annotations

from flowkit.client.handle import Flowkit, RunItem, RunPage
from flowkit.client.history import HistoryEntry, Snapshot
from flowkit.client.opening import open_flowkit
from flowkit.client.run import Run

__all__ = ["Flowkit", "HistoryEntry", "Run", "RunItem", "RunPage", "Snapshot", "open_flowkit"]
