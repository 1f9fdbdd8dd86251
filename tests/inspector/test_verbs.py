"""Verbs: each happens once, none from a page that is out of date, and the run says what happened."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.inspector.served import SAME_ORIGIN, Reply, Served, serving
from tests.inspector.stories import approval

OP, OTHER = "a" * 32, "b" * 32
JSON = [("Content-Type", "application/json"), *SAME_ORIGIN]


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def press(served: Served, path: str, **fields: object) -> Reply:
    """The confirm page's own form."""
    page = served.ask(path).text
    return served.post(path, op=hidden(page, "op"), seen=hidden(page, "seen"), **fields)


def status_of(served: Served, id: str) -> str:
    return str(served.client.get(id).status())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/order-2/recover", "pending"),
        ("/runs/order-2/replay", "pending"),
        ("/runs/order-4/cancel", "cancelled"),
        ("/runs/order-4/pause", "paused"),
        ("/runs/order-5/resume", "pending"),
        ("/runs/order-4/wake", "sleeping"),
    ],
)
def test_a_verb_is_done_and_the_run_says_so(own: Served, path: str, status: str) -> None:
    reply = press(own, path)

    run = path.split("/")[2]
    assert reply.status == 303
    assert status_of(own, run) == status
    assert f"the run was {status} then" in own.ask(reply.headers["location"]).text


def test_recover_names_what_it_would_do(own: Served) -> None:
    page = own.ask("/runs/order-2/recover").text

    assert "1 step gets fresh attempts: charge." in page
    assert "1 step that was rolled back runs again: reserve." in page
    assert "flowkit recover order-2" in page


def test_cancel_lists_what_would_be_undone_in_order(own: Served) -> None:
    told = own.ask("/runs/order-4/cancel.json").json()["told"]

    assert told["lists"][0] == {
        "title": "Would be undone, in this order", "names": ["charge", "reserve"], "more": 0, "ordered": True, "notes": [],
    }  # fmt: skip


def test_each_way_to_cancel_has_its_command(own: Served) -> None:
    page = own.ask("/runs/order-4/cancel").text

    assert "<code>flowkit cancel order-4 --db" in page
    assert "<code>flowkit cancel order-4 --rollback --db" in page


def test_a_rollback_that_would_be_left_is_named(own: Served) -> None:
    press(own, "/runs/order-4/cancel", rollback=1)

    told = own.ask("/runs/order-4/cancel.json").json()["told"]

    assert told["lists"][0]["title"] == "Is not undone"
    assert not told["can_roll_back"]


def test_replay_says_what_happens_again_and_to_what_it_goes_back(own: Served) -> None:
    told = own.ask("/runs/order-1/replay.json?from=charge").json()["told"]
    loop = own.ask("/runs/pack-1/replay.json?from=pack/~39/label").json()["told"]

    assert told["sentences"] == [
        "4 entries are archived: never deleted, and still to be seen. 1 message returns to the inbox.",
        "The effects of the steps below will happen again.",
        "No code is loaded here, so this page cannot tell which of them are declared at_most_once.",
    ]
    assert told["lists"] == [
        {"title": "Will happen again", "names": ["charge", "notify"], "more": 0, "ordered": False, "notes": []}
    ]
    assert loop["sentences"][1:4] == [
        "It goes back to pack: what lies around pack/~39/label starts over with it.",
        "The effects of the steps below will happen again.",
        "So will what 20 pruned turns of pack did, of which nothing is recorded any more.",
    ]


def test_cancel_with_rollback_rolls_back(own: Served) -> None:
    press(own, "/runs/order-4/cancel", rollback=1)

    assert status_of(own, "order-4") == "rolling_back"


def test_leaving_a_rollback_undone_wants_the_id_typed(own: Served) -> None:
    press(own, "/runs/order-4/cancel", rollback=1)

    assert own.post("/runs/order-4/cancel", op=OP).status == 422
    assert own.post("/runs/order-4/cancel", op=OTHER, typed="order-4").status == 303
    assert status_of(own, "order-4") == "cancelled"


def test_the_same_post_again_gets_the_first_answer(own: Served) -> None:
    first = own.post("/runs/order-2/recover", op=OP)
    again = own.post("/runs/order-2/recover", op=OP)

    assert (first.status, again.status) == (303, 303)
    assert first.headers["location"] == again.headers["location"]


@pytest.mark.parametrize("verb", ["pause", "cancel", "replay"])
def test_the_same_post_again_gets_the_first_answer_from_any_store(verb: str) -> None:
    with serving(Path(":memory:")) as served:
        served.client.start("order-1", approval, {})
        form = {"op": OP, "seen": hidden(served.ask(f"/runs/order-1/{verb}").text, "seen")}

        answers = [served.post(f"/runs/order-1/{verb}", **form).status for _ in range(2)]
        assert answers == [303, 303]


def test_one_wish_posted_eight_times_at_once_gets_one_answer(own: Served) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: own.post("/runs/order-2/recover", op=OP), range(8)))

    assert {(reply.status, reply.headers["location"]) for reply in replies} == {(303, f"/runs/order-2?op={OP}")}


def test_another_wish_is_refused_by_any_store_once_the_status_does_not_allow_it() -> None:
    with serving(Path(":memory:")) as served:
        served.client.start("order-1", approval, {})
        served.post("/runs/order-1/pause", op=OP)

        again = served.post("/runs/order-1/pause", op=OTHER)

        assert (again.status, status_of(served, "order-1")) == (409, "paused")


