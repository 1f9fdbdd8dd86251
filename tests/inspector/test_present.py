"""From rows to view-models: pure, so everything is given."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as changed

from flowkit.cli.serving import load_inspector
from flowkit.client.livecode import Cause, CodeState, LoadError
from flowkit.client.reader import Body, RunRow
from flowkit.core.entry import Entry, FailedAttempt

NAME = load_inspector().__name__
NOW = 1_767_225_600.0
ROW = RunRow(seq=1, id="order-1", workflow="checkout", status="running", created_at=NOW - 60, updated_at=NOW - 3)


def module(name: str) -> Any:
    return importlib.import_module(f"{NAME}.present.{name}")


states, history, values, times, entries, runs, banner = map(
    module, ("states", "history", "values", "times", "entry", "runs", "banner")
)


def said(row: RunRow, failure: Any = None) -> str:
    """A run's sentence as it is first rendered."""
    return "".join(piece.text for piece in states.pieces(states.run_sentence(row, NOW, failure), NOW))


def made(seq: int, location: str, **fields: Any) -> Entry:
    given = {"kind": "step", "status": "completed", "created_at": NOW + seq, "settled_at": NOW + seq + 1} | fields
    return Entry(seq=seq, location=location, **given)


def names(rows: Any) -> list[str]:
    return [f"{'.' * row.depth}{row.lead}{'/' if row.lead else ''}{row.name}" for row in rows]


# --- states


@pytest.mark.parametrize(
    ("fields", "icon", "group", "sentence"),
    [
        ({"status": "pending"}, "pending", "active", "starts when a worker is free"),
        ({"status": "pending", "wake_at": NOW + 7200}, "pending", "active", "starts at 02:00:00, in 2 h"),
        ({"status": "running", "current": "charge"}, "running", "active", "after charge, 3.0 s ago"),
        (
            {"status": "running", "current": "charge", "attempts": 1, "error_line": "E: no"},
            "running", "active", "charge, attempt 2, 3.0 s ago",
        ),
        ({"status": "sleeping", "wake_at": NOW + 60}, "sleeping", "parked", "until 00:01:00, in 1 min"),
        (
            {"status": "sleeping", "waiting": ("paid", "rejected"), "wake_at": NOW + 60},
            "message", "parked", "waits for paid or rejected until 00:01:00",
        ),
        ({"status": "sleeping", "waiting": ("*",)}, "message", "parked", "waits for any message"),
        (
            {"status": "sleeping", "wake_at": NOW + 60, "error_line": "E: no", "attempts": 2, "current": "charge"},
            "retrying", "attention", "retries charge at 00:01:00, in 1 min, attempt 2 failed",
        ),
        ({"status": "rolling_back", "current": "reserve", "owes": 2}, "rolling-back", "active", "undoing reserve, 2 to go"),
        ({"status": "completed", "started_at": NOW - 180, "finished_at": NOW}, "completed", "done", "in 3 min"),
        ({"status": "paused"}, "paused", "parked", "by an operator; goes on when resumed"),
        ({"status": "blocked", "error_line": "HistoryDiverged: no fit"}, "held", "attention", "held by code: no fit"),
        (
            {"status": "blocked", "error_line": "RunConflict: x", "crashes": 10, "current": "charge"},
            "quarantined", "bad", "quarantined after 10 crashes at charge",
        ),
    ],
)  # fmt: skip
def test_a_run_has_icon_group_and_sentence(fields: dict[str, Any], icon: str, group: str, sentence: str) -> None:
    row = changed(ROW, **fields)

    state = states.run_state(row)

    assert (state.icon, state.word, state.group) == (icon, fields["status"], group)
    assert said(row) == sentence


def test_a_failed_run_says_exhausted_where_and_why() -> None:
    row = changed(ROW, status="failed", finished_at=NOW - 240)
    failure = states.failure_of(row, "CardDeclined: no\nmore", "StepExhausted", made(3, "charge", status="exhausted", attempts=6))

    assert said(row, failure) == "exhausted at charge after 6 attempts, 4 min ago: CardDeclined: no"
    assert states.run_state(row, failure).icon == "exhausted"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (("", ""), "held by code: history has step validate, the code does not"),
        (("step", "charge"), "held by code: history has step validate, the code does not: it makes step charge there"),
        (("sleep", "validate"), "held by code: history has step validate, the code makes sleep validate"),
    ],
)
def test_a_held_run_says_what_history_has_and_the_code_does_not(asked: tuple[str, str], sentence: str) -> None:
    row = changed(ROW, status="blocked", error_line="HistoryDiverged: code and history do not fit")
    recorded = {"recorded_kind": "step", "recorded_name": "validate", "asked_kind": asked[0], "asked_name": asked[1]}

    assert said(row, states.misfit_of(recorded)) == sentence


