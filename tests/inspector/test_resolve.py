"""The form that gives a failed step's outcome by hand: with the code at hand, and over a database alone."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flowkit import checkpoint, step, workflow
from flowkit.testing import Lab
from tests.inspector.loaded import Loaded
from tests.inspector.served import SAME_ORIGIN, Reply, Served, serving
from tests.inspector.stories import HOSTILE

OP, OTHER = "a" * 32, "b" * 32
JSON = [("Content-Type", "application/json"), *SAME_ORIGIN]


class Declined(Exception):
    """What the bank says."""


@dataclass
class Receipt:
    """What a charge gives."""

    id: str
    cents: int


def refund(receipt: Receipt) -> None:
    """Undoes a charge."""


@step(retries=1, backoff=0, rollback=refund)
def charge(cents: int, token: str) -> Receipt:
    raise Declined(f"no funds\n{HOSTILE[0]}")


@step(retries=0)
def count(of: str) -> int | None:
    raise ValueError("cannot count")


@workflow
def order(cents: int) -> str:
    checkpoint("begin")
    return charge(cents, "s3cret").id


@workflow
def counting(of: str) -> Any:
    return count(of)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "failed.db"
    with Lab(file) as lab:
        for id, flow, given in (("o-1", order, 500), ("c-1", counting, "sheep")):
            lab.start(id, flow, given)
            with contextlib.suppress(Exception):
                lab.run_to_end(id)
    return file


@pytest.fixture
def alone(file: Path) -> Iterator[Served]:
    with serving(file) as served:
        yield served


@pytest.fixture
def loaded(file: Path) -> Iterator[Served]:
    code = Loaded(file, order, counting)
    with code.flowkit, serving(file, code=code) as served:
        yield served


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def press(served: Served, path: str, **fields: object) -> Reply:
    page = served.ask(path).text
    return served.post(path, op=hidden(page, "op"), seen=hidden(page, "seen"), **fields)


CHARGE, COUNT = "/runs/o-1/e/2/resolve", "/runs/c-1/e/1/resolve"
RECEIPT = '{"id": "by phone", "cents": 5}'


def entry(served: Served, path: str) -> dict[str, Any]:
    return dict(served.ask(path.removesuffix("/resolve") + ".json").json())


def test_the_entry_of_the_step_that_stopped_the_run_leads_to_the_form(alone: Served) -> None:
    assert f'href="{CHARGE}"' in alone.ask("/runs/o-1/e/2").text
    assert "Resolve by hand" not in alone.ask("/runs/o-1/e/1").text


def test_the_form_is_made_from_the_return_annotation(loaded: Served) -> None:
    charged, counted = loaded.ask(f"{CHARGE}.json").json(), loaded.ask(f"{COUNT}.json").json()

    assert (charged["checked"], charged["field"]["control"], charged["annotation"]) == (True, "group", "Receipt")
    assert (counted["field"]["control"], counted["allows_nothing"], counted["rollback"]) == ("number", True, "")
    assert [(part["label"], part["control"]) for part in charged["field"]["children"]] == [("id", "text"), ("cents", "number")]
    assert not charged["allows_nothing"]


def test_a_value_is_given_and_the_entry_says_so(loaded: Served) -> None:
    reply = press(loaded, CHARGE, how="value", reason="charged by phone", **{"a.value": RECEIPT})

    assert reply.status == 303
    assert loaded.client.get("o-1").status() == "pending"
    assert "Resolved by hand at" in loaded.ask(reply.headers["location"]).text
    hand = entry(loaded, CHARGE)["by_hand"]
    assert (hand["what"], hand["reason"], hand["who"], hand["unchecked"]) == (
        "Its value was given", "charged by phone", "inspector", False,
    )  # fmt: skip


def test_a_value_is_given_in_a_field_for_each_of_its_parts(loaded: Served) -> None:
    reply = press(loaded, CHARGE, how="value", reason="by phone", **{"a.value.id": "by phone", "a.value.cents": "5"})

    assert reply.status == 303
    assert loaded.client.get("o-1").history()[1].output == {"id": "by phone", "cents": 5}


def test_a_part_that_does_not_fit_is_named_at_its_field(loaded: Served) -> None:
    reply = press(loaded, CHARGE, how="value", reason="by phone", **{"a.value.id": "by phone", "a.value.cents": "much"})

    assert reply.status == 422
    assert re.search(r'value="much"[^>]* aria-describedby="a.value.cents-fault"', reply.text)
    assert loaded.client.get("o-1").status() == "failed"


def test_the_value_can_be_given_as_json_and_the_rest_of_the_form_stays(loaded: Served) -> None:
    fields = {"a.value.id": "by phone", "a.value.cents": "5"}

    page = press(loaded, CHARGE, how="value", reason="my reason", do="json value", **fields).text

    assert 'name="j.value"' in page
    assert 'value="my reason"' in page
    assert "&#34;cents&#34;: 5" in page
    assert loaded.client.get("o-1").status() == "failed"


def test_the_run_pages_history_names_it(loaded: Served) -> None:
    press(loaded, CHARGE, how="value", reason="charged by phone", **{"a.value": RECEIPT})

    assert "resolved by hand" in loaded.ask("/runs/o-1").text
    assert "before resolve 1" in loaded.ask("/runs/o-1").text


def test_the_attempts_stay_and_no_attempt_is_made_up(loaded: Served) -> None:
    press(loaded, CHARGE, how="value", reason="charged by phone", **{"a.value": RECEIPT})

    assert [attempt["outcome"] for attempt in entry(loaded, CHARGE)["attempts"]] == ["failed", "failed"]


@pytest.mark.parametrize("value", ['{"id": 5}', "{", "", '{"id": "x", "cents": "y"}'])
def test_a_value_that_does_not_fit_is_the_form_again_filled_in(loaded: Served, value: str) -> None:
    reply = press(loaded, CHARGE, how="value", reason="my reason", **{"a.value": value})

    assert reply.status == 422
    assert 'value="my reason"' in reply.text
    assert loaded.client.get("o-1").status() == "failed"


def test_a_reason_is_required(loaded: Served) -> None:
    reply = press(loaded, CHARGE, how="value", reason="  ", **{"a.value": RECEIPT})

    assert (reply.status, "a reason is required" in reply.text) == (422, True)


def test_nothing_is_given_where_the_annotation_allows_it(loaded: Served) -> None:
    assert press(loaded, CHARGE, how="nothing", reason="because").status == 422
    assert press(loaded, COUNT, how="nothing", reason="because").status == 303


def test_an_error_of_the_steps_module_is_given(loaded: Served) -> None:
    assert press(loaded, CHARGE, how="error", type="Refused", text="x", reason="because").status == 422

    assert press(loaded, CHARGE, how="error", type="Declined", text="by hand", reason="because").status == 303

    assert entry(loaded, CHARGE)["error"]["message"] == "by hand"


def test_changed_arguments_are_kept_and_secrets_are_neither_shown_nor_changed(loaded: Served) -> None:
    page = loaded.ask(f"{CHARGE}.json").json()
    edited = page["arguments"].replace("500", "400")

    reply = press(loaded, CHARGE, how="again", arguments=edited, reason="a discount")

    assert "s3cret" not in page["arguments"]
    assert reply.status == 303
    assert entry(loaded, CHARGE)["by_hand"]["args"] == [["cents", "400"]]


def test_the_rollback_can_be_switched_off(loaded: Served) -> None:
    assert "The step&#39;s rollback will be given this value" in loaded.ask(CHARGE).text

    press(loaded, CHARGE, how="value", norollback="on", reason="because", **{"a.value": RECEIPT})

    assert entry(loaded, CHARGE)["rollback"] == ""


def test_without_code_json_is_taken_and_the_page_says_that_nobody_checks(alone: Served) -> None:
    assert "No code is loaded here" in alone.ask(CHARGE).text

    press(alone, CHARGE, how="value", reason="because", **{"a.value": RECEIPT})

    assert entry(alone, CHARGE)["by_hand"]["unchecked"]


def test_the_same_post_again_gets_the_first_answer(loaded: Served) -> None:
    fields: dict[str, object] = {"op": OP, "how": "value", "reason": "because", "a.value": RECEIPT}

    first, again = loaded.post(CHARGE, **fields), loaded.post(CHARGE, **fields)

    assert (first.status, again.status) == (303, 303)
    assert len(loaded.client.get("o-1").history(archived=True)) == 1


def test_a_page_that_is_out_of_date_changes_nothing(loaded: Served) -> None:
    seen = hidden(loaded.ask(CHARGE).text, "seen")
    loaded.client.get("o-1").recover()

    reply = loaded.post(CHARGE, op=OTHER, seen=seen, how="value", reason="because", **{"a.value": RECEIPT})

    assert reply.status == 409
    assert not loaded.client.get("o-1").history()[1].by_hand


def test_another_step_cannot_be_resolved(loaded: Served) -> None:
    page = loaded.ask("/runs/o-1/e/1/resolve").text

    assert "There is nothing to resolve here" in page
    assert loaded.post("/runs/o-1/e/1/resolve", op=OP, how="nothing", reason="because").status == 422


@pytest.mark.parametrize("fields", [{"op": "x"}, {"seen": "x"}, {"how": "magic"}, {"how": "again", "arguments": "[1]"}])
def test_a_form_that_is_none_is_refused(loaded: Served, fields: dict[str, str]) -> None:
    given: dict[str, object] = {"op": OP, "how": "nothing", "reason": "because", **fields}

    assert loaded.post(CHARGE, **given).status == 422


def test_json_is_answered_in_json(loaded: Served) -> None:
    body = b'{"how": "value", "value": {"id": "x", "cents": 1}, "reason": "because"}'

    reply = loaded.ask(f"{CHARGE}.json", method="POST", headers=JSON, body=body)

    assert (reply.status, reply.json()["outcome"], reply.json()["status"]) == (200, "done", "pending")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_arrive_as_text(loaded: Served, text: str) -> None:
    press(loaded, CHARGE, how="error", type="Declined", text=text, reason=text)

    page = loaded.ask("/runs/o-1/e/2").text
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_a_read_only_inspector_has_no_such_form(file: Path) -> None:
    with serving(file, read_only=True) as served:
        assert served.ask(CHARGE).status == 404
        assert "Resolve by hand" not in served.ask("/runs/o-1/e/2").text
