"""A workflow for rollouts: steps that take a moment and leave a line each, and a name that a test can take out."""

import os
import time
from pathlib import Path

from flowkit import sleep, step, workflow

LOG = Path(os.environ["ROLLOUT_LOG"])
VERSION = os.environ.get("FLOWKIT_VERSION", "0")


@step
def work(number: int) -> int:
    with LOG.open("a") as log:  # one write, far below what an append keeps whole
        log.write(f"{time.time():.3f} {VERSION} {number}\n")
    time.sleep(0.02)
    return number


@step
def gone(number: int) -> int:
    return number


@workflow
def order(number: int) -> int:
    if VERSION != "without":
        gone(number)
    total = 0
    for part in range(4):
        total += work(number * 10 + part)
        sleep(0.05)
    return total


@workflow
def waits(number: int) -> int:
    if VERSION != "without":
        gone(number)
    sleep("1h")
    return work(number)


@step(at_most_once=True)
def once(number: int) -> int:
    with LOG.open("a") as log:
        log.write(f"{time.time():.3f} {VERSION} {number}\n")
    door = LOG.with_name("door")
    while not door.exists():
        time.sleep(0.02)
    return number


@workflow
def pays(number: int) -> int:
    return once(number)
