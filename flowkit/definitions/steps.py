"""`@step`: what a decorated function becomes.

It decorates plain and async functions and keeps their signatures for type checkers. Outside a run it is an ordinary call.
Everything that can be wrong with an option is said at decoration.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from flowkit.codec import Coder, signature_coders
from flowkit.core.location import check_name
from flowkit.core.outcome import Done, Failed, unwrap
from flowkit.core.retry import RetryPolicy
from flowkit.definitions.options import Duration, count, function_name, is_async
from flowkit.durations import seconds
from flowkit.engine.arguments import ArgumentBinder, rollback_names
from flowkit.engine.replay import call, promise
from flowkit.engine.scope import in_run
from flowkit.engine.source import caller
from flowkit.errors import WrongColour
from flowkit.primitives.block import Attempt, attempt_of
from flowkit.primitives.step import StepCall, StepPlan

__all__ = ["DEFAULT_BACKOFF", "DEFAULT_BACKOFF_MAX", "DEFAULT_RETRIES", "DEFAULT_TIMEOUT", "Step", "step"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)
T = TypeVar("T")
S = TypeVar("S")

RetryOn = type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]

DEFAULT_RETRIES = 3
DEFAULT_BACKOFF = 0.1
DEFAULT_BACKOFF_MAX = 30.0
DEFAULT_TIMEOUT = 30.0


class Step(Generic[P, R]):
    """A function whose result is recorded. Made by `step`; R is what the call returns."""

    def __init__(self, plan: StepPlan, options: Mapping[str, Any], *, awaited: bool = False) -> None:
        self._plan = plan
        self._options = dict(options)
        self._awaited = awaited
        functools.update_wrapper(self, plan.function)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        plan = self._plan
        scope = in_run()
        if scope is None:
            return self._outside(*args, **kwargs)
        if plan.awaits or self._awaited:
            if scope.strand.awaits:
                return promise(StepCall(plan, args, kwargs), scope)  # type: ignore[return-value]  # R is a coroutine here
            if self._awaited:
                raise WrongColour(
                    f"{plan.name}.aio was called in a plain workflow, {caller()}. Call the step itself: {plan.name}(…)."
                )
        elif scope.strand.awaits:
            raise WrongColour(
                f"step {plan.name!r} is plain and was called in an async workflow, {caller()}. "
                f"Write `await {plan.name}.aio(…)`: its body then runs in a thread."
            )
        value: R = call(StepCall(plan, args, kwargs), scope)
        return value

    @overload
    def __get__(self, instance: None, owner: type) -> Step[P, R]: ...
    @overload
    def __get__(self, instance: Step[..., Any], owner: type) -> Step[P, R]: ...  # type checkers bind what `aio` gives, too
    @overload
    def __get__(self: Step[Concatenate[S, Q], T], instance: S, owner: type) -> Step[Q, T]: ...
    def __get__(self, instance: Any, owner: type) -> Any:
        """Bind as a function does; `self` is passed to the body and not recorded."""
        binds = getattr(self._plan.function, "__get__", None)
        if instance is None or binds is None:
            return self
        bound = binds(instance, owner)
        binder = ArgumentBinder(bound)
        if self._plan.rollback is not None and self._plan.rollback_names:  # only here is it known that one of them was `self`
            rollback_names(self._plan.rollback, binder)
        plan = replace(self._plan, function=bound, bind=binder)
        return Step(plan, self._options, awaited=self._awaited)

    @overload
    def attempt(  # type: ignore[overload-overlap]  # a coroutine is an R too: the first that fits is meant
        self: Step[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, Attempt[T]]: ...
    @overload
    def attempt(self, /, *args: P.args, **kwargs: P.kwargs) -> Attempt[R]: ...
    def attempt(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the step; an `Attempt` that holds its value or its terminal failure. A `RollbackError` is raised all the same."""
        name = self._plan.name
        scope = in_run()
        if (scope is not None and scope.strand.awaits) or (scope is None and (self._awaited or self._plan.awaits)):
            return _attempted(self(*args, **kwargs), name)  # type: ignore[arg-type]  # a coroutine in this colour
        try:
            outcome: Done[Any] | Failed = Done(self(*args, **kwargs))
        except Exception as error:  # the step's: which of them are caught is decided in one place
            outcome = Failed(error)
        return unwrap(attempt_of(outcome, ("step",), name))

    @property
    def aio(self) -> Step[P, Coroutine[Any, Any, R]]:
        """The step as async workflows call it. The body of a plain step runs in a thread."""
        return Step(self._plan, self._options, awaited=True)

    @property
    def at_most_once(self) -> bool:
        """Whether its body never starts twice, as was asked where it was made."""
        return self._plan.at_most_once

    @property
    def plain(self: Step[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
        """An async step as plain workflows call it: blocks until the body, on the engine's loop, has ended."""
        return self._call_plain

    def _call_plain(self, /, *args: Any, **kwargs: Any) -> Any:
        scope = in_run()
        if scope is None:
            made = self._plan.function(*args, **kwargs)
            return asyncio.run(made) if inspect.iscoroutine(made) else made
        if scope.strand.awaits:
            raise WrongColour(f"{self._plan.name}.plain was called in an async workflow, {caller()}. Await the step itself.")
        return call(StepCall(self._plan, args, kwargs), scope)

    @property
    def returns(self) -> Coder:
        """The coder of what it returns, by its annotation."""
        return self._plan.returns

    @property
    def parameters(self) -> tuple[str, ...]:
        """Its parameters by name, variadic ones left out."""
        return self._plan.bind.names

    @property
    def has_rollback(self) -> bool:
        """Whether something undoes it."""
        return self._plan.rollback is not None

    @property
    def rollback(self) -> Callable[..., Any] | None:
        """What undoes it."""
        return self._plan.rollback

    def options(self, **overrides: Any) -> Step[P, R]:
        """The same step with other options, or another `name`. Takes what `step` takes."""
        merged = {**self._options, **overrides}
        return Step(_plan(self._plan.function, **merged), merged, awaited=self._awaited)

    @property
    def name(self) -> str:
        """Its name in histories."""
        return self._plan.name

    def __repr__(self) -> str:
        return f"<step {self._plan.name!r}>"

    def _outside(self, /, *args: Any, **kwargs: Any) -> R:
        made: Any = self._plan.function
        if self._awaited and not self._plan.awaits:
            made = functools.partial(asyncio.to_thread, made)
        value: R = made(*args, **kwargs)
        return value


async def _attempted(made: Coroutine[Any, Any, T], name: str) -> Attempt[T]:
    try:
        outcome: Done[T] | Failed = Done(await made)
    except Exception as error:  # the step's: which of them are caught is decided in one place
        outcome = Failed(error)
    return unwrap(attempt_of(outcome, ("step",), name))


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    function: Callable[P, R],
    /,
    *,
    name: str | None = ...,
    retries: int = ...,
    backoff: Duration = ...,
    backoff_max: Duration = ...,
    jitter: float = ...,
    timeout: Duration | None = ...,
    retry_on_timeout: bool = ...,
    retry_on: RetryOn | None = ...,
    rollback: Callable[..., Any] | None = ...,
    rollback_retries: int = ...,
    ephemeral: bool = ...,
    at_most_once: bool = ...,
    record_args: bool = ...,
) -> Step[P, R]: ...
@overload
def step(
    *,
    name: str | None = ...,
    retries: int = ...,
    backoff: Duration = ...,
    backoff_max: Duration = ...,
    jitter: float = ...,
    timeout: Duration | None = ...,
    retry_on_timeout: bool = ...,
    retry_on: RetryOn | None = ...,
    rollback: Callable[..., Any] | None = ...,
    rollback_retries: int = ...,
    ephemeral: bool = ...,
    at_most_once: bool = ...,
    record_args: bool = ...,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function a step: its result is recorded, and a run that resumes gets it from the record.

    `retries` allows one attempt more than itself; after failed attempt k the next is due in ``min(backoff_max, backoff *
    2**k)`` seconds, times ``1 ± jitter``. `timeout` (0 or None: none) ends each attempt. `retry_on` (types or a predicate)
    says which errors are worth another attempt. `rollback` undoes a completed step: it gets the output and, by name, the
    step's arguments. `ephemeral` results are written with the next durable write. `at_most_once` bodies never start twice.

    Raises:
        TypeError, ValueError, InvalidName: an option that cannot be.
    """
    if function is None:
        _plan(
            _probe, **{**options, "name": "probe" if options.get("name") is None else options["name"], "rollback": None}
        )  # bad options fail here
        return lambda real: Step(_plan(real, **options), options)
    return Step(_plan(function, **options), options)


def _probe() -> None:
    return None


def _plan(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    retries: int = DEFAULT_RETRIES,
    backoff: Duration = DEFAULT_BACKOFF,
    backoff_max: Duration = DEFAULT_BACKOFF_MAX,
    jitter: float = 0.0,
    timeout: Duration | None = DEFAULT_TIMEOUT,
    retry_on_timeout: bool = False,
    retry_on: RetryOn | None = None,
    rollback: Callable[..., Any] | None = None,
    rollback_retries: int = 3,
    ephemeral: bool = False,
    at_most_once: bool = False,
    record_args: bool = True,
) -> StepPlan:
    if not callable(function):
        raise TypeError(f"a step is made of a function, not of a {type(function).__name__}")
    if not 0 <= jitter <= 1:
        raise ValueError(f"jitter is a share between 0 and 1, not {jitter!r}")
    function = getattr(function, "__wrapped__", function) if isinstance(function, Step) else function
    binder = ArgumentBinder(function)
    limit = None if timeout is None else seconds(timeout, "timeout")
    return StepPlan(
        function=function,
        name=function_name(function, "step") if name is None else check_name(name, "step name"),
        explicit=name is not None,
        awaits=is_async(function),
        policy=RetryPolicy(count(retries, "retries"), seconds(backoff, "backoff"), seconds(backoff_max, "backoff_max"), jitter),
        timeout=limit or None,
        retry_on_timeout=retry_on_timeout,
        retry_on=_predicate(retry_on),
        rollback=rollback,
        rollback_names=rollback_names(rollback, binder) if rollback is not None else (),
        rollback_retries=count(rollback_retries, "rollback_retries"),
        ephemeral=ephemeral,
        at_most_once=at_most_once,
        record_args=record_args,
        returns=signature_coders(function).returns,
        bind=binder,
    )


def _predicate(retry_on: RetryOn | None) -> Callable[[BaseException], bool] | None:
    if retry_on is None:
        return None
    kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        return lambda error: isinstance(error, kinds)  # type: ignore[arg-type]  # all are exception types
    if isinstance(retry_on, tuple | type) or not callable(retry_on):
        raise TypeError(f"retry_on takes exception types or a predicate, not {retry_on!r}")
    return retry_on
