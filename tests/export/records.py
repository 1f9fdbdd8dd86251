"""What the tests of `Lab.load` share: the record of a run, and going through it again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from flowkit import step
from flowkit.client.export import Export, exported
from flowkit.testing import Lab

__all__ = ["NEVER", "loaded_ends_alike", "note", "record_of", "recorded"]

NEVER: list[str] = []
"""What bodies did that must not run."""


def record_of(lab: Lab, id: str = "r") -> dict[str, Any]:
    driver = lab.client.driver
    row = driver.get(id)
    assert row is not None
    found: dict[str, Any] = json.loads(b"".join(exported(Export(driver, row, lab.now), "json")))
    return found


def recorded(workflow: Any, *args: Any, meanwhile: Callable[[Lab], None] | None = None) -> dict[str, Any]:
    """The record of a run, whatever it came to."""
    with Lab() as lab:
        lab.start("r", workflow, *args)
        if meanwhile is not None:
            meanwhile(lab)
        with suppress(Exception):
            lab.run_to_end("r")
        assert lab.get("r").status() in ("completed", "failed")
        NEVER.clear()
        return record_of(lab)


def loaded_ends_alike(record: Mapping[str, Any], workflow: Any) -> None:
    with Lab() as lab:
        run = lab.load(record, workflow)
        assert lab.run_to_end("r") == run.recorded_output()
        assert run.order() == run.recorded_order()
        assert NEVER == []


@step
def note(text: str) -> str:
    NEVER.append(text)
    return text
