"""The APP of the tests of `logs`; never imported by them, only named."""

from __future__ import annotations

import logging
from pathlib import Path

from flowkit import receive, step, workflow

log = logging.getLogger("shop")
log.setLevel(logging.INFO)
plain = logging.getLogger("plain")


@step(retries=1, backoff=0.001)
def charge() -> None:
    """Fails the first time in a folder."""
    log.warning("the till is slow: %s", "28 s\x1b[31m")
    log.debug("not kept")
    tried = Path("tried")
    if not tried.exists():
        tried.touch()
        raise OSError("no answer")


@workflow
def order() -> None:
    """Logs in each way."""
    log.info("an order")
    charge()
    try:
        raise ValueError("what a pity")
    except ValueError:
        log.exception("giving up")


@workflow
def waits() -> None:
    """Logs before and after a message, with a logger that nobody has set up."""
    plain.info("waiting")
    receive("go")
    plain.info("went")


@workflow
def quiet() -> int:
    """Logs nothing."""
    return 1
