"""One simulated history: a store, a clock, a few processes, and a seed that decides everything that happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flowkit import RunConflict, RunNotFound
from flowkit.drivers.base import Driver, RunRow
from flowkit.engine.scope import in_run
from flowkit.runtime.execution import Execution
from flowkit.testing import FakeClock
from tests.torture.simulation import interpret
from tests.torture.simulation.faults import Died
from tests.torture.simulation.interpret import STAGES, Broken, Place, location_of
from tests.torture.simulation.mirror import TERMINAL, Mirror, RunMirror
from tests.torture.simulation.process import Loop, Process
from tests.torture.simulation.programs import Program, Step
from tests.torture.simulation.turns import Hang, Inline, InlineExecutor, Turns, taking_turns, without_time

__all__ = ["World", "one_thread"]

_HOPS = 30_000


class _Stage:
    """A program as one run of a world performs it."""

    def __init__(self, world: World, program: Program) -> None:
        self.world = world
        self.program = program
        self.tokens: list[str] = []
        self.seen: dict[tuple[int, str], Any] = {}
        self.once: set[tuple[int, str, int, int]] = set()
        self.undone: dict[str, int] = {}
        self.breathe = world.breathe
        self.hops = world.hops
        self.demand = world.demand

    def body(self, place: Place, node: Step) -> str:
        run = self.world.mirror.runs[place.run]
        if self.world.owns(place):
            entry = run.at(place.location)
            self.demand(entry is None or not entry.settled, f"{run.id}: the body of {place.location} ran though it is settled")
        if node.once:
            start = (run.generation(place.epoch), place.location, place.attempt, place.round)
            self.demand(
                start not in self.once, f"{run.id}: {place.location} was to run at most once, and attempt {start} began twice"
            )
            self.once.add(start)
        token = f"{place.location}${len(self.tokens)}"
        self.tokens.append(token)
        self.world.note(f"{run.id} body {token} attempt {place.attempt} epoch {place.epoch}")
        return token

    def undo(self, token: str, mood: str) -> None:
        self.demand(token in self.tokens, f"a handler got {token!r}, which no body returned")
        self.world.note(f"undo {token}")
        self.world.breathe()
        self.undone[token] = number = self.undone.get(token, 0) + 1
        if mood == "stuck" or (mood == "flaky" and number == 1):
            raise Broken(f"undoing {location_of(token)}")

    def saw(self, what: str, value: Any) -> None:
        scope = in_run()
        assert scope is not None
        ledger = scope.running.ledger
        run = self.world.mirror.runs[ledger.run]
        key = (run.generation(ledger.epoch), what)
        before = self.seen.setdefault(key, value)
        self.demand(before == value, f"{run.id}: {what} answered {before!r} and later {value!r}")
        entry = run.at(what) if ledger.epoch == run.epoch else None
        self.demand(entry is None or entry.settled, f"{run.id}: the code saw {value!r} at {what} before it was durable")


class World:
    """`faulty` off gives the history that nothing disturbs, `steered` adds what people do to a run."""

    def __init__(self, seed: int, store: Driver, *, awaits: bool, faulty: bool = True, steered: bool = True) -> None:
        self.rng = random.Random(seed)
        self.awaits = awaits
        self.faulty = faulty
        self.steered = steered and faulty
        self.clock = FakeClock()
        self.store = store
        self.mirror = Mirror(store)
        self.demand = self.mirror.demand
        self.loop = Loop(event_loop())
        self.turns = Turns(self.rng)
        self.guests: Turns | Inline = Inline() if awaits else self.turns
        self.workflow: Any = interpret.sim_async if awaits else interpret.sim_plain
        self.stages: dict[str, _Stage] = {}
        self.runs: dict[str, int] = {}
        self.story: list[str] = []
        self.zombies: list[Process] = []
        self.acked: list[tuple[str, str]] = []
        self.injected = 0
        self._busy = False
        self._armed = False
        self.intrusions = self.rng.choice((0.0, 0.03, 0.1, 0.3)) if faulty else 0.0
        self.process = Process(self, self._plan())
        self.operator = Process(self, {})

    def _plan(self) -> dict[int, str]:
        if not self.faulty:
            return {}
        rng, plan = self.rng, {}
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            plan[rng.randint(1, 8)] = rng.choice(("before", "after", "lost", "applied"))
        self.injected += len(plan)
        return plan

    # --- what the interpreter and the processes ask -----------------------------------------------------------------

    def note(self, line: str) -> None:
        """For the story of a failing history."""
        self.story.append(line)

    def hops(self) -> int:
        """How many turns of the loop something takes."""
        return self.rng.choice((0, 0, 1, 2))

    def owns(self, place: Place) -> bool:
        """Whether the pass that a body belongs to is still the run's."""
        row = self.store.get(place.run)
        return row is not None and row.epoch == place.epoch

    def breathe(self) -> None:
        """Other threads go on, and perhaps something happens."""
        if not self.awaits:
            self.turns.pause()
        if self._armed and not self._busy and not self.process.driver.dead and self.rng.random() < self.intrusions:
            self._busy = True
            try:
                self.rng.choice(self._intruders())()
            finally:
                self._busy = False

    def _intruders(self) -> list[Callable[[], None]]:
        calm = [self.advance, self.jump_back, self.take_over, self.take_over, self.evict_here]
        return calm if not self.steered else [*calm, self.send, self.send, self.steer, self.steer, self.ring]

    # --- runs -------------------------------------------------------------------------------------------------------

    def start(self, id: str, program: Program) -> None:
        """Start a run of a program."""
        key = f"{id}-{len(STAGES)}"
        STAGES[key] = self.stages[id] = _Stage(self, program)
        run = self.operator.client.start(id, self.workflow, key)
        self.runs[id] = run.seq
        self.mirror.runs[run.seq].races = program.has("race")

    def row(self, id: str) -> RunRow:
        """The run's row."""
        row = self.store.get(self.runs[id])
        assert row is not None
        return row

    def make_pass(self, id: str) -> bool:
        """One pass of a run, whatever happens meanwhile; False if it is not to be had."""
        self.note(f"pass of {id}, {self.row(id).status}")
        self._armed = True
        try:
            if self._begin(id) is None:
                return False
            self._wait(lambda: self.process.is_idle)
        finally:
            self._armed = False
        self._after(id)
        return True

    def _begin(self, id: str) -> Execution | None:
        process = self.process
        return process.begin(self.runs[id], self.workflow, self.rng.choice(("old", "new")))

    def _after(self, id: str) -> None:
        if self.mirror.broken is not None:
            raise self.mirror.broken
        if self.process.driver.dead:
            return self.die()
        row = self.row(id)
        self.demand(row.owner is None, f"{id}: its pass is over, and it is left {row.status}, owned by worker {row.owner}")

    def _wait(self, ready: Callable[[], bool]) -> None:
        if not self.awaits:
            self.turns.wait(ready)
            return
        self.loop.loop.run_until_complete(self._hop_until(ready))

    async def _hop_until(self, ready: Callable[[], bool]) -> None:
        for _ in range(_HOPS):
            if ready():
                return
            await asyncio.sleep(0)
        raise Hang("every task of the run waits for another")

    # --- what happens -----------------------------------------------------------------------------------------------

    def die(self) -> None:
        """The process is gone with all its memory, and is taken over."""
        self.note("the process dies")
        old, self.process = self.process, Process(self, self._plan())
        old.driver.dead = True
        old.close()
        self.store.reap(self.clock.now(), dead=[old.worker])

    def take_over(self) -> None:
        """The process is declared dead while it lives on; another takes its run and begins."""
        old = self.process
        ids = [execution.claim.id for execution in old.held]
        self.note(f"takeover of {ids}")
        self.store.reap(self.clock.now(), dead=[old.worker])
        self.zombies.append(old)
        self.process = Process(self, self._plan())
        for id in ids:
            self._begin(id)

    def advance(self) -> None:
        """Time passes."""
        self.note("the clock goes on")
        self.clock.advance(self.rng.choice((0.1, 1, 3, 20, 100)))

    def jump_back(self) -> None:
        """The clock is set back."""
        self.note("the clock is set back")
        self.clock.set(self.clock.now() - self.rng.choice((0.5, 10, 90)))

    def evict_here(self) -> None:
        """The worker wants to leave, and perhaps does not wait for bodies."""
        for execution in list(self.process.held) if self.process.flying == 0 else []:
            self.note(f"evict {execution.claim.id}")
            execution.evict()
            if self.rng.random() < 0.3 and self.process.flying == 0:
                execution.abandon()

    def ring(self) -> None:
        """The owner hears the bell."""
        for execution in list(self.process.held) if self.process.flying == 0 else []:
            execution.ring()

    def send(self) -> None:
        """Somebody sends a message, perhaps with a key, perhaps twice, and every third time waits for an answer."""
        rng = self.rng
        id, name = rng.choice(list(self.runs)), rng.choice(("m", "m", "n"))
        key = rng.choice((None, None, "k1", "k2"))
        for _ in range(rng.choice((1, 1, 2))):
            self.note(f"send {name} to {id}, key {key}")
            reply = len(self.acked) % 3 == 0
            sent = self._by_operator(
                lambda reply=reply: self.operator.client.desk.deliver(id, name, "data", key=key, reply=reply)
            )
            if sent is not None:
                self.acked.append((id, sent))

    def steer(self) -> None:
        """Somebody steers a run."""
        rng = self.rng
        id = rng.choice(list(self.runs))
        verbs = (
            "wake",
            "pause",
            "resume",
            "resume",
            "evict",
            "cancel",
            "cancel_rollback",
            "recover",
            "recover",
            "replay",
            "replay",
        )
        verb = rng.choice(verbs)
        self.note(f"{verb} {id}, {self.row(id).status}")
        if self._by_operator(lambda: self._verb(id, verb)) and verb == "cancel":
            status = self.row(id).status
            self.demand(status in TERMINAL, f"{id}: cancelled, and then {status}")

    def _verb(self, id: str, verb: str) -> bool:
        run = self.operator.client.get(id)
        match verb:
            case "cancel_rollback":
                run.cancel(rollback=True)
            case "replay":
                places = [entry.location for entry in self.mirror.runs[self.runs[id]].entries.values()]
                run.replay(self.rng.choice([None, *places]))
            case _:
                getattr(run, verb)()
        return True

    def _by_operator(self, work: Callable[[], Any]) -> Any:
        if self.faulty and self.rng.random() < 0.2:
            self.operator.driver.plan[self.operator.driver.writes + 1] = self.rng.choice(("before", "after", "lost", "applied"))
        try:
            return work()
        except (RunConflict, RunNotFound):
            return None
        except Died:
            old, self.operator = self.operator, Process(self, {})
            old.close()
            return None

    def calm(self) -> None:
        """No more faults: whoever is left over comes to its end."""
        self.faulty = self.steered = False
        self.intrusions = 0.0
        self.operator.driver.plan.clear()
        self.process.driver.plan.clear()
        for zombie in self.zombies:
            zombie.driver.plan.clear()
        self._wait(lambda: all(zombie.is_idle for zombie in self.zombies))
        if self.awaits:
            self.loop.loop.run_until_complete(_hops(100))
        else:
            self.turns.finish()

    def close(self) -> None:
        """Threads end; tasks are dropped."""
        for process in (self.process, self.operator, *self.zombies):
            process.close()
        for key in [key for key, stage in STAGES.items() if stage in self.stages.values()]:
            del STAGES[key]
        if self.awaits:
            self.loop.loop.run_until_complete(_cancel_all())

    def mirror_of(self, id: str) -> RunMirror:
        """What the run should hold."""
        return self.mirror.runs[self.runs[id]]


async def _hops(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _cancel_all() -> None:
    me = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task is not me:
            task.cancel()
    await asyncio.sleep(0)


_loops: list[asyncio.AbstractEventLoop] = []


def event_loop() -> asyncio.AbstractEventLoop:
    """The one loop of all simulations in this process."""
    if not _loops:
        loop = asyncio.new_event_loop()
        loop.set_default_executor(InlineExecutor(1))
        loop.set_exception_handler(lambda loop, context: None)
        _loops.append(loop)
    return _loops[0]


@contextmanager
def one_thread(world: World) -> Iterator[None]:
    """Nothing in here runs beside anything else."""
    if world.awaits:
        with without_time():
            yield
    else:
        with taking_turns(world.turns):
            yield
