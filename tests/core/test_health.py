"""The rule of health: when a workflow on a worker is failing, when it is well again, and who counts."""

from __future__ import annotations

from flowkit.core.health import (
    FADES_SECONDS,
    Health,
    Kind,
    Report,
    Served,
    Sickness,
    Trouble,
    decode_reports,
    encode_reports,
    health_of,
)

MISFIT = Trouble("misfit", "flowkit.errors.HistoryDiverged", "the code does not fit\nmore", "app.py:7")
BROKEN = Trouble("import", "ImportError", "no module named x", "app.py:3")


def worker(id: int, *workflows: str, alive: bool = True, seen_at: float = 90.0) -> Served:
    return Served(id, f"w-{id}", alive, seen_at, frozenset(workflows))


def report(workflow: str, kind: Kind = "misfit", *, worker: int = 1, since: float = 100.0) -> Report:
    return Report(
        workflow=workflow, kind=kind, type="ImportError", line="no module", place="app.py:3", since=since, last=since,
        source=f"w-{worker}", worker=worker,
    )  # fmt: skip


def health(workers: list[Served], reports: list[Report], *, now: float = 200.0) -> Health:
    return health_of(["order"], workers, reports, now)


def test_a_workflow_is_failing_from_the_first_report_on() -> None:
    sick = Sickness("w-1")

    sick.failed("order", MISFIT, 100.0)

    (said,) = sick.reports()
    assert (said.workflow, said.kind, said.since, said.count) == ("order", "misfit", 100.0, 1)
    assert (said.line, said.reason) == ("the code does not fit", "HistoryDiverged in app.py:7 on worker w-1")


def test_it_is_well_again_after_three_successes_in_a_row() -> None:
    sick = Sickness("w-1")
    sick.failed("order", MISFIT, 100.0)

    ended = [sick.went_well(("misfit",), "order") for _ in range(3)]

    assert ended == [False, False, True]
    assert not sick.reports()


def test_what_works_every_other_time_does_not_flicker() -> None:
    sick = Sickness("w-1")

    for turn in range(9):
        sick.failed("order", MISFIT, 100.0 + turn)
        sick.went_well(("misfit",), "order")
        sick.went_well(("misfit",), "order")

    (said,) = sick.reports()
    assert (said.since, said.last, said.count) == (100.0, 108.0, 9)


def test_successes_of_another_workflow_or_kind_do_not_count() -> None:
    sick = Sickness("w-1")
    sick.failed("order", MISFIT, 100.0)

    for _ in range(3):
        sick.went_well(("misfit",), "refund")
        sick.went_well(("crash",), "order")

    assert sick.reports()


def test_what_concerns_all_that_is_served_is_over_after_three_successes_of_any() -> None:
    sick = Sickness("w-1")
    sick.failed("", Trouble("crash"), 100.0)

    for name in ("order", "refund", "order"):
        sick.went_well(("crash",), name)

    assert not sick.reports()


def test_a_worker_keeps_fifty_reports_and_the_oldest_goes_first() -> None:
    sick = Sickness("w-1")

    for number in range(60):
        sick.failed(f"w{number}", MISFIT, float(number))

    assert [each.workflow for each in sick.reports()] == [f"w{number}" for number in range(59, 9, -1)]


def test_a_report_is_one_short_line() -> None:
    sick = Sickness("w-1")

    sick.failed("order", Trouble("import", "E" * 900, "x" * 900, "p" * 900), 1.0)

    (said,) = sick.reports()
    assert {len(said.type), len(said.line), len(said.place)} == {200}


def test_a_trouble_that_no_pass_has_shown_for_long_fades() -> None:
    sick = Sickness("w-1")
    sick.failed("order", MISFIT, 100.0)

    assert not sick.fade(("misfit",), 99.0 + FADES_SECONDS)
    assert sick.fade(("misfit",), 100.0 + FADES_SECONDS)
    assert not sick.reports()


