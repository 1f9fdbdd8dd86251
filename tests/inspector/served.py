"""An inspector served for a test, and requests written byte by byte: no client library tidies a hostile header away."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from flowkit.cli.serving import load_inspector, server_of
from flowkit.client import Flowkit
from flowkit.client.livecode import CodeInfo
from flowkit.clock import Clock
from flowkit.drivers import open_driver

__all__ = ["SAME_ORIGIN", "Reply", "Served", "serving"]

Headers = Sequence[tuple[str, str]]
SAME_ORIGIN: Headers = (("Sec-Fetch-Site", "same-origin"),)
FORM = ("Content-Type", "application/x-www-form-urlencoded")
PATIENCE_SECONDS = 30
"""For an answer on a machine where everything else runs, too. How long one may take is for the budgets to say."""


@dataclass(frozen=True)
class Reply:
    """A response. `text` is its body."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(frozen=True)
class Served:
    """A running inspector; `app` is the application behind it, `client` its database."""

    port: int
    app: Any
    client: Flowkit

    @property
    def base(self) -> str:
        return f"http://localhost:{self.port}"

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Headers = (),
        body: bytes = b"",
        hosts: Sequence[str] | None = None,
        chunked: bool = False,
    ) -> Reply:
        """One request on a connection of its own; `hosts` replaces the Host header, by none or several."""
        lines = [f"{method} {path} HTTP/1.1", "Connection: close"]
        lines += [f"Host: {host}" for host in ([f"localhost:{self.port}"] if hosts is None else hosts)]
        lines += [f"{name}: {value}" for name, value in headers]
        if body or method == "POST":
            lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as connection:
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            with closing(http.client.HTTPResponse(connection, method=method)) as response:
                response.begin()
                return Reply(response.status, response.headers, b"" if is_stream(response) else response.read())

    def post(self, path: str, *, headers: Headers = SAME_ORIGIN, **fields: object) -> Reply:
        """A form as a browser sends it."""
        return self.ask(path, method="POST", headers=[FORM, *headers], body=urlencode(fields).encode())

    @contextmanager
    def stream(self, path: str, *, headers: Headers = ()) -> Iterator[Any]:
        """An open event stream, to be read line by line; in HTTP 1.0 it comes without chunk sizes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as connection:
            lines = [f"GET {path} HTTP/1.0", f"Host: localhost:{self.port}", *(f"{name}: {value}" for name, value in headers)]
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
            with connection.makefile("rb") as file:
                while file.readline().strip():
                    pass
                yield file


def is_stream(response: http.client.HTTPResponse) -> bool:
    return (response.getheader("content-type") or "").startswith("text/event-stream")


@contextmanager
def serving(
    file: Path,
    *,
    code: CodeInfo | None = None,
    clock: Clock | None = None,
    untouched: bool = False,
    port: int = 0,
    **settings: Any,
) -> Iterator[Served]:
    """An inspector of the database in `file`, on a port of its own unless one is given.

    `untouched`: pages as ever, but nothing can be written.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    port = listener.getsockname()[1]
    inspector = load_inspector()
    readonly = untouched or bool(settings.get("read_only"))
    client = Flowkit(open_driver(file, readonly=readonly), worker=False, workflows=(), clock=clock)
    app = inspector.create_app(client, code=code, settings=inspector.Settings(port=port, database=str(file), **settings))
    server = server_of(app)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    try:
        yield Served(port, app, client)
    finally:
        server.handle_exit(2, None)
        thread.join(5)
        listener.close()
        client.close()
