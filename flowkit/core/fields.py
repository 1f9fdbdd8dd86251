"""What flowkit's own log records carry, so that their readers can filter by run, step and attempt."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

__all__ = ["OwnLog", "own_log"]

Logger = logging.Logger | logging.LoggerAdapter[Any]


class OwnLog(logging.LoggerAdapter[Any]):
    """A logger whose records all have `run` (an id), `step` (a location) and `attempt`: from the call's `extra`, else empty.

    Records that are about no run have them too, so that a format may name them.
    """

    def of(self, **fields: object) -> OwnLog:
        """This log for records about what `fields` say."""
        return OwnLog(self.logger, fields)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """See `logging.LoggerAdapter.process`."""
        return msg, {
            **kwargs,
            "extra": {"run": "", "step": "", "attempt": 0, **(self.extra or {}), **(kwargs.get("extra") or {})},
        }


def own_log(logger: Logger | None = None) -> OwnLog:
    """flowkit's own records, on `logger` or on the one that is called ``flowkit``."""
    return OwnLog(logging.getLogger("flowkit") if logger is None else logger)
