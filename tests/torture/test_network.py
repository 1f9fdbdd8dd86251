"""F12: a network that cuts, delays and swallows what goes over it loses no write and makes none twice.

Operations are written through a proxy. After each fault they are asked for again: whatever became of the first try, the store
holds each exactly once, and the writer's answer was true.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from flowkit.clock import SystemClock
from flowkit.drivers.base import Done, Driver, Op, Result, Sent, Started, Steered, WorkerInfo
from flowkit.drivers.postgres import PostgresDriver
from flowkit.drivers.writer import Writer
from flowkit.errors import StoreError
from flowkit.settings import Settings
from tests.house.source import ROOT
from tests.postgres.server import emptied_database
from tests.torture.doubtful import KINDS, is_there, operation, same_again
from tests.torture.proxy import Proxy, Way
from tests.torture.stores import ask
from tests.torture.trials import LONG, Torture, Trial

WAYS: tuple[Way, Way] = ("up", "down")
SILENCE_SECONDS = 2.0
IMPATIENT_SECONDS = 0.3
AT_ONCE = Settings(write_retry=0.01)
FIRST = {"start": Started, "change": Done, "send": Sent, "steer": Steered}
"""The answer to the first of its kind; a repetition that finds it done must be told the same."""


@dataclass
class Far:
    """A store behind a proxy, and the same store reached directly."""

    url: str
    proxy: Proxy
    driver: Driver
    writer: Writer
    near: Driver

    def write(self, number: int) -> Result:
        """The operation of this number, until it is acknowledged."""
        return self.writer.write(operation(number, self.near)[1])

    def bytes_of(self, number: int) -> dict[str, int]:
        """Write it undisturbed: how much went either way."""
        before = dict(self.proxy.passed)
        self.write(number)
        return {way: self.proxy.passed[way] - before[way] for way in WAYS}


@contextmanager
def far(silence_seconds: float = IMPATIENT_SECONDS) -> Iterator[Far]:
    """An empty database behind a proxy."""
    url = emptied_database()
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    with closing(PostgresDriver(url)) as near, Proxy(address.hostname, address.port) as proxy:
        through = url.replace(f":{address.port}/", f":{proxy.port}/")
        with closing(PostgresDriver(through, silence_seconds=silence_seconds)) as driver:
            driver.join(WorkerInfo(name="far", host="here", pid=os.getpid()), 0.0)
            writer = Writer(driver, SystemClock(), settings=AT_ONCE)
            with closing(writer):
                yield Far(url, proxy, driver, writer, near)


def judge(trial: Trial, store: Far, number: int, told: Result) -> None:
    """The operation is there once, whoever wrote it got a true answer, and asking again changes nothing."""
    kind, op = operation(number, store.near)
    run = f"run-{number // len(KINDS)}"
    trial.acked += 1
    trial.checked += 1
    trial.found([] if isinstance(told, FIRST[kind]) else [f"C1: {kind} of {run} was answered with {told}"])
    trial.found([] if is_there(store.near, number) else [f"C1: {kind} of {run} was acknowledged and is not there"])
    before = store.near.get(run)
    (again,) = store.near.write([op], SystemClock().now())
    trial.found([] if same_again(op, again, landed=True) else [f"C2: {kind} of {run}, once more, was answered with {again}"])
    after = store.near.get(run)
    trial.found([] if before == after else [f"C4: {kind} of {run} was made twice: {before} became {after}"])
    trial.found([] if is_there(store.near, number) else [f"C2: {kind} of {run} is there more than once"])


@pytest.mark.torture
@pytest.mark.timeout(7200 if LONG else 200)
def test_a_connection_that_is_cut_anywhere_in_a_commit_loses_nothing_and_repeats_nothing(torture: Torture) -> None:
    with torture("F12", ci=200, long=5_000, seconds=12.0) as fault:
        for trial in fault.trials():
            with far() as store:
                usual = [store.bytes_of(number) for number in range(len(KINDS))]
                way, kind = trial.chance.choice(WAYS), trial.chance.randrange(len(KINDS))
                for number in range(len(KINDS), len(KINDS) + kind):
                    store.write(number)

                store.proxy.cut_after(trial.chance.randrange(usual[kind][way] + 1), way)
                told = store.write(len(KINDS) + kind)

                trial.injected += store.proxy.cuts
                store.proxy.behave()
                judge(trial, store, len(KINDS) + kind, told)


@pytest.mark.torture
@pytest.mark.timeout(7200 if LONG else 200)
def test_a_write_that_arrives_after_it_was_given_up_and_repeated_does_nothing(torture: Torture) -> None:
    with torture("F12", ci=8, long=500, seconds=5.0) as fault:
        for trial in fault.trials():
            with far() as store:
                kind = trial.chance.randrange(len(KINDS))
                for number in range(len(KINDS) + kind):
                    store.write(number)
                passed = store.proxy.passed["up"]

                store.proxy.hold()
                told = store.write(len(KINDS) + kind)
                given_up, connections = store.proxy.passed["up"], backends(store)
                store.proxy.behave()

                trial.injected += 1
                trial.found([] if landed(store, given_up, connections) else ["the ghost never came, so this proves nothing"])
                trial.found([] if passed < given_up else ["the write was not repeated on another connection"])
                judge(trial, store, len(KINDS) + kind, told)


def backends(store: Far) -> int:
    """How many connections the server has."""
    return int(ask(store.url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")[0][0])


def landed(store: Far, passed: int, connections: int) -> bool:
    """Whether the bytes that were held have gone up, and the server has done what they say and closed their connection."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if store.proxy.passed["up"] > passed and backends(store) < connections:
            return True
        time.sleep(0.005)
    return False


