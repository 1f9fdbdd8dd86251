"""Playing histories: `play(seed)` does one from beginning to end and raises `Violation` with the seed to play it again."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowkit.drivers import open_driver
from flowkit.drivers.base import Driver
from flowkit.testing import MemoryDriver
from tests.torture.simulation.interpret import location_of
from tests.torture.simulation.mirror import TERMINAL, Violation
from tests.torture.simulation.programs import Program, generate
from tests.torture.simulation.turns import Hang
from tests.torture.simulation.world import World, one_thread

__all__ = ["Plan", "plan_of", "play"]

_PASSES = 400


@dataclass(frozen=True)
class Plan:
    """What a seed means."""

    seed: int
    awaits: bool
    sqlite: bool
    steered: bool
    programs: dict[str, Program]


def plan_of(seed: int) -> Plan:
    """What a seed means."""
    rng = random.Random(f"plan {seed}")
    tame = rng.random() < 0.5
    ids = ("r1",) if tame or rng.random() < 0.6 else ("r1", "r2")
    programs = {id: generate(rng, tame=tame, partners=tuple(other for other in (*ids, "gone") if other != id)) for id in ids}
    return Plan(seed, rng.random() < 0.5, rng.random() < 0.02, not tame, programs)


def play(seed: int, *, sqlite: bool | None = None) -> World:
    """One history.

    Raises:
        Violation: a promise was broken; its text says how to play it again.
    """
    plan = plan_of(seed)
    with _store(plan.sqlite if sqlite is None else sqlite) as store:
        world = World(seed, store, awaits=plan.awaits, steered=plan.steered)
        try:
            with one_thread(world):
                _live(world, plan)
                if not plan.steered:
                    _compare_with_undisturbed(world, plan)
        except (Violation, Hang) as error:
            story = "\n  ".join(world.story[-60:])
            raise Violation(f"{error}\nreplay: SEED={seed}\n  {story}") from error
        return world


def _live(world: World, plan: Plan) -> None:
    try:
        for id, program in plan.programs.items():
            world.start(id, program)
        for _ in range(world.rng.choice((3, 5, 8, 12)) if world.faulty else 0):
            _happen(world)
            world.mirror.observe()
        world.calm()
        _settle(world)
        world.mirror.compare()
        for id in world.runs:
            _check_run(world, id)
        for id, message in world.acked:
            world.demand(
                message in world.mirror_of(id).numbers.values(), f"{id}: message {message} was acknowledged and is not there"
            )
    finally:
        world.close()


def _happen(world: World) -> None:
    rng = world.rng
    kind = rng.choice(("pass",) * 10 + ("advance",) * 3 + ("back", "die") + (("send",) * 5 + ("steer",) * 2) * world.steered)
    match kind:
        case "pass":
            world.make_pass(rng.choice(list(world.runs)))
        case "advance":
            world.advance()
        case "back":
            world.jump_back()
        case "die":
            world.die()
        case "send":
            world.send()
        case "steer":
            world.steer()


# --- liveness -------------------------------------------------------------------------------------------------------


def _settle(world: World) -> None:
    """With the faults gone every run ends or waits for a message."""
    for _ in range(_PASSES):
        went_on = [_step(world, id) for id in world.runs]
        if not any(went_on):
            return
    stuck = {id: world.row(id).status for id in world.runs}
    raise Violation(f"after {_PASSES} passes without a fault the runs are {stuck}")


def _step(world: World, id: str) -> bool:
    """Make the run go on by a pass; False if it ended or waits for a message."""
    row = world.row(id)
    if row.status in TERMINAL:
        return False
    if row.status == "blocked":
        error = world.operator.client.get(id).error()
        raise Violation(f"{id} is blocked: {error}")
    if row.status == "paused":
        world.operator.client.get(id).resume()
        return True
    if row.wake_at is None:
        world.demand(row.status == "sleeping", f"{id} is {row.status}, and nothing will ever wake it")
        _check_waits(world, id, row.waiting)
        return False
    if row.wake_at > world.clock.now():
        world.clock.set(row.wake_at)
    return world.make_pass(id)


def _check_waits(world: World, id: str, waiting: Any) -> None:
    world.demand(waiting, f"{id} sleeps, with neither an instant nor a message to wake it")
    held = _held(world, id)
    missed = [n for n, m in world.mirror_of(id).inbox.items() if n not in held and (m[1] in waiting or "*" in waiting)]
    world.demand(not missed or held, f"{id} waits for {waiting}, and messages {missed} are there")


def _held(world: World, id: str) -> set[int]:
    """Messages that were taken as completable and not completed."""
    run = world.mirror_of(id)
    outputs = [e.output for e in run.entries.values() if e.kind == "message" and e.settled and e.output is not None]
    return {number for number in run.inbox if any(f'"number":{number},'.encode() in output for output in outputs)}


# --- what must hold at the end --------------------------------------------------------------------------------------


def _check_run(world: World, id: str) -> None:
    run, row, stage = world.mirror_of(id), world.row(id), world.stages[id]
    tokens = set(stage.tokens)
    handle = world.operator.client.get(id)
    recorded = {}
    for entry in handle.history():
        if entry.kind == "step" and isinstance(entry.output, str):
            recorded[entry.location] = entry.output
            world.demand(entry.output in tokens, f"{id}: {entry.location} recorded {entry.output!r}, which no body returned")
            world.demand(
                location_of(entry.output) == entry.location, f"{id}: {entry.location} has the output of {entry.output!r}"
            )
        if entry.kind == "sleep" and entry.status == "completed":
            early = entry.due_at is not None and entry.settled_at is not None and entry.settled_at < entry.due_at
            world.demand(not early, f"{id}: {entry.location} ended before its deadline")
    for token in _tokens(handle.output()):
        wanted = recorded.get(location_of(token), token)
        world.demand(token == wanted, f"{id}: its output holds {token!r}, recorded is {wanted!r}")
    if row.status == "failed":
        world.demand(not row.owes or row.ending, f"{id}: failed, owes {row.owes} rollbacks, and is not marked unfinished")
    if row.status == "completed":
        open_ = [entry.location for entry in run.entries.values() if not entry.settled and entry.kind != "loop"]
        world.demand(not open_, f"{id}: completed with open entries {open_}")


def _tokens(value: Any) -> Iterator[str]:
    if isinstance(value, str) and "$" in value:
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tokens(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tokens(each)


def _compare_with_undisturbed(world: World, plan: Plan) -> None:
    with _store(False) as store:
        calm = World(plan.seed, store, awaits=plan.awaits, faulty=False)
        with one_thread(calm):
            _live(calm, plan)
            for id in plan.programs:
                expected, found = _ending(calm, id), _ending(world, id)
                differences = [
                    f"{name}: {found[name]}, undisturbed {expected[name]}" for name in found if found[name] != expected[name]
                ]
                world.demand(not differences, f"{id} ended otherwise than undisturbed: " + "; ".join(differences))


def _ending(world: World, id: str) -> dict[str, Any]:
    handle = world.operator.client.get(id)
    entries = sorted(
        (e.location, e.kind, e.status, e.attempts, _plain(e.output), str(e.error) if e.error else "") for e in handle.history()
    )
    state = dict(sorted(handle.state().items()))
    return {
        "status": handle.status(), "output": _plain(handle.output()), "error": str(handle.error()), "entries": entries,
        "state": state,
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """A value with its tokens stripped of what differs from one history to another."""
    if isinstance(value, str):
        return location_of(value) if "$" in value else value
    if isinstance(value, dict):
        return sorted((key, _plain(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "name") and hasattr(value, "value"):
        return [value.name, _plain(value.value)]
    return repr(value)


@contextmanager
def _store(sqlite: bool) -> Iterator[Driver]:
    if not sqlite:
        driver: Driver = MemoryDriver()
        yield driver
        driver.close()
        return
    with tempfile.TemporaryDirectory() as folder:
        driver = open_driver(Path(folder) / "simulated.db", durability="process")
        yield driver
        driver.close()
