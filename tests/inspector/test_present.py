"""From rows to view-models: pure, so everything is given.

Longer than 400 lines because every sentence that a run or an entry may have stands here, one case a line.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as changed

from flowkit.client.livecode import Cause, CodeState, LoadError, Parameter
from flowkit.client.reader import RunRow, Stop
from flowkit.client.verbs import RewindPlan
from tests.inspector.given import NOW, ROW, made, module

states, times, runs, banner, crews, schema, launch, confirm = map(
    module, ("states", "times", "runs", "banner", "crew", "schema", "launch", "confirm")
)
Crew, NOBODY = crews.Crew, crews.NOBODY


def said(row: RunRow, failure: Any = None) -> str:
    """A run's sentence as it is first rendered."""
    return "".join(piece.text for piece in states.pieces(states.run_sentence(row, NOW, failure), NOW))


# --- states


@pytest.mark.parametrize(
    ("fields", "icon", "group", "sentence"),
    [
        ({"status": "pending"}, "pending", "active", "starts when a worker is free"),
        ({"status": "pending", "wake_at": NOW + 7200}, "pending", "active", "starts at 02:00:00, in 2 h"),
        ({"status": "running"}, "running", "active", "for 3.0 s"),
        ({"status": "running", "current": "charge", "attempts": 1}, "running", "active", "after charge, 3.0 s ago"),
        ({"status": "running", "current": "charge", "attempts_max": 6}, "running", "active", "charge, for 3.0 s"),
        (
            {"status": "running", "current": "charge", "attempts": 1, "attempts_max": 6, "error_line": "E: no"},
            "running", "active", "charge, attempt 2 of 6, for 3.0 s",
        ),
        (
            {"status": "running", "current": "charge", "attempts": 6, "attempts_max": 6, "error_line": "E: no"},
            "running", "active", "after charge, 3.0 s ago",
        ),
        ({"status": "sleeping", "wake_at": NOW + 60}, "sleeping", "parked", "until 00:01:00, in 1 min"),
        (
            {"status": "sleeping", "wake_at": NOW + 7200, "current": "cool-off"},
            "sleeping", "parked", "cool-off until 02:00:00, in 2 h",
        ),
        (
            {"status": "sleeping", "waiting": ("paid", "rejected"), "wake_at": NOW + 60},
            "message", "parked", "waits for paid or rejected until 00:01:00",
        ),
        ({"status": "sleeping", "waiting": ("*",)}, "message", "parked", "waits for any message"),
        (
            {
                "status": "sleeping", "wake_at": NOW + 60, "error_line": "E: no", "attempts": 2, "attempts_max": 6,
                "current": "charge",
            },
            "retrying", "attention", "retries charge at 00:01:00, attempt 2 of 6 failed",
        ),
        (
            {"status": "rolling_back", "current": "reserve", "owes": 3, "undone": 2},
            "rolling-back", "active", "undoing reserve, 2 of 5 done",
        ),
        ({"status": "cancelled"}, "cancelled", "parked", ""),
        ({"status": "cancelled", "undone": 1, "owes": 2}, "cancelled", "parked", "1 of 3 undone"),
        ({"status": "completed", "started_at": NOW - 180, "finished_at": NOW}, "completed", "done", "in 3 min"),
        ({"status": "paused"}, "paused", "parked", "until it is resumed"),
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
    row = changed(ROW, status="failed", current="charge", undone=2, error_line="E: no")
    failure = states.failure_of(row, "E: no", "E", made(3, "charge", status="failed", attempts=1))

    assert said(row, failure) == "at charge: E: no, rolled back"
    assert said(changed(row, undone=0), failure) == "at charge: E: no"


def test_an_unfinished_rollback_names_the_handler_that_stopped_and_its_error() -> None:
    row = changed(ROW, status="failed", ending="failed", current="refund", owes=1, error_line="OSError: closed")
    failure = states.failure_of(row, "E: no", "E", made(3, "charge", status="exhausted", attempts=6))

    assert said(row, failure) == "rollback unfinished at refund: OSError: closed"


@pytest.mark.parametrize(
    ("fields", "stop", "sentence"),
    [
        ({"status": "paused"}, {"who": "CLI", "due": NOW + 7200}, "from the CLI; next due 02:00:00"),
        ({"status": "paused"}, {"who": "pid 42"}, "from pid 42"),
        ({"status": "cancelled", "undone": 2}, {"who": "inspector"}, "from the inspector, rolled back"),
        ({"status": "cancelled"}, {"who": "inspector"}, "from the inspector"),
    ],
)
def test_a_run_that_was_stopped_says_from_where(fields: dict[str, Any], stop: dict[str, Any], sentence: str) -> None:
    assert said(changed(ROW, **fields), Stop(**stop)) == sentence


HERE, THERE = Crew(frozenset((7,)), frozenset(("checkout",))), Crew(frozenset((7,)), frozenset(("refund",)))
SOMEBODY = Crew(frozenset((7,)), None)


@pytest.mark.parametrize(
    ("fields", "crew", "mark"),
    [
        ({"status": "sleeping", "wake_at": NOW - 11}, NOBODY, "no worker"),
        ({"status": "sleeping", "wake_at": NOW - 9}, NOBODY, ""),
        ({"status": "sleeping", "wake_at": NOW - 11}, HERE, ""),
        ({"status": "sleeping", "wake_at": NOW - 11}, SOMEBODY, ""),
        ({"status": "sleeping", "wake_at": NOW}, THERE, "no code"),
        ({"status": "sleeping", "wake_at": NOW + 1}, THERE, ""),
        ({"status": "sleeping", "wake_at": None}, THERE, ""),
        ({"status": "pending", "wake_at": NOW - 1}, THERE, "no code"),
        ({"status": "rolling_back", "wake_at": NOW - 1}, THERE, "no code"),
        ({"status": "running", "owner": 3}, HERE, "dead worker"),
        ({"status": "running", "owner": 7}, THERE, ""),
        ({"status": "paused", "wake_at": NOW - 11}, THERE, ""),
        ({"status": "blocked", "wake_at": NOW - 11}, NOBODY, ""),
        ({"status": "completed"}, NOBODY, ""),
    ],
)
def test_a_run_is_unattended_when_its_owner_is_dead_or_nobody_would_take_it_up(
    fields: dict[str, Any], crew: Any, mark: str
) -> None:
    assert crews.unattended(changed(ROW, **fields), crew, NOW) == mark


def test_a_run_whose_workflow_nobody_serves_says_so() -> None:
    item = runs.run_item(changed(ROW, status="pending", wake_at=NOW - 1), NOW, None, THERE)

    assert item.unattended
    assert "".join(piece.text for piece in item.sentence) == "no code: no worker serves checkout"


@pytest.mark.parametrize(
    ("fields", "crew", "text"),
    [
        ({"status": "pending", "wake_at": NOW}, HERE, ""),
        ({"status": "pending", "wake_at": NOW}, NOBODY, "No worker is running. It goes on once a worker serves it."),
        (
            {"status": "pending", "wake_at": NOW}, THERE,
            "No worker that is running serves its workflow. It goes on once a worker serves it.",
        ),
        (
            {"status": "sleeping", "wake_at": NOW + 60}, NOBODY,
            "No worker is running. It sleeps on, and goes on once it is due and a worker serves it.",
        ),
        ({"status": "running", "owner": 7}, THERE, ""),
        ({"status": "blocked", "error_line": "HistoryDiverged: no fit"}, NOBODY, ""),
        ({"status": "paused"}, NOBODY, ""),
        ({"status": "cancelled"}, NOBODY, ""),
    ],
)  # fmt: skip
def test_a_page_says_what_must_come_before_a_run_goes_on(fields: dict[str, Any], crew: Any, text: str) -> None:
    assert crews.outlook(changed(ROW, **fields), crew, NOW) == text


def test_attempts_stand_in_lists_once_there_was_more_than_a_first_try() -> None:
    found = [
        runs.run_item(changed(ROW, **fields), NOW).attempts
        for fields in (
            {"attempts": 1}, {"attempts": 0, "attempts_max": 6}, {"attempts": 3},
            {"attempts": 1, "attempts_max": 6, "error_line": "E: no"},
            {"status": "sleeping", "attempts": 1, "attempts_max": 6, "error_line": "E: no"},
            {"status": "failed", "attempts": 6, "attempts_max": 6, "error_line": "E: no"},
        )
    ]  # fmt: skip

    assert found == ["", "", "3", "2 of 6", "1 of 6", "6 of 6"]


def test_a_retrying_entry_says_how_many_attempts_of_how_many() -> None:
    row = changed(ROW, status="sleeping", current="charge", attempts=2, attempts_max=6, error_line="E: no")
    entry = made(1, "charge", status="retrying", attempts=2, settled_at=None)

    assert states.entry_state(entry, row).detail == "2 of 6"
    assert states.entry_state(entry, changed(row, current="other")).detail == "attempt 2 failed"


def test_a_failure_that_was_handled_is_hollow() -> None:
    state = states.entry_state(made(1, "charge", status="exhausted"), handled=True)

    assert (state.icon, state.word, state.group, state.detail) == ("exhausted-hollow", "exhausted", "parked", "handled")


# --- what a verb would do


def test_what_was_to_happen_at_most_once_stands_first_where_a_replay_does_it_again() -> None:
    plan = RewindPlan(effects=("reserve", "pack/~3/charge#2", "send"), archived=("pack", "send"), pruned=(("pack", 1200),))

    told = confirm.confirm_of(ROW, "replay", plan=plan, location="pack/~3/charge#2", once=frozenset(("charge",)))

    assert [(names.title, names.names) for names in told.lists] == [
        ("Declared at_most_once, and yet will happen again", ("pack/~3/charge#2",)),
        ("Will happen again", ("reserve", "send")),
    ]
    assert "So will what 1,200 pruned turns of pack did, of which nothing is recorded any more." in told.sentences
    assert not [sentence for sentence in told.sentences if "No code is loaded" in sentence]


def test_a_recovery_that_is_refused_says_why_and_leads_to_a_replay() -> None:
    told = confirm.confirm_of(ROW, "recover", plan=RewindPlan(refused="the loop has moved on"))

    assert told.refused == "the loop has moved on"
    assert told.sentences == ("Recover is not possible as things stand. A replay would do:",)


def test_many_names_make_a_list_and_few_stand_in_their_sentence() -> None:
    few, many = ("a", "b"), tuple("abcdefgh")

    told = confirm.confirm_of(ROW, "recover", plan=RewindPlan(again=many, undone_again=few, kept=14))

    assert told.sentences == (
        "8 steps get fresh attempts.", "2 steps that were rolled back run again: a, b.", "14 finished ones do not.",
    )  # fmt: skip
    assert [(names.title, names.names) for names in told.lists] == [("Fresh attempts", many), ("Will be done again", few)]


# --- the start form


def test_the_example_of_a_schema_has_what_must_be_there_and_ends_where_a_type_holds_itself() -> None:
    tree = {"type": "object", "required": ["kids", "kind", "at"], "properties": {
        "kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}, "note": {"type": "string"}, "kind": {"enum": ["a", "b"]},
        "at": {"anyOf": [{"type": "null"}, {"type": "string", "format": "date"}]},
    }}  # fmt: skip
    text = msgspec.json.encode({"$ref": "#/$defs/Tree", "$defs": {"Tree": tree}}).decode()

    assert msgspec.json.decode(schema.example(text)) == {"kids": [], "kind": "a", "at": "2026-03-01"}


@pytest.mark.parametrize("text", ["", "[", "[1]", "{}"])
def test_without_a_schema_there_is_nothing_to_show(text: str) -> None:
    assert (schema.example(text), schema.schema_text(text), schema.described(text)) == ("", "", "")


@pytest.mark.parametrize(
    ("kind", "annotation", "text", "python"),
    [
        ("str", "str", '"Ada"', "'Ada'"),
        ("choice", "Size | None", '"S"', "Size('S')"),
        ("choice", "Literal['S', 'M']", '"S"', "'S'"),
        ("date", "date", '"2026-03-01"', "date.fromisoformat('2026-03-01')"),
        ("json", "list[int]", "[1, true]", "[1, True]"),
        ("json", "shop.Order", '{"id": null}', "msgspec.convert({'id': None}, shop.Order)"),
    ],
)
def test_each_kind_of_argument_is_python_that_makes_it(kind: Any, annotation: str, text: str, python: str) -> None:
    refers = '{"$ref": "#/$defs/Order"}' if annotation == "shop.Order" else ""
    parameter = Parameter(name="x", kind=kind, annotation=annotation, schema=refers)

    assert launch.start_line("w", [parameter], {"x": text}, id="1", tags=(), delay="") == f"fk.start('1', w, x={python})"


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

    (need,) = runs.needs(rows, failures, NOW)

    assert (need.count, need.verb, need.item.id) == (3, None, "r0")


def test_a_held_run_is_led_to_what_to_do_and_a_quarantined_one_resumes() -> None:
    held = changed(ROW, status="blocked", error_line="HistoryDiverged: no fit")
    quarantined = changed(ROW, seq=2, id="order-2", status="blocked", error_line="RunConflict: x", crashes=10)

    found = {need.item.id: need for need in runs.needs([held, quarantined], {}, NOW)}

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
    ((place,), lines) = found.causes[0].edits[0].place, found.causes[0].edits[0].lines
    assert (place.text, place.form, lines) == ("app.py:27", "code", 'removed("validate", "step")')


def test_resume_of_a_run_that_crashed_before_it_was_held_promises_no_more_than_a_check() -> None:
    held = changed(ROW, status="blocked", error_line="PayloadError: run r is blocked", crashes=2)
    quarantined = changed(ROW, status="blocked", error_line="RunConflict: it crashed", crashes=10)

    told = [confirm.confirm_of(row, "resume").sentences[0] for row in (held, quarantined)]

    assert told == [
        "It is checked again now, and stays held if it does not fit.", "The crash count starts anew and the run goes on.",
    ]  # fmt: skip


def test_a_run_that_misses_a_worker_is_offered_no_verb_that_would_not_bring_one() -> None:
    due = changed(ROW, status="sleeping", wake_at=NOW - 60, current="cool-off")

    (need,) = runs.needs([due], {}, NOW)

    assert (need.item.unattended, need.verb) == (True, None)


def test_lines_that_go_to_several_places_are_told_place_by_place() -> None:
    cause = Cause(
        workflow="checkout", runs=1, recorded="step `a`", made="", location="a", source="app.py:27",
        lines=('removed("a", "step")', 'removed("b", "step")', 'removed("z", "step")'),
        places=("`app.py:27`, before `charge(order)`",) * 2 + ("`app.py:40`, after `ship(order)`",),
    )  # fmt: skip

    (view,) = banner.causes_of(CodeState(version=1, status="loaded", app="app.py", held=1, causes=(cause,)))

    assert [("".join(piece.text for piece in edit.place), edit.lines) for edit in view.edits] == [
        ("app.py:27, before charge(order)", 'removed("a", "step")\nremoved("b", "step")'),
        ("app.py:40, after ship(order)", 'removed("z", "step")'),
    ]


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