def test_a_held_run_whose_error_names_no_entry_says_its_line() -> None:
    row = changed(ROW, status="blocked", error_line="DuplicateName: the name `a` is given twice")

    assert states.misfit_of({"recorded_kind": "", "asked_name": "a"}) is None
    assert said(row) == "held by code: the name a is given twice"


def test_a_failed_run_that_was_rolled_back_says_so() -> None:
    row = changed(ROW, status="failed", current="reserve")
    failure = states.failure_of(row, "E: no", "E", made(3, "charge", status="failed", attempts=1))

    assert said(row, failure) == "at charge: E: no, rolled back"
    assert said(changed(row, error_line="E: no"), failure) == "at charge: E: no"


def test_an_unfinished_rollback_says_so() -> None:
    row = changed(ROW, status="failed", ending="failed", current="refund")

    assert said(row, states.failure_of(row, "E: no", "E", None)) == "rollback unfinished at refund: E: no"


def test_a_run_is_unattended_when_its_owner_is_dead_or_it_is_overdue() -> None:
    overdue = changed(ROW, status="sleeping", wake_at=NOW - 11)

    assert states.unattended(overdue, (), NOW)
    assert not states.unattended(overdue, (7,), NOW)
    assert not states.unattended(changed(overdue, wake_at=NOW - 9), (), NOW)
    assert states.unattended(changed(ROW, owner=3), (7,), NOW)
    assert not states.unattended(changed(ROW, status="paused", wake_at=NOW - 11), (), NOW)


def test_a_failure_that_was_handled_is_hollow() -> None:
    state = states.entry_state(made(1, "charge", status="exhausted"), handled=True)

    assert (state.icon, state.word, state.group, state.detail) == ("exhausted-hollow", "exhausted", "parked", "handled")


# --- history


def test_rows_form_a_tree_in_the_order_of_first_entries() -> None:
    found = history.rows_of(
        ROW,
        [
            made(1, "start"),
            made(2, "both", kind="join", output=b'{"names":["a","b"]}'),
            made(3, "both/b/pay", parent=2), made(4, "both/a/one", parent=2), made(5, "both/a/two", parent=2),
            made(6, "end"),
        ],
        [], NOW,
    )  # fmt: skip

    assert names(found) == ["start", "both", ".b/pay", ".a", "..one", "..two", "end"]


def test_composites_above_the_window_are_brackets() -> None:
    found = history.rows_of(ROW, [made(9, "both/a/one", parent=2)], [made(2, "both", kind="join")], NOW)

    assert names(found) == ["both", ".a/one"]


def test_a_race_marks_its_winner_and_names_who_was_cancelled() -> None:
    race = made(1, "fastest", kind="race", output=b'{"names":["a","b"],"done":{"a":{"value":1}},"winner":"a"}')

    found = history.rows_of(ROW, [race, made(2, "fastest/a/go", parent=1)], [], NOW)

    assert [(row.lead or row.name, row.note) for row in found] == [("fastest", "won by a"), ("a", "winner"), ("b", "cancelled")]


def test_a_loop_shows_its_first_last_and_failing_turns() -> None:
    loop = made(1, "pack", kind="loop", output=b'{"turn":30,"state":0}', status="running", settled_at=None)
    turns = [made(n + 2, f"pack/~{n}/label", parent=1, status="failed" if n == 15 else "completed") for n in range(30)]

    found = history.rows_of(ROW, [loop, *turns], [], NOW)

    assert [row.lead or row.name for row in found[1:]] == [
        "turn 1", "turn 2", "13 turns folded", "turn 16", "11 turns folded", "turn 28", "turn 29", "turn 30",
    ]  # fmt: skip
    assert found[0].note == "turn 31 · 30 turns kept, 1 pruned · p50 1.0 s · 1 failed"
    assert len(history.rows_of(ROW, [loop, *turns], [], NOW, unfold=[1])) == 31


