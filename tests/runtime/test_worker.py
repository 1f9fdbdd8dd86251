"""What a worker does by itself: claims, keeps its places, leaves alone what it has no code for, keeps its lease."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import flowkit
from flowkit import HistoryDiverged, Workflow, receive, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers import open_driver
from flowkit.drivers.base import Start, WorkerInfo
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import StoreBusy
from flowkit.runtime.worker import Worker
from flowkit.settings import Settings
from tests.runtime.waiting import until


class Turnstile:
    """Bodies that are inside, and a door that lets them out."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.calls = 0
        self.door = threading.Event()
        self._lock = threading.Lock()

    def pass_through(self) -> None:
        with self._lock:
            self.calls += 1
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.door.wait(8)
        with self._lock:
            self.inside -= 1


@pytest.fixture
def turnstile() -> Turnstile:
    return Turnstile()


def held_in(turnstile: Turnstile) -> Workflow[[], None]:
    @step
    def enter() -> None:
        turnstile.pass_through()

    @workflow(name="passes")
    def passes() -> None:
        enter()

    return passes


def test_no_more_runs_are_under_way_than_there_are_places(path: Path, turnstile: Turnstile) -> None:
    passes = held_in(turnstile)

    with flowkit.open(path, concurrency=3) as fk:
        runs = [fk.start(f"r-{number}", passes) for number in range(8)]
        until(lambda: turnstile.inside == 3)
        assert fk.worker.held() == 3
        turnstile.door.set()
        for run in runs:
            run.result(timeout=5)

    assert (turnstile.most, turnstile.calls) == (3, 8)


def test_waiting_runs_hold_no_place(path: Path) -> None:
    @workflow
    def waits() -> str:
        return str(receive("go").data)

    with flowkit.open(path, concurrency=1) as fk:
        runs = [fk.start(f"r-{number}", waits) for number in range(5)]
        until(lambda: all(run.status() == "sleeping" for run in runs))

        for run in runs:
            run.send("go", run.id)

        assert [run.result(timeout=5) for run in runs] == [run.id for run in runs]


def test_runs_of_unknown_workflows_are_left_alone(path: Path, turnstile: Turnstile) -> None:
    passes = held_in(turnstile)
    turnstile.door.set()

    @workflow
    def other() -> None:
        return None

    with flowkit.open(path, worker=False) as client, flowkit.open(path, workflows=[other]) as fk:
        strange = client.start("r-1", passes)
        client.start("r-2", other).result(timeout=5)
        assert fk.driver.get("r-1").epoch == 0

        with flowkit.open(path, workflows=[passes]):
            strange.result(timeout=5)


def test_a_worker_does_not_serve_what_its_handle_starts_for_others(path: Path) -> None:
    @workflow
    def other() -> str:
        return "mine"

    @workflow
    def passes() -> str:
        return "not mine"

    with flowkit.open(path, worker=False) as client, flowkit.open(path, workflows=[other]) as fk:
        theirs = fk.start("r-1", passes)
        client.start("r-2", other).result(timeout=5)
        assert fk.driver.get("r-1").epoch == 0

        with flowkit.open(path, workflows=[passes]):
            assert theirs.result(timeout=5) == "not mine"


@pytest.mark.parametrize("gentle", [0.0, 60.0])
def test_a_worker_that_takes_over_takes_runs_up_a_few_at_a_time_the_earliest_first(path: Path, gentle: float) -> None:
    @workflow
    def passes() -> None:
        return None

    with flowkit.open(path, worker=False) as client:
        now = client.house.clock.now()
        starts = [
            Start(id=f"r-{n}", workflow="passes", input=b"{}", input_hash="", start_at=now - n, token=f"t-{n}") for n in range(50)
        ]
        client.driver.write(starts, now)
        worker = Worker(client.house, lambda: {"passes": passes})
        worker.start(gentle=gentle)
        until(lambda: all(client.get(start.id).status() == "completed" for start in starts))
        worker.stop()
        claimed = [client.driver.get(start.id).started_at for start in reversed(starts)]

    at_once = [claimed.count(instant) for instant in dict.fromkeys(claimed)]
    assert claimed == sorted(claimed)
    assert at_once == ([10] * 5 if gentle else [50])


def first_code() -> Workflow[[], str]:
    @step
    def pick() -> str:
        return "picked"

    @workflow(name="ships")
    def ships() -> str:
        return pick() + str(receive("go").data)

    return ships


def other_code() -> Workflow[[], str]:
    @step
    def weigh() -> str:
        return "weighed"

    @workflow(name="ships")
    def ships() -> str:
        return weigh() + str(receive("go").data)

    return ships


