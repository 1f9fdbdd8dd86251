"""What it is like to work with flowkit: a shop with runs in every kind of trouble, the inspector, and a file to mend.

    make demo        (or: python examples/demo_dev.py [FOLDER] [--port N] [--seconds N])

It copies `examples/shop.py` into a folder, makes some runs there with a database beside them, and becomes
`flowkit dev shop.py`. Ctrl-C ends it. The folder is a temporary one unless it is named; in a folder that holds a shop
already, the runs and your changes stay as they are.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import flowkit

SHOP = Path(__file__).with_name("shop.py")
APP, DATABASE = "shop.py", "shop.db"
MISTAKE, MENDED = "order.voucher.cent\n", "order.voucher.cents\n"
PATIENCE_SECONDS = 30.0

# The shop as it was last week: it had one step more. A run of that time does not fit the file of today.
CHARGE = "    charge(order)\n"
VALIDATE_AND_CHARGE = "    validate(order)\n    charge(order)\n"
WORKFLOW = "@workflow\ndef checkout"
VALIDATE = (
    '@step\ndef validate(order: Order) -> bool:\n    """Whether the order makes sense."""\n    return order.cents > 0\n\n\n'
)

ORDERS = {
    "last-week": {"order-1": {"item": "atlas", "cents": 3900}},
    "today": {
        "order-2": {"item": "bicycle", "cents": 42000},
        "order-3": {"item": "novel", "cents": 1800, "released_in": "2d"},
        "order-4": {"item": "compass", "cents": 2400},
        "order-5": {"item": "trident", "cents": 9900, "city": "Atlantis"},
        "order-6": {"item": "kettle", "cents": 5200, "voucher": {"code": "SPRING", "cents": 1000}},
    },
}
PACKED = {"order-2": 15000, "order-5": 3200, "order-6": 1100}
COMES_TO = {
    "order-1": "sleeping",
    "order-2": "completed",
    "order-3": "sleeping",
    "order-4": "sleeping",
    "order-5": "failed",
    "order-6": "failed",
}


def main() -> int:
    """Make the shop, unless it is there, and serve it."""
    parser = argparse.ArgumentParser(description="A shop in trouble under flowkit dev.")
    parser.add_argument("folder", nargs="?", type=Path, help="where to work; without it, a temporary folder")
    parser.add_argument("--port", help="only this port for the inspector, 0 for any; without it, 8733 or the next free one")
    parser.add_argument("--seconds", type=float, help="end by itself after so long")
    parser.add_argument("--make", choices=ORDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        return make_runs(options.make)
    folder: Path = options.folder or Path(tempfile.mkdtemp(prefix="flowkit-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    if not Path(APP).exists():
        make_shop()
    explain(Path.cwd() / APP)
    command = [sys.executable, "-m", "flowkit", "dev", APP, "--db", DATABASE]
    return serve([*command, "--port", options.port] if options.port else command, options.seconds)


def make_shop() -> None:
    """Write the shop of last week, then that of today; the runs of each are made by a process that knows only that file."""
    say("Making a small shop and its runs ...")
    today = SHOP.read_text("utf-8")
    last_week = today.replace(CHARGE, VALIDATE_AND_CHARGE).replace(WORKFLOW, VALIDATE + WORKFLOW)
    for name, text in (("last-week", last_week), ("today", today)):
        Path(APP).write_text(text, "utf-8")
        subprocess.run([sys.executable, "-B", Path(__file__).resolve(), "--make", name], check=True, stdout=subprocess.DEVNULL)


def make_runs(name: str) -> int:
    """Start the orders of that time on the `shop.py` of this folder, and work on them until each is where it should be."""
    sys.path.insert(0, os.getcwd())
    shop = importlib.import_module("shop")
    with flowkit.open(DATABASE) as fk:
        for id, order in ORDERS[name].items():
            voucher = shop.Voucher(**order["voucher"]) if "voucher" in order else None
            fk.start(id, shop.checkout, shop.Order(**{**order, "voucher": voucher}))
            if id in PACKED:
                fk.send(id, "packed", {"grams": PACKED[id]})
        end = time.monotonic() + PATIENCE_SECONDS
        while any(fk.get(id).status() != COMES_TO[id] for id in ORDERS[name]):
            if time.monotonic() > end:
                return 1
            time.sleep(0.01)
    return 0


def explain(file: Path) -> None:
    """Say what there is to see, and what to do."""
    lines = file.read_text("utf-8").splitlines(keepends=True)
    line = next((number for number, text in enumerate(lines, 1) if text.endswith(MISTAKE)), None)
    say(f"""
The shop is {file}

  order-1   blocked: begun last week, when checkout had a step more; the inspector shows the line that lets it go on
  order-2   completed
  order-3   sleeping until its release, in two days
  order-4   sleeping until somebody sends it the message "packed", such as {{"grams": 300}}
  order-5   failed and rolled back: no carrier goes to Atlantis, so the money went back
  order-6   failed: its charge is exhausted, because of a mistake in the code""")
    if line is not None:
        say(f"""
Open the address below. Open order-6 under "Needs you" and read why it stopped.
Then mend line {line} of that file: {MISTAKE.strip()} should be {MENDED.strip()}
Save it, see the new code arrive, and press Recover.""")
    say("Ctrl-C ends the demo; the folder stays.\n")


def serve(command: list[str], seconds: float | None) -> int:
    """Become `flowkit dev`; or be its parent, for so many seconds."""
    if seconds is None:
        os.execv(command[0], command)
    child = subprocess.Popen(command)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.terminate()
        return child.wait()
    except KeyboardInterrupt:  # the terminal has told the child, too
        return child.wait()


def say(text: str) -> None:
    """Print, at once: what follows is printed by another program."""
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
