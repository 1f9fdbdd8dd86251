"""Code that does not load under `flowkit dev`, as others see it who wait for runs in the same database."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flowkit.client import Flowkit
from tests.dev.harness import APP, Dev, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

Start = Callable[..., Dev]
BROKEN = APP + "\nimport nowhere\n"


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)


def status(client: Flowkit) -> str:
    return client.health("checkout")["checkout"].status


def reported(client: Flowkit) -> list[str]:
    return [report.type for report in client.health("checkout")["checkout"].reports]


def test_code_that_has_never_loaded_is_reported_until_it_does(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(BROKEN)
    made = dev()
    made.wait("broken")

    with made.client() as client:
        until(lambda: status(client) == "failing", "the broken import is reported")
        (report,) = client.health("checkout")["checkout"].reports
        made.save(APP)
        made.wait("loaded")
        until(lambda: status(client) == "ok" and not reported(client), "the mended code has shown that it works")

    assert (report.kind, report.type, report.line) == ("import", "ModuleNotFoundError", "No module named 'nowhere'")
    assert report.place.startswith("app.py:")


def test_a_bad_save_is_reported_while_the_last_good_code_serves(dev: Start) -> None:
    made = dev()
    made.wait("loaded")

    with made.client() as client:
        made.save(BROKEN)
        made.wait("broken")
        until(lambda: reported(client) == ["ModuleNotFoundError"], "the broken import is reported")

        assert status(client) == "ok"


def test_when_dev_is_stopped_its_report_goes_with_it(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(BROKEN)
    made = dev()
    made.wait("broken")
    with made.client() as client:
        until(lambda: status(client) == "failing", "the broken import is reported")

        made.interrupt()
        made.wait("stopped")

        assert client.driver.reports(time.time()) == []


def test_when_dev_is_killed_its_report_expires(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(BROKEN)
    made = dev()
    made.wait("broken")
    with made.client() as client:
        until(lambda: status(client) == "failing", "the broken import is reported")

        made.process.send_signal(signal.SIGKILL)
        made.process.wait()

        assert client.driver.reports(time.time() + 91) == []
