"""Bulks over HTTP: what one would do stands there first, and many want their number typed."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

from flowkit.core.bulk import op_of
from tests.inspector.bulks import JSON, OP, ended, form_of, press, rows_of, statuses
from tests.inspector.served import Served, serving
from tests.inspector.stories import HOSTILE

# --- before ---------------------------------------------------------------------------------------------------------


def test_the_page_before_says_what_for_how_many_and_which(small: Served) -> None:
    reply = small.ask("/bulk/new?verb=recover")
    model = small.ask("/bulk/new.json?verb=recover").json()
    failed = [item["id"] for item in small.ask("/runs.json?status=failed").json()["items"]]

    assert reply.status == 200
    assert f"<h1>Recover {len(failed)} runs</h1>" in reply.text
    assert "what failed gets fresh attempts" in reply.text
    assert [item["id"] for item in model["sample"]] == failed
    assert model["filter"] == [{"name": "status", "value": "failed"}]
    assert f"flowkit bulk recover --status failed --yes {len(failed)}" in html.unescape(reply.text)


def test_a_filter_is_frozen_as_it_was_asked(small: Served) -> None:
    hidden = form_of(small.ask("/bulk/new?verb=pause&since=90000h&workflow=checkout").text)

    assert re.fullmatch(r"\d+\.\d{3}", hidden["since"])
    assert hidden["workflow"] == "checkout"
    assert hidden["top"] == str(max(item.seq for item in rows_of(small)))


@pytest.mark.parametrize(
    "query", ["status=nonsense", "status=failed,nonsense", "since=nonsense", "stauts=failed", "tags=x", "q=error:no"]
)
def test_a_filter_that_cannot_be_read_is_never_one_of_all_runs(own: Served, query: str) -> None:
    page = own.ask(f"/bulk/new?verb=cancel&{query}")
    fields = dict(part.split("=") for part in query.split("&"))
    posted = own.post("/bulk", op=OP, verb="cancel", **fields)

    assert (page.status, posted.status) == (422, 422)
    assert 'action="/bulk"' not in page.text
    assert own.client.driver.bulks(9) == []


def test_a_verb_that_no_run_of_the_filter_allows_is_not_offered(small: Served) -> None:
    page = small.ask("/bulk/new?verb=recover&status=completed")

    assert page.status == 200
    assert "This verb is for runs that are failed, and the filter asks for none of these." in page.text
    assert '/runs?status=completed">see them' in page.text
    assert 'action="/bulk"' not in page.text


def test_runs_that_are_being_rolled_back_are_left_out_of_a_cancel_and_that_is_said(small: Served) -> None:
    page = small.ask("/bulk/new?verb=cancel")

    assert "Runs that are being rolled back are left out" in page.text
    assert "rolling_back" not in form_of(page.text)["status"]


def test_an_unknown_verb_and_an_unknown_bulk_are_not_found(small: Served) -> None:
    for path in ("/bulk/new?verb=destroy", "/bulk/new", "/bulk/99", f"/bulk/{10**30}", "/bulk/99.json"):
        assert small.ask(path).status == 404, path
    assert small.post(f"/bulk/{10**30}/stop").status == 404


def test_the_run_list_leads_to_its_verbs(small: Served, small_file: Path) -> None:
    failed, all_of_them = small.ask("/runs?status=failed").text, small.ask("/runs").text
    count = len(small.ask("/runs.json?status=failed").json()["items"])

    assert f"Do this to all {count}</summary>" in failed
    assert "/bulk/new?verb=recover&amp;status=failed" in failed
    assert "verb=pause" not in failed
    assert "verb=pause" in all_of_them
    with serving(small_file, read_only=True) as served:
        assert "/bulk/new" not in served.ask("/runs").text
        assert served.ask("/bulk").status == 200
        assert served.ask("/bulk/new?verb=pause").status == 404


# --- doing it -------------------------------------------------------------------------------------------------------


def test_a_bulk_is_done_and_its_page_says_so(own: Served) -> None:
    count = len(own.ask("/runs.json?status=failed").json()["items"])

    reply = press(own, "/bulk/new?verb=recover")
    item = ended(own)

    assert (reply.status, reply.headers["location"]) == (303, "/bulk/1")
    assert (item["state"]["word"], item["done"], item["percent"]) == ("done", str(count), 100)
    assert statuses(own, status="failed") == set()
    page = own.ask("/bulk/1").text
    assert f"Recover {count} runs" in page
    assert "Stop</button>" not in page
    assert f"Recover {count} runs" in own.ask("/bulk").text


def test_every_run_says_which_bulk_it_was(own: Served) -> None:
    press(own, "/bulk/new?verb=pause&q=order-4")
    ended(own)

    run = own.client.get("order-4")
    deed = own.app.site.reader.deed(op_of(own.client.driver.bulk(1).id, run.seq))  # type: ignore[union-attr]
    assert (deed.verb, deed.who) == ("pause", "inspector, bulk 1")
    assert "from the inspector, bulk 1" in own.ask("/runs/order-4").text


def test_the_same_form_again_is_the_same_bulk(own: Served) -> None:
    hidden = form_of(own.ask("/bulk/new?verb=pause").text)

    first, second = own.post("/bulk", **hidden), own.post("/bulk", **hidden)

    assert first.headers["location"] == second.headers["location"] == "/bulk/1"
    assert len(own.client.driver.bulks(9)) == 1


def test_more_than_a_hundred_want_their_number_typed(many: Served) -> None:
    hidden = form_of(many.ask("/bulk/new?verb=pause").text)

    none, wrong = many.post("/bulk", **hidden), many.post("/bulk", **hidden, typed="15")
    right = many.post("/bulk", **hidden, typed=" 150 ")

    assert (none.status, wrong.status, right.status) == (422, 422, 303)
    assert "These are 150 runs: type their number to go on." in none.text
    assert ended(many)["done"] == "150"
    assert statuses(many) == {"paused"}


def test_a_hundred_do_not(many: Served) -> None:
    assert press(many, "/bulk/new?verb=pause&q=n-0").status == 303


def test_more_than_the_page_said_are_asked_for_again(many: Served) -> None:
    hidden = form_of(many.ask("/bulk/new?verb=pause").text) | {"count": "120"}

    reply = many.post("/bulk", **hidden, typed="120")

    assert reply.status == 409
    assert "These are 150 runs by now, more than the page said." in reply.text
    assert many.client.driver.bulks(9) == []


def test_what_is_gone_by_the_time_it_is_asked_begins_nothing(own: Served) -> None:
    hidden = form_of(own.ask("/bulk/new?verb=pause&q=order-4").text)
    own.client.get("order-4").cancel()

    reply = own.post("/bulk", **hidden)

    assert reply.status == 409
    assert "No run meets this any more" in reply.text


def test_a_message_is_asked_for_with_its_fields_and_they_stay_when_it_is_refused(own: Served) -> None:
    hidden = form_of(own.ask("/bulk/new?verb=send&q=order-4").text)

    refused = own.post("/bulk", **hidden, name="note", data='{"a": ')
    sent = own.post("/bulk", **hidden, name="note", data='{"a": 1}')

    assert refused.status == 422
    assert "the data is not JSON" in refused.text
    assert '<textarea name="data" rows="3" spellcheck="false">{&#34;a&#34;: </textarea>' in refused.text
    assert sent.status == 303
    assert ended(own)["done"] == "1"
    assert [message.name for message in own.client.driver.inbox(own.client.get("order-4").seq, (), 9)] == ["note"]


def test_a_bulk_is_asked_and_stopped_in_json(many: Served) -> None:
    body = b'{"verb": "pause", "workflow": "nap", "count": "150", "typed": "150", "op": "' + OP.encode() + b'"}'

    begun = many.ask("/bulk.json", method="POST", headers=JSON, body=body)
    missing = many.ask("/bulk/9/stop.json", method="POST", headers=JSON, body=b"{}")
    untyped = many.ask("/bulk.json", method="POST", headers=JSON, body=b'{"verb": "resume", "workflow": "nap", "op": "x"}')
    stopped = many.ask("/bulk/1/stop.json", method="POST", headers=JSON, body=b"{}")

    assert (begun.status, begun.json()) == (200, {"outcome": "begun", "message": "", "bulk": 1, "op": OP})
    assert (missing.status, untyped.status) == (404, 422)
    assert stopped.json()["state"] in ("stopping", "stopped", "done")


def test_a_misspelt_filter_in_json_begins_nothing(own: Served) -> None:
    reply = own.ask("/bulk.json", method="POST", headers=JSON, body=b'{"verb": "cancel", "workflows": "checkout"}')

    assert (reply.status, reply.json()["outcome"]) == (422, "refused")
    assert "there is no filter 'workflows'" in reply.json()["message"]
    assert own.client.driver.bulks(9) == []


@pytest.mark.parametrize("text", [text for text in HOSTILE if set(text) & set("<>")])
@pytest.mark.parametrize("field", ["workflow", "tag", "q", "status", "since", "verb", "name", "<b>"])
def test_no_text_of_a_filter_becomes_markup(hostile: Served, text: str, field: str) -> None:
    page = hostile.ask(f"/bulk/new?{urlencode({'verb': 'send', field: text})}").text

    assert text not in page
    assert "<b>" not in page
