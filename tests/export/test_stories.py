"""Runs of every kind that the inspector's tests tell, exported from their file and gone through again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowkit.client.export import Export, exported
from flowkit.drivers import open_driver
from flowkit.testing import Lab
from tests.inspector import stories


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small database."""
    file = tmp_path_factory.mktemp("told") / "small.db"
    stories.build_small(file)
    return file


def record_of(file: Path, id: str) -> Any:
    driver = open_driver(file)
    row = driver.get(id)
    assert row is not None
    record = json.loads(b"".join(exported(Export(driver, row, 0.0, reveals=True), "json")))
    driver.close()
    return record


@pytest.mark.parametrize(
    ("id", "workflow"), [("order-1", stories.checkout), ("pack-1", stories.pack), ("archive-1", stories.archive)]
)
def test_a_completed_story_comes_to_its_end_again(told: Path, id: str, workflow: Any) -> None:
    with Lab() as lab:
        run = lab.load(record_of(told, id), workflow)

        assert lab.run_to_end(id) == run.recorded_output()
        assert run.order() == run.recorded_order()


def test_a_failed_story_fails_again(told: Path) -> None:
    with Lab() as lab:
        lab.load(record_of(told, "order-2"), stories.checkout)

        with pytest.raises(Exception, match="card of order 2 was declined"):
            lab.run_to_end("order-2")
