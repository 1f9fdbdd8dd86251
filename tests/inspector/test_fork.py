"""What-if forks in the inspector: the form that makes one, the fork beside its original, and what it asks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowkit import step, workflow
from flowkit.testing import Lab
from tests.client.forks import done, ended, original, trade
from tests.inspector.loaded import Loaded
from tests.inspector.served import SAME_ORIGIN, Served, serving
from tests.inspector.stories import HOSTILE

OP, OTHER = "a" * 32, "b" * 32
JSON = [("Content-Type", "application/json"), *SAME_ORIGIN]
PRICE, ADDRESS = "/runs/o/fork?at=2", "/runs/o/fork?at=4"


@step
def keep(secret: dict[str, str]) -> dict[str, str]:
    return secret


@workflow
def hostile(text: str) -> Any:
    return keep({text: text, "password": "hunter2"})


@workflow
def long(turns: int) -> int:
    first = keep({"n": "0"})
    for n in range(turns):
        keep({"n": str(n)})
    return len(first)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A run that ended, and forks of it: one that asks, one that asks before it sends, one that waits and one that undoes."""
    file = tmp_path / "forks.db"
    with Lab(file) as lab:
        run = original(lab)
        ended(lab, run.fork("price", value=250, id="asks", reason=f"dearer {HOSTILE[0]}").id)
        ended(lab, run.fork("address", message={"street": HOSTILE[1]}, id="moved").id)
        lab.run_once(run.fork("charge", value="a gift", id="waits").id)
        undoes = run.fork("charge", value="a gift", id="undoes")
        lab.run_once("undoes")
        undoes.cancel(rollback=True)
        lab.run_once("undoes")
        lab.start("h", hostile, HOSTILE[5])
        lab.run_to_end("h")
    assert done == []
    return file


@pytest.fixture
def alone(file: Path) -> Iterator[Served]:
    with serving(file) as served:
        yield served


@pytest.fixture
def loaded(file: Path) -> Iterator[Served]:
    code = Loaded(file, trade)
    with code.flowkit, serving(file, code=code) as served:
        yield served


def text_of(served: Served, path: str) -> str:
    reply = served.ask(path)
    assert reply.status == 200, reply.text
    return " ".join(re.sub(r"<[^>]*>", " ", reply.text).split())


def test_an_entry_leads_to_the_form_and_that_shows_what_was_recorded(alone: Served) -> None:
    assert "/runs/o/fork?at=2" in alone.ask("/runs/o/e/2").text

    page = alone.ask(PRICE).text

    assert "100</textarea>" in page
    assert "No code is loaded here that knows this step" in page
    assert "fork o price --value JSON" in page


def test_the_page_of_a_run_leads_to_what_can_be_changed_in_it(alone: Served) -> None:
    assert '<a href="/runs/o/fork">What if…</a>' in alone.ask("/runs/o").text


def test_without_an_entry_the_form_lists_what_can_be_changed(alone: Served) -> None:
    page = alone.ask("/runs/o/fork.json").json()

    assert [(each["location"], each["kind"]) for each in page["choices"]] == [
        ("price", "step"), ("charge", "step"), ("address", "message"), ("pack", "step"),
    ]  # fmt: skip


@pytest.mark.parametrize(("at", "status"), [("99", 404), ("x", 404), ("5", 422), ("1", 422), ("9" * 30, 404)])
def test_an_entry_that_is_not_there_or_cannot_be_changed_is_refused(alone: Served, at: str, status: int) -> None:
    assert alone.ask(f"/runs/o/fork?at={at}").status == status
    assert alone.ask(f"/runs/nobody/fork?at={at}").status == 404


