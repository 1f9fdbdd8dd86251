"""The check that goes on behind a load: what it finds of all runs, what it is kept from, and where its reports are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flowkit import workflow
from flowkit.client import Flowkit
from tests.dev.harness import APP, Dev, alive, descendants, until
from tests.dev.test_apply import decide
from tests.dev.test_apply import waiting as asked_code
from tests.dev.test_inspector import ask

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

Start = Callable[..., Dev]
LONG = 40.0
"""Two processes import the code, one after the other, where other tests have the processors."""

WITHOUT = APP.replace("    paid = charge(n)\n", "    paid = n\n")
SLOW = APP.replace("    paid = charge(n)\n", "    time.sleep(0.6)\n    paid = charge(n)\n")
SPINS = APP.replace("    paid = charge(n)\n", "    paid = charge(n)\n    while n == 1:\n        pass\n")


@workflow
def checkout(n: int = 1) -> int:
    """As another program knows it that only starts runs."""
    return 0


@pytest.fixture
def made(dev: Start, tmp_path: Path) -> Dev:
    (tmp_path / "app.py").write_text(APP)
    started = dev("app.py", replay=True)
    started.wait("replayed", LONG)
    return started


@pytest.fixture
def client(made: Dev) -> Iterator[Flowkit]:
    with made.client() as opened:
        yield opened


def waiting(client: Flowkit, *ids: str, n: int = 1) -> None:
    """Runs that wait for their message."""
    for id in ids:
        client.start(id, checkout, n)
    until(lambda: all(status(client, id) == "sleeping" for id in ids), "they wait")


def finished(client: Flowkit, *ids: str) -> None:
    waiting(client, *ids)
    for id in ids:
        client.send(id, "go")
    until(lambda: all(status(client, id) == "completed" for id in ids), "they are done")


def status(client: Flowkit, id: str) -> str:
    found = client.driver.get(id)
    assert found is not None
    return found.status


def counts(event: dict[str, Any]) -> list[tuple[str, bool, int]]:
    return [(each["verdict"], each["ended"], each["runs"]) for each in event["counts"]]


def report(made: Dev, query: str = "") -> dict[str, Any]:
    ready = next(event for event in made.events if event["event"] == "ready")
    found: dict[str, Any] = json.loads(ask(f"{ready['url']}migrate.json{query}")[1])["report"]
    return found


def test_all_runs_have_a_verdict_after_a_save(made: Dev, client: Flowkit) -> None:
    waiting(client, "w-1", "w-2")
    finished(client, "f-1")

    made.save(APP + "\nMORE = 1\n")
    told = made.wait("replayed", LONG)

    assert counts(told) == [("goes on", False, 2), ("same", True, 1)]
    assert (told["held"], told["tried"], told["why"]) == (0, 3, "")
    assert made.log() == ["charge 1"] * 3


def test_a_held_run_and_a_finished_one_that_no_longer_fits_are_apart(made: Dev, client: Flowkit) -> None:
    waiting(client, "w-1")
    finished(client, "f-1")

    made.save(WITHOUT)
    told = made.wait("replayed", LONG)

    assert counts(told) == [("held", False, 1), ("held", True, 1)]
    assert told["held"] == 1
    assert report(made)["sections"][0]["title"] == "Held by code"


def test_a_run_that_loops_for_ever_is_not_checked_and_no_worker_is_hurt(made: Dev, client: Flowkit) -> None:
    waiting(client, "w-1")
    made.save(SPINS)
    made.wait("loaded")

    told = made.wait("replayed", LONG)
    client.start("w-2", checkout, 2)

    assert counts(told) == [("not checked", False, 1)]
    until(lambda: status(client, "w-2") == "sleeping", "the worker works on others")


def test_a_check_whose_process_dies_says_why_and_no_worker_is_hurt(made: Dev, client: Flowkit) -> None:
    waiting(client, "w-1")
    made.save(APP + "\nimport sys\nif 'flowkit.dev.examiner' in sys.orig_argv:\n    os._exit(7)\n")
    loaded = made.wait("loaded")

    told = made.wait("replayed", LONG)

    assert told["why"].startswith("the check's process ended with exit code 7 while it imported the code")
    assert alive(loaded["pid"])
    client.start("w-2", checkout, 2)
    until(lambda: status(client, "w-2") == "sleeping", "the worker works")


def test_a_save_that_comes_at_once_cuts_the_older_check_short(made: Dev, client: Flowkit) -> None:
    waiting(client, "w-1")
    slow = APP + "\nimport sys\nif 'flowkit.dev.examiner' in sys.orig_argv:\n    note('examines')\n    time.sleep(60)\n"
    made.save(slow)
    made.wait("loaded")
    until(lambda: "examines" in made.log(), "the check has begun")

    made.save(APP + "\nMORE = 2\n")
    loaded = made.wait("loaded")
    told = made.wait("replayed", LONG)

    assert (told["code"], told["why"], counts(told)) == (loaded["code"], "", [("goes on", False, 1)])
    kept = json.loads(Path(f"{made.db}-checks.json").read_text())
    assert [each["why"] for each in kept] == ["", "newer code was saved before the check was through", ""]


def test_a_restart_still_has_the_reports_and_tells_only_what_has_changed(made: Dev, client: Flowkit, dev: Start) -> None:
    waiting(client, "w-1")
    made.save(APP + "\nMORE = 1\n")
    first = made.wait("replayed", LONG)
    made.end()

    again = dev("app.py", replay=True)
    told = again.wait("replayed", LONG)

    assert (counts(told), told["before"]) == (counts(first), first["counts"])
    assert [each["number"] for each in report(again)["saves"]] == [3, 2, 1]


def test_with_the_supervisor_its_process_is_gone(made: Dev) -> None:
    made.save(APP + "\nimport sys\nif 'flowkit.dev.examiner' in sys.orig_argv:\n    note('examines')\n    time.sleep(60)\n")
    until(lambda: "examines" in made.log(), "the check has begun")
    family = descendants(made.process.pid)

    made.process.kill()
    made.process.wait()

    until(lambda: not any(map(alive, family)), "none is left")


def test_the_check_of_the_code_that_runs_goes_on_while_other_code_is_asked_about_and_discarded(
    dev: Start, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(APP)
    made = dev("app.py", "--apply", "ask", replay=True)
    url = str(made.wait("ready")["url"])
    made.wait("replayed", LONG)
    with made.client() as client:
        waiting(client, *(f"w-{n}" for n in range(8)))
    made.save(SLOW)
    made.wait("asking")
    decide(url, "apply", asked_code(url))
    running = made.wait("loaded")["code"]
    until(lambda: report(made)["summary"] in [f"{n} runs tried so far" for n in range(2, 8)], "it is under way", LONG)

    made.save(SLOW + "\nMORE = 1\n")
    made.wait("asking")
    decide(url, "discard", asked_code(url))
    told = made.wait("replayed", LONG)

    assert (told["code"], told["tried"], told["why"]) == (running, 8, "")