def test_a_successor_goes_on_with_what_was_reported_before() -> None:
    sick = Sickness("w-2")
    sick.inherit([report("order", "crash", since=50.0)])

    sick.failed("order", Trouble("crash"), 100.0)

    (said,) = sick.reports()
    assert (said.since, said.last, said.count, said.source) == (50.0, 100.0, 2, "w-2")


def test_a_successor_has_to_prove_that_it_is_over() -> None:
    sick = Sickness("w-2")
    sick.inherit([report("order", "import")])

    sick.went_well(("import",))
    sick.went_well(("import",))
    assert sick.reports()
    sick.went_well(("import",))

    assert not sick.reports()


def test_who_leaves_in_order_leaves_only_what_outlives_it() -> None:
    sick = Sickness("w-1")
    sick.worker = 1
    sick.failed("order", MISFIT, 1.0)
    sick.failed("order", Trouble("crash"), 1.0)

    assert [each.kind for each in sick.reports(outliving=True)] == ["crash"]


def test_a_workflow_with_one_worker_that_fails_and_one_that_does_not_is_served() -> None:
    (found,) = health([worker(1, "order"), worker(2, "order")], [report("order")]).workflows

    assert (found.status, found.workers, found.failing, found.ok) == ("ok", ("w-2",), ("w-1",), False)


def test_a_workflow_is_failing_when_all_that_serve_it_are() -> None:
    (found,) = health(
        [worker(1, "order"), worker(2, "order")], [report("order"), report("order", worker=2, since=70.0)]
    ).workflows

    assert (found.status, found.workers, found.since) == ("failing", (), 70.0)


def test_a_report_on_all_that_a_worker_serves_concerns_only_that() -> None:
    found = health([worker(1, "order"), worker(2, "refund")], [report("", "store")])

    assert [(each.workflow, each.status) for each in found.workflows] == [("order", "failing"), ("refund", "ok")]


def test_the_report_of_a_dead_worker_does_not_count() -> None:
    (found,) = health([worker(1, "order", alive=False), worker(2, "order")], [report("order")]).workflows

    assert found.ok


def test_a_crash_is_proved_by_the_death_of_its_worker() -> None:
    (found,) = health([worker(1, "order", alive=False)], [report("order", "crash")]).workflows

    assert (found.status, found.reason) == ("failing", "ImportError in app.py:3 on worker w-1")


def test_what_nobody_serves_fails_for_the_reason_of_who_could_not_begin() -> None:
    (found,) = health([], [report("", "import", worker=0)]).workflows

    assert (found.status, found.since) == ("failing", 100.0)


def test_who_could_not_begin_is_no_reason_where_others_serve() -> None:
    found = health([worker(1, "order")], [report("", "import", worker=0)])

    assert found["order"].ok
    assert not found.ok


def test_a_worker_that_begins_has_ten_seconds() -> None:
    begins = [report("order", "starting", worker=0)]

    assert health([], begins, now=109.0)["order"].status == "unattended"
    assert health([], begins, now=110.0)["order"].status == "failing"


def test_without_workers_and_reports_a_workflow_is_unattended_since_its_last_worker_was_seen() -> None:
    (found,) = health([worker(1, "order", alive=False, seen_at=80.0), worker(2, "refund", alive=False)], []).workflows

    assert (found.status, found.since, found.reason) == ("unattended", 80.0, "no live worker serves it")


def test_a_worker_that_has_not_said_what_it_serves_may_serve_it() -> None:
    (found,) = health([Served(1, "w-1", True, 0.0)], []).workflows

    assert found.ok


def test_reports_are_stored_whatever_their_texts_hold() -> None:
    odd = report("a\ud800\0b")

    (stored,) = decode_reports(encode_reports([odd]))

    assert stored.workflow == "a\\ud800\0b"
    assert decode_reports(b"{}") == decode_reports(b"no JSON") == []


def test_an_import_that_breaks_names_its_place() -> None:
    sick = Sickness("w-7")
    sick.failed("order", BROKEN, 1.0)

    assert str(sick.reports()[0]) == "ImportError in app.py:3 on worker w-7: no module named x"