def test_the_form_makes_one_fork_however_often_it_is_sent(alone: Served) -> None:
    first = alone.post("/runs/o/fork", op=OP, at=2, how="value", value="300", reason="why not")
    again = alone.post("/runs/o/fork", op=OP, at=2, how="value", value="300", reason="why not")

    assert (first.status, first.headers["location"]) == (303, f"/runs/o-fork-{OP[:8]}/fork")
    assert (again.status, again.headers["location"]) == (303, first.headers["location"])
    assert next(each.id for each in alone.client.runs(tag="fork")) == f"o-fork-{OP[:8]}"
    assert len(alone.client.runs(tag="fork")) == 5


def test_the_making_of_a_fork_stands_once_in_the_record_of_verbs_with_who_made_it(alone: Served) -> None:
    for _ in range(2):
        alone.post("/runs/o/fork", op=OP, at=2, how="value", value="300", reason="why not", id="mine")

    deeds = [deed for deed in alone.ask("/system.json").json()["deeds"] if deed["verb"] == "fork" and deed["run"] == "mine"]

    assert [(deed["who"], deed["result"], deed["run_href"]) for deed in deeds] == [("inspector", "pending", "/runs/mine")]


def test_a_message_is_changed(alone: Served) -> None:
    alone.post("/runs/o/fork", op=OP, at=4, how="message", value='"Pisa"', id="to-pisa")

    page = text_of(alone, "/runs/to-pisa/fork")
    assert "It began before address" in page


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"how": "value", "value": "{"}, "the value is not JSON"),
        ({"how": "value", "value": "1", "id": "o"}, "exists already"),
        ({"how": "message", "value": "1"}, "is a step"),
        ({"how": "error", "type": "no type"}, "names no exception"),
        ({"how": "strange"}, "no way"),
    ],
)
def test_what_cannot_be_is_refused_with_the_form_as_it_was(alone: Served, fields: dict[str, str], why: str) -> None:
    reply = alone.post("/runs/o/fork", op=OP, at=2, reason="because of it", **fields)

    assert reply.status in (409, 422)
    assert "No fork was made" in reply.text
    assert why in reply.text
    assert "because of it" in reply.text
    assert len(alone.client.runs(tag="fork")) == 4


def test_the_code_checks_the_value(loaded: Served) -> None:
    reply = loaded.post("/runs/o/fork", op=OP, at=2, how="value", value='"dear"')

    assert (reply.status, "does not fit `int`" in reply.text) == (422, True)
    assert loaded.post("/runs/o/fork", op=OTHER, at=2, how="error", type="Refused", text="no").status == 303


def test_the_twin_makes_a_fork_and_tells_its_id(alone: Served) -> None:
    reply = alone.ask(
        "/runs/o/fork.json",
        method="POST",
        headers=JSON,
        body=b'{"at": 2, "how": "value", "value": "300", "op": "%s"}' % OP.encode(),
    )

    assert reply.status == 200
    assert reply.json()["id"] == f"o-fork-{OP[:8]}"


def test_a_read_only_inspector_makes_none(file: Path) -> None:
    with serving(file, read_only=True) as served:
        assert "/fork?at=" not in served.ask("/runs/o/e/2").text
        assert "Run it for real" not in served.ask("/runs/asks/fork").text
        assert "/fork" not in served.ask("/runs/o").text
        for form in ("/runs/o/fork", PRICE, "/runs/asks/fork?at=2"):
            assert (served.ask(form).status, "<textarea" in served.ask(form).text) == (404, False)
        assert served.post("/runs/o/fork", op=OP, at=2, how="value", value="300").status in (403, 404, 405)


# --- a fork beside its original -------------------------------------------------------------------------------------


def test_lists_and_the_runs_page_say_what_a_fork_asks(alone: Served) -> None:
    assert "asks: run charge for real, or give its result" in text_of(alone, "/runs")
    page = text_of(alone, "/runs/asks")
    assert "asks: run charge for real, or give its result" in page
    assert 'id="answer" href="/runs/asks/fork">Answer</a>' in alone.ask("/runs/asks").text


