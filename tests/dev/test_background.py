"""The check behind a load as the supervisor sees it: one that hangs, one that is cut short, and the reports that are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from flowkit import workflow
from flowkit.core.verdict import Counted, Finding, Replay
from flowkit.dev.background import Background
from flowkit.dev.events import Aside, Event
from flowkit.dev.live import Live
from flowkit.dev.report import Replayed, Report
from flowkit.dev.settings import Settings
from flowkit.dev.shelf import MOST, Shelf, shelf_file
from flowkit.testing import FakeClock, Lab
from tests.dev.harness import APP

pytestmark = pytest.mark.timeout(90)


@workflow
def checkout(n: int = 1) -> int:
    """As another program knows it that only starts runs."""
    return 0


class Watch:
    """A background check in a folder, with its events heard as the supervisor's loop would."""

    def __init__(self, folder: Path, text: str, **settings: Any) -> None:
        (folder / "watched_app.py").write_text(text)
        self.told: list[dict[str, Any]] = []
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.live = Live(
            "app.py", wanted=lambda wish, answer: None, killed=lambda: None, decided=lambda decision, answer: None
        )  # fmt: skip
        report = Report(lambda line: self.told.append(json.loads(line)), FakeClock(5.0), as_json=True)
        self.background = Background(
            Settings(
                app=str(folder / "watched_app.py"), db=str(folder / "runs.db"), kept=shelf_file(folder / "runs.db"), **settings
            ),
            report, self.live, self.events.put,
        )  # fmt: skip

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, (self.told, self.live.state().replays)
            self.background.tend(time.monotonic())
            try:
                event = self.events.get(timeout=0.05)
            except Empty:
                continue
            assert isinstance(event, Aside)
            self.background.hear(event.event)

    def kept(self) -> list[Replay]:
        return list(self.live.state().replays)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watch]]:
    made: list[Watch] = []
    with Lab(tmp_path / "runs.db") as lab:
        lab.start("r-1", checkout)
        lab.start("r-2", checkout)

    def start(text: str = APP, **settings: Any) -> Watch:
        made.append(Watch(tmp_path, text, **settings))
        return made[-1]

    yield start
    for each in made:
        each.background.drop()


def test_a_check_that_says_nothing_is_ended_and_says_why(watch: Callable[..., Watch]) -> None:
    hung = watch(APP + "\ntime.sleep(60)\n", silence=0.5)

    hung.background.plan("")
    hung.until(lambda: bool(hung.told))

    assert hung.told[0]["why"] == "the check did not go on while it imported the code, and was ended"
    assert hung.kept()[0].over


def test_code_that_ends_the_process_is_named_with_the_run_that_was_tried(watch: Callable[..., Watch]) -> None:
    dies = watch(APP.replace("    paid = charge(n)\n", "    os._exit(7)\n"))

    dies.background.plan("")
    dies.until(lambda: bool(dies.told))

    assert dies.told[0]["why"] == "the check's process ended with exit code 7 while it tried r-2 of checkout"


def test_what_is_printed_by_the_check_is_heard_by_nobody(watch: Callable[..., Watch]) -> None:
    loud = watch(APP + "\nprint('imported')\n")

    loud.background.plan("")
    loud.until(lambda: bool(loud.told))

    assert [(each["event"], each["tried"], each["why"]) for each in loud.told] == [("replayed", 2, "")]


def test_an_import_that_fails_the_second_time_says_so(watch: Callable[..., Watch]) -> None:
    broken = watch(APP + "\nraise OSError('the port is taken')\n")

    broken.background.plan("")
    broken.until(lambda: bool(broken.told))

    assert broken.told[0]["why"].endswith("and that failed: OSError: the port is taken")


def test_code_that_was_saved_meanwhile_is_not_taken_for_the_one_that_loaded(watch: Callable[..., Watch]) -> None:
    other = watch()

    other.background.plan("000000")
    other.until(lambda: bool(other.kept()) and other.kept()[0].over)

    assert other.kept()[0].why == "newer code was saved before the check began"
    assert other.told == []


def test_what_is_planned_anew_before_it_began_leaves_no_report(watch: Callable[..., Watch]) -> None:
    made = watch()

    for code in ("1", "2", "3"):
        made.background.plan(code)
    made.background.drop()

    assert (made.kept(), made.background.due) == ([], None)


def test_the_last_20_reports_are_kept_in_a_file_that_a_restart_reads(tmp_path: Path) -> None:
    file = tmp_path / "runs.db-checks.json"
    shelf = Shelf(file)

    for _ in range(MOST + 5):
        shelf.put(Replay(number=shelf.next_number(), code="\ud800"))
    again = Shelf(file)

    assert [each.number for each in again.all()] == list(range(25, 5, -1))
    assert again.next_number() == 26
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("text", ["", "[{", '[{"number": "one"}]', "{}"])
def test_a_file_that_cannot_be_read_counts_as_empty(tmp_path: Path, text: str) -> None:
    file = tmp_path / "runs.db-checks.json"
    file.write_text(text)

    shelf = Shelf(file)

    assert (shelf.all(), shelf.next_number()) == ((), 1)


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "nowhere" / "runs.db-checks.json")

    shelf.put(Replay(number=1))

    assert len(shelf.all()) == 1


BEFORE = Replay(
    code="3f2a91",
    counts=(
        Counted(workflow="checkout", verdict="goes on", ended=False, runs=41),
        Counted(workflow="checkout", verdict="same", ended=True, runs=20),
    ),
)
AFTER = Replay(
    code="8c10de", tried=61, seconds=0.63,
    counts=(
        Counted(workflow="checkout", verdict="held", ended=False, runs=3),
        Counted(workflow="checkout", verdict="goes on", ended=False, runs=38),
        Counted(workflow="checkout", verdict="same", ended=True, runs=20),
    ),
    findings=(Finding(workflow="checkout", verdict="held", runs=3),),
)  # fmt: skip


def terminal(*news: Replayed) -> list[str]:
    lines: list[str] = []
    report = Report(lines.append, FakeClock(5.0))
    for each in news:
        report.tell(each)
    return [line for text in lines for line in text.splitlines()]


def test_the_terminal_prints_the_counts_that_have_changed_and_no_others() -> None:
    first, *rest = terminal(Replayed.of(AFTER, BEFORE, "http://localhost:8733/migrate"))

    assert first[10:] == "checked 8c10de  61 runs in 0.6 s   http://localhost:8733/migrate"
    assert [line.strip() for line in rest] == ["checkout  open: 3 held, 41 → 38 goes on"]


def test_where_no_count_has_changed_the_terminal_prints_nothing() -> None:
    assert terminal(Replayed.of(replace(AFTER, code="b7710c"), AFTER, "")) == []


def test_a_verdict_that_no_run_has_any_more_is_a_change_to_0() -> None:
    _, *rest = terminal(Replayed.of(BEFORE, AFTER, ""))

    assert [line.strip() for line in rest] == ["checkout  open: 3 → 0 held, 38 → 41 goes on"]


def test_a_check_that_was_not_whole_says_why() -> None:
    lines = terminal(Replayed.of(replace(AFTER, why="the check's process was killed by signal 9"), AFTER, ""))

    assert lines[-1].strip() == "the check's process was killed by signal 9"
