"""A workflow that logs, and what was kept of it."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import Any

import flowkit
from flowkit import step, workflow
from flowkit.core.line import Line
from flowkit.drivers import open_driver
from flowkit.drivers.base import LineQuery

__all__ = ["charge", "kept", "log", "order", "texts", "work"]

log = logging.getLogger("shop")


def kept(path: Path, id: str = "r", **wanted: Any) -> list[Line]:
    """The lines of a run in a database that nobody writes any more."""
    with closing(open_driver(path)) as driver:
        row = driver.get(id)
        assert row is not None
        return driver.lines(LineQuery(run=row.seq, limit=5_000, **wanted))


def texts(lines: list[Line]) -> list[str]:
    return [line.text.decode() for line in lines]


def work(path: Path, code: Any, *args: Any, **options: Any) -> Any:
    """Run `code` to its end in a handle of its own."""
    with flowkit.open(path, **options) as fk:
        return fk.start("r", code, *args).result(timeout=8)


@step
def charge(amount: int) -> int:
    log.warning("charging %d", amount)
    return amount


@workflow
def order() -> int:
    log.info("an order")
    return charge(5)
