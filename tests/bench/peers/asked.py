"""Asking a peer for a workload, and a peer's side of the conversation."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from tests.bench.raw import Raw, RawServer
from tests.bench.table import Row

__all__ = ["PEERS", "answer", "peer_rows", "rows_of"]

PEERS = {"dbos": ("A", "B", "C", "D", "F"), "huey": ("B", "C")}
"""Name of the package → the workloads that it has an equivalent of."""

_SECONDS = 600.0


def peer_rows(workload: str, folder: Path) -> Iterator[Row]:
    """What each peer that is installed takes for the workload."""
    for name, workloads in PEERS.items():
        if workload in workloads:
            yield from rows_of(name, workload, folder)


def rows_of(name: str, workload: str, folder: Path, server: str = "") -> Iterator[Row]:
    """What one peer takes for it: over a file, or over the new database that `server` is the URL of."""
    if find_spec(name) is None:
        yield Row(f"{workload} {name}", "not installed: `make bench` installs it")
        return
    command = [sys.executable, "-m", f"tests.bench.peers.{name}_peer", workload, str(folder), server]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.CalledProcessError as error:
        yield Row(f"{workload} {name}", "failed: " + error.stderr.strip().splitlines()[-1][:80])
        return
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            told = json.loads(line)
            yield Row(f"{workload} {told['name']}", told["measured"], ratio=told.get("ratio"))


def answer(workloads: Mapping[str, Callable[[Path, Raw], Iterator[Row]]]) -> None:
    """In the peer's process: measure the workload that was asked for, and print its rows."""
    workload, folder, server = sys.argv[1], Path(sys.argv[2]), "".join(sys.argv[3:])
    raw = RawServer(server) if server else Raw(folder / f"raw-of-{Path(sys.argv[0]).stem}-{workload}.db")
    for row in workloads[workload](folder, raw):
        print(json.dumps({"name": row.name, "measured": row.measured, "ratio": row.ratio}), flush=True)
