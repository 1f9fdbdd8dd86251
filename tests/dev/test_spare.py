"""The process that is kept ready for the next save: used once, replaced, and never in the way."""

from __future__ import annotations

import os
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dev.harness import APP, Dev, alive, descendants, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

Start = Callable[..., Dev]

TELLING = APP + "\nimport sys\nnote(f'{os.getpid()} {sys.argv} {os.getcwd()} {sys.flags.dont_write_bytecode} {len(sys.path)}')\n"


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(TELLING)


@pytest.fixture
def made(dev: Start) -> Dev:
    started = dev()
    started.wait("loaded")
    return started


def test_a_save_is_loaded_by_the_process_that_waited_for_it_and_the_next_by_another(made: Dev) -> None:
    used = []
    for number in range(3):
        spare = made.spare()
        made.save(TELLING + f"\nNUMBER = {number}\n")
        used.append((spare, made.wait("loaded")["pid"]))

    assert [pid for pid, _ in used] == [pid for _, pid in used]
    assert len({pid for pid, _ in used}) == 3


def test_what_it_finds_is_what_a_process_finds_that_is_started_for_the_load(made: Dev) -> None:
    made.spare()

    made.save(TELLING + "\nMORE = 1\n")
    made.wait("loaded")

    cold, warm = (line.partition(" ")[2] for line in made.log())
    assert cold == warm


def test_it_finds_a_module_that_is_younger_than_itself(made: Dev) -> None:
    made.spare()

    made.save("VALUE = 1\n", "younger.py")
    made.wait("loaded")
    made.spare()
    made.save("VALUE = 1\n", "youngest.py")
    made.save(TELLING + "\nimport younger, youngest\n")

    assert made.wait("loaded")["former"]
    assert made.count("broken") == 0


def test_it_is_not_used_where_it_has_loaded_a_module_that_the_folder_has_too(made: Dev) -> None:
    made.spare()
    stdlib = Path(textwrap.__file__).read_text()

    made.save(stdlib + "\nVALUE = 1\n", "textwrap.py")
    made.save(TELLING + "\nimport textwrap\nnote(f'value {textwrap.VALUE}')\n")
    until(lambda: "value 1" in made.log(), "the folder's own module is imported")
    made.spare()
    made.save(stdlib + "\nVALUE = 2\n", "textwrap.py")

    until(lambda: "value 2" in made.log(), "it is imported as it is now")
    assert made.count("died") == 0


def test_one_that_was_killed_costs_nothing_but_time(made: Dev) -> None:
    spare = made.spare()
    os.kill(spare, signal.SIGKILL)
    until(lambda: not alive(spare), "it is gone")

    made.save(TELLING + "\nMORE = 1\n")

    assert made.wait("loaded")["pid"] != spare
    assert (made.count("broken"), made.count("died")) == (0, 0)


def test_one_that_dies_as_it_is_needed_costs_nothing_but_time(made: Dev) -> None:
    spare = made.spare()
    os.kill(spare, signal.SIGSTOP)
    made.save(TELLING + "\nMORE = 1\n")
    made.wait("saved")

    os.kill(spare, signal.SIGKILL)

    assert made.wait("loaded")["pid"] != spare
    assert (made.count("broken"), made.count("died"), made.count("saved")) == (0, 0, 1)


def test_there_is_one_again_after_code_that_did_not_load(made: Dev) -> None:
    used = made.spare()
    made.save("def (\n")
    made.wait("broken")
    until(lambda: not alive(used), "the one that could not load is gone")

    spare = made.spare()
    made.save(TELLING + "\nMENDED = 1\n")

    assert made.wait("loaded")["pid"] == spare


def test_it_takes_no_part_in_anything(made: Dev) -> None:
    spare = made.spare()

    with made.client() as client:
        workers = {row.pid for row in client.driver.workers() if row.kind == "worker" and row.alive}

    assert workers == set(made.generations())
    assert spare not in workers


@pytest.mark.parametrize("way", ["interrupt", "kill"])
def test_it_ends_with_the_supervisor(made: Dev, way: str) -> None:
    spare = made.spare()
    family = descendants(made.process.pid)

    made.interrupt() if way == "interrupt" else made.process.kill()
    made.process.wait(8)

    assert spare in family
    until(lambda: not any(alive(pid) for pid in family), "all are gone")
