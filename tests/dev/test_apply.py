"""How new code takes over: by itself or after a word, and what becomes of the runs that the former code has in hand."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dev.harness import APP, Dev, alive, until
from tests.dev.test_inspector import ask
from tests.dev.test_reload import named

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

Start = Callable[..., Dev]

SLOW = (
    APP
    + """
def wait_for(name):
    while not LOG.with_name(name).exists():
        time.sleep(0.02)

@step(timeout=None)
def slow(n: int) -> int:
    note(f"slow {n} begins")
    wait_for(f"go {n}")
    note(f"slow {n} ends")
    return n

@workflow
def sleepy(seconds: float, way: str = "slow") -> int:
    slow(int(seconds))
    return charge(int(seconds))
"""
)
NEXT = SLOW.replace('note(f"charge {n}")', 'note(f"charge {n} anew")')
MISFIT = SLOW.replace("paid = charge(n)", "paid = n")


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW)


def asking(dev: Start, *options: str) -> tuple[Dev, str]:
    """A `dev` that asks, with its first code at work, and its address."""
    made = dev("app.py", "--apply", "ask", *options)
    url = str(made.wait("ready")["url"])
    made.wait("loaded")
    return made, url


def waiting(url: str) -> str:
    """The code that a page asks about."""
    found = until(lambda: _hidden(ask(f"{url}migrate")[1]), "the page asks")
    return str(found)


def _hidden(page: str) -> str:
    return page.partition('name="code" value="')[2].partition('"')[0]


def decide(url: str, act: str, code: str) -> tuple[int, str]:
    return ask(f"{url}apply.json", {"act": act, "code": code})


def start(made: Dev, id: str, *arguments: Any, flow: str = "checkout") -> None:
    with made.client() as client:
        client.start(id, named(flow), *arguments)


def test_good_code_waits_until_it_is_applied(dev: Start) -> None:
    made, url = asking(dev)
    made.save(NEXT)
    told = made.wait("asking")

    start(made, "before", 1)
    until(lambda: "charge 1" in made.log(), "the former code goes on")
    answer = decide(url, "apply", waiting(url))
    made.wait("loaded", code=told["code"])
    start(made, "after", 2)

    assert answer[0] == 200
    until(lambda: "charge 2 anew" in made.log(), "the new code works")
    assert told["changes"] == {"checkout": ["~ charge (body)"], "sleepy": ["~ charge (body)"]}


def test_the_page_says_what_it_would_do_to_open_runs_and_does_none_of_it(dev: Start) -> None:
    made, url = asking(dev)
    start(made, "r-1", 1)
    until(lambda: "charge 1" in made.log(), "it has begun")
    made.save(MISFIT)
    made.wait("asking")

    waiting(url)
    page = ask(f"{url}migrate")[1]

    assert "0 of 1 open run fits, 1 would be held" in page
    assert "Would be held by code" in page
    with made.client() as client:
        assert client.get("r-1").status() == "sleeping"


def test_code_that_is_discarded_leaves_everything_as_it_is(dev: Start) -> None:
    made, url = asking(dev)
    made.save(NEXT)
    made.wait("asking")

    answer = decide(url, "discard", waiting(url))

    assert answer[0] == 200
    made.wait("note")
    start(made, "r-1", 1)
    until(lambda: "charge 1" in made.log(), "the former code works")
    assert made.count("loaded") == 1


def test_code_that_is_held_back_can_be_applied_later(dev: Start) -> None:
    made, url = asking(dev)
    made.save(NEXT)
    made.wait("asking")

    decide(url, "hold", waiting(url))
    held_back = ask(f"{url}migrate")[1]
    decide(url, "apply", waiting(url))

    assert "is held back" in held_back
    assert made.wait("loaded")["former"]


def test_a_press_never_applies_other_code_than_the_page_has_shown(dev: Start) -> None:
    made, url = asking(dev)
    made.save(NEXT)
    made.wait("asking")
    seen = waiting(url)
    made.save(NEXT + "\n# more\n")
    made.wait("asking")

    status, answer = decide(url, "apply", seen)

    assert (status, "moved" in answer) == (409, True)
    assert made.count("loaded") == 1


def test_a_second_press_is_refused_and_changes_nothing(dev: Start) -> None:
    made, url = asking(dev)
    made.save(NEXT)
    made.wait("asking")
    code = waiting(url)

    answers = [decide(url, "apply", code)[0], decide(url, "apply", code)[0]]

    made.wait("loaded")
    assert answers == [200, 409]


def test_the_same_code_again_is_not_asked_about(dev: Start) -> None:
    made, url = asking(dev)
    made.save(NEXT)
    made.wait("asking")

    made.save(SLOW)

    made.wait("loaded")
    assert _hidden(ask(f"{url}migrate")[1]) == ""


def test_code_does_not_begin_unasked_because_the_code_before_it_died(dev: Start) -> None:
    made, url = asking(dev)
    made.save(NEXT)
    made.wait("asking")

    os.kill(made.generations()[0], signal.SIGKILL)
    died = made.wait("died")
    start(made, "r-1", 1)

    assert "until you apply" in died["next"]
    assert made.log() == []
    decide(url, "apply", waiting(url))
    until(lambda: made.log() == ["charge 1 anew"], "it begins when it may")


def test_a_discarded_file_is_asked_about_again_where_the_code_that_ran_is_gone(dev: Start) -> None:
    made, url = asking(dev)
    made.save(NEXT)
    made.wait("asking")
    decide(url, "discard", waiting(url))

    os.kill(made.generations()[0], signal.SIGKILL)

    made.wait("died")
    made.wait("asking")
    assert made.count("loaded") == 1


def test_the_former_code_finishes_the_runs_it_has_and_the_new_code_takes_the_others(dev: Start, tmp_path: Path) -> None:
    made = dev("app.py", "--drain", "--grace", "100ms")
    made.wait("loaded")
    start(made, "r-1", 1, flow="sleepy")
    until(lambda: "slow 1 begins" in made.log(), "a body is under way")

    made.save(NEXT)
    made.wait("loaded")
    start(made, "r-2", 2)
    until(lambda: "charge 2 anew" in made.log(), "the new code takes what is new")
    made.wait("waiting")
    (tmp_path / "go 1").touch()

    until(lambda: "charge 1" in made.log(), "the run ends under the code that had it")
    assert made.log().count("slow 1 begins") == 1
    until(lambda: len(made.generations()) == 1, "the former leaves when it is done")


def test_one_generation_drains_and_no_more(dev: Start, tmp_path: Path) -> None:
    made = dev("app.py", "--drain", "--grace", "100ms")
    first = made.wait("loaded")["pid"]
    start(made, "r-1", 1, flow="sleepy")
    until(lambda: "slow 1 begins" in made.log(), "a body is under way")
    made.save(NEXT)
    made.wait("loaded")

    made.save(NEXT + "\n# more\n")
    made.wait("loaded")
    until(lambda: not alive(first), "the oldest leaves")
    (tmp_path / "go 1").touch()

    until(lambda: "charge 1 anew" in made.log(), "its run goes on under newer code")
    assert made.log().count("slow 1 begins") == 2


def test_code_that_drains_is_ended_with_dev_itself(dev: Start) -> None:
    made = dev("app.py", "--drain")
    made.wait("loaded")
    start(made, "r-1", 1, flow="sleepy")
    until(lambda: "slow 1 begins" in made.log(), "a body is under way")
    made.save(NEXT)
    made.wait("loaded")

    made.interrupt()
    made.interrupt()

    made.wait("stopped")


def test_work_begins_again_where_both_died_in_the_hand_over(dev: Start, tmp_path: Path) -> None:
    """The new code kills the former one and itself as it takes over; the code that is saved after all is good."""
    made = dev("app.py", "--grace", "10s")
    first = made.wait("loaded")["pid"]
    deadly = f"""
import __main__ as _child
_claim = _child.Child._claim
def _both(self, gentle):
    flag = Path(__file__).with_name("died")
    if not flag.exists():
        flag.touch()
        os.kill({first}, 9)
        while Path("/proc/{first}").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), 9)
    _claim(self, gentle)
_child.Child._claim = _both
"""
    made.save(SLOW.replace("@step\ndef charge", deadly + "\n@step\ndef charge"))

    made.wait("died")
    made.wait("loaded")
    start(made, "r-1", 1)

    until(lambda: "charge 1" in made.log(), "it works again")
