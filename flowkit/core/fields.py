"""What flowkit's own log records carry, so that their readers can filter by run, step, attempt, workflow and worker."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

__all__ = ["FIELDS", "OwnLog", "own_log"]

Logger = logging.Logger | logging.LoggerAdapter[Any]

FIELDS = {"run": "", "step": "", "attempt": 0, "workflow": "", "worker": 0}
"""What every record of flowkit's has, and how it stands where a record is not about one."""


class OwnLog(logging.LoggerAdapter[Any]):
    """A logger whose records all have the `FIELDS`: from the call's `extra`, from `of`, from the handle's `common`, else empty.

    `run` is an id, `step` a location, `worker` the number that the store gave. Records that are about none have them too, so that
    a format may name them.
    """

    def __init__(self, logger: Logger, fields: dict[str, object] | None = None, common: dict[str, object] | None = None) -> None:
        through: list[logging.LoggerAdapter[Any]] = []
        inner = logger
        while isinstance(inner, logging.LoggerAdapter):  # an adapter puts its own `extra` in place of ours, so it is asked first
            through.append(inner)
            inner = inner.logger
        super().__init__(inner, fields)
        self._given = logger
        self._through = tuple(through)
        self.common: dict[str, object] = {} if common is None else common
        """What is true of all records of a handle. Shared with every log that `of` makes, so it may be learnt later."""

    def of(self, **fields: object) -> OwnLog:
        """This log for records about what `fields` say, and about what it said before."""
        return OwnLog(self._given, {**(self.extra or {}), **fields}, self.common)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """See `logging.LoggerAdapter.process`."""
        said = kwargs.get("extra") or {}
        theirs: dict[str, object] = {}
        for adapter in self._through:
            msg, kwargs = adapter.process(msg, kwargs)
            theirs = {**theirs, **(kwargs.get("extra") or {})}
        return msg, {**kwargs, "extra": {**FIELDS, **theirs, **self.common, **(self.extra or {}), **said}}


def own_log(logger: Logger | None = None) -> OwnLog:
    """flowkit's own records, on `logger` or on the one that is called ``flowkit``."""
    return OwnLog(logging.getLogger("flowkit") if logger is None else logger)
