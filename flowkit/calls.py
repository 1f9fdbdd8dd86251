"""From the arguments of a public call to the primitive that stands for it: checked once, for both colours."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from flowkit.codec import Coder, coder, signature_coders
from flowkit.core.entry import KINDS
from flowkit.core.location import check_key, check_name, check_run_id
from flowkit.durations import epoch, seconds
from flowkit.primitives.block import CATCHABLE, Block
from flowkit.primitives.branches import Join, Race
from flowkit.primitives.checkpoint import Checkpoint
from flowkit.primitives.loop import Loop
from flowkit.primitives.messages import Receive
from flowkit.primitives.migrate import Removed, Version
from flowkit.primitives.send import SendMessage
from flowkit.primitives.sleep import Sleep

__all__ = [
    "DEFAULT_CATCH",
    "DEFAULT_PRUNE_EVERY",
    "UNSET",
    "build_block",
    "build_checkpoint",
    "build_join",
    "build_loop",
    "build_race",
    "build_receive",
    "build_removed",
    "build_send",
    "build_sleep",
    "build_sleep_until",
    "build_version",
]

DEFAULT_PRUNE_EVERY = 20
DEFAULT_CATCH = ("step", "join", "race")
UNSET: Any = type("Unset", (), {"__repr__": lambda self: "…"})()
"""Tells "not given" from a given None."""

Duration = float | timedelta | str
Functions = Mapping[str, Callable[[], Any]]


def build_sleep(duration: Duration, name: str | None) -> Sleep:
    """`sleep`."""
    return Sleep(*_named(name, "sleep"), seconds=seconds(duration))


def build_sleep_until(instant: datetime | float, name: str | None) -> Sleep:
    """`sleep_until`."""
    return Sleep(*_named(name, "sleep"), until=epoch(instant))


def build_receive(
    names: tuple[str, ...],
    timeout: Duration | None,
    completable: bool,
    as_name: str | None,
    front: Any,
    count: int | None = None,
) -> Receive:
    """`receive`, and with a `count` `receive_batch`; `front` runs a completion in the caller's colour."""
    if count is not None and (isinstance(count, bool) or not isinstance(count, int)):
        raise TypeError(f"count is a whole number, not {count!r}")
    if count is not None and count < 1:
        raise ValueError(f"count is the largest number of messages to take, at least 1, not {count}")
    wanted = tuple(dict.fromkeys(check_name(name, "message name") for name in names))
    default = wanted[0] if len(wanted) == 1 else "receive"
    limit = None if timeout is None else seconds(timeout, "timeout")
    return Receive(*_named(as_name, default), wanted, limit, completable, front, count or 0)


def build_send(run_id: str, name: str, data: Any, key: str | None) -> SendMessage:
    """`send`."""
    return SendMessage(check_run_id(run_id), check_name(name, "message name"), data, check_key(key))


def build_loop(body: Callable[..., Any], state: Any, name: str | None, prune_every: int, keep: int | None) -> Loop:
    """`loop`; a `state` that is UNSET makes it stateless."""
    keep = prune_every if keep is None else keep
    for what, turns, least in (("prune_every", prune_every, 1), ("keep", keep, 0)):
        if isinstance(turns, bool) or not isinstance(turns, int):
            raise TypeError(f"{what} is a whole number of turns, not {turns!r}")
        if turns < least:
            raise ValueError(f"{what} is a number of turns, at least {least}, not {turns}")
    stateful = state is not UNSET
    return Loop(
        *_named(name, _body_name(body, "loop")),
        body=body,
        stateful=stateful,
        state=state if stateful else None,
        states=_state_coder(body) if stateful else coder(),
        values=coder(),
        prune_every=prune_every,
        keep=keep,
    )


def build_join(name: Any, mapping: Functions | None, branches: Functions) -> Join:
    """`join`."""
    return Join(*_branched(name, mapping, branches, "join"))


def build_race(name: Any, mapping: Functions | None, branches: Functions) -> Race:
    """`race`."""
    made = Race(*_branched(name, mapping, branches, "race"))
    if not made.branches:
        raise ValueError("a race needs at least one branch")
    return made


def build_block(body: Callable[[], Any], name: str | None, catch: Iterable[str]) -> Block:
    """`attempt`."""
    caught = (catch,) if isinstance(catch, str) else tuple(catch)
    unknown = [each for each in caught if each not in CATCHABLE]
    if unknown:
        raise ValueError(f"catch takes {', '.join(map(repr, CATCHABLE))}, not {', '.join(map(repr, unknown))}")
    return Block(*_named(name, _body_name(body, "attempt")), body, caught)


def build_checkpoint(name: str) -> Checkpoint:
    """`checkpoint`."""
    return Checkpoint(check_name(name, "checkpoint name"))


def build_removed(name: str, kind: str) -> Removed:
    """`name` may be numbered (``charge#2``)."""
    base, hash_sign, number = name.rpartition("#") if isinstance(name, str) else (name, "", "")
    check_name(base if hash_sign and number.isdigit() else name)
    if kind not in KINDS | {"attempt"}:
        raise ValueError(f"kind is one of {', '.join(sorted(KINDS | {'attempt'}))}, not {kind!r}")
    return Removed(name, kind)


def build_version(name: str, latest: int) -> Version:
    """`version`."""
    if isinstance(latest, bool) or not isinstance(latest, int) or latest < 1:
        raise ValueError(f"latest is a whole number, at least 1, not {latest!r}")
    return Version(check_name(name, "version name"), latest)


def _named(name: str | None, default: str) -> tuple[str, bool]:
    return (default, False) if name is None else (check_name(name), True)


def _body_name(body: Callable[..., Any], word: str) -> str:
    if not callable(body):
        raise TypeError(f"the body of a {word} is a function, not {body!r}")
    name = getattr(body, "__name__", "<lambda>")
    return word if name == "<lambda>" else check_name(name)


def _branched(name: Any, mapping: Functions | None, branches: Functions, word: str) -> tuple[str, bool, Functions]:
    if isinstance(name, Mapping):
        if mapping is not None:
            raise TypeError(f"{word}() takes one mapping of branches, not two")
        name, mapping = None, name
    functions = {**(mapping or {}), **branches}
    if mapping is not None and len(functions) != len(mapping) + len(branches):
        raise ValueError(f"a branch of {word}() is given twice: {', '.join(sorted(set(mapping) & set(branches)))}")
    for branch, function in functions.items():
        check_name(branch, "branch name")
        if not callable(function):
            raise TypeError(f"branch {branch!r} of {word}() is a function without arguments, not {function!r}")
    return (*_named(name, word), functions)


def _state_coder(body: Callable[..., Any]) -> Coder:
    """The coder of the body's first parameter.

    Looked up anew for each loop (15 µs): equal code need not mean the same classes, as in the copy of a module, a cell run
    twice or a function made in a function.
    """
    try:
        first = next(iter(inspect.signature(body).parameters), None)
        return signature_coders(body).parameters[first] if first is not None else coder()
    except (TypeError, ValueError):  # a builtin that does not tell its signature
        return coder()
