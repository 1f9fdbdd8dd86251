"""Tags are changed on a run's page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.inspector.served import SAME_ORIGIN, Served, serving
from tests.inspector.stories import HOSTILE

OP = "a" * 32
JSON = [("Content-Type", "application/json"), *SAME_ORIGIN]
TAGS = "/runs/order-1/tags"


def tags_of(served: Served, id: str = "order-1") -> tuple[str, ...]:
    row = served.client.driver.get(id)
    assert row is not None
    return row.tags


def op_on(served: Served) -> str:
    """The op of the form on the run's page."""
    page = served.ask("/runs/order-1").text
    found = re.search(r'action="/runs/order-1/tags"[^>]*>\s*<input type="hidden" name="op" value="([0-9a-f]{32})"', page)
    assert found is not None
    return found[1]


def test_tags_are_put_on_and_taken_off_and_the_page_says_so(own: Served) -> None:
    own.post(TAGS, op=op_on(own), on="vip, new york")

    reply = own.post(TAGS, op=op_on(own), on="eu", **{"off.1": "vip"})

    assert reply.status == 303
    assert {"new york", "eu"} <= set(tags_of(own))
    assert "vip" not in tags_of(own)
    said = own.ask(reply.headers["location"]).text
    assert "Tags changed" in said
    assert ">new york</a>" in said


def test_the_list_finds_a_run_by_its_new_tag(own: Served) -> None:
    own.post(TAGS, op=OP, on="vip")

    assert [item["id"] for item in own.ask("/runs.json?tag=vip").json()["items"]] == ["order-1"]


def test_the_same_post_again_changes_nothing_more(own: Served) -> None:
    own.post(TAGS, op=OP, on="vip")
    own.post(TAGS, op="b" * 32, **{"off.1": "vip"})

    assert own.post(TAGS, op=OP, on="vip").status == 303
    assert "vip" not in tags_of(own)


def test_the_record_of_verbs_tells_who_changed_which_tags(own: Served) -> None:
    own.post(TAGS, op=OP, on="vip")

    deed = own.app.site.reader.deed(OP)

    assert (deed.verb, deed.who, deed.result) == ("tag +vip", "inspector", "completed")


@pytest.mark.parametrize("fields", [{}, {"on": "a/b"}, {"on": "x" * 300}, {"op": "x", "on": "vip"}, {"off.1": "absent"}])
def test_a_change_that_cannot_be_is_told_on_the_runs_page(own: Served, fields: dict[str, str]) -> None:
    before = tags_of(own)

    reply = own.post(TAGS, **{"op": OP, **fields})

    assert reply.status == 422
    assert "The tags were not changed" in reply.text
    assert tags_of(own) == before


def test_an_unknown_run_is_not_found(own: Served) -> None:
    assert own.post("/runs/nobody/tags", op=OP, on="vip").status == 404


def test_json_is_answered_in_json(own: Served) -> None:
    reply = own.ask(f"{TAGS}.json", method="POST", headers=JSON, body=b'{"on": "vip"}')

    assert (reply.status, reply.json()["outcome"]) == (200, "done")


@pytest.mark.parametrize("text", [each.replace("/", "").replace("#", "") for each in HOSTILE if "," not in each])
def test_a_hostile_tag_arrives_as_text_and_can_be_taken_off(own: Served, text: str) -> None:
    own.client.desk.tag("order-1", [text], [])
    page = own.ask("/runs/order-1").text
    shown = own.ask("/runs/order-1.json").json()["head"]["item"]["tags"][-1]["text"]

    own.post(TAGS, op=OP, **{"off.1": shown})

    assert "<script>alert" not in page
    assert text not in tags_of(own)


def test_a_read_only_inspector_has_no_such_form(small_file: Path) -> None:
    with serving(small_file, read_only=True) as served:
        assert "Change tags" not in served.ask("/runs/order-1").text
        assert served.post(TAGS, op=OP, on="vip").status in (404, 405)
