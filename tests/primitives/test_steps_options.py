"""Options of `@step` and `@workflow`: what cannot be is said at decoration, and the errors of the package are one tree."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import flowkit
import flowkit.aio as aio
from flowkit import errors, step, workflow


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"backoff": -1},
        {"backoff": "soon"},
        {"backoff_max": float("inf")},
        {"timeout": float("nan")},
        {"timeout": "-5s"},
        {"jitter": 1.5},
        {"jitter": -0.1},
        {"jitter": float("nan")},
        {"rollback_retries": -1},
    ],
)
def test_a_bad_value_is_a_value_error_at_decoration(options: Any) -> None:
    """API sections 3 and 5: in every spelling."""
    with pytest.raises(ValueError, match=r"\S"):
        step(dict, name="x", **options)
    with pytest.raises(ValueError, match=r"\S"):
        step(name="x", **options)
    with pytest.raises(ValueError, match=r"\S"):
        step(dict, name="x").options(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"retries": "3"},
        {"retries": True},
        {"retries": 1.0},
        {"backoff": None},
        {"timeout": True},
        {"retry_on": "OSError"},
        {"retry_on": int},
        {"retry_on": (OSError, int)},
        {"rollback": "refund"},
        {"rollback_retries": None},
        {"jitter": "a"},
        {"name": 3},
        {"unheard_of": 1},
    ],
)
def test_a_value_of_the_wrong_type_is_refused_at_decoration(options: Any) -> None:
    """API sections 3 and 5: TypeError, InvalidName for names."""
    with pytest.raises((TypeError, errors.InvalidName)):
        step(dict, **{"name": "x", **options})


def refund(receipt: str, order: int) -> None:
    """Takes the output and one argument."""


def test_a_rollback_that_takes_a_name_the_step_does_not_have_is_a_type_error() -> None:
    """API section 3: at decoration."""

    def charge(basket: int) -> str:
        return ""

    with pytest.raises(TypeError, match="order"):
        step(charge, rollback=refund)
    with pytest.raises(TypeError, match="order"):
        step(rollback=refund)(charge)


def positional(receipt: str, basket: int, /) -> None:
    """The second cannot be given by name."""


def named_only(*, basket: int) -> None:
    """It cannot take the output."""


@pytest.mark.parametrize("rollback", [positional, named_only])
def test_a_rollback_that_could_not_be_called_is_refused_at_decoration(rollback: Any) -> None:
    """API section 3: not when the run is to be undone."""

    def charge(basket: int) -> str:
        return ""

    with pytest.raises(TypeError, match=rollback.__name__):
        step(charge, rollback=rollback)


class Till:
    """A step as a method, and a rollback that takes too much."""

    @step(rollback=lambda receipt, self: None)
    def charge(self, order: int) -> str:
        return ""


def test_a_rollback_does_not_get_the_self_of_a_method() -> None:
    """API section 3: it is no argument of the step, which is said as soon as the method is bound."""
    with pytest.raises(TypeError, match="takes self"):
        Till().charge(1)


@pytest.mark.parametrize("limit", [5, 5.0, "5s", timedelta(seconds=5), None, 0])
def test_durations_come_in_every_spelling(limit: Any) -> None:
    """API section 2."""
    assert step(dict, name="x", timeout=limit, backoff="100ms", backoff_max=timedelta(minutes=1)).name == "x"


def test_an_error_hook_is_a_function() -> None:
    """API section 3: said at decoration, not at the first failure."""
    with pytest.raises(TypeError, match="on_error"):
        workflow(on_error="log")  # type: ignore[call-overload]  # what is wrong is the point


@pytest.mark.parametrize("options", [{"max_crashes": 0}, {"max_crashes": -1}])
def test_a_workflow_needs_room_for_one_crash(options: Any) -> None:
    """API section 3: max_crashes is at least 1."""
    with pytest.raises(ValueError, match="max_crashes"):
        workflow(**options)


def test_decoration_keeps_name_and_docstring() -> None:
    """API section 2: both decorators, both colours."""

    @workflow
    async def flow() -> None:
        """What it does."""

    assert (flow.__name__, flow.__doc__, refund.__name__) == ("flow", "What it does.", "refund")
    assert step(refund).__doc__ == refund.__doc__


def test_both_colours_share_one_step_and_one_workflow() -> None:
    """API section 2: flowkit.aio.step and flowkit.step are one object."""
    assert (aio.step, aio.workflow) == (flowkit.step, flowkit.workflow)


def test_a_workflow_cannot_be_made_of_a_step() -> None:
    """API section 3: it is made of a function."""
    with pytest.raises(TypeError):
        workflow(step(refund))


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name not in ("ErrorInfo", "Suspended")])
def test_every_error_is_in_the_tree_and_exported(name: str) -> None:
    """API section 5: FlowkitError is the root; what suspends a pass is no Exception."""
    kind = getattr(errors, name)

    suspends = name in ("Parked", "Evicted", "ScopeClosed")
    assert issubclass(kind, errors.Suspended if suspends else errors.FlowkitError)
    assert issubclass(kind, Exception) != suspends
    assert getattr(flowkit, name) is kind


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        ("DuplicateName", "HistoryDiverged"),
        ("EntryInProgress", "HistoryDiverged"),
        ("PayloadTooLarge", "PayloadError"),
    ],
)
def test_errors_stand_under_the_right_parent(kind: str, parent: str) -> None:
    """API section 5."""
    assert issubclass(getattr(errors, kind), getattr(errors, parent))
    assert not issubclass(errors.RollbackCheckpointError, errors.HistoryDiverged)


def test_an_error_as_data_reads_as_type_and_message() -> None:
    """API section 5: str() of an ErrorInfo."""
    assert str(flowkit.ErrorInfo("builtins.ValueError", "boom")) == "ValueError: boom"


def test_the_defaults_are_exported() -> None:
    """API section 3: and are those of the signature."""
    assert (
        flowkit.DEFAULT_RETRIES,
        flowkit.DEFAULT_BACKOFF,
        flowkit.DEFAULT_BACKOFF_MAX,
        flowkit.DEFAULT_TIMEOUT,
        flowkit.DEFAULT_PRUNE_EVERY,
    ) == (3, 0.1, 30.0, 30.0, 20)


def test_any_keyword_is_the_functions_own() -> None:
    """API section 2: steps and workflows keep the function's signature, a keyword called `self` included."""

    def given(**named: Any) -> dict[str, Any]:
        return named

    assert step(given)(self=1, name="n") == {"self": 1, "name": "n"}
    assert step(given).attempt(self=1).value == {"self": 1}
    assert workflow(given)(self=1) == {"self": 1}
