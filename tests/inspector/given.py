"""What tests of the view-models are made of: an instant, a run, entries, and the modules of `present` by name."""

from __future__ import annotations

import importlib
from typing import Any

from flowkit.cli.serving import load_inspector
from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry

__all__ = ["NOW", "ROW", "made", "module"]

NAME = load_inspector().__name__
NOW = 1_767_225_600.0
ROW = RunRow(seq=1, id="order-1", workflow="checkout", status="running", created_at=NOW - 60, updated_at=NOW - 3)


def module(name: str) -> Any:
    """A module of `present`, wherever the inspector is."""
    return importlib.import_module(f"{NAME}.present.{name}")


def made(seq: int, location: str, **fields: Any) -> Entry:
    """A completed step that took a second, but for the fields that are given."""
    given = {"kind": "step", "status": "completed", "created_at": NOW + seq, "settled_at": NOW + seq + 1} | fields
    return Entry(seq=seq, location=location, **given)