def test_a_settled_composite_with_many_children_is_folded() -> None:
    join = made(1, "all", kind="join")
    branches = [made(n + 2, f"all/b{n}/go", parent=1) for n in range(21)]

    assert names(history.rows_of(ROW, [join, *branches], [], NOW)) == ["all", ".21 branches folded"]


def test_five_levels_indent_and_then_a_breadcrumb_tells() -> None:
    found = history.rows_of(ROW, [made(1, "a/b/c/d/e/f/g/one"), made(2, "a/b/c/d/e/f/g/two")], [], NOW)

    assert (found[-1].depth, found[-1].crumb) == (5, "a/b/c/d/e/f/g")


def test_only_the_failure_that_ended_the_run_is_not_handled() -> None:
    row = changed(ROW, status="failed")

    found = history.rows_of(row, [made(1, "x", status="failed"), made(2, "y", status="failed")], [], NOW, failed="y")

    assert [(line.name, line.state.detail, line.failing) for line in found] == [("x", "handled", False), ("y", "", True)]


def test_placeholders_are_struck_and_versions_say_which() -> None:
    entries = [made(1, "old", kind="removed"), made(2, "tell", kind="version", output=b'{"answer":2,"latest":3}')]

    found = history.rows_of(ROW, entries, [], NOW)

    assert (found[0].struck, found[1].line) == (True, "version 2 of 3")


def test_attempts_are_counted_only_when_there_were_several() -> None:
    assert "1 retr" not in str(history.rows_of(ROW, [made(1, "x", attempts=1)], [], NOW))


# --- values


def test_a_small_value_is_shown_whole_and_pretty() -> None:
    found = values.preview(Body(b'{"a":[1,2]}'))

    assert (found.head, found.rest, found.size) == ('{\n  "a": [\n    1,\n    2\n  ]\n}', "", "11 B")


def test_a_middling_value_is_folded_and_a_large_one_cut() -> None:
    middling = values.preview(Body(msgspec.json.encode(["x" * 100] * 100)))
    large = values.preview(Body(msgspec.json.encode(["x" * 1000] * 1000)))

    assert len(middling.head) <= 4096 < len(middling.head + middling.rest)
    assert (large.cut, large.rest, len(large.head)) == (True, "", 4096)


@pytest.mark.parametrize("size", [1, 400])
def test_secrets_are_masked_at_every_size(size: int) -> None:
    body = Body(msgspec.json.encode({"api_token": "s3cret", "Password": {"a": "s3cret"}, "rest": ["x" * 1000] * size}))

    assert "s3cret" not in values.preview(body).head
    assert "s3cret" in values.preview(body, revealed=True).head


def test_what_does_not_decode_is_shown_as_hex_with_the_reason() -> None:
    found = values.preview(Body(b"\xff\x00nonsense"))

    assert found.head == "ff 00 6e 6f 6e 73 65 6e 73 65"
    assert found.damage.startswith("not JSON")


def test_a_damaged_value_says_why() -> None:
    assert values.preview(Body(None, "the checksum is wrong")).damage == "the checksum is wrong"


def test_tagged_values_are_described() -> None:
    assert values.preview(Body(b'{"$":{"$datetime":"2026-01-01T00:00:00Z"}}')).head == '"2026-01-01T00:00:00Z"'


# --- attempts and tracebacks


TRACE = """Traceback (most recent call last):
  File "/srv/app/shop.py", line 12, in charge
    pay(order)
  File "/usr/lib/python3.11/site-packages/pay/client.py", line 3, in pay
    raise Declined
pay.Declined: no
"""


def test_frames_keep_their_source_and_know_whose_they_are() -> None:
    frames = entries.frames_of(TRACE)

    assert [(frame.line, frame.name, frame.text, frame.own) for frame in frames] == [
        (12, "charge", "pay(order)", True),
        (3, "pay", "raise Declined", False),
    ]


def test_attempts_tell_what_they_took_and_what_was_waited() -> None:
    failure = FailedAttempt(
        entry=1, n=1, started_at=NOW, ended_at=NOW + 1, retry_at=NOW + 3, error=b'{"type":"E","message":"no"}'
    )

    first, second = entries.attempts_of(made(1, "x", attempts=2, created_at=NOW, settled_at=NOW + 5), [failure], NOW)

    assert (first.number, first.took, first.waited, first.outcome) == (1, "1.0 s", "2.0 s", "failed")
    assert (second.number, second.took, second.outcome) == (2, "2.0 s", "completed")


