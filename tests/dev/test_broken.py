"""Saves that do not load: what is said, and that the last good generation goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dev.harness import APP, Dev, alive, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

Start = Callable[..., Dev]

TWICE = APP + "\n@workflow(name='checkout')\ndef other() -> None: ...\n"


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)


def marked(error: dict[str, Any]) -> list[str]:
    """The source line that an error points at."""
    return [line["text"].strip() for line in error["lines"] if line["marked"]]


def test_every_kind_of_bad_save_leaves_the_last_good_code_running(dev: Start) -> None:
    made = dev()
    good = made.wait("loaded")
    bad = {
        "SyntaxError": (APP + "\nx = (\n", "x = ("),
        "ModuleNotFoundError": (APP + "\nimport nowhere\n", "import nowhere"),
        "ImportError": (APP + "\nfrom os import nothing\n", "from os import nothing"),
        "ZeroDivisionError": (APP + "\ndef half():\n    return 1 / 0\nhalf()\n", "return 1 / 0"),
        "SystemExit": (APP + "\nraise SystemExit(3)\n", "raise SystemExit(3)"),
        "DuplicateName": (TWICE, "@workflow(name='checkout')"),
    }

    for kind, (text, line) in bad.items():
        made.save(text)
        told = made.wait("broken")
        assert (told["error"]["type"], marked(told["error"]), told["running"]) == (kind, [line], good["code"])
        assert told["error"]["source"].startswith("app.py:")

    with made.client() as client:
        run = client.get(start_run(made))
        until(lambda: run.status() == "sleeping", "the run is worked on")
    assert made.log() == ["charge 1"]


def start_run(made: Dev) -> str:
    """A run started without the broken file at hand, as from another program."""
    from flowkit.definitions import workflow

    @workflow(name="checkout")
    def checkout(n: int = 1) -> int:
        return n

    with made.client() as client:
        return client.start("r-1", checkout, 1).id


def test_a_circular_import_is_told_with_its_frames(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("VALUE = 1\n")
    (tmp_path / "app.py").write_text("import one\n" + APP)
    made = dev()
    made.wait("loaded")

    made.save("from two import VALUE\n", "two_of.py")
    made.save("from one import OTHER\nVALUE = 1\n", "two.py")
    made.save("from two import VALUE\nOTHER = 1\n", "one.py")

    error = made.wait("broken")["error"]
    assert error["type"] == "ImportError"
    assert [frame.partition(":")[0] for frame in error["frames"]] == ["app.py", "one.py", "two.py"]
    assert "import each other" in error["hint"]


def test_dev_starts_with_code_that_is_broken_and_loads_it_once_it_is_mended(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import helper\n" + APP)
    made = dev()

    told = made.wait("broken")
    made.save("VALUE = 1\n", "helper.py")

    assert told["running"] == ""
    assert made.wait("loaded")["former"] == ""


def test_a_file_that_is_deleted_changes_nothing_until_it_is_back(dev: Start) -> None:
    made = dev()
    good = made.wait("loaded")

    (made.folder / "app.py").unlink()
    told = made.wait("broken")
    made.save(APP + "\nBACK = 1\n")

    assert told["running"] == good["code"]
    assert made.wait("loaded")["former"] == good["code"]


def test_an_import_that_hangs_is_told_with_the_place_and_replaced_by_the_next_save(dev: Start) -> None:
    made = dev("app.py", "--import-limit", "400ms")
    good = made.wait("loaded")

    made.save(APP + "\ndef dial():\n    time.sleep(60)\ndial()\n")
    stuck = made.wait("stuck")
    made.save(APP + "\nLATER = 1\n")

    assert made.wait("loaded")["former"] == good["code"] == stuck["running"]
    assert stuck["source"].startswith("app.py:")
    assert stuck["frames"][0].endswith("<module>")


def test_a_process_that_dies_at_import_is_told_with_its_last_words(dev: Start) -> None:
    made = dev()
    good = made.wait("loaded")

    made.save(APP + "\nimport sys\nsys.stderr.write('no disk\\n')\nos._exit(7)\n")

    told = made.wait("broken")
    assert told["running"] == good["code"]
    assert "exit code 7" in told["error"]["message"]
    assert told["error"]["output"] == ["no disk"]


def test_code_that_dies_at_once_gives_way_to_the_former(dev: Start) -> None:
    made = dev()
    good = made.wait("loaded")

    made.save(APP + "\nimport threading\nthreading.Timer(1.0, os._exit, (5,)).start()\n")
    bad = made.wait("loaded")
    died = made.wait("died")

    assert died["code"] == bad["code"]
    assert died["next"] == f"back on {good['code']}"
    with made.client() as client:
        run = client.get(start_run(made))
        until(lambda: run.status() == "sleeping", "the former works again")


DIES_AS_IT_LEAVES = """
from flowkit.runtime.worker import Worker
Worker.stop_claiming = lambda worker: os._exit(5)
"""
LEAVES_SLOWLY = """
from flowkit.runtime.worker import Worker
stop_claiming = Worker.stop_claiming
Worker.stop_claiming = lambda worker: (time.sleep(2.5), stop_claiming(worker))
"""
BEGINS_SLOWLY = """
from flowkit.runtime.worker import Worker
start = Worker.start
Worker.start = lambda worker, **options: (note("begins"), time.sleep(1.5), start(worker, **options))
"""


def test_code_that_dies_as_it_hands_over_gives_way_to_the_next_and_not_to_the_former(dev: Start) -> None:
    made = dev()
    made.wait("loaded")
    made.save(APP + DIES_AS_IT_LEAVES)
    bad = made.wait("loaded")

    made.save(APP + "\nMENDED = 1\n")  # while the generation before the bad one is still kept
    died = made.wait("died")
    mended = made.wait("loaded")

    assert (died["code"], died["next"]) == (bad["code"], "the next code takes over")
    until(lambda: made.generations() == [mended["pid"]], "the others are gone")
    made.save(APP + "\nMENDED = 2\n")
    made.wait("loaded")
    with made.client() as client:
        run = client.get(start_run(made))
        until(lambda: run.status() == "sleeping", "the newest code works")


def test_code_that_hands_over_late_lets_the_next_begin_once(dev: Start) -> None:
    made = dev()
    made.wait("loaded")
    made.save(APP + LEAVES_SLOWLY)
    made.wait("loaded")

    made.save(APP + BEGINS_SLOWLY)
    made.wait("loaded")
    made.save(APP + "\nMENDED = 1\n")
    made.wait("loaded")  # a second order to begin would have been obeyed before the one to hand over

    assert made.log() == ["begins"]


def test_a_child_that_dies_is_started_again_and_after_the_third_time_not_before_the_next_save(dev: Start) -> None:
    made = dev()
    made.wait("loaded")

    for then in ("it starts again", "it starts again", "that was 3 times in 10 s, so it starts again at the next save"):
        os.kill(until(made.generations, "a child works")[0], signal.SIGKILL)
        assert made.wait("died")["next"] == then
        if then == "it starts again":
            made.wait("loaded")
    assert made.generations() == []
    assert made.count("loaded") == 3
    made.save(APP + "\nMENDED = 1\n")

    made.wait("loaded")


def test_what_user_code_forks_at_import_goes_with_its_generation(dev: Start) -> None:
    made = dev()
    made.wait("loaded")

    made.save(APP + "\nif (pid := os.fork()) == 0:\n    time.sleep(60)\n    os._exit(0)\nnote(str(pid))\n")
    made.wait("loaded")
    forked = int(made.log()[0])
    assert alive(forked)
    made.save(APP)

    made.wait("loaded")
    until(lambda: not alive(forked), "the fork is gone")
