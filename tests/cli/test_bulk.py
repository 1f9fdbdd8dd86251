"""`bulk`: counted first, done when the number is given, listed, stopped and carried on."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowkit.client import Flowkit
from flowkit.client.bulk import Bulk, Bulks, BulkWish, Picks, narrowed
from flowkit.client.walk import Walker
from flowkit.drivers import open_driver
from flowkit.drivers.base import Start
from tests.cli.conftest import Cli

Data = Callable[..., Any]


@pytest.fixture
def orders(cli: Cli, shop: str) -> None:
    """Three runs that nobody works on."""
    for number in range(3):
        cli("start", f"{shop}:wait", "--id", f"w-{number}")


def statuses(data: Data) -> list[str]:
    return [run["status"] for run in data("list")["runs"]]


@pytest.mark.usefixtures("orders")
def test_without_a_number_it_only_says_what_it_would_do(cli: Cli, data: Data) -> None:
    result = cli("bulk", "pause")

    assert result.exit_code == 0
    assert result.stdout == "pause would be done to 3 runs:\n  w-2\n  w-1\n  w-0\n"
    assert result.stderr == "nothing was done; do it with --yes 3\n"
    assert statuses(data) == ["pending"] * 3
    assert data("bulk", "pause")["sample"] == ["w-2", "w-1", "w-0"]


@pytest.mark.usefixtures("orders")
def test_with_the_number_it_is_done(cli: Cli, data: Data) -> None:
    result = cli("bulk", "pause", "--yes", "3")

    assert (result.exit_code, result.stdout) == (0, "bulk 1: done, 3 done, 0 failed, 0 skipped\n")
    assert statuses(data) == ["paused"] * 3


@pytest.mark.usefixtures("orders")
def test_another_number_is_refused(cli: Cli, data: Data) -> None:
    result = cli("bulk", "pause", "--yes", "4")

    assert (result.exit_code, statuses(data)) == (2, ["pending"] * 3)
    assert "these are 3 runs, and --yes says 4. Nothing was done." in result.stderr


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--prefix", "w-1"), 1), (("--workflow", "wait"), 3), (("--workflow", "other"), 0), (("--tag", "vip"), 0),
        (("--status", "pending"), 3), (("--status", "failed"), 0), (("--since", "1h"), 3), (("--until", "1h"), 0),
        (("--status", "pending", "--status", "sleeping", "--prefix", "w-"), 3),
    ],
)  # fmt: skip
def test_filters_pick(data: Data, options: tuple[str, ...], count: int) -> None:
    assert data("bulk", "cancel", *options)["count"] == count


@pytest.mark.usefixtures("orders")
def test_a_message_is_sent_to_all(cli: Cli, data: Data) -> None:
    assert data("bulk", "send", "--name", "go", "--data", '{"a": 1}', "--yes", "3")["done"] == 3
    assert data("doctor")["messages"] == 3


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("destroy",), 2), (("pause", "--status", "nonsense"), 2), (("pause", "--since", "nonsense"), 2),
        (("send", "--yes", "3"), 2),
        (("send", "--name", "m", "--data", "{", "--yes", "3"), 2), (("pause", "--stop", "1"), 2), (("--stop", "9"), 3),
        (("--carry-on", "9"), 3), (("resume", "--yes", "0"), 3), (("--stop", "0"), 2), (("pause", "--yes", "x"), 2),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_does_nothing(cli: Cli, data: Data, args: tuple[str, ...], code: int) -> None:
    result = cli("bulk", *args)

    assert (result.exit_code, len(result.stderr.splitlines())) == (code, 1)
    assert statuses(data) == ["pending"] * 3


@pytest.mark.usefixtures("orders")
def test_what_failed_is_told_with_its_reason(cli: Cli) -> None:
    result = cli("bulk", "replay", "--from", "no-such-step", "--yes", "3")

    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == "bulk 1: done, 0 done, 3 failed, 0 skipped"
    assert "w-2: run 'w-2' has no entry 'no-such-step'" in result.stdout


@pytest.mark.usefixtures("orders")
def test_without_a_verb_bulks_are_listed(cli: Cli, data: Data) -> None:
    nothing = cli("bulk")
    cli("bulk", "pause", "--yes", "3")

    assert (nothing.stdout, nothing.stderr) == ("", "no bulks\n")
    assert cli("bulk").stdout.splitlines()[1].split()[:6] == ["1", "pause", "done", "3", "0", "0"]
    assert [bulk["who"] for bulk in data("bulk")["bulks"]] == ["CLI"]


def left() -> Bulk:
    """A bulk that a process left behind."""
    with Flowkit(open_driver("flowkit.db"), worker=False) as flowkit:
        bulks = Bulks(flowkit, "gone")
        wish = BulkWish(verb="pause", picks=narrowed("pause", Picks()), top=bulks.newest_run())
        return bulks.begin("a" * 32, wish, bulks.count(wish.picks, wish.top))


@pytest.mark.usefixtures("orders")
def test_a_bulk_that_was_left_is_carried_on(cli: Cli, data: Data) -> None:
    left()

    assert data("bulk", "--carry-on", "1")["done"] == 3
    assert statuses(data) == ["paused"] * 3


@pytest.mark.usefixtures("orders")
def test_a_bulk_that_was_left_is_stopped(cli: Cli, data: Data) -> None:
    left()

    result = cli("bulk", "--stop", "1")

    assert (result.exit_code, result.stdout) == (1, "bulk 1: stopped, 0 done, 0 failed, 0 skipped\n")
    assert statuses(data) == ["pending"] * 3


@pytest.mark.usefixtures("orders")
def test_what_another_process_carries_out_is_left_to_it(cli: Cli, data: Data) -> None:
    bulk = left()
    with Flowkit(open_driver("flowkit.db"), worker=False) as flowkit:
        Walker(flowkit).take(bulk)

        result = cli("bulk", "--carry-on", "1")

    assert result.stdout == "bulk 1: running, 0 done, 0 failed, 0 skipped\n"
    assert "another process carries it on" in result.stderr


@pytest.mark.timeout(30)
def test_ctrl_c_stops_it_after_the_runs_under_way(
    cli: Cli, data: Data, spawn: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    starts = [Start(id=f"n-{n}", workflow="nap", input=b"{}", input_hash="", start_at=1.0, token=f"{n}") for n in range(20_000)]
    driver = open_driver("flowkit.db")
    driver.write(starts, 1.0)
    driver.close()
    child = spawn("bulk", "pause", "--yes", "1000+")
    assert child.stderr is not None
    child.stderr.readline()

    child.send_signal(signal.SIGINT)

    out, _ = child.communicate(timeout=20)
    bulk = data("bulk")["bulks"][0]
    assert child.returncode == 1
    assert out.startswith("bulk 1: stopped, ")
    assert 0 < bulk["done"] < 20_000
    assert len(data("list", "--status", "paused", "--limit", "20000")["runs"]) == bulk["done"]
