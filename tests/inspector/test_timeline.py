"""The timeline: which phase an entry is in when, where that is drawn, and what the page says of it."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

from flowkit import receive, sleep, step, workflow
from flowkit.core.entry import FailedAttempt
from flowkit.testing import FakeClock, Lab
from flowkit.testing.clock import START
from tests.inspector.given import NOW, ROW, made, module
from tests.inspector.served import Served, serving

timeline = module("timeline")
Span = timeline.Span
OPEN = changed(ROW, status="sleeping")
OURS = changed(ROW, owner=1)


def phases(entry: Any, *attempts: FailedAttempt, run: Any = OPEN, now: float = NOW + 100) -> list[tuple[Any, ...]]:
    """Each phase of an entry with its beginning and end, counted from `NOW`; those ahead are marked."""
    return [
        (span.phase, span.start - NOW, span.end - NOW, *(["ahead"] if span.ahead else []))
        for span in timeline.spans_of(entry, attempts, run, now)
    ]


def failed(n: int, start: float, end: float, retry: float | None = None, round: int = 0) -> FailedAttempt:
    """A failed attempt, in seconds from `NOW`."""
    return FailedAttempt(
        entry=1, n=n, round=round, started_at=NOW + start, ended_at=NOW + end, retry_at=None if retry is None else NOW + retry,
        error=b"{}",
    )  # fmt: skip


# --- phases


def test_a_step_runs_from_its_start_to_its_end() -> None:
    assert phases(made(1, "charge", created_at=NOW, started_at=NOW, settled_at=NOW + 2)) == [("running", 0, 2)]


def test_a_step_that_has_to_wait_is_queued_until_it_starts() -> None:
    entry = made(1, "charge", created_at=NOW, started_at=NOW + 5, settled_at=NOW + 7)

    assert phases(entry) == [("queued", 0, 5), ("running", 5, 7)]


def test_between_attempts_comes_the_back_off_and_then_the_wait_for_a_worker() -> None:
    entry = made(1, "charge", attempts=2, created_at=NOW, started_at=NOW + 20, settled_at=NOW + 22)

    assert phases(entry, failed(1, 0, 1, retry=11)) == [
        ("running", 0, 1), ("back-off", 1, 11), ("queued", 11, 20), ("running", 20, 22),
    ]  # fmt: skip


def test_a_step_that_is_retried_shows_the_back_off_ahead() -> None:
    entry = made(1, "charge", status="retrying", attempts=1, created_at=NOW, started_at=NOW, settled_at=None, due_at=NOW + 160)

    assert phases(entry, failed(1, 0, 1, retry=160)) == [
        ("running", 0, 1), ("back-off", 1, 100), ("back-off", 100, 160, "ahead"),
    ]  # fmt: skip


def test_a_retry_that_is_overdue_is_queued() -> None:
    entry = made(1, "charge", status="retrying", attempts=1, created_at=NOW, started_at=NOW, settled_at=None, due_at=NOW + 60)

    assert phases(entry, failed(1, 0, 1, retry=60)) == [("running", 0, 1), ("back-off", 1, 60), ("queued", 60, 100)]


def test_the_last_attempt_of_an_exhausted_step_is_drawn_once() -> None:
    entry = made(1, "charge", status="exhausted", attempts=2, created_at=NOW, started_at=NOW + 10, settled_at=NOW + 11)

    found = timeline.spans_of(entry, [failed(1, 0, 1, retry=10), failed(2, 10, 11)], OPEN, NOW + 100)

    assert [(span.phase, span.bad) for span in found] == [("running", True), ("back-off", False), ("running", True)]


def test_the_time_before_a_recovery_is_nobodys() -> None:
    entry = made(1, "charge", attempts=1, round=1, created_at=NOW, started_at=NOW + 50, settled_at=NOW + 51)

    assert phases(entry, failed(1, 0, 1)) == [("running", 0, 1), ("running", 50, 51)]


def test_a_body_whose_worker_is_gone_is_queued_again() -> None:
    entry = made(1, "charge", status="running", created_at=NOW, started_at=NOW, settled_at=None)
    run = changed(ROW, updated_at=NOW + 3)

    assert phases(entry, run=run) == [("running", 0, 3), ("queued", 3, 100)]


def test_a_body_under_way_runs_until_now() -> None:
    entry = made(1, "charge", status="running", created_at=NOW, started_at=NOW, settled_at=None)

    assert phases(entry, run=OURS) == [("running", 0, 100)]


def test_a_sleep_that_ended_late_was_queued_from_its_instant_on() -> None:
    entry = made(1, "nap", kind="sleep", created_at=NOW, settled_at=NOW + 70, due_at=NOW + 60)

    assert phases(entry) == [("asleep", 0, 60), ("queued", 60, 70)]


def test_an_open_sleep_goes_on_beyond_now() -> None:
    entry = made(1, "nap", kind="sleep", status="pending", created_at=NOW, settled_at=None, due_at=NOW + 600)

    assert phases(entry) == [("asleep", 0, 100), ("asleep", 100, 600, "ahead")]


def test_of_a_run_that_ended_nothing_lies_ahead() -> None:
    entry = made(1, "nap", kind="sleep", status="pending", created_at=NOW, settled_at=None, due_at=NOW + 600)
    run = changed(ROW, status="cancelled", finished_at=NOW + 30)

    assert phases(entry, run=run) == [("asleep", 0, 30)]


def test_a_message_without_a_deadline_is_awaited_until_now() -> None:
    entry = made(1, "paid", kind="message", status="pending", created_at=NOW, settled_at=None)

    assert phases(entry) == [("asleep", 0, 100)]


def test_a_run_is_asleep_until_it_may_start_and_then_queued() -> None:
    row = changed(ROW, created_at=NOW, start_at=NOW + 60, started_at=NOW + 90)

    assert [(span.phase, span.start - NOW, span.end - NOW) for span in timeline.run_spans(row, NOW + 100)] == [
        ("asleep", 0, 60), ("queued", 60, 90),
    ]  # fmt: skip


def test_rollback_attempts_that_failed_are_drawn_too() -> None:
    entry = made(1, "reserve", created_at=NOW, started_at=NOW, settled_at=NOW + 1, rollback="owes")
    handler = changed(failed(1, 10, 12), part="rollback")

    assert phases(entry, handler) == [("running", 0, 1), ("running", 10, 12)]


# --- the scale


def test_without_long_quiet_stretches_the_scale_is_even() -> None:
    scale = timeline.scale_of([Span("running", 0, 10), Span("asleep", 10, 40)], 0, 40)

    assert [scale.at(instant) for instant in (0, 10, 20, 40)] == [0, 25, 50, 100]
    assert not [stretch for stretch in scale.stretches if stretch.cut]


def test_a_quiet_stretch_over_ten_times_the_rest_is_cut() -> None:
    days = 6 * 86_400
    spans = [Span("running", 0, 10), Span("asleep", 10, 10 + days), Span("running", 10 + days, 20 + days)]

    scale = timeline.scale_of(spans, 0, 20 + days)
    (cut,) = [stretch for stretch in scale.stretches if stretch.cut]

    assert (cut.label, cut.start, cut.end) == ("6 d", 10, 10 + days)
    assert cut.width < 10
    assert scale.at(5) == pytest.approx(scale.at(10) / 2, abs=0.01)


@pytest.mark.parametrize(("seconds", "is_cut"), [(100, False), (101, True)])
def test_ten_times_the_rest_is_where_cutting_begins(seconds: int, is_cut: bool) -> None:
    scale = timeline.scale_of([Span("running", 0, 10), Span("asleep", 10, 10 + seconds)], 0, 10 + seconds)

    assert [stretch.cut for stretch in scale.stretches if stretch.start == 10 or stretch.end == 10 + seconds][-1] is is_cut


def test_two_equally_long_quiet_stretches_are_both_cut() -> None:
    spans = [Span("running", 0, 1), Span("asleep", 1, 1_000), Span("running", 1_000, 1_001), Span("asleep", 1_001, 2_000)]

    scale = timeline.scale_of(spans, 0, 2_000)

    assert [stretch.cut for stretch in scale.stretches] == [False, True, False, True]


def test_a_body_is_never_cut_however_long_it_runs() -> None:
    scale = timeline.scale_of([Span("running", 0, 1_000_000), Span("running", 1_000_000, 1_000_001)], 0, 1_000_001)

    assert not [stretch for stretch in scale.stretches if stretch.cut]


def test_a_place_on_the_scale_leads_back_to_its_instant() -> None:
    scale = timeline.scale_of([Span("running", 0, 10), Span("asleep", 10, 5_000), Span("running", 5_000, 5_030)], 0, 5_030)

    assert [scale.instant(scale.at(instant)) for instant in (0, 4, 10, 5_015, 5_030)] == pytest.approx(
        [0, 4, 10, 5_015, 5_030], abs=0.05
    )


def test_a_scale_of_a_single_instant_holds() -> None:
    scale = timeline.scale_of([], NOW, NOW)

    assert (scale.at(NOW), scale.instant(50)) == (0.0, NOW)


def test_marks_keep_apart_and_name_their_day_once() -> None:
    marks = timeline.scale_of([Span("running", NOW, NOW + 50)], NOW, NOW + 50).ticks()

    assert [mark.text for mark in marks][:3] == ["1 Jan 00:00:00", "00:00:10", "00:00:20"]
    assert min(b.left - a.left for a, b in pairwise(marks)) >= 15


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1767225600", NOW), ("1767225600.5", NOW + 0.5), ("2026-01-01T00:00:00Z", NOW), ("2026-01-01 01:00:00+01:00", NOW),
        ("2026-01-01", NOW), ("", None), ("yesterday", None), ("nan", None), ("inf", None), ("1e300", None),
    ],
)  # fmt: skip
def test_an_address_has_instants_as_seconds_or_as_dates(text: str, instant: float | None) -> None:
    assert timeline.instant_of(text) == instant


# --- the page


@pytest.fixture(scope="module")
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory, clock: FakeClock) -> Any:
    """A run with a retry, a sleep of two days and a message that it waits for; looked at an hour later."""
    file: Path = tmp_path_factory.mktemp("trip") / "trip.db"
    tries: list[int] = []

    @step(retries=3, backoff=20)
    def rates() -> int:
        clock.advance(4)
        tries.append(1)
        if len(tries) < 2:
            raise TimeoutError("the bank is slow")
        return 1

    @workflow
    def trip() -> None:
        rates()
        sleep("2d", name="until-departure")
        rates()
        receive("confirmed", timeout="5d")

    with Lab(file, clock=clock) as lab:
        lab.start("trip-1", trip)
        lab.run_once("trip-1")
        lab.advance("90s")
        lab.run_once("trip-1")
        lab.advance("2d")
        lab.run_once("trip-1")
    clock.advance(3_600)
    with serving(file, clock=clock) as served:
        yield served


def page_of(served: Served, query: str = "") -> Any:
    return served.ask(f"/runs/trip-1.json?view=timeline{query}").json()


def test_every_entry_has_a_row_with_its_phases(trip: Served) -> None:
    lanes = {lane["name"]: [shape["kind"] for shape in lane["shapes"]] for lane in page_of(trip)["lanes"]}

    assert lanes["rates"] == ["t-running t-bad", "t-back-off", "t-queued", "t-running"]
    assert lanes["rates#2"] == ["t-running"]
    assert lanes["until-departure"] == ["t-asleep"]
    assert lanes["confirmed"] == ["t-asleep", "t-asleep t-ahead"]
    assert page_of(trip)["lanes"][0]["running"] == "8.0 s"


def test_the_table_says_what_the_picture_shows(trip: Served) -> None:
    page = trip.ask("/runs/trip-1?view=timeline").text
    first = page_of(trip)["lanes"][0]

    assert (first["running"], first["back_off"], first["queued"]) == ("8.0 s", "30 s", "1 min")
    assert "The same as a table" in page
    assert re.search(r'data-label="Back-off">30 s<', page)


def test_two_days_of_sleep_are_cut_and_say_so(trip: Served) -> None:
    page = page_of(trip)

    cuts = [f"{(cut['end'] - cut['start']) / 86_400:.0f}" for cut in page["cuts"]]

    assert cuts[0] == "2"
    assert ">2 d</text>" in trip.ask("/runs/trip-1?view=timeline").text
    assert 0 < page["now_at"] < 100


def test_a_stretch_in_the_address_leaves_out_what_lies_outside(trip: Served) -> None:
    page = page_of(trip, f"&from={START + 86_400}&to={START + 90_000}")

    assert [lane["name"] for lane in page["lanes"] if lane["shapes"]] == ["until-departure"]
    assert page["zoomed"]
    assert page["now_at"] is None


def test_one_can_go_aside_nearer_and_back_to_the_whole(trip: Served) -> None:
    page = page_of(trip, f"&from={START + 10}&to={START + 30}")

    assert page["earlier_href"].endswith(f"from={START:.3f}&to={START + 20:.3f}")
    assert page["later_href"].endswith(f"from={START + 20:.3f}&to={START + 40:.3f}")
    assert page["closer_href"].endswith(f"from={START + 15:.3f}&to={START + 25:.3f}")
    assert page["whole_href"] == "/runs/trip-1?view=timeline"


def test_a_stretch_in_which_nothing_was_recorded_leads_back(trip: Served) -> None:
    reply = trip.ask("/runs/trip-1?view=timeline&from=5&to=6")

    assert reply.status == 200
    assert "Nothing was recorded in this stretch" in reply.text


def test_a_stretch_may_stand_the_wrong_way_round(trip: Served) -> None:
    assert page_of(trip, f"&from={START + 30}&to={START + 10}")["begin"]["at"] == START + 10


def test_a_timeline_is_no_longer_sent_while_it_is_current(trip: Served) -> None:
    token = page_of(trip)["head"]["token"]

    assert trip.ask(f"/runs/trip-1?view=timeline&part=timeline&as_of={token}").status == 204


def test_a_long_history_is_shown_by_its_newest_entries(small: Served, tmp_path: Path) -> None:
    from tests.inspector.stories import build_long

    build_long(tmp_path / "long.db", 450)
    with serving(tmp_path / "long.db") as served:
        page = served.ask("/runs/long-1.json?view=timeline").json()
        first = page["lanes"][0]["began"]["at"]
        before = served.ask(f"/runs/long-1.json?view=timeline&from=0&to={first}").json()

    assert (len(page["lanes"]), page["partly"]) == (200, True)
    assert before["lanes"][-1]["href"] == page["lanes"][0]["href"]
    assert len(before["lanes"]) == 200


def test_an_unknown_view_is_the_history(small: Served) -> None:
    assert 'id="history"' in small.ask("/runs/order-1?view=nonsense").text
