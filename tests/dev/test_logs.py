"""What runs log under `flowkit dev` is kept, though the project sets up no logging."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flowkit.definitions import workflow
from flowkit.drivers.base import LineQuery
from tests.dev.harness import APP, Dev, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

TALKS = (
    APP
    + """
import logging

@workflow
def talks() -> int:
    logging.getLogger("shop").info("an order")
    return charge(1)
"""
)


def test_info_is_kept_without_any_setting(dev: Callable[..., Dev], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(TALKS)
    running = dev("app.py")
    running.wait("loaded")

    @workflow
    def talks() -> int: ...

    with running.client() as fk:
        run = fk.start("t-1", talks)
        run.result(timeout=20)
        lines = until(lambda: fk.driver.lines(LineQuery(run=fk.driver.get("t-1").seq)), "a line is kept")

    assert [line.text for line in lines] == [b"an order"]