@pytest.mark.torture
@pytest.mark.timeout(7200 if LONG else 200)
def test_answers_that_take_long_are_waited_for(torture: Torture) -> None:
    with torture("F12", ci=3, long=50, seconds=5.0) as fault:
        for trial in fault.trials():
            with far(silence_seconds=SILENCE_SECONDS) as store:
                store.proxy.delay(trial.chance.uniform(0.01, 0.1))

                for number in range(len(KINDS)):
                    judge(trial, store, number, store.write(number))

                trial.injected += len(KINDS)
                trial.found([] if store.writer.healthy else ["a slow answer was taken for none"])


@pytest.mark.torture
@pytest.mark.timeout(7200 if LONG else 200)
def test_a_silence_ends_at_the_limit_and_what_was_written_in_it_is_there_once(torture: Torture) -> None:
    with torture("F12", ci=2, long=500, seconds=9.0) as fault:
        for trial in fault.trials():
            kind = trial.chance.randrange(len(KINDS))
            with silent() as store:
                for number in range(kind):
                    store.driver.write([operation(number, store.near)[1]], 0.0)

                os.kill(store.pid, signal.SIGSTOP)
                seconds, error = timed(store.driver, operation(kind, store.near)[1])
                os.kill(store.pid, signal.SIGCONT)

                trial.injected += 1
                trial.checked += 1
                trial.found(wrong_end(seconds, error))
                if error is not None and error.outcome == "no":
                    trial.found(["C1: a write was said not to be there, and is"] if comes(store.near, kind) else [])
                answer = repeated(store.driver, operation(kind, store.near)[1])
                trial.found([] if is_there(store.near, kind) else [f"C2: not there once after the silence, said {answer}"])
                again = repeated(store.driver, operation(kind, store.near)[1])
                right = same_again(operation(kind, store.near)[1], again, landed=True)
                trial.found([] if right else [f"C2: asked once more, the store said {again}"])


@dataclass
class Silent:
    """A store behind a proxy in a process of its own, and the same store reached directly."""

    pid: int
    driver: Driver
    near: Driver


@contextmanager
def silent() -> Iterator[Silent]:
    """An empty database."""
    url = emptied_database()
    address = urlsplit(url)
    command = [sys.executable, "-m", "tests.torture.proxy", str(address.hostname), str(address.port)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    through = url.replace(f":{address.port}/", f":{int(process.stdout.readline())}/")
    try:
        opened = closing(PostgresDriver(through, silence_seconds=SILENCE_SECONDS))
        with closing(PostgresDriver(url)) as near, opened as driver:
            driver.join(WorkerInfo(name="silent", host="here", pid=os.getpid()), 0.0)
            yield Silent(process.pid, driver, near)
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.communicate()


def timed(driver: Driver, op: Op) -> tuple[float, StoreError | None]:
    """How long the write takes to fail, and how."""
    began = time.monotonic()
    try:
        driver.write([op], 0.0)
    except StoreError as error:
        return time.monotonic() - began, error
    return time.monotonic() - began, None


def comes(near: Driver, number: int) -> bool:
    """Whether the operation is there before long."""
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        if is_there(near, number):
            return True
        time.sleep(0.02)
    return False


def wrong_end(seconds: float, error: StoreError | None) -> Iterator[str]:
    """What is wrong with how a write ended that nobody answered."""
    if error is None:
        yield "a write was acknowledged over a network that was silent"
    if not SILENCE_SECONDS * 0.9 < seconds < SILENCE_SECONDS * 2 + 1:
        yield f"a silence was ended after {seconds:.1f} s, and the limit is {SILENCE_SECONDS:g} s"


def repeated(driver: Driver, op: Op) -> Result:
    """The answer, once the store gives one."""
    end = time.monotonic() + 20
    while True:
        try:
            return driver.write([op], 0.0)[0]
        except StoreError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
