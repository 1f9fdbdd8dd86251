"""How costs grow: the history of a run, runs at once, sleepers in the file. As points, and as pictures where matplotlib is."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from flowkit import Workflow, sleep, workflow
from flowkit.client import Flowkit
from flowkit.drivers.sqlite import SQLiteDriver
from tests.bench.opened import opened
from tests.bench.raw import Raw
from tests.bench.resume import long_history, resume_seconds
from tests.bench.sleepers import reopened
from tests.bench.throughput import STEPS_OF_A_SHORT_RUN, ashort, short
from tests.torture.sleepers import multiply

__all__ = ["Curve", "draw", "grow"]

ENTRIES = (1_000, 3_000, 10_000, 30_000, 100_000)
AT_ONCE = (1, 10, 100, 1_000, 10_000)
SLEEPERS = (0, 1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Curve:
    """What is measured (`y`) over what grows (`x`), a line for each name."""

    title: str
    x: str
    y: str
    lines: Mapping[str, list[tuple[float, float]]]


@workflow
def doze() -> None:
    sleep("365d")


def grow(folder: Path, raw: Raw) -> list[Curve]:
    """All curves, some minutes long."""
    return [_history(folder), _at_once(folder, raw), _sleeping(folder)]


def _history(folder: Path) -> Curve:
    points = []
    with opened(folder, "grow-e", long_history) as (fk, _):
        for count in ENTRIES:
            took = statistics.median(resume_seconds(fk, count) for _ in range(3))
            points.append((count, took / count * 1e6))
    return Curve("Going on after a long history", "entries", "µs per entry", {"resume": points})


def _at_once(folder: Path, raw: Raw) -> Curve:
    cases: dict[str, Workflow[[int], int]] = {"async": ashort, "plain": short}
    lines = {name: [(at_once, _rate(folder, raw, f"{name}-{at_once}", made, at_once)) for at_once in AT_ONCE]
             for name, made in cases.items()}  # fmt: skip
    return Curve("Runs in memory at once", "runs at once", "steps/s as a share of R", lines)


def _rate(folder: Path, raw: Raw, name: str, made: Workflow[[int], int], at_once: int) -> float:
    count = max(50, min(2_000, 2 * at_once)) if at_once < 10_000 else at_once
    with Flowkit(SQLiteDriver(folder / f"grow-{name}.db"), workflows=[made], concurrency=at_once) as fk:
        fk.run(None, made, 1)
        limit, began = raw.slice(0.1), time.perf_counter()
        for run in fk.start_many((None, made, (number,)) for number in range(count)):
            run.result(timeout=600)
        return count * STEPS_OF_A_SHORT_RUN / (time.perf_counter() - began) / limit


def _sleeping(folder: Path) -> Curve:
    points = []
    path = folder / "grow-d.db"
    with Flowkit(SQLiteDriver(path), workflows=[doze]) as fk:
        run = fk.start("doze", doze)
        while run.status() != "sleeping":
            time.sleep(0.01)
    newest, there = "doze", 0
    for count in SLEEPERS:
        if count > there:
            multiply(path, newest, count - there)
            newest, there = f"{newest}-{count - there}", count
        points.append((max(count, 1), statistics.median(reopened(path)["seconds"] for _ in range(3)) * 1e3))
    return Curve("Opening a database of sleepers", "runs asleep", "ms until the worker knows what is due", {"open": points})


def draw(curves: list[Curve], folder: Path, say: Callable[[str], None]) -> None:
    """Write the points as JSON, and a PNG for each curve."""
    folder.mkdir(parents=True, exist_ok=True)
    points = [{"title": curve.title, "x": curve.x, "y": curve.y, "lines": dict(curve.lines)} for curve in curves]
    (folder / "growth.json").write_text(json.dumps(points, indent=1))
    if find_spec("matplotlib") is None:
        say(f"matplotlib is not installed, so there are only the points, in {folder / 'growth.json'}")
        return
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for curve in curves:
        figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
        for name, line in curve.lines.items():
            axes.plot([x for x, _ in line], [y for _, y in line], marker="o", label=name)
        axes.set(title=curve.title, xlabel=curve.x, ylabel=curve.y, xscale="log")
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        if len(curve.lines) > 1:
            axes.legend()
        path = folder / f"{curve.title.lower().replace(' ', '-')}.png"
        figure.savefig(path, dpi=144)
        pyplot.close(figure)
        say(f"drawn: {path}")
