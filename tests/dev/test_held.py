"""Runs that new code does not fit, over a reload: blocked before it claims one, by whom, and when they go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowkit.client import Flowkit
from flowkit.definitions import workflow
from flowkit.drivers.base import RunRow
from tests.dev.harness import APP, Dev, until
from tests.dev.test_inspector import ask
from tests.dev.test_reload import SLOW, named

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

Start = Callable[..., Dev]

HOOKED = (
    APP.replace("@workflow", "def told(event):\n    note(f'{type(event).__name__} {event.run_id}')\n\n@workflow(on_error=told)")
    + "\n@workflow\ndef nap(hours: int) -> str:\n    charge(hours)\n    sleep(f'{hours}h')\n    return 'rested'\n"
)
MISFIT = HOOKED.replace("    charge(hours)\n", "").replace("    paid = charge(n)\n", "    paid = 0\n")


@pytest.fixture
def made(dev: Start, tmp_path: Path) -> Dev:
    (tmp_path / "app.py").write_text(HOOKED)
    started = dev("app.py", "--grace", "1s")
    started.wait("loaded")
    return started


@pytest.fixture
def client(made: Dev) -> Iterator[Flowkit]:
    with made.client() as opened:
        yield opened


def row(client: Flowkit, id: str) -> RunRow:
    found = client.driver.get(id)
    assert found is not None
    return found


@workflow
def nap(hours: int) -> str:
    """As another program knows it that only starts runs."""
    return ""


def asleep(client: Flowkit, *ids: str) -> None:
    """Runs that wait for an hour."""
    for id in ids:
        client.start(id, nap, 1)
    until(lambda: all(row(client, id).status == "sleeping" for id in ids), "they sleep")


def test_a_run_that_sleeps_for_an_hour_is_held_when_the_code_has_taken_over(made: Dev, client: Flowkit) -> None:
    asleep(client, "n-1", "n-2")
    before = row(client, "n-1")

    made.save(MISFIT)
    made.wait("loaded")

    after = row(client, "n-1")
    assert (after.status, after.epoch, after.head, after.passes) == ("blocked", before.epoch + 1, before.head + 1, before.passes)
    assert row(client, "n-2").status == "blocked"


def test_the_page_that_the_terminal_names_shows_the_cause_and_its_line(made: Dev, client: Flowkit) -> None:
    asleep(client, "n-1")
    ready = next(event for event in made.events if event["event"] == "ready")

    made.save(MISFIT)
    url = made.wait("loaded")["url"]
    status, page = ask(url)

    assert (url, status) == (f"{ready['url']}migrate", 200)
    assert "removed(&#34;charge&#34;, &#34;step&#34;)" in page
    assert "history has step <code>charge</code> at <code>charge</code>, the code makes sleep <code>sleep</code></p>" in page


def test_hooks_are_told_once_of_each_run_that_is_held(made: Dev, client: Flowkit) -> None:
    client.start("c-1", named("checkout"), 1)
    until(lambda: row(client, "c-1").status == "sleeping", "it waits")

    made.save(MISFIT)
    made.wait("loaded")
    until(lambda: "RunError c-1" in made.log(), "the hook is told")
    made.save(MISFIT + "\nMORE = 1\n")
    made.wait("loaded")
    made.save(HOOKED)
    made.wait("loaded")
    until(lambda: row(client, "c-1").status == "sleeping", "it is free")

    assert made.log() == ["charge 1", "RunError c-1"]


def test_the_code_that_was_there_before_frees_them_at_once(made: Dev, client: Flowkit) -> None:
    asleep(client, "n-1")
    made.save(MISFIT)
    made.wait("loaded")

    made.save(HOOKED)
    freed = made.wait("loaded")["freed"]

    until(lambda: row(client, "n-1").status == "sleeping", "it sleeps on", seconds=5)
    assert freed == 1
    assert made.log() == ["charge 1"]


def test_code_that_dies_at_once_leaves_no_run_held(made: Dev, client: Flowkit) -> None:
    asleep(client, "n-1")

    made.save(MISFIT + "\nimport threading\nthreading.Timer(1.5, os._exit, (5,)).start()\n")
    made.wait("loaded")
    held = row(client, "n-1").status
    made.wait("died")

    assert held == "blocked"
    until(lambda: row(client, "n-1").status == "sleeping", "the former generation has it back", seconds=8)


def test_a_run_in_a_body_is_judged_by_its_first_pass_under_the_new_code(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW)
    made = dev("app.py", "--grace", "500ms")
    made.wait("loaded")
    with made.client() as client:
        client.start("s-1", named("sleepy"), 6.0)
        until(lambda: "slow begins" in made.log(), "the body runs")

        made.save(SLOW.replace("    charge(0)\n", ""))
        loaded = made.wait("loaded")
        at_once = row(client, "s-1").status
        until(lambda: row(client, "s-1").status == "blocked", "its first pass holds it")

        assert (loaded["held"][0]["cause"]["runs"], at_once) == (1, "running")
        assert made.log() == ["charge 0", "slow begins"]
        assert row(client, "s-1").crashes == 0


def test_a_dev_that_only_looks_says_what_does_not_fit_and_writes_nothing(made: Dev, client: Flowkit, dev: Start) -> None:
    asleep(client, "n-1")
    before = row(client, "n-1")
    (made.folder / "other").mkdir()
    (made.folder / "other" / "app.py").write_text(MISFIT)

    second = dev("other/app.py")
    first_load = second.wait("loaded", seconds=20)
    second.save(MISFIT + "\nMORE = 1\n", "other/app.py")
    second_load = second.wait("loaded")

    assert [load["held"][0]["cause"]["runs"] for load in (first_load, second_load)] == [1, 1]
    assert row(client, "n-1") == before
