"""F16: generated programs end in the engine as an interpreter of its own says that they must.

The fault asks for goldens recorded from another implementation of this language. None is to be had here, so nothing below
is compared with another engine; what stands in for it is `reference`, whose head says how independent it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flowkit.testing import Lab
from flowkit.testing.lab import Stuck
from tests.torture.reference import Expected, expected, made_program
from tests.torture.simulation import interpret
from tests.torture.simulation import programs as p
from tests.torture.simulation.interpret import STAGES, Place
from tests.torture.trials import Torture

KEY = "reference"


class Stage:
    """Where a program is put on: a body's token is its place and its attempt."""

    def __init__(self, program: p.Program) -> None:
        self.program = program

    def body(self, place: Place, node: p.Step) -> str:
        return f"{place.location}${place.attempt}"

    def undo(self, token: str, mood: str) -> None:
        raise AssertionError("nothing is undone in these programs")

    def saw(self, what: str, value: Any) -> None:
        """Nobody asks."""

    def breathe(self) -> None:
        """Nothing happens beside it."""

    def hops(self) -> int:
        return 0


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_program_ends_as_the_reference_says(torture: Torture) -> None:
    with torture("F16", ci=200, long=20_000, seconds=6) as fault:
        for trial in fault.trials():
            program = made_program(trial.chance)
            wanted = expected(program)
            with played(program, wanted, awaits=trial.chance.random() < 0.5) as lab:
                trial.found(differences(lab, wanted))
            trial.checked += 2 + len(wanted.entries)
            trial.control(wanted.status == "failed", "some programs fail")
            trial.control(wanted.status == "sleeping", "some programs wait for ever")
            trial.control(wanted.status == "completed" and len(wanted.entries) > 8, "some large programs complete")


@contextmanager
def played(program: p.Program, wanted: Expected, *, awaits: bool) -> Iterator[Lab]:
    """A run of the program, at its end."""
    STAGES[KEY] = Stage(program)
    try:
        with Lab() as lab:
            flow: Any = interpret.sim_async if awaits else interpret.sim_plain
            lab.start("r", flow, KEY)
            for name in wanted.messages:
                lab.send("r", name)
            try:
                lab.run_to_end("r")
            except Stuck:
                pass
            except Exception:  # what the program failed with: the run's own record of it is looked at
                pass
            yield lab
    finally:
        del STAGES[KEY]


def differences(lab: Lab, wanted: Expected) -> list[str]:
    """Where the run is not what it must be."""
    run = lab.get("r")
    error = run.error()
    found: list[tuple[str, Any, Any]] = [
        ("status", run.status(), wanted.status),
        ("output", run.output(), wanted.output),
        ("error", "" if error is None else error.type.rpartition(".")[2], wanted.error),
    ]
    entries = {entry.location: (entry.kind, entry.status, attempts(entry)) for entry in lab.history("r")}
    found += [(place, entries.get(place), wanted.entries.get(place)) for place in sorted({*entries, *wanted.entries})]
    return [f"{what} is {got!r}, and must be {must!r}" for what, got, must in found if got != must]


def attempts(entry: Any) -> int:
    """Of a step; other kinds count other things there."""
    return entry.attempts if entry.kind == "step" else 0