# --- times


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"), (0.0042, "4.2 ms"), (0.25, "250 ms"), (3.44, "3.4 s"), (59.4, "59 s"), (60, "1 min"), (250, "4 min 10 s"),
        (3600, "1 h"), (7500, "2 h 5 min"), (183_600, "2 d 3 h"), (86_400_000, "1,000 d"),
    ],
)  # fmt: skip
def test_lengths_have_two_units_at_most(seconds: float, text: str) -> None:
    assert times.length(seconds) == text


def test_an_instant_that_no_calendar_has_is_still_shown() -> None:
    assert times.stamp(1e300, NOW).short == "1e+300 s"


# --- home and banner


def test_runs_that_stopped_for_one_reason_are_one_row() -> None:
    rows = [changed(ROW, seq=n, id=f"r{n}", status="failed", updated_at=NOW - n) for n in range(3)]
    failures = {row.seq: states.Failure("charge", "failed", 1, "E: no", "E") for row in rows}

    (need,) = runs.needs(rows, failures, NOW, ())

    assert (need.count, need.verb, need.item.id) == (3, None, "r0")


def test_a_held_run_is_led_to_what_to_do_and_a_quarantined_one_resumes() -> None:
    held = changed(ROW, status="blocked", error_line="HistoryDiverged: no fit")
    quarantined = changed(ROW, seq=2, id="order-2", status="blocked", error_line="RunConflict: x", crashes=10)

    found = {need.item.id: need for need in runs.needs([held, quarantined], {}, NOW, ())}

    assert (found["order-1"].verb, found["order-1"].advice_href) == (None, "/runs/order-1")
    assert (found["order-2"].verb.verb, found["order-2"].advice_href) == ("resume", "")
    assert "resume" in [verb.verb for verb in runs.verbs_of(held)]


def test_a_broken_save_is_an_alert_and_says_what_keeps_running() -> None:
    state = CodeState(
        version=3, status="broken", app="app.py", code="8c10de00", running="3f2a9100",
        error=LoadError(type="SyntaxError", message="'(' was never closed", source="app.py:31"),
    )  # fmt: skip

    found = banner.banner_of(state)

    assert (found.role, found.source) == ("alert", "app.py:31")
    assert found.title == "The code does not load: SyntaxError: '(' was never closed"
    assert found.detail == "Code 3f2a91 keeps running."


def test_held_runs_are_told_by_cause_with_the_line_to_add() -> None:
    cause = Cause(
        workflow="checkout", runs=3, recorded="a step", made="step notify", location="validate", source="app.py:27",
        lines=('removed("validate", "step")',),
    )  # fmt: skip
    state = CodeState(version=1, status="loaded", app="app.py", code="8c10de00", fits=38, held=3, causes=(cause,))

    found = banner.banner_of(state)

    assert found.title == "3 of 41 open runs are held by code"
    assert found.causes[0].lines == 'removed("validate", "step")'


def test_a_cause_shows_names_and_the_import_as_code() -> None:
    cause = Cause(
        workflow="checkout", runs=1, recorded="step `validate` completed", made="sleep `validate` app.py:27", location="validate",
        lines=('removed("validate", "step")',), advice="give the new sleep another name; from flowkit import removed",
    )  # fmt: skip

    (view,) = banner.causes_of(CodeState(version=1, status="loaded", app="app.py", held=1, causes=(cause,)))

    assert "".join(piece.text for piece in view.said) == (
        "history has step validate completed at validate, the code makes sleep validate app.py:27"
    )
    assert [piece.text for piece in view.said if piece.form == "code"] == ["validate", "validate", "validate"]
    assert view.imports == "from flowkit import removed"
    assert [piece.text for piece in view.advice] == ["give the new sleep another name"]


def test_code_that_fits_shrinks_to_a_chip() -> None:
    state = CodeState(version=1, status="loaded", app="app.py", code="8c10de00", running="8c10de00", seconds=0.142)

    assert banner.banner_of(state).tone == "chip"
    assert banner.banner_of(replace(state, changes=("+ notify",), fits=41)).detail == "+ notify · 41 open runs fit"
