"""From entries to rows: the tree of a history, what is folded and marked in it, and the values and errors of one entry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as changed

from flowkit.client.reader import Body
from flowkit.core.entry import FailedAttempt
from tests.inspector.given import NOW, ROW, made, module

history, values, entries = map(module, ("history", "values", "entry"))


def names(rows: Any) -> list[str]:
    return [f"{'.' * row.depth}{row.lead}{'/' if row.lead else ''}{row.name}" for row in rows]


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
    progress = b'{"turn":9986,"pruned":9957,"state":0}'
    loop = made(1, "pack", kind="loop", output=progress, status="running", settled_at=None)
    turns = [made(n + 2, f"pack/~{n + 9957}/label", parent=1, status="failed" if n == 15 else "completed") for n in range(30)]

    found = history.rows_of(ROW, [loop, *turns], [], NOW)

    assert [row.lead or row.name for row in found[1:]] == [
        "turn 9,958", "turn 9,959", "13 turns folded", "turn 9,973", "11 turns folded", "turn 9,985", "turn 9,986", "turn 9,987",
    ]  # fmt: skip
    assert found[0].note == "turn 9,987 · 30 turns kept, 9,957 pruned · p50 1.0 s · 1 failed"
    assert len(history.rows_of(ROW, [loop, *turns], [], NOW, unfold=[1])) == 31


def test_figures_of_a_window_say_over_how_many_turns_they_are() -> None:
    loop = made(1, "pack", kind="loop", output=b'{"turn":500,"state":0}', status="running", settled_at=None)
    turns = [made(n, f"pack/~{n}/label", parent=1) for n in range(401, 501)]

    (first, *_) = history.rows_of(ROW, turns, [loop], NOW)

    assert first.note == "turn 501 · 501 turns kept · of 100 shown · p50 1.0 s"


def test_a_turn_that_has_recorded_nothing_yet_is_neither_kept_nor_pruned() -> None:
    loop = made(1, "pack", kind="loop", output=b'{"turn":1,"state":0}', status="running", settled_at=None)

    (first, *_) = history.rows_of(ROW, [loop, made(2, "pack/~0/label", parent=1)], [], NOW)

    assert first.note == "turn 2 · 1 turn kept · p50 1.0 s"


def test_what_was_set_aside_goes_no_further_and_was_not_handled() -> None:
    entries = [made(1, "x", status="exhausted"), made(2, "y", status="pending", settled_at=None)]

    failed, pending = history.rows_of(ROW, entries, [], NOW + 3600, archived=7)

    assert (failed.state.detail, failed.failing, failed.href) == ("", True, "/runs/order-1/e/1?archived=7")
    assert pending.bar.width < 5


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


@pytest.mark.parametrize(
    ("fields", "loaded", "note"),
    [
        ({"status": "pending", "code": "0ld000-1"}, "new000", "interrupted by reload, will run again"),
        ({"status": "blocked", "code": "0ld000-1"}, "new000", "interrupted by reload, will run again"),
        ({"status": "pending", "code": "new000-1"}, "new000", "interrupted"),
        ({"status": "pending", "code": "0ld000-1", "crashes": 1}, "new000", "interrupted"),
        ({"status": "pending", "code": "0ld000-1"}, "", "interrupted"),
        ({"status": "running", "code": "0ld000-1", "owner": 7}, "new000", ""),
        ({"status": "cancelled", "code": "0ld000-1"}, "new000", ""),
    ],
)
def test_a_body_that_nobody_runs_any_more_is_interrupted(fields: dict[str, Any], loaded: str, note: str) -> None:
    begun = made(2, "charge", status="running", settled_at=None, attempts=1)

    found = history.rows_of(changed(ROW, **fields), [made(1, "reserve"), begun], [], NOW, gone=history.Gone((), loaded))

    assert [row.note for row in found] == ["", note]


def test_placeholders_are_struck_and_versions_say_which() -> None:
    old = made(1, "validate", kind="removed", output=b'{"kind":"step"}')
    entries = [old, made(2, "tell", kind="version", output=b'{"answer":2,"latest":3}')]

    found = history.rows_of(ROW, entries, [], NOW, code="3f2a91")

    assert (found[0].struck, found[0].state.icon, found[0].state.group) == (True, "removed", "parked")
    assert found[0].note == "placeholder: this step was taken out, code 3f2a91"
    assert found[1].line == "2 of 3"


def test_what_the_code_no_longer_makes_is_marked_with_all_below_it() -> None:
    loop = made(1, "pack", kind="loop", status="running", settled_at=None, output=b'{"turn":1,"state":0}')
    entries = [loop, made(2, "pack/~0/label", parent=1), made(3, "pack/~0/both", kind="join"), made(4, "pack/~0/both/a/pay")]
    gone = history.Gone(("pack/~/both",), "8c10de")

    found = {row.seq: row for row in history.rows_of(ROW, entries, [], NOW, gone=gone)}

    assert [(row.struck, row.state.icon, row.state.word) for row in (found[3], found[4])] == [(True, "removed", "completed")] * 2
    assert found[3].note.endswith("not made by code 8c10de")
    assert (found[1].struck, found[2].struck) == (False, False)


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


def test_a_timeout_says_that_a_thread_may_go_on_even_when_it_used_up_the_attempts() -> None:
    timeout = b'{"type":"flowkit.errors.StepTimeout","message":"too long"}'
    exhausted = b'{"type":"flowkit.errors.StepExhausted","message":"failed 2 times","attributes":{"error":%s}}' % timeout

    notes = [entries.error_of(made(1, "x", status="exhausted", error=error)).note for error in (timeout, exhausted)]

    assert all("its thread may still be working" in note for note in notes)
    assert "failed 2 times · " in notes[1]


def test_attempts_tell_what_they_took_and_what_was_waited() -> None:
    failure = FailedAttempt(
        entry=1, n=1, started_at=NOW, ended_at=NOW + 1, retry_at=NOW + 3, error=b'{"type":"E","message":"no"}'
    )

    first, second = entries.attempts_of(made(1, "x", attempts=2, created_at=NOW, settled_at=NOW + 5), [failure], NOW)

    assert (first.number, first.took, first.waited, first.outcome) == (1, "1.0 s", "2.0 s", "failed")
    assert (second.number, second.took, second.outcome) == (2, "2.0 s", "completed")
