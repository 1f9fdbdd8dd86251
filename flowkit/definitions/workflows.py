"""`@workflow`: what a decorated function becomes, and finding the workflows of a module or process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from flowkit import registry
from flowkit.codec import signature_coders
from flowkit.core.location import check_name
from flowkit.definitions.input import InputCodec
from flowkit.definitions.options import Duration, OnError, count, function_name, is_async
from flowkit.definitions.steps import Step
from flowkit.durations import seconds
from flowkit.errors import InvalidName

__all__ = ["LaunchOptions", "Workflow", "known_workflows", "workflow", "workflows_in"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

DEFAULT_MAX_CRASHES = 10
_MAX_TAGS = 100
"""The most that the setting `tags`, which is looked at when a run starts, may allow."""
_MAX_TAG = 100


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """How a run of a workflow begins. `delay` is seconds."""

    tags: tuple[str, ...] = ()
    delay: float = 0.0
    if_exists: Literal["return", "reject"] = "return"


class Workflow(Generic[P, R]):
    """A function that orchestrates steps and whose every run is recorded. Made by `workflow`."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        on_error: OnError | None = None,
        max_crashes: int = DEFAULT_MAX_CRASHES,
        launch: LaunchOptions | None = None,
        deadline: float | None = None,
    ) -> None:
        """`deadline` is seconds; 0 is no end, None is as the setting says."""
        self.function = function
        self.name = function_name(function, "workflow") if name is None else check_name(name, "workflow name")
        self.on_error = on_error
        self.max_crashes = max_crashes
        self.deadline = deadline
        self.launch = launch or LaunchOptions()
        self.awaits = is_async(function)
        self.input = InputCodec(function)
        self.returns = signature_coders(function).returns
        functools.update_wrapper(self, function)

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def options(
        self,
        *,
        tags: Sequence[str] | None = None,
        delay: Duration | None = None,
        if_exists: Literal["return", "reject"] | None = None,
    ) -> Workflow[P, R]:
        """The same workflow, launched otherwise: with these tags, after a delay, or refusing an id that is in use."""
        launch = LaunchOptions(
            tags=self.launch.tags if tags is None else checked_tags(tags),
            delay=self.launch.delay if delay is None else seconds(delay, "delay"),
            if_exists=self.launch.if_exists if if_exists is None else _if_exists(if_exists),
        )
        return Workflow(
            self.function, name=self.name, on_error=self.on_error, max_crashes=self.max_crashes, launch=launch,
            deadline=self.deadline,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<workflow {self.name!r}>"


@overload
def workflow(function: Callable[P, R], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    name: str | None = ...,
    on_error: OnError | None = ...,
    max_crashes: int = ...,
    tags: Sequence[str] = ...,
    deadline: Duration | None = ...,
) -> Callable[[Callable[P, R]], Workflow[P, R]]: ...
def workflow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    on_error: OnError | None = None,
    max_crashes: int = DEFAULT_MAX_CRASHES,
    tags: Sequence[str] = (),
    deadline: Duration | None = None,
) -> Any:
    """Make a function a workflow: its runs are recorded and resume where they stood.

    `on_error` is told of each failure once it is durable. A run whose process died `max_crashes` times in a row without
    progress is quarantined. One that is not over `deadline` after its start fails with `DeadlineExceeded`, be it asleep, and is
    rolled back (default: the setting; 0: no end).

    Raises:
        TypeError, ValueError, InvalidName: an option that cannot be.
    """
    if count(max_crashes, "max_crashes") < 1:
        raise ValueError("max_crashes must be at least 1")
    if on_error is not None and not callable(on_error):
        raise TypeError(f"on_error is a function that takes the event, not {on_error!r}")
    if name is not None:
        check_name(name, "workflow name")
    launch = LaunchOptions(tags=checked_tags(tags))
    length = None if deadline is None else seconds(deadline, "deadline")

    def decorate(real: Callable[..., Any]) -> Workflow[..., Any]:
        if not callable(real) or isinstance(real, Step):
            raise TypeError(f"a workflow is made of a function, not of {real!r}")
        made = Workflow(real, name=name, on_error=on_error, max_crashes=max_crashes, launch=launch, deadline=length)
        registry.remember(made)
        return made

    return decorate if function is None else decorate(function)


def workflows_in(module: ModuleType) -> dict[str, Workflow[..., Any]]:
    """The workflows that a module's attributes hold, by name."""
    return {value.name: value for value in vars(module).values() if isinstance(value, Workflow)}


def known_workflows() -> dict[str, Workflow[..., Any]]:
    """All workflows that this process has decorated, by name."""
    return {name: made for name, made in registry.known().items() if isinstance(made, Workflow)}


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags that a run may have, each once.

    Raises:
        TypeError, ValueError, InvalidName: more than can ever be allowed, or one that cannot be.
    """
    if isinstance(tags, str):
        raise TypeError(f"tags is a sequence of names, not the text {tags!r}: write ({tags!r},)")
    if len(tags) > _MAX_TAGS:
        raise ValueError(f"a run can never have more than {_MAX_TAGS} tags, not {len(tags)}")
    checked = tuple(dict.fromkeys(check_name(tag, "tag") for tag in tags))
    for tag in checked:
        if len(tag) > _MAX_TAG:
            raise InvalidName(f"tag {tag[:40]!r}… has {len(tag)} characters; {_MAX_TAG} are allowed")
    return checked


def _if_exists(choice: str) -> Literal["return", "reject"]:
    if choice == "return":
        return "return"
    if choice == "reject":
        return "reject"
    raise ValueError(f'if_exists is "return" or "reject", not {choice!r}')
