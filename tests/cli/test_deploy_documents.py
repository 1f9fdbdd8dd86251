"""What docs/deploy.md gives to process managers is started, asked and stopped as they would."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from flowkit.durations import seconds
from tests.house.source import ROOT

Spawn = Callable[..., "subprocess.Popen[str]"]

APP = "from flowkit import workflow\n\n\n@workflow\ndef order() -> str:\n    return 'done'\n"
PATIENCE_SECONDS = 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)


def block(language: str) -> str:
    """The document's one piece of this language."""
    text = (ROOT / "docs/deploy.md").read_text("utf-8")
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return str(found)


def unit() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep the case of names
    parser.read_string(block("ini"))
    return parser["Service"]


def ends(worker: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    """Its exit code after this signal, and what it has said."""
    worker.send_signal(number)
    said = worker.communicate(timeout=PATIENCE_SECONDS)[1]
    return worker.returncode, said


def test_the_systemd_unit_starts_a_worker_that_its_signal_stops_in_time(spawn: Spawn) -> None:
    service = unit()
    name, setting = service["Environment"].split("=", 1)
    program, *words = shlex.split(service["ExecStart"].replace("%i", "2.4"))

    worker = spawn(*words, "--json", env={**os.environ, name: Path(setting).name})
    assert worker.stdout is not None
    ready = json.loads(worker.stdout.readline())
    code, said = ends(worker, signal.Signals[service["KillSignal"]])

    assert (Path(program).name, name, ready["workflows"]) == ("flowkit", "FLOWKIT_DB", ["order"])
    assert code == 0, said
    assert "serves order in orders.db" in said
    assert seconds(words[words.index("--grace") + 1]) < float(service["TimeoutStopSec"])


def test_the_systemd_unit_does_not_start_again_what_would_be_refused_again(spawn: Spawn, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("import nothing_of_this_name\n")
    _, *words = shlex.split(unit()["ExecStart"].replace("%i", "2.4"))

    worker = spawn(*words)
    worker.communicate(timeout=PATIENCE_SECONDS)

    assert unit()["Restart"] == "on-failure"  # so a worker that made room, which exits with 0, stays away
    assert str(worker.returncode) in unit()["RestartPreventExitStatus"].split()


def test_the_deployment_starts_a_worker_that_answers_its_probe_and_drains(spawn: Spawn) -> None:
    text = block("yaml")
    (command,), (args,) = (re.findall(rf"^ +{key}: (\[.*\])$", text, re.MULTILINE) for key in ("command", "args"))
    (port,) = re.findall(r"containerPort: (\d+)", text)
    ((path, probed),) = re.findall(r"httpGet: \{path: (\S+), port: (\w+)\}", text)
    program, *words = [*json.loads(command), *json.loads(args)]
    assert f"0.0.0.0:{port}" in words
    words[words.index(f"0.0.0.0:{port}")] = "0.0.0.0:0"  # the port itself may be taken here

    worker = spawn(*words, "--db", "orders.db", "--json", env={**os.environ, "FLOWKIT_VERSION": "2.4"})
    assert worker.stdout is not None
    ready = json.loads(worker.stdout.readline())
    with urllib.request.urlopen(ready["metrics"].replace("0.0.0.0", "127.0.0.1"), timeout=PATIENCE_SECONDS) as answer:
        status = answer.status
    code, said = ends(worker, signal.SIGTERM)

    assert (program, status, ready["metrics"].endswith(path)) == ("flowkit", 200, True)
    assert f"{{name: {probed}, containerPort: {port}}}" in text
    assert code == 0, said
    (grace,) = re.findall(r"terminationGracePeriodSeconds: (\d+)", text)
    assert seconds(words[words.index("--grace") + 1]) < float(grace)
