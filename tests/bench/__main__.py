"""`python -m tests.bench [A B C D E F G H I P]`: measure, and compare with the aims and with peers as shares of R in one run.

`growth` instead of letters measures how costs grow, and draws it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from tests.bench.chain import measure_chain
from tests.bench.growth import draw, grow
from tests.bench.imports import measure_import
from tests.bench.inspected import measure_inspected
from tests.bench.latency import measure_latency
from tests.bench.messages import measure_messages
from tests.bench.observed import MOST_LOST, measure_observed
from tests.bench.peers.asked import peer_rows
from tests.bench.raw import Raw
from tests.bench.resume import measure_resume
from tests.bench.served import measure_served
from tests.bench.sleepers import measure_sleepers
from tests.bench.slow_disk import measure_slow_disk
from tests.bench.table import Row, Spread
from tests.bench.throughput import measure_throughput

__all__ = ["WORKLOADS", "main"]

WORKLOADS: dict[str, Callable[[Path, Raw, int], Iterator[Row]]] = {
    "A": measure_chain,
    "B": measure_throughput,
    "C": measure_latency,
    "D": measure_sleepers,
    "E": measure_resume,
    "F": measure_messages,
    "G": measure_import,
    "H": measure_slow_disk,
    "I": measure_inspected,
    "P": measure_served,
}
GROWTH = "growth"


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 0 whatever it says, since machines differ."""
    options = _options(arguments)
    show = _show_json if options.json else _show
    with tempfile.TemporaryDirectory(prefix="flowkit-bench-", dir=options.dir) as folder:
        raw = Raw(Path(folder) / "raw.db")
        limit = Spread([raw.slice() for _ in range(10)])
        show(Row("R, the raw limit", f"{limit.median:,.0f} commits/s", f"{limit.at(0.1):,.0f}–{limit.at(0.9):,.0f}"))
        if GROWTH in options.workloads:
            draw(grow(Path(folder), raw), options.plots, print)
        for name in options.workloads or WORKLOADS:
            if name == GROWTH:
                continue
            for row in WORKLOADS[name](Path(folder), raw, options.rounds):
                show(row)
            if not options.no_peers:
                for row in peer_rows(name, Path(folder)):
                    show(row)
        if looks := [name for name in MOST_LOST if getattr(options, name)]:
            for row in measure_observed(looks, Path(folder), raw, options.rounds):
                show(row)
        raw.close()
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = f"{', '.join(WORKLOADS)}, {GROWTH}"
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {names}; default: all letters")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is repeated; above 3, E goes to 100,000 entries")
    parser.add_argument("--dir", type=Path, default=None, help="where the databases are made: the disk that is measured")
    parser.add_argument("--plots", type=Path, default=Path("docs/plots"), help="where growth is drawn")
    parser.add_argument("--no-peers", action="store_true", help="measure flowkit alone")
    for name in MOST_LOST:
        parser.add_argument(f"--{name}", action="store_true", help=f"measure what {name} cost B, too")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    options = parser.parse_args(arguments)
    if unknown := set(options.workloads) - {*WORKLOADS, GROWTH}:
        parser.error(f"there is no workload {', '.join(sorted(unknown))}; there are {names}")
    return options


def _show(row: Row) -> None:
    """One line, at once: a long run should not be silent."""
    verdict = {True: "met", False: "MISSED", None: ""}[row.met]
    line = f"{row.name:<34}{row.measured:<66}{row.target:<27}{verdict:<8}{row.spread}"
    print(line.rstrip(), flush=True)


def _show_json(row: Row) -> None:
    print(json.dumps(asdict(row)), flush=True)


if __name__ == "__main__":
    sys.exit(main())
