"""A rollback tried from the inspector, through the child that has the code, before and after a save."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowkit import workflow
from tests.dev.harness import Dev, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

APP = """
from flowkit import checkpoint, receive, step, workflow


def refund(receipt: str) -> None:
    open("called", "w").close()


@step(rollback=refund)
def charge(n: int) -> str:
    return f"receipt {n}"


@workflow
def checkout(n: int) -> None:
    checkpoint("billing")
    charge(n)
    receive("go")
"""


@workflow
def checkout(n: int) -> None:
    """As a client knows it that only starts runs."""


def undoing(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}runs/r-1.json?view=rollback&try=1", timeout=15) as answer:
        found: dict[str, Any] = json.load(answer)["undoing"]
    return found


def test_a_rollback_is_tried_through_the_loaded_code(dev: Callable[..., Dev], tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)
    made = dev()
    url = made.wait("ready")["url"]
    made.wait("loaded")
    with made.client() as client:
        run = client.start("r-1", checkout, 1)
        until(lambda: run.status() == "sleeping", "the run waits")

    (row,) = undoing(url)["rows"]
    app.write_text(APP.replace("@step(rollback=refund)", "@step"))
    until(lambda: undoing(url)["verdict_good"] is False, "the new code is asked")

    assert (row["tried"], row["handler"]) == ("found", "refund, app.py:5")
    assert undoing(url)["rows"][0]["tried"] == "the step has no rollback any more"
    assert not (tmp_path / "called").exists()
