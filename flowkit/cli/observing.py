"""What looks on at the runs of a command: counters where metrics are served, spans where ``FLOWKIT_OTEL`` asks for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flowkit.cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from flowkit.engine.observer import Observer

__all__ = ["observers"]


def observers(*, metrics: bool = False) -> list[Observer]:
    """The observers of a handle that a command opens.

    Raises:
        Failure: spans are asked for and OpenTelemetry is not installed, or the variable cannot be read.
    """
    from flowkit.observe.wanted import observers_of

    try:
        return observers_of(None, os.environ, metrics=metrics)
    except (ModuleNotFoundError, ValueError) as error:
        raise Failure(str(error), USAGE) from error
