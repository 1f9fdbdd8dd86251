"""Which observers a handle gets, from what its opener said and from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowkit.engine.observer import Observer
from flowkit.observe.counting import Counters
from flowkit.observe.tracing import Tracing

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["observers_of"]

_YES = frozenset(("1", "true", "yes", "on"))
_NO = frozenset(("", "0", "false", "no", "off"))


def observers_of(
    telemetry: bool | TracerProvider | None, environment: Mapping[str, str], *, metrics: bool = False
) -> list[Observer]:
    """`telemetry` None: as ``FLOWKIT_OTEL`` says.

    Raises:
        ModuleNotFoundError: OpenTelemetry is wanted and not installed. ValueError, TypeError: what was said cannot be.
    """
    found: list[Observer] = [Counters()] if metrics else []
    wanted = _switch(environment.get("FLOWKIT_OTEL", "")) if telemetry is None else telemetry
    if isinstance(wanted, bool):
        return [*found, Tracing()] if wanted else found
    if not callable(getattr(wanted, "get_tracer", None)):
        raise TypeError(f"telemetry is True, False or an OpenTelemetry TracerProvider, not {wanted!r}")
    return [*found, Tracing(wanted)]


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word not in _YES | _NO:
        raise ValueError(f"FLOWKIT_OTEL is 1 or 0, not {text!r}")
    return word in _YES
