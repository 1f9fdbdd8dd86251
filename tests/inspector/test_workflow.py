"""The page of a workflow: how its steps fare and under which code its runs went, from a sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flowkit
from flowkit.client.across import Sample
from tests.inspector.given import NOW, ROW, made, module
from tests.inspector.served import Served, serving
from tests.inspector.stories import approval

stats = module("stats")


def sample_of(entries: tuple[Any, ...]) -> Sample:
    """A sample of one run with these entries."""
    return Sample((ROW,), {ROW.seq: entries}, True)


def test_steps_are_told_by_what_their_bodies_took_and_how_often_they_failed() -> None:
    entries = tuple(made(n, "charge", created_at=NOW, started_at=NOW, settled_at=NOW + n) for n in range(1, 20))
    failed = made(20, "charge", status="exhausted", attempts=3, created_at=NOW, started_at=NOW + 5, settled_at=NOW + 25)
    sample = sample_of(entries=(*entries, failed))

    (charge,) = stats.step_stats(sample, NOW + 60)

    assert (charge.times, charge.p50, charge.p95) == (20, "10 s", "19 s")
    assert (charge.failed, charge.retried) == ("5 %", "5 %")


def test_a_step_is_one_wherever_it_stands_and_however_often() -> None:
    sample = sample_of(entries=(made(1, "pack/~3/label"), made(2, "label#2"), made(3, "join/x/label")))

    (label,) = stats.step_stats(sample, NOW)

    assert (label.name, label.times) == ("label", 3)


def test_a_day_is_drawn_by_the_hour_and_said_in_words() -> None:
    entries = tuple(
        made(n, "charge", created_at=NOW - ago, started_at=NOW - ago, settled_at=NOW - ago + took, status=status)
        for n, (ago, took, status) in enumerate(
            [(60, 1, "completed"), (7_300, 4, "failed"), (90_000, 50, "completed")], start=1
        )
    )  # fmt: skip

    (charge,) = stats.step_stats(sample_of(entries=entries), NOW)

    assert [(bar.place, bar.height, bar.bad) for bar in charge.bars] == [(21, 20.0, True), (23, 5.0, False)]
    assert charge.said.count(";") == 1


def test_the_page_of_a_workflow_says_of_how_many_runs(tmp_path: Path) -> None:
    with flowkit.open(tmp_path / "x.db", worker=False) as fk:
        fk.start_many([(f"o-{n}", approval, ({},)) for n in range(70)])
    with serving(tmp_path / "x.db") as served:
        page, text = served.ask("/workflows/approval.json").json(), served.ask("/workflows/approval").text

    assert (page["total"], page["whole"]) == ("70", False)
    assert "of 70 runs" in text
    assert "No worker that is running serves it." in text


def test_runs_are_counted_by_code(small: Served) -> None:
    (code,) = small.ask("/workflows/checkout.json").json()["codes"]

    assert (code["runs"], code["completed"], code["failed"]) == (8, 1, 2)


def test_a_workflow_that_nobody_knows_is_not_found(small: Served) -> None:
    assert small.ask("/workflows/nope").status == 404