def test_a_fork_that_asks_needs_a_person_and_leads_to_where_it_is_answered(alone: Served) -> None:
    needs = alone.ask("/home.json").json()["needs"]

    found = {need["item"]["id"]: (need["count"], need["reason"], need["verb"], need["answer_href"]) for need in needs}
    assert found["asks"] == (1, "asks: run charge for real, or give its result", None, "/runs/asks/fork")
    assert found["waits"][3] == ""
    assert '<a class="button plain" href="/runs/asks/fork">Answer<' in alone.ask("/").text.replace("button main", "button plain")


def test_resume_is_not_offered_on_a_fork_that_asks_and_is_refused_in_one_line(alone: Served) -> None:
    offered = [verb["verb"] for verb in alone.ask("/runs/asks.json").json()["head"]["verbs"]]
    reply = alone.post("/runs/asks/resume.json", op=OP)

    assert "resume" not in offered
    assert (reply.status, reply.json()["outcome"]) == (409, "refused")
    assert reply.json()["message"] == "run 'asks' asks for 'charge': answer with resolve(), for resumed it would only ask again"
    assert alone.client.get("asks").status() == "paused"


def test_a_fork_that_a_person_stopped_is_resumed_as_any_run(alone: Served) -> None:
    alone.client.get("waits").pause()

    assert "resume" in [verb["verb"] for verb in alone.ask("/runs/waits.json").json()["head"]["verbs"]]
    assert alone.post("/runs/waits/resume", op=OP).status == 303
    assert alone.client.get("waits").status() != "paused"


def test_both_histories_stand_side_by_side_from_the_first_difference_on(alone: Served) -> None:
    told = alone.ask("/runs/asks/fork.json").json()["beside"]

    assert [(each["location"], each["verdict"]) for each in told["pairs"]] == [
        ("price", "changed"), ("charge", "asks"), ("address", "not yet"), ("sleep", "not yet"),
        ("sold", "not yet"), ("pack", "not yet"),
    ]  # fmt: skip
    price = told["pairs"][0]
    assert (price["there"]["line"], price["here"]["line"]) == ("100", "250")
    assert price["here"]["note"].startswith("given by hand: dearer")


def test_histories_of_more_than_a_window_follow_on_further_ones(tmp_path: Path) -> None:
    with Lab(tmp_path / "long.db") as lab:
        run = lab.start("o", long, 520)
        lab.run_to_end("o")
        ended(lab, run.fork("keep", value={"n": "1"}, id="f").id)
    with serving(tmp_path / "long.db") as served:
        first = served.ask("/runs/f/fork.json").json()
        second = served.ask(first["next_href"].replace("/fork?", "/fork.json?")).json()
        page = served.ask(first["next_href"]).text

    assert [pair["location"] for pair in first["beside"]["pairs"]] == ["keep"]
    assert (first["beside"]["rest"], first["next_href"], first["first_href"]) == (499, "/runs/f/fork?after=500.500", "")
    assert (second["beside"]["same"], second["next_href"], second["first_href"]) == (21, "", "/runs/f/fork")
    assert ">First window</a>" in page


def test_what_is_the_same_before_the_first_difference_is_counted(alone: Served) -> None:
    alone.post("/runs/o/fork", op=OP, at=2, how="value", value="100", id="alike")

    told = alone.ask("/runs/alike/fork.json").json()["beside"]

    assert told["pairs"][0]["location"] == "price"


def test_the_page_asks_and_the_answer_lets_the_fork_go_on(alone: Served) -> None:
    page = alone.ask("/runs/asks/fork.json").json()
    (question,) = page["questions"]
    assert (question["location"], question["real"], question["settles"]) == ("charge", "Run it for real", "")
    assert (question["args"], question["was"]) == ('{"cents": 250}', '{"cents": 100}')

    reply = alone.post(question["href"], op=OP, seen=page["head"]["seen"], how="again", reason="a test account")

    assert (reply.status, reply.headers["location"]) == (303, f"/runs/asks/fork?op={OP}")
    assert alone.client.get("asks").status() == "pending"
    assert alone.post(question["href"], op=OP, seen=page["head"]["seen"], how="again", reason="x").status == 303
    assert alone.post(question["href"], op=OTHER, seen=page["head"]["seen"], how="again", reason="x").status == 409


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/runs/waits/replay?from=charge", "what is equal is taken from the original"),
        ("/runs/waits/cancel", "first it asks for each handler, in this order"),
    ],
)
def test_a_verb_of_a_fork_does_not_say_that_effects_happen(alone: Served, path: str, says: str) -> None:
    page = text_of(alone, path)

    assert "This run is a what-if fork" in page
    assert says in page
    assert "will happen again" not in page.lower()
    assert "the handlers run first" not in page


