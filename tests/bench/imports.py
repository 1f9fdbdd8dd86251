"""G: what importing costs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.raw import Raw
from tests.bench.table import Row, Spread

__all__ = ["measure_import"]

WEB = ("starlette", "uvicorn", "jinja2", "httpx", "watchfiles", "anyio", "h11", "rich", "click", "sqlite_utils")


def measure_import(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")  # as installed: compiled once, before it is measured

    def took(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        return time.perf_counter() - began

    floor = "import asyncio, sqlite3, msgspec"
    took("import flowkit")
    took(floor)
    net = Spread([(took("import flowkit") - took("pass")) * 1e3 for _ in range(7 * rounds)])
    below = Spread([(took(floor) - took("pass")) * 1e3 for _ in range(7 * rounds)])
    listed = subprocess.run(
        [sys.executable, "-c", "import flowkit, sys; print(*sys.modules)"], check=True, capture_output=True, text=True
    ).stdout.split()
    web = sorted({name.partition(".")[0] for name in listed} & set(WEB))
    yield Row(
        "G import flowkit",
        f"{net.median:.0f} ms net  {len(listed)} modules",
        f"{net.at(0.1):.0f}–{net.at(0.9):.0f} ms; asyncio, sqlite3 and msgspec alone {below.median:.0f} ms; "
        f"web: {', '.join(web) or 'none'}",
        "≤ 60 ms, no web package",
        net.median <= 60 and not web,
    )
