"""`inspect`: the inspector alone, its sockets, and what it says of who may come in."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from flowkit.cli.serving import Posture, bound, load_inspector, make_inspector, start_line
from flowkit.client import Flowkit
from flowkit.drivers import open_driver
from tests.cli.conftest import Cli

Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.mark.slow
@pytest.mark.timeout(30)
def test_inspect_serves_until_it_is_asked_to_stop(cli: Cli, spawn: Spawn, shop: str) -> None:
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")
    server = spawn("inspect", "--port", "0", "--read-only", "--json")
    assert server.stdout is not None
    said = json.loads(server.stdout.readline())

    with urllib.request.urlopen(f"{said['url']}runs/g-1.json", timeout=5) as reply:
        shown = json.loads(reply.read())
    server.terminate()

    assert said["read_only"] is True
    assert shown["head"]["item"]["state"]["word"] == "completed"
    assert server.wait(5) in (0, -15)


def test_inspect_wants_a_database_that_is_there(cli: Cli) -> None:
    result = cli("inspect", "--port", "0")

    assert result.exit_code == 4
    assert "there is no database" in result.stderr


def test_inspect_refuses_a_database_in_memory(cli: Cli) -> None:
    assert cli("inspect", "--db", ":memory:").exit_code == 2


def test_a_given_port_is_strict(cli: Cli, shop: str) -> None:
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")

    with bound("127.0.0.1", 0) as sockets:
        result = cli("inspect", "--port", str(sockets[0].getsockname()[1]))

    assert result.exit_code == 2
    assert "is taken" in result.stderr


def test_another_host_needs_a_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    posture = Posture(host="192.0.2.1")
    with Flowkit(open_driver(tmp_path / "x.db"), worker=False, workflows=()) as flowkit:
        app, token = make_inspector(flowkit, posture, 8733, database="x.db")
        start_line(posture, 8733, token)

    assert token is not None
    assert len(token) >= 43
    assert app.site.settings.session != token
    assert f"http://192.0.2.1:8733/?token={token}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("host", "hosts", "name"),
    [("0.0.0.0", (), "localhost"), ("::", (), "localhost"), ("0.0.0.0", ("box.lan",), "box.lan"), ("::1", (), "localhost")],
)
def test_the_address_that_is_printed_is_one_that_is_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str, hosts: tuple[str, ...], name: str
) -> None:
    start_line(Posture(host=host, hosts=hosts), 8733, "t")

    said = capsys.readouterr().out
    assert f"http://{name}:8733/?token=t" in said
    assert ("--allow-host" in said) == (name == "localhost" and host != "::1")


def test_listening_without_a_token_is_said_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    posture = Posture(host="192.0.2.1", insecure=True)
    with Flowkit(open_driver(tmp_path / "x.db"), worker=False, workflows=()) as flowkit:
        _, token = make_inspector(flowkit, posture, 8733, database="x.db")
        start_line(posture, 8733, token)

    assert token is None
    assert "--insecure-no-auth" in capsys.readouterr().err


def test_the_inspector_is_found_beside_or_inside_the_package() -> None:
    assert load_inspector().__name__ in ("inspector", "flowkit.inspector")
