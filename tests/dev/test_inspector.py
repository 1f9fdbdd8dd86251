"""The inspector beside the code: it answers whatever the code does, and starts runs through it."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowkit.client.reader import Reader, serving_of
from tests.dev.harness import APP, Dev, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

Start = Callable[..., Dev]

ONCE = APP.replace("@step", "@step(at_most_once=True)").replace(
    'note(f"charge {n}")',
    """while not LOG.with_name("go on").exists():
        time.sleep(0.02)
    note(f"charge {n}")""",
)


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)


def ask(url: str, form: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body of a page; with a form, posted as a page of the inspector itself would."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    headers = {"Sec-Fetch-Site": "same-origin"} if form is not None else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=8) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def start(url: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    status, body = ask(f"{url}workflows/checkout/start.json", {name.replace("a_", "a."): str(fields[name]) for name in fields})
    return status, json.loads(body)


def test_the_form_starts_a_run_through_the_loaded_code(dev: Start) -> None:
    made = dev()
    url = made.wait("ready")["url"]
    made.wait("loaded")

    good = start(url, a_n="7", id="r-7", tags="vip")
    bad = start(url, a_n='"x"', id="r-8")
    taken = start(url, a_n="8", id="r-7")

    assert good == (200, {"id": "r-7", "created": True, "href": "/runs/r-7"})
    assert (bad[0], bad[1]["faults"][0]["field"]) == (422, "n")
    assert (taken[0], taken[1]["faults"][0]["field"]) == (422, "id")
    until(lambda: made.log() == ["charge 7"], "the run is worked on")
    with made.client() as client:
        assert [row.tags for row in client.runs()] == [("vip",)]


def test_the_banner_names_a_body_that_may_run_only_once_over_every_save_until_it_is_over(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(ONCE)
    made = dev()
    url = made.wait("ready")["url"]
    made.wait("loaded")
    start(url, a_n="7", id="r-7")
    waits = "stays for a body that may run only once: r-7 charge"
    until(lambda: "running" in ask(f"{url}runs/r-7.json")[1], "the body runs")

    made.save(ONCE + "\nNEW = 1\n")
    made.wait("waiting")
    assert waits in ask(url)[1]
    made.save(ONCE + "\nNEW = 2\n")
    made.wait("loaded")
    assert waits in ask(url)[1]

    made.save("", "go on")
    until(lambda: waits not in ask(url)[1], "the banner is done with it")
    assert made.log() == ["charge 7"]


def test_a_run_shows_the_number_of_the_code_that_the_banner_names(dev: Start) -> None:
    made = dev()
    url = made.wait("ready")["url"]
    code = made.wait("loaded")["code"]
    start(url, a_n="7", id="r-7")
    until(lambda: made.log() == ["charge 7"], "the run is worked on")

    head = json.loads(ask(f"{url}runs/r-7.json")[1])["head"]

    assert f"Code {code}" in ask(url)[1]
    assert (head["code"], head["first_code"]) == (code, code)


def test_a_worker_says_which_generation_it_is(dev: Start) -> None:
    made = dev()
    first = made.wait("loaded")["code"]
    made.save(APP + "\n# saved\n")
    second = made.wait("loaded")["code"]

    with made.client() as client:
        found = until(lambda: [each for each in map(serving_of, Reader(client).workers()) if each.code[:6] == second], "it works")

    assert first != second
    assert (found[0].workflows, found[0].generation > 1) == (("checkout",), True)


def test_pages_answer_while_the_code_is_broken_and_say_so(dev: Start) -> None:
    made = dev()
    url = made.wait("ready")["url"]
    good = made.wait("loaded")

    made.save("def (\n")
    made.wait("broken")

    status, page = ask(url)
    assert status == 200
    assert "SyntaxError" in page
    assert f"{good['code']} keeps running" in page


def test_beside_another_dev_the_inspector_only_looks(dev: Start) -> None:
    dev().wait("loaded")
    second = dev()
    url = second.wait("ready", seconds=10)["url"]
    second.wait("loaded")

    assert ask(f"{url}workflows/checkout/start", {"a.n": "1"})[0] == 405
    assert "another flowkit dev" in ask(url)[1]


def test_it_answers_to_a_host_name_that_is_allowed(dev: Start) -> None:
    made = dev("app.py", "--host", "0.0.0.0", "--allow-host", "box.example")

    url = made.wait("ready")["url"]

    port = int(url.split(":")[2].split("/")[0])
    assert url.startswith(f"http://box.example:{port}/?token=")
    answers = {name: status_for(port, name) for name in ("box.example", "other.example")}
    assert answers == {"box.example": 401, "other.example": 400}


def test_listening_everywhere_without_a_name_is_told(dev: Start) -> None:
    made = dev("app.py", "--host", "0.0.0.0")

    assert "--allow-host" in made.wait("note")["text"]


def status_for(port: int, host: str) -> int:
    """What a page answers to this host name, without a token."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": f"{host}:{port}"})
    try:
        with urllib.request.urlopen(request, timeout=8) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_given_port_is_strict(dev: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        made = dev("app.py", "--port", str(taken.getsockname()[1]))

        assert made.process.wait(8) == 2


FAILING = """
from flowkit import step, workflow

@step(retries=0)
def charge(n: int) -> int:
    raise ValueError("no funds")

@workflow
def checkout(n: int) -> int:
    return charge(n)
"""


def test_the_loaded_code_checks_what_is_given_in_place_of_a_step(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FAILING)
    made = dev()
    url = made.wait("ready")["url"]
    made.wait("loaded")
    start(url, a_n="7", id="r-7")
    with made.client() as client:
        run = client.get("r-7")
        until(lambda: run.status() == "failed", "the step has failed")

        bad = ask(f"{url}runs/r-7/e/1/resolve.json", {"how": "value", "value": '"x"', "reason": "by hand"})
        good = ask(f"{url}runs/r-7/e/1/resolve.json", {"how": "value", "a.value": "42", "reason": "by hand"})
        until(lambda: run.status() == "completed", "the run went on")

        assert (bad[0], good[0], run.output()) == (422, 200, 42)
        assert [entry.by_hand["unchecked"] for entry in run.history() if entry.by_hand] == [False]