def test_a_message_sent_twice_with_one_op_is_one_message(own: Served) -> None:
    for _ in range(2):
        assert own.post("/runs/approval-1/send", op=OP, name="note", data='{"n": 1}').status == 303

    names = [message["name"] for message in own.ask("/runs/approval-1/messages.json").json()["kept"]]
    assert names == ["comment", "note"]


@pytest.mark.parametrize("path", ["/runs/order-2/recover", "/runs/order-2/replay", "/runs/order-5/resume"])
def test_a_page_that_is_out_of_date_is_refused(own: Served, path: str) -> None:
    reply = own.post(path, op=OP, seen=0)

    assert reply.status == 409
    assert "moved on" in reply.text
    assert hidden(reply.text, "seen") != "0"


def test_a_busy_run_can_be_cancelled_from_an_old_page(own: Served) -> None:
    assert own.post("/runs/order-4/cancel", op=OP, seen=0).status == 303


def test_a_verb_that_the_status_does_not_allow_is_refused(own: Served) -> None:
    assert own.post("/runs/order-1/recover", op=OP).status == 409
    assert own.ask("/runs/order-1/recover").status == 409
    assert own.post("/runs/order-1/send", op=OP, name="note").status == 409


def test_a_faulty_form_comes_back_as_it_was_filled_in(own: Served) -> None:
    reply = own.post("/runs/approval-1/send", op=OP, name="approved", data='{"n": ')

    assert reply.status == 422
    assert 'value="approved"' in reply.text
    assert "{&#34;n&#34;: " in reply.text
    assert hidden(reply.text, "op")


def test_replay_from_nowhere_is_refused_with_near_names(own: Served) -> None:
    reply = own.post("/runs/order-2/replay", op=OP, **{"from": "chrage"})

    assert reply.status == 422
    assert "charge" in reply.text


def test_a_wish_needs_an_op(own: Served) -> None:
    assert own.post("/runs/order-4/wake").status == 422


def test_an_op_belongs_to_one_run(own: Served) -> None:
    own.post("/runs/order-4/wake", op=OP)

    assert own.post("/runs/order-5/resume", op=OP).status == 422


def test_an_op_belongs_to_one_run_in_any_store_and_is_read_back() -> None:
    with serving(Path(":memory:")) as served:
        for id in ("order-1", "order-2"):
            served.client.start(id, approval, {})
        done = served.post("/runs/order-1/pause", op=OP)

        other = served.post("/runs/order-2/pause", op=OP)

        assert (done.status, other.status, status_of(served, "order-2")) == (303, 422, "pending")
        assert "Paused at " in served.ask(done.headers["location"]).text


def test_a_verb_may_be_asked_in_json(own: Served) -> None:
    done = own.ask("/runs/order-4/pause.json", method="POST", headers=JSON, body=b"{}")
    refused = own.ask("/runs/order-4/pause.json", method="POST", headers=JSON, body=b"{}")
    missing = own.ask("/runs/nope/pause.json", method="POST", headers=JSON, body=b"{}")

    assert (done.status, done.json()["outcome"], done.json()["status"]) == (200, "done", "paused")
    assert (refused.status, missing.status) == (409, 404)


def test_the_theme_is_a_cookie_and_leads_back(own: Served) -> None:
    reply = own.post("/theme", theme="dark", back="/runs?status=failed")

    assert reply.headers["location"] == "/runs?status=failed"
    assert reply.headers["set-cookie"].startswith("flowkit_theme=dark")
    assert 'data-theme="dark"' in own.ask("/", headers=[("Cookie", "flowkit_theme=dark")]).text
    assert own.post("/theme", theme="dark", back="https://evil.example").headers["location"] == "/"


def test_replay_of_a_held_run_begins_where_it_does_not_fit(own: Served) -> None:
    bar = own.ask("/runs/held-1.json").json()["head"]["verbs"]

    (replay,) = [verb["href"] for verb in bar if verb["verb"] == "replay"]
    assert replay == "/runs/held-1/replay?from=billing"
    assert 'name="from" value="billing"' in own.ask(replay).text


def test_the_name_that_a_run_waits_for_stands_in_the_form_and_in_the_command(own: Served) -> None:
    page, tab = own.ask("/runs/approval-1/send").text, own.ask("/runs/approval-1/messages").text

    for text in (page, tab):
        assert 'list="awaited" autocomplete="off" value="approved"' in text
        assert "flowkit send approval-1 approved" in text


def test_a_status_that_is_none_is_named_among_others_that_are(own: Served) -> None:
    page = own.ask("/runs?status=failed,odd")

    assert "there is no status &#39;odd&#39;" in page.text


def test_a_replay_from_another_entry_than_the_page_told_of_is_told_first(own: Served) -> None:
    """Who reads that one step happens again and then empties the field must not find that all of them did."""
    page = own.ask("/runs/order-2/replay?from=charge").text
    told = {"op": OP, "seen": hidden(page, "seen"), "told": hidden(page, "told")}

    asked = own.post("/runs/order-2/replay", **told, **{"from": ""})

    assert (asked.status, status_of(own, "order-2")) == (409, "failed")
    assert "reserve" in asked.text
    assert hidden(asked.text, "told") == ""
    assert own.post("/runs/order-2/replay", **told, **{"from": "charge"}).status == 303


def test_a_replay_from_nowhere_leaves_the_field_to_mend(own: Served) -> None:
    assert 'name="from" value="chargge"' in own.ask("/runs/order-2/replay?from=chargge").text
