"""Apps as a user might write them, in a broken and a mended form. `charge` breaks them, or the workflow's own code does."""

from __future__ import annotations

PLAIN = """
from dataclasses import dataclass

from flowkit import Break, Continue, checkpoint, join, loop, race, receive, run_state, sleep, step, version, workflow


@dataclass
class Order:
    id: str
    lines: int


calls = []


def put_back(box):
    calls.append(f"put back {box}")


@step(backoff=0)
def look_up(order: Order) -> int:
    calls.append("look_up")
    if len(calls) < 3:
        raise OSError("line busy")
    run_state()["looked"] = order.id
    return order.lines


@step(rollback=put_back)
def pack(line: int) -> str:
    calls.append("pack")
    run_state()["packed"] = line
    return f"box {line}"


@step
def weigh() -> int:
    calls.append("weigh")
    return 7


@step
def label() -> str:
    calls.append("label")
    return "L-1"


@step(retries=1)
def charge(order: Order, amount: int) -> str:
    calls.append("charge")
    BREAKS


@step
def notify(note: str) -> str:
    calls.append("notify")
    return note


@workflow
def checkout(order: Order) -> dict:
    lines = look_up(order)
    checkpoint("packing")

    def turn(line: int):
        if line == lines:
            return Break(line)
        pack(line)
        return Continue(line + 1)

    packed = loop(turn, 0, name="packing-lines")
    sleep("1h", name="cool-off")
    go = receive("go", timeout="2d")
    both = join("both", weight=weigh, name=label)
    first = race("first", quick=label, slow=lambda: sleep("9d"))
    receipt = charge(order, lines)
    told = notify(receipt)
    ENDS
    return {"packed": packed, "go": go.data, "both": both, "first": first.name, "told": told}
"""

AWAITING = (
    PLAIN.replace("from flowkit import", "from flowkit.aio import")
    .replace("run_state()", "run_state()")
    .replace("@step(backoff=0)\ndef", "@step(backoff=0)\nasync def")
    .replace("@step\ndef", "@step\nasync def")
    .replace("@step(retries=1)\ndef", "@step(retries=1)\nasync def")
    .replace("@step(rollback=put_back)\ndef", "@step(rollback=put_back)\nasync def")
    .replace("@workflow\ndef", "@workflow\nasync def")
    .replace("def turn(", "async def turn(")
    .replace("        pack(line)", "        await pack(line)")
    .replace("lines = look_up", "lines = await look_up")
    .replace('    checkpoint("', '    await checkpoint("')
    .replace("= loop(", "= await loop(")
    .replace('    sleep("1h"', '    await sleep("1h"')
    .replace("= receive(", "= await receive(")
    .replace("= join(", "= await join(")
    .replace("= race(", "= await race(")
    .replace("= charge(", "= await charge(")
    .replace("= notify(", "= await notify(")
)

FINE = 'return f"receipt {amount}"'
DECLINED = 'raise ValueError(f"no card for {order.id}")'


def app(source: str, charge: str = FINE, ends: str = "pass") -> str:
    """The module's text."""
    return source.replace("BREAKS", charge).replace("ENDS", ends)
