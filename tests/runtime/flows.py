"""Workflows that the tests of several processes run: every process imports them from here.

Bodies report to a file named by FLOWKIT_TEST_LOG, one line each, and may be told what to do by FLOWKIT_TEST_DO.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

from flowkit import join, receive, step, stopping, workflow

__all__ = ["answers", "dies", "joins", "joins_async", "lingers", "shares", "stands_by"]


def say(line: str) -> None:
    """Append a line to the log."""
    fd = os.open(os.environ["FLOWKIT_TEST_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


@step
def who() -> int:
    """This process."""
    time.sleep(0.005)
    return os.getpid()


@workflow
def shares() -> list[int]:
    """Ten steps that tell where they ran."""
    return [who() for _ in range(10)]


@step
def stand() -> int:
    say(f"body {os.getpid()}")
    if os.environ.get("FLOWKIT_TEST_DO") == "hang":
        time.sleep(60)
    return os.getpid()


@workflow
def stands_by() -> int:
    """Hangs where it is told to."""
    return stand()


@step
def die() -> str:
    say(f"body {os.getpid()}")
    if os.environ.get("FLOWKIT_TEST_DO") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


@workflow(max_crashes=2)
def dies() -> str:
    """Kills its process where it is told to."""
    return die()


@step
def linger() -> str:
    say(f"body {os.getpid()}")
    return "told" if stopping(wait=8) else "not told"


@workflow
def lingers() -> str:
    """A body that ends when it is asked to."""
    return linger()


@workflow
def answers() -> None:
    """Answers one question."""
    question = receive("question", completable=True)
    question.complete(question.data + 1)


@step
async def who_async() -> int:
    """This process, found out on the loop."""
    await asyncio.sleep(0)
    return os.getpid()


@workflow
def joins() -> dict[str, int]:
    """Two plain branches."""
    return join(a=who, b=who)


@workflow
async def joins_async() -> int:
    """An async body, and a plain one in a thread."""
    return await who_async() + await who.aio()
