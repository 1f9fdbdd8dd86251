"""`worker --metrics`: figures for Prometheus, on this machine alone unless a host is given."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from flowkit.cli.failure import Failure
from flowkit.cli.metrics import MetricsServer, address_of
from flowkit.errors import StoreError
from tests.cli.conftest import Cli
from tests.observe.figures import Figures

Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    """A server that tells one figure."""
    with closing(MetricsServer("127.0.0.1", 0)) as made:
        made.serve(lambda: b"flowkit_store_up 1\n")
        yield made


def ask(url: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
@pytest.mark.timeout(30)
def test_a_worker_serves_what_it_has_counted(cli: Cli, spawn: Spawn, shop: str) -> None:
    worker = spawn("worker", shop, "--metrics", "0", "--json")
    assert worker.stdout is not None
    said = json.loads(worker.stdout.readline())
    cli("start", f"{shop}:greet", '"ada"', "--id", "g-1")
    figures = Figures(b"")
    while figures.of("flowkit_runs_ended_total", workflow="greet", status="completed") != 1:
        with urllib.request.urlopen(said["metrics"], timeout=5) as reply:
            kind, figures = reply.headers["content-type"], Figures(reply.read())
    worker.terminate()

    assert said["metrics"].startswith("http://127.0.0.1:")
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert figures.of("flowkit_passes_total", workflow="greet") == 1
    assert worker.wait(10) == 0


def test_a_port_in_use_is_one_clear_line(cli: Cli, shop: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = cli("worker", shop, "--metrics", str(port))

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [f"flowkit: port {port} of 127.0.0.1 is taken. Choose another with --metrics."]


@pytest.mark.parametrize("text", ["", "nine", "127.0.0.1", "localhost:", "::1:9464", "1:70000", "host:-1"])
def test_what_is_no_address_is_refused(cli: Cli, shop: str, text: str) -> None:
    result = cli("worker", shop, "--metrics", text)

    assert result.exit_code == 2
    assert "--metrics is [HOST:]PORT" in result.stderr


def test_without_the_extra_it_is_said_what_to_install(cli: Cli, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    result = cli("worker", shop, "--metrics", "0")

    assert result.exit_code == 2
    assert result.stderr == "flowkit: metrics need prometheus-client: pip install 'flowkit-engine[metrics]'\n"


@pytest.mark.parametrize(
    ("text", "address"),
    [("9464", ("127.0.0.1", 9464)), ("0.0.0.0:9464", ("0.0.0.0", 9464)), ("[::1]:9", ("::1", 9)), (":9464", ("127.0.0.1", 9464))],
)
def test_an_address_is_on_this_machine_unless_it_says_otherwise(text: str, address: tuple[str, int]) -> None:
    assert address_of(text) == address


def test_a_host_that_is_not_this_machine_cannot_be_listened_at() -> None:
    with pytest.raises(Failure, match=r"cannot listen on 192\.0\.2\.1:9464"):
        MetricsServer("192.0.2.1", 9464)


def test_a_scrape_is_answered(server: MetricsServer) -> None:
    assert ask(server.url) == (200, "flowkit_store_up 1\n")


def test_there_is_nothing_else(server: MetricsServer) -> None:
    assert ask(server.url.replace("/metrics", "/"))[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "localhost.evil.example", "127.0.0.1.nip.io:80"])
def test_a_name_that_was_made_to_lead_here_is_refused(server: MetricsServer, host: str) -> None:
    assert ask(server.url, Host=host)[0] == 403


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)])
def test_pages_of_other_sites_read_nothing(server: MetricsServer, site: str, status: int) -> None:
    assert ask(server.url, Sec_Fetch_Site=site)[0] == status


def test_a_closed_handle_is_told_of_to_who_asks() -> None:
    def closed() -> bytes:
        raise StoreError("this handle is closed")

    with closing(MetricsServer("127.0.0.1", 0)) as server:
        server.serve(closed)

        assert ask(server.url) == (503, "this handle is closed\n")


def test_an_unreadable_switch_for_traces_is_one_line(cli: Cli, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWKIT_OTEL", "perhaps")

    result = cli("run", f"{shop}:greet", '"ada"')

    assert (result.exit_code, result.stderr) == (2, "flowkit: FLOWKIT_OTEL is 1 or 0, not 'perhaps'\n")
