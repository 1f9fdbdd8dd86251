"""The APP of the tests of the command line; never imported by them, only named."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flowkit import CriticalError, checkpoint, receive, sleep, step, stopping, workflow


@dataclass(frozen=True)
class Order:
    """Something bought."""

    id: int
    cents: int = 100
    at: datetime | None = None


@step
def shout(text: str, times: int) -> str:
    """A step whose result shows in the history."""
    return " ".join([text.upper()] * times)


@workflow(tags=("greeting",))
def greet(name: str, times: int = 1) -> str:
    """Ends at once."""
    print("greeting", name)
    return shout(name, times)


@workflow
async def greet_async(name: str) -> str:
    """The other colour."""
    return await shout.aio(name, 1)


@workflow
def echo(order: Order) -> Order:
    """Gives its typed argument back."""
    return order


@workflow
def kinds(*values: int, **named: timedelta) -> dict[str, Any]:
    """Takes any number of arguments."""
    return {"values": values, "named": {name: length.total_seconds() for name, length in named.items()}}


@workflow
def anything(value: Any) -> Any:
    """Takes whatever there is."""
    return value


@step(retries=0)
def explode() -> None:
    """A step that fails."""
    raise ValueError("the fuse \x1b[31mwas wet")


@workflow
def fail() -> None:
    """Fails."""
    explode()


def give_back(output: str) -> None:
    """A rollback."""
    print("undone", output)


@step(rollback=give_back)
def take() -> str:
    """A step that can be undone."""
    return "taken"


@workflow
def wait() -> Any:
    """Waits for a message."""
    checkpoint("begin")
    take()
    return receive("go", timeout="3d").data


@workflow
def nap() -> None:
    """Sleeps for long."""
    sleep("2d")


@step(timeout=None)
def patient(log: str) -> str:
    """Says that it has begun, and ends when it is asked to."""
    say(log, "begun")
    return "asked to stop" if stopping(30) else "not asked"


@workflow
def drained(log: str) -> str:
    """Its first step ends when its worker leaves; its second is for the next worker."""
    first = patient(log)
    say(log, "second")
    return first


@step(timeout=None)
def stubborn(log: str) -> None:
    """Never listens."""
    say(log, "begun")
    threading.Event().wait(60)


@workflow
def never(log: str) -> None:
    """Cannot be drained."""
    stubborn(log)


@step
def count(log: str, number: int) -> int:
    """Leaves a line."""
    say(log, f"step {number}")
    return number


@workflow
def counting(log: str, until: int, hold_at: int) -> int:
    """Many steps; before one of them it holds, until somebody removes the file `hold` beside the log."""
    for number in range(until):
        count(log, number)
        if number == hold_at:
            hold(log)
    return until


@step(timeout=None)
def hold(log: str) -> None:
    """Waits as long as the file is there."""
    say(log, "holding")
    while Path(log).with_name("hold").exists() and not stopping(0.01):
        pass


@workflow
def give_up() -> None:
    """A failure that is raised by the workflow itself."""
    raise CriticalError("no more")


@workflow
def leave() -> None:
    """Leaves Python."""
    raise SystemExit(3)


def say(log: str, line: str) -> None:
    """Append to the log, and tell whoever reads our output."""
    with Path(log).open("a") as file:
        file.write(f"{line}\n")
    print(line, flush=True)
