"""`--metrics [HOST:]PORT`: a server in the worker's process that has one address, /metrics, for Prometheus to read.

It listens on this machine alone unless it is told otherwise, and answers whoever may reach it: nothing is in the figures but
names of workflows and steps, and numbers. What it does refuse is a web page that reads them through somebody's browser.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from flowkit.cli.failure import USAGE, Failure
from flowkit.errors import FlowkitError

__all__ = ["MetricsServer", "address_of", "metrics_at"]

_LOCAL = frozenset(("127.0.0.1", "localhost", "::1"))


def address_of(text: str) -> tuple[str, int]:
    """Host and port of ``[HOST:]PORT``; an IPv6 host stands in brackets.

    Raises:
        Failure: it is none.
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65_535 or (":" in host and not host.startswith("[")):
        raise Failure(f"--metrics is [HOST:]PORT, such as 9464 or 0.0.0.0:9464, not {text!r}", USAGE)
    return host.strip("[]") or "127.0.0.1", int(port)


@contextmanager
def metrics_at(text: str | None) -> Iterator[MetricsServer | None]:
    """A server bound to ``[HOST:]PORT``, closed at the end; None for None.

    Raises:
        Failure: it is no address, cannot be listened at, or prometheus-client is not installed.
    """
    if text is None:
        yield None
        return
    from importlib.util import find_spec

    from flowkit.client.metrics import MISSING

    address = address_of(text)
    if find_spec("prometheus_client") is None:
        raise Failure(MISSING, USAGE)
    server = MetricsServer(*address)
    try:
        yield server
    finally:
        server.close()


class MetricsServer:
    """Bound when it is made, so that a port in use is known before any work begins; `serve` answers from then on.

    Raises:
        Failure: it cannot listen there.
    """

    def __init__(self, host: str, port: int) -> None:
        from flowkit.settings import in_force

        self._figures: Callable[[], bytes] | None = None
        local = host in _LOCAL
        seconds = in_force().metrics_request

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True

        class Handler(_Handler):
            figures = staticmethod(self._read)
            hosts = _LOCAL if local else None
            timeout = seconds

        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Failure(f"port {port} of {host} is taken. Choose another with --metrics.", USAGE) from error
            raise Failure(f"cannot listen on {host}:{port}: {error.strerror or error}", USAGE) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}/metrics"

    def _read(self) -> bytes:
        assert self._figures is not None
        return self._figures()

    def serve(self, figures: Callable[[], bytes]) -> None:
        """Answer with `figures`, in a thread."""
        self._figures = figures
        threading.Thread(target=self._server.serve_forever, name="flowkit-metrics", daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more."""
        if self._figures is not None:
            self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    figures: Callable[[], bytes]
    hosts: frozenset[str] | None = None
    server_version = "flowkit"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a scrape."""
        if not self._is_welcome():
            self._say(403, "this is read by Prometheus, not from another site's page\n")
        elif self.path.partition("?")[0] != "/metrics":
            self._say(404, "there is /metrics here, and nothing else\n")
        else:
            self._answer()

    def _answer(self) -> None:
        from flowkit.client.metrics import CONTENT_TYPE

        try:
            body = self.figures()
        except FlowkitError as error:
            self._say(503, f"{error}\n")
            return
        self._send(200, CONTENT_TYPE, body)

    def _is_welcome(self) -> bool:
        """Not a page of another site, nor one whose name was made to lead here."""
        name = (self.headers.get("host") or "").rpartition(":")[0] or self.headers.get("host") or ""
        rebound = self.hosts is not None and name.strip("[]").lower() not in self.hosts
        return not rebound and self.headers.get("sec-fetch-site", "none") in ("none", "same-origin")

    def _say(self, status: int, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", text.encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is not worth a line."""
