"""The decorators, and what they make."""

from __future__ import annotations

from flowkit.definitions.options import Duration, OnError
from flowkit.definitions.steps import DEFAULT_BACKOFF, DEFAULT_BACKOFF_MAX, DEFAULT_RETRIES, DEFAULT_TIMEOUT, Step, step
from flowkit.definitions.workflows import LaunchOptions, Workflow, known_workflows, workflow, workflows_in

__all__ = [
    "DEFAULT_BACKOFF",
    "DEFAULT_BACKOFF_MAX",
    "DEFAULT_RETRIES",
    "DEFAULT_TIMEOUT",
    "Duration",
    "LaunchOptions",
    "OnError",
    "Step",
    "Workflow",
    "known_workflows",
    "step",
    "workflow",
    "workflows_in",
]
