"""Crash at every durable write, before it and after it landed, and demand that nothing differs in the end (LB7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from flowkit import Message
from flowkit.testing import Lab, SimulatedCrash, Stuck

__all__ = ["Script", "Seen", "crash_everywhere", "play", "seen"]

Act = Callable[[Lab], object]

_TRIES = 200


@dataclass(frozen=True)
class Script:
    """What is done to a run, in order: starts, sends (give them a `key=`), clock moves, `run_to_end`. Each act is repeated if
    the process dies in it, so it must be safe to repeat, as it is for users.
    """

    run: str
    acts: tuple[Act, ...]


@dataclass(frozen=True)
class Seen:
    """What is compared: how the run ended, and its entries in no order of time."""

    status: str
    output: Any
    error: str
    entries: list[tuple[str, str, str, str]]


def seen(lab: Lab, run: str) -> Seen:
    """What the store holds of the run."""
    handle = lab.get(run)
    error = handle.error()
    entries = sorted((e.location, e.kind, e.status, _told(e.output)) for e in lab.history(run))
    return Seen(handle.status(), handle.output(), str(error), entries)


def _told(output: Any) -> str:
    """A value as text, message ids left out: they are random."""
    if isinstance(output, Message):
        return f"message {output.name} {output.data!r}"
    if isinstance(output, list):
        return ", ".join(map(_told, output))
    return repr(output)


def play(lab: Lab, script: Script) -> None:
    """Do the acts, each until it comes through without a crash. An error of the run itself ends its act."""
    for act in script.acts:
        for _ in range(_TRIES):
            try:
                act(lab)
            except SimulatedCrash:
                continue
            except Stuck:
                raise
            except Exception:  # the run failed: that is told by its status and error
                break
            break


def crash_everywhere(script: Script, make_lab: Callable[[], Lab] = Lab, *, check: Callable[[Lab], None] | None = None) -> Seen:
    """Play `script` once without a crash, then once for each durable write and each side of it; all must come out alike.

    `check` is asked after each play, for instance whether a recorded body ran twice.
    """
    with make_lab() as lab:
        play(lab, script)
        expected, commits = seen(lab, script.run), lab.commits
        if check is not None:
            check(lab)
    for k in range(1, commits + 1):
        for when in ("before", "after"):
            _play_with_crash(script, make_lab, k, when, expected, check)
    return expected


def _play_with_crash(
    script: Script,
    make_lab: Callable[[], Lab],
    k: int,
    when: Literal["before", "after"],
    expected: Seen,
    check: Callable[[Lab], None] | None,
) -> None:
    with make_lab() as lab:
        lab.crash_at(k, when)
        play(lab, script)
        assert seen(lab, script.run) == expected, f"a crash {when} write {k} made a difference"
        if check is not None:
            check(lab)