def test_a_result_is_given_in_the_form_of_a_failed_step(loaded: Served) -> None:
    page = text_of(loaded, "/runs/asks/e/3/resolve")
    assert "This run is a what-if fork, and asks" in page
    assert "Run it for real" in page

    assert loaded.post("/runs/asks/e/3/resolve", op=OP, how="value", **{"a.value": "by phone"}, reason="made up").status == 303

    assert loaded.client.get("asks").history()[2].output == "by phone"


def test_a_rollback_is_asked_for_and_taken_for_done(alone: Served) -> None:
    page = alone.ask("/runs/undoes/fork.json").json()
    (question,) = page["questions"]
    assert page["offers"] == []
    assert (question["real"], question["settles"]) == ("Undo it for real", "Take it for undone")

    assert alone.post(question["href"], op=OP, how="nothing", reason="nothing was charged").status == 303

    assert alone.client.get("undoes").history()[2].status == "rolled_back"


def test_what_the_original_received_is_offered_where_the_fork_waits(alone: Served) -> None:
    (offer,) = alone.ask("/runs/waits/fork.json").json()["offers"]
    assert (offer["location"], offer["name"], offer["data"]) == ("address", "address", '"Leith"')

    assert alone.post("/runs/waits/send", op=OP, name=offer["name"], data=offer["data"]).status == 303

    assert text_of(alone, "/runs/waits/messages").count("Leith") == 1


def test_a_run_that_is_no_fork_has_no_such_tab(alone: Served) -> None:
    assert ">Fork</a>" not in alone.ask("/runs/o").text


def test_a_fork_that_lost_its_tag_is_shown_as_a_fork_still(file: Path) -> None:
    with Lab(file) as lab:
        lab.client.desk.tag("asks", (), ("fork",))
    with serving(file) as served:
        page, entry = served.ask("/runs/asks").text, served.ask("/runs/asks/e/3").text
        answered = served.post("/runs/asks/e/3/resolve", op=OP, how="again", reason="a test account")

    assert ">Fork</a>" in page
    assert "What if…</a>" not in page
    assert 'href="/runs/asks/e/3/resolve"' in entry
    assert answered.headers["location"].startswith("/runs/asks/fork?")


def test_a_run_with_a_tag_of_that_name_is_no_fork(file: Path) -> None:
    with Lab(file) as lab:
        lab.client.desk.tag("o", ("fork",), ())
    with serving(file) as served:
        page = served.ask("/runs/o").text

    assert ">Fork</a>" not in page
    assert "What if…</a>" in page


def test_hostile_texts_arrive_as_text_and_secrets_not_at_all(alone: Served) -> None:
    for path in ("/runs/asks/fork", "/runs/moved/fork", "/runs/h/fork?at=1"):
        page = alone.ask(path).text
        assert not [text for text in (HOSTILE[0], HOSTILE[1], HOSTILE[5]) if text in page]
        assert "hunter2" not in page


def test_a_damaged_record_is_told(file: Path) -> None:
    import sqlite3

    with sqlite3.connect(file) as db:
        db.execute("UPDATE run_io SET fork = '{}' WHERE run = (SELECT seq FROM runs WHERE id = 'asks')")
    with serving(file) as served:
        assert served.ask("/runs/asks/fork").status == 409