def test_a_blocked_run_is_tried_once_with_each_new_code(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWKIT_BEAT", "50ms")
    monkeypatch.setenv("FLOWKIT_REAP", "10ms")
    with flowkit.open(path, workflows=[first_code()]) as fk:
        run = fk.start("r", first_code())
        until(lambda: run.status() == "sleeping")
    with flowkit.open(path, workflows=[other_code()]) as fk:
        fk.get("r").wake()
        with pytest.raises(HistoryDiverged, match="pick"):
            fk.get("r").result(timeout=5)
        epoch = fk.driver.get("r").epoch

    with flowkit.open(path, workflows=[other_code()]) as fk:
        seen = beats(fk)
        until(lambda: beats(fk) > seen + 0.2)
        assert (fk.get("r").status(), fk.driver.get("r").epoch) == ("blocked", epoch)

    with flowkit.open(path, workflows=[first_code()]) as fk:
        until(lambda: fk.get("r").status() == "sleeping")
        fk.send("r", "go", "!")
        assert fk.get("r").result(timeout=5) == "picked!"


def blocked_by_other_code(path: Path) -> None:
    """A run ``r`` of `first_code` that `other_code` has blocked."""
    with flowkit.open(path, workflows=[first_code()]) as fk:
        run = fk.start("r", first_code())
        until(lambda: run.status() == "sleeping")
    with flowkit.open(path, workflows=[other_code()]) as fk:
        fk.get("r").wake()
        until(lambda: fk.get("r").status() == "blocked")


def test_a_result_waits_for_the_own_worker_to_try_what_other_code_blocked(path: Path) -> None:
    blocked_by_other_code(path)
    turnstile = Turnstile()

    @workflow(name="busy")
    def busy() -> None:
        step(turnstile.pass_through, name="pass")()

    with flowkit.open(path, concurrency=1) as fk:
        fk.start("busy", busy)
        until(lambda: turnstile.inside == 1)
        fk.desk.meet(first_code())  # the worker serves it from here on, and has no room for the run yet
        run = fk.get("r")
        with pytest.raises(TimeoutError, match="it is blocked"):
            run.result(timeout=0.1)

        run.send("go", "!")
        turnstile.door.set()

        assert run.result(timeout=20) == "picked!"


def test_a_result_is_told_at_once_why_a_run_is_blocked_that_the_own_worker_has_tried(path: Path) -> None:
    blocked_by_other_code(path)

    with flowkit.open(path, workflows=[other_code()]) as fk, pytest.raises(HistoryDiverged, match="pick"):
        fk.get("r").result(timeout=0)


def test_a_result_asked_of_a_client_is_told_at_once_why_a_run_is_blocked(path: Path) -> None:
    blocked_by_other_code(path)

    with flowkit.open(path, workflows=[first_code()], worker=False) as fk, pytest.raises(HistoryDiverged, match="pick"):
        fk.get("r").result(timeout=0)


def beats(fk: Flowkit) -> float:
    """The instant of the newest heartbeat."""
    return max(row.seen_at for row in fk.driver.workers())


def test_async_code_that_blocks_the_loop_does_not_lose_the_lease(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWKIT_BEAT", "50ms")
    monkeypatch.setenv("FLOWKIT_REAP", "10ms")
    blocked, door = threading.Event(), threading.Event()

    @workflow
    async def blocks_the_loop() -> str:
        blocked.set()
        door.wait(5)
        return "done"

    with flowkit.open(path) as fk, flowkit.open(path, worker=False) as other:
        run = fk.start("r", blocks_the_loop)
        blocked.wait(5)
        seen = beats(fk)
        until(lambda: beats(fk) > seen + 0.2)
        assert other.driver.reap(fk.house.clock.now() + 1_000) == 0
        door.set()
        assert run.result(timeout=5) == "done"
        assert fk.driver.get("r").epoch == 1


def test_a_worker_declared_dead_joins_anew_and_its_runs_go_on(path: Path) -> None:
    entered, door = threading.Event(), threading.Event()
    calls: list[int] = []

    @step
    def slow() -> int:
        calls.append(len(calls))
        entered.set()
        door.wait(5)
        return calls[-1]

    @workflow
    def runs_twice() -> int:
        return slow()

    with flowkit.open(path) as fk:
        before = fk.worker.id
        run = fk.start("r", runs_twice)
        entered.wait(5)
        open_driver(path).reap(fk.house.clock.now(), dead=[before])
        until(lambda: len(calls) == 2)
        door.set()

        assert run.result(timeout=5) == 1
        assert fk.worker.id > before
        assert [entry.output for entry in run.history()] == [1]


@workflow(name="at_once")
def at_once() -> str:
    return "done"


class Shaky(SQLiteDriver):
    """Refuses to let a worker join `refusals` times."""

    refusals = 0

    def join(self, worker: WorkerInfo, now: float) -> int:
        if self.refusals:
            self.refusals -= 1
            raise StoreBusy("the lock was not free")
        return super().join(worker, now)


def test_a_worker_that_cannot_join_anew_at_once_tries_again(path: Path) -> None:
    store = Shaky(path)
    with Flowkit(store, workflows=[at_once], settings=Settings(poll=0.05)) as fk:
        before = fk.worker.id
        store.refusals = 2
        open_driver(path).reap(fk.house.clock.now(), dead=[before])
        until(lambda: fk.worker.id > before)
        with flowkit.open(path, worker=False) as client:
            run = client.start("r", at_once)

            assert run.result(timeout=5) == "done"


def test_an_interrupt_from_the_keyboard_in_a_body_stops_the_worker(path: Path) -> None:
    interrupt = True

    @step
    def interrupted() -> str:
        if interrupt:
            raise KeyboardInterrupt
        return "done"

    @workflow
    def works() -> str:
        return interrupted()

    with flowkit.open(path) as fk:
        run = fk.start("r", works)
        until(lambda: fk.worker.fatal is not None)
        until(lambda: fk.driver.get("r").owner is None)
        assert (run.status(), run.history()) == ("pending", [])

    interrupt = False
    with flowkit.open(path) as fk:
        assert fk.get("r").result(timeout=5) == "done"


def test_a_closed_worker_leaves_no_row_behind(path: Path) -> None:
    with flowkit.open(path) as fk:
        assert [row.alive for row in fk.driver.workers()] == [True]

    with flowkit.open(path, worker=False) as fk:
        assert fk.driver.workers() == []


@pytest.mark.parametrize("concurrency", [0, -1, True, "many"])
def test_a_number_of_places_that_cannot_be_is_refused(path: Path, concurrency: object) -> None:
    opening: Callable[[], Flowkit] = lambda: flowkit.open(path, concurrency=concurrency)  # noqa: E731

    with pytest.raises(ValueError, match="concurrency"):
        opening()
