"""`python -m tests.bench [A B C E G]`: measure, and compare with the budgets, as shares of R in the same run."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench.raw import Raw
from tests.bench.workloads import WORKLOADS, Row, Spread

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 0 whatever it says, since machines differ."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is repeated; above 3, E goes to 100,000 entries")
    parser.add_argument("--dir", type=Path, default=None, help="where the databases are made: the disk that is measured")
    options = parser.parse_args(arguments)
    if unknown := set(options.workloads) - set(WORKLOADS):
        parser.error(f"there is no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    with tempfile.TemporaryDirectory(prefix="flowkit-bench-", dir=options.dir) as folder:
        raw = Raw(Path(folder) / "raw.db")
        limit = Spread([raw.slice() for _ in range(10)])
        show(Row("R, the raw limit", f"{limit.median:,.0f} commits/s", f"{limit.at(0.1):,.0f}–{limit.at(0.9):,.0f}"))
        for name in options.workloads or WORKLOADS:
            for row in WORKLOADS[name](Path(folder), raw, options.rounds):
                show(row)
        raw.close()
    return 0


def show(row: Row) -> None:
    """One line, at once: a long run should not be silent."""
    verdict = {True: "met", False: "MISSED", None: ""}[row.met]
    line = f"{row.name:<30}{row.measured:<66}{row.target:<27}{verdict:<8}{row.spread}"
    print(line.rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
