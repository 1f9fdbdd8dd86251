"""Pages that need live code: the banner, the workflows, and the start form; the code is a stand-in that only remembers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest

from flowkit.client.livecode import (
    Answer,
    Cause,
    CodeState,
    Decision,
    Fault,
    LoadError,
    Parameter,
    Pending,
    ResolveWish,
    SourceLine,
    StartAnswer,
    StartWish,
    StepInfo,
    WorkflowInfo,
)
from tests.inspector.served import SAME_ORIGIN, Served, serving

CHECKOUT = WorkflowInfo(
    name="checkout", doc="Charge and ship.", source="app.py:12", steps=(StepInfo(name="charge", source="app.py:3"),),
    parameters=(
        Parameter(name="name", kind="str", annotation="str"),
        Parameter(name="count", kind="int", annotation="int", required=False, default="3"),
        Parameter(name="gift", kind="bool", annotation="bool", required=False, default="false"),
        Parameter(name="size", kind="choice", annotation="Size", choices=("S", "M"), optional=True),
        Parameter(name="order", kind="json", annotation="Order"),
    ),
)  # fmt: skip
LOADED = CodeState(version=1, status="loaded", app="app.py", code="8c10de00", running="8c10de00", workflows=(CHECKOUT,))
JSON = [("Content-Type", "application/json"), *SAME_ORIGIN]


@dataclass
class Code:
    """A `CodeInfo` that says what it is told to."""

    now: CodeState = LOADED
    answer: StartAnswer = field(default_factory=lambda: StartAnswer(run_id="order-1", created=True))
    wishes: list[StartWish] = field(default_factory=list)
    kills: int = 0
    decisions: list[Decision] = field(default_factory=list)
    verdict: Answer = field(default_factory=lambda: Answer("done"))

    def state(self) -> CodeState:
        return self.now

    def start(self, wish: StartWish) -> StartAnswer:
        self.wishes.append(wish)
        return self.answer

    def resolve(self, wish: ResolveWish) -> Answer:
        raise AssertionError("nothing is resolved here")

    def kill(self) -> None:
        self.kills += 1

    def decide(self, decision: Decision) -> Answer:
        self.decisions.append(decision)
        return self.verdict


@pytest.fixture
def code() -> Code:
    return Code()


@pytest.fixture
def served(small_file: Path, code: Code) -> Iterator[Served]:
    with serving(small_file, code=code) as found:
        yield found


def test_the_workflows_of_the_code_and_those_of_history(served: Served) -> None:
    model = served.ask("/workflows.json").json()

    assert [workflow["name"] for workflow in model["workflows"]] == ["checkout"]
    assert [name for name, _, _ in model["others"]] == ["approval", "archive", "fetch", "pack", "ship"]


def test_a_form_has_a_field_for_each_parameter(served: Served) -> None:
    fields = served.ask("/workflows/checkout/start.json").json()["fields"]

    assert [(each["label"], each["control"], each["value"]) for each in fields] == [
        ("name", "text", ""), ("count", "number", "3"), ("gift", "checkbox", "false"), ("size", "choice", ""),
        ("order", "json", ""),
    ]  # fmt: skip


def test_a_start_is_handed_over_as_json_texts(served: Served, code: Code) -> None:
    fields = {"a.name": "Ada", "a.count": "4", "a.gift": "on", "a.size": "", "a.order": '{"id": 7}'}

    reply = served.post("/workflows/checkout/start", id="order-9", tags="vip, new", delay="5m", **fields)

    assert (reply.status, reply.headers["location"]) == (303, "/runs/order-1")
    assert code.wishes == [
        StartWish(
            workflow="checkout", id="order-9", tags=("vip", "new"), delay="5m",
            arguments={"name": '"Ada"', "count": "4", "gift": "true", "size": "null", "order": '{"id": 7}'},
        )
    ]  # fmt: skip


def test_a_fault_stands_at_its_field_and_the_form_as_it_was(served: Served, code: Code) -> None:
    wrong = Fault(field="order", path="items", message="expected int")
    code.answer = StartAnswer(faults=(wrong, Fault(field="id", message="is taken")))

    reply = served.post("/workflows/checkout/start", id="order-9", **{"a.name": "Ada", "a.order": '{"items": "x"}'})

    assert reply.status == 422
    assert "at items: expected int" in reply.text
    assert "is taken" in reply.text
    assert 'value="Ada"' in reply.text


def test_a_start_in_json(served: Served, code: Code) -> None:
    body = b'{"id": "order-9", "name": "Ada", "order": {"id": 7}}'

    reply = served.ask("/workflows/checkout/start.json", method="POST", headers=JSON, body=body)

    assert reply.json() == {"id": "order-1", "created": True, "href": "/runs/order-1"}
    assert code.wishes[0].arguments["order"] == '{"id":7}'


def test_a_form_may_be_filled_from_another_run(served: Served) -> None:
    fields = served.ask("/workflows/checkout/start.json?from=order-2").json()["fields"]

    assert fields[-1]["value"] == '{"id": 2, "declined": true}'


def test_without_the_workflow_in_the_code_there_is_the_command(served: Served) -> None:
    page = served.ask("/workflows/pack/start").text

    assert "flowkit start APP:pack" in page
    assert served.post("/workflows/pack/start", id="x").status == 409


def test_a_broken_file_is_told_on_every_page(served: Served, code: Code) -> None:
    error = LoadError(
        type="SyntaxError", message="'(' was never closed", source="app.py:31",
        lines=(SourceLine(number=31, text="    receipt = charge(order", marked=True),),
    )  # fmt: skip
    code.now = replace(LOADED, version=2, status="broken", error=error)

    for path in ("/", "/runs", "/runs/order-1", "/migrate"):
        assert "&#39;(&#39; was never closed" in served.ask(path).text
    assert "code 8c10de will run" in served.ask("/workflows/checkout/start").text


def test_held_runs_come_with_the_line_to_add(served: Served, code: Code) -> None:
    cause = Cause(
        workflow="checkout", runs=1, recorded="a step", made="", location="validate", source="app.py:27",
        lines=('removed("validate", "step")',), advice="And import removed.",
    )  # fmt: skip
    code.now = replace(LOADED, version=2, held=1, fits=3, causes=(cause,))

    page = served.ask("/").text

    assert "1 of 4 open runs is held by code" in page
    assert "removed(&#34;validate&#34;, &#34;step&#34;)" in page


def test_a_new_version_of_the_code_is_an_event(served: Served, code: Code) -> None:
    with served.stream(f"/events?since={served.ask('/runs.json').json()['token']}&code=1") as file:
        code.now = replace(LOADED, version=2)

        lines = [file.readline().decode().strip() for _ in range(5)]

    assert "event: code" in lines


def test_a_page_that_has_outlived_a_server_hears_of_the_code_of_the_next(small_file: Path, served: Served, code: Code) -> None:
    """Each server counts its loads from one, so the same number may stand for other code."""
    stream = re.search(r'hx-sse:connect="([^"]+)"', served.ask("/runs/order-4").text)
    assert stream is not None

    with serving(small_file, code=code) as later, later.stream(stream[1].replace("&amp;", "&")) as file:
        lines = [file.readline().decode().strip() for _ in range(4)]

    assert lines[-1] == "event: code"


CAUSE = Cause(
    workflow="checkout", runs=3, recorded="a step", made="", location="validate", source="app.py:27",
    lines=('removed("validate", "step")',),
)  # fmt: skip
PENDING = replace(LOADED, version=2, pending=Pending(code="b7710c11", changes=("- validate",), fits=38, held=3, causes=(CAUSE,)))


def test_code_that_waits_is_told_on_every_page_with_what_it_would_do(served: Served, code: Code) -> None:
    code.now = PENDING

    for path in ("/", "/runs/order-1", "/migrate"):
        page = served.ask(path).text
        assert "Code b7710c waits for your word" in page
        assert "38 of 41 open runs fit, 3 would be held" in page
        assert "Code 8c10de keeps running." in page
        assert all(f'name="act" value="{act}"' in page for act in ("apply", "hold", "discard"))


@pytest.mark.parametrize("act", ["apply", "hold", "discard"])
def test_a_word_about_code_that_waits_is_passed_on(served: Served, code: Code, act: Literal["apply", "hold", "discard"]) -> None:
    code.now = PENDING

    reply = served.post("/apply", act=act, code="b7710c11")

    assert (reply.status, reply.headers["location"]) == (303, "/migrate")
    assert code.decisions == [Decision(act=act, code="b7710c11")]


def test_a_word_that_comes_too_late_is_refused_with_the_page_as_it_is(served: Served, code: Code) -> None:
    code.now, code.verdict = PENDING, Answer("moved", "other code waits now")

    reply = served.post("/apply", act="apply", code="00000000")

    assert reply.status == 409
    assert "Nothing was changed: other code waits now." in reply.text
    assert "Code b7710c waits for your word" in reply.text


def test_a_word_that_means_nothing_is_refused(served: Served, code: Code) -> None:
    assert served.post("/apply", act="boo", code="b7710c11").status == 422
    assert not code.decisions


def test_code_that_is_held_back_takes_one_line_and_can_still_be_applied(served: Served, code: Code) -> None:
    assert PENDING.pending is not None
    code.now = replace(PENDING, pending=replace(PENDING.pending, held_back=True))

    assert "chip-banner" in served.ask("/").text
    assert 'value="apply"' in served.ask("/migrate").text


def test_who_may_only_look_has_no_word(small_file: Path, code: Code) -> None:
    code.now = PENDING

    with serving(small_file, code=code, read_only=True) as served:
        page = served.ask("/migrate").text
        refused = served.post("/apply", act="apply", code="b7710c11").status

    assert "waits for your word" in page
    assert 'value="apply"' not in page
    assert refused == 405


def test_an_import_that_hangs_can_be_killed(served: Served, code: Code) -> None:
    code.now = replace(LOADED, status="stuck", can_kill=True)

    assert "Kill the import" in served.ask("/migrate").text
    assert served.post("/kill").status == 303
    assert code.kills == 1


def test_a_json_area_shows_what_it_takes(served: Served, code: Code) -> None:
    schema = '{"description": "An order.", "anyOf": [{"$ref": "#/$defs/Order"}, {"type": "string"}], '
    schema += '"$defs": {"Order": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}}}'
    order = replace(CHECKOUT.parameters[-1], schema=schema)
    code.now = replace(LOADED, workflows=(replace(CHECKOUT, parameters=(order,)),))

    (field,) = served.ask("/workflows/checkout/start.json").json()["fields"]
    page = served.ask("/workflows/checkout/start").text

    assert (field["placeholder"], field["said"]) == ('{\n  "id": 0\n}', "An order.")
    assert "<summary>An order.</summary>" in page
    assert "&#34;type&#34;: &#34;integer&#34;" in page


def test_the_command_and_the_line_of_python_do_what_the_form_does(served: Served) -> None:
    found = served.ask("/workflows/checkout/start.json?from=order-2").json()

    assert found["command"].startswith(
        "flowkit start app.py:checkout --arg 'name=…' --arg 'size=…' --arg 'order={\"id\": 2, \"declined\": true}' --id "
    )
    assert found["command"].split(" --id ")[1].startswith(found["id"])
    assert found["python"] == f"fk.start({found['id']!r}, checkout, name=…, size=…, order={{'id': 2, 'declined': True}})"


def test_what_a_form_was_filled_with_stands_in_the_command_of_its_refusal(served: Served, code: Code) -> None:
    code.answer = StartAnswer(faults=(Fault(field="order", path="items[3].when", message="expected datetime"),))
    fields = {"a.name": "Ada", "a.count": "4", "a.gift": "on", "a.size": "S", "a.order": '{"id": 7}'}

    page = served.post("/workflows/checkout/start", id="order-9", tags="vip, new", delay="5m", **fields).text

    assert "--arg &#39;name=&#34;Ada&#34;&#39; --arg count=4 --arg gift=true" in page
    assert "--id order-9 --tag vip --tag new --delay 5m" in page
    assert (
        "checkout.options(tags=(&#39;vip&#39;, &#39;new&#39;), delay=&#39;5m&#39;), name=&#39;Ada&#39;, count=4, gift=True"
        in page
    )
    assert 'aria-describedby="a.order-fault"' in page
    assert "at items[3].when: expected datetime" in page


def test_entries_that_the_code_no_longer_makes_are_marked_before_any_placeholder_exists(served: Served, code: Code) -> None:
    cause = Cause(
        workflow="checkout", runs=1, recorded="step `reserve`", made="", location="reserve", run_ids=("order-4",),
        missing=("reserve",),
    )  # fmt: skip
    code.now = replace(LOADED, version=2, held=1, causes=(cause,))

    rows = {id: served.ask(f"/runs/{id}.json").json()["window"]["rows"] for id in ("order-4", "order-5")}
    entry = served.ask("/runs/order-4/e/2").text

    assert [(row["name"], row["note"]) for row in rows["order-4"] if row["struck"]] == [
        ("reserve", "has a rollback · not made by code 8c10de")
    ]
    assert not [row for row in rows["order-5"] if row["struck"]]
    assert "Code 8c10de no longer makes this entry: so the last check found." in entry
