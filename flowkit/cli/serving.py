"""Serving the inspector: finding it, its sockets, who may come in, and a server that stops at once.

An event stream never ends by itself, so a server that waits for its connections would never stop: streams are ended first.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import secrets
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.failure import STORE, USAGE, Failure

if TYPE_CHECKING:
    from flowkit.client import Flowkit
    from flowkit.client.livecode import CodeInfo

__all__ = [
    "ANY_HOST", "DEFAULT_PORT", "Posture", "bind", "bound", "load_inspector", "make_inspector", "serve", "server_of",
    "start_line",
]  # fmt: skip

DEFAULT_PORT = 8733
_PORTS_TRIED = 50
_LOCAL = ("127.0.0.1", "localhost", "::1")
ANY_HOST = ("0.0.0.0", "::")
"""Every address of this machine: where to listen, but never a name that one asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posture:
    """Who may come in: from this machine anybody at it, from elsewhere who has the token."""

    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    read_only: bool = False
    why_read_only: str = ""
    insecure: bool = False
    editor: str = ""
    expose_errors: bool | None = None
    """Whether readers see what errors say and what values are; None: if only this machine can reach it."""

    @property
    def exposes(self) -> bool:
        """Whether they do."""
        return self.is_local if self.expose_errors is None else self.expose_errors

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in _LOCAL

    def address(self, port: int) -> str:
        """Where it answers: a name that a browser can ask for."""
        if self.is_local or self.host in ANY_HOST:
            host = self.hosts[0] if self.hosts and not self.is_local else "localhost"
        else:
            host = self.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def load_inspector() -> ModuleType:
    """The inspector's package: inside flowkit as installed from a wheel, beside it in a checkout."""
    for name in ("flowkit.inspector", "inspector"):
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    raise Failure("this installation has no inspector", STORE)


def make_inspector(
    flowkit: Flowkit, posture: Posture, port: int, *, database: str, code: CodeInfo | None = None
) -> tuple[Any, str | None]:
    """The ASGI application, and the token that it wants, if any."""
    inspector = load_inspector()
    token = None if posture.is_local or posture.insecure else secrets.token_urlsafe(32)
    bound = () if posture.host in (*_LOCAL, *ANY_HOST) else (posture.host,)
    settings = inspector.Settings(
        database=database, read_only=posture.read_only, why_read_only=posture.why_read_only, port=port, token=token,
        editor=posture.editor, expose_errors=posture.exposes,
        hosts=frozenset((*posture.hosts, *bound)),
    )  # fmt: skip
    return inspector.create_app(flowkit, code=code, settings=settings), token


@contextmanager
def bound(host: str, port: int | None) -> Iterator[list[socket.socket]]:
    """`bind`, closed at the end."""
    sockets = bind(host, port)
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


def bind(host: str, port: int | None) -> list[socket.socket]:
    """Listening sockets. A given port is strict; by default it is 8733 or the next free one."""
    wanted = [port] if port is not None else [*range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED)]
    for number in wanted:
        try:
            first = _listen(host, number)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Failure(f"cannot listen on {host}: {error.strerror or error}", USAGE) from error
            continue
        return [first, *_beside(host, first.getsockname()[1])]
    raise Failure(f"port {wanted[0]} of {host} is taken. Choose another with --port.", USAGE)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
        made.listen(128)
    except BaseException:  # whatever it was, the socket must not stay open
        made.close()
        raise
    return made


def _beside(host: str, port: int) -> list[socket.socket]:
    """``::1`` as well, if it is free: browsers may try it first for `localhost`."""
    if host not in ("127.0.0.1", "localhost"):
        return []
    try:
        return [_listen("::1", port)]
    except OSError:
        return []


def serve(flowkit: Flowkit, posture: Posture, sockets: Sequence[socket.socket], *, database: str, as_json: bool = False) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    port = sockets[0].getsockname()[1]
    app, token = make_inspector(flowkit, posture, port, database=database)
    gc.freeze()  # modules and templates stay: looked through at each full collection they make pages late
    start_line(posture, port, token, as_json=as_json)
    try:
        asyncio.run(server_of(app).serve(sockets=list(sockets)))
    except KeyboardInterrupt:
        return


def server_of(app: Any) -> Any:
    """A uvicorn server that ends event streams before it waits for its connections."""
    import uvicorn

    from flowkit.settings import in_force

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.close_streams()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=round(in_force().inspector_close), lifespan="off",
        proxy_headers=False,
    )  # fmt: skip
    return Server(config)


def start_line(posture: Posture, port: int, token: str | None, *, as_json: bool = False) -> None:
    """Say where it is, and who may come in."""
    from flowkit.cli.render import print_json

    url = f"{posture.address(port)}/" + (f"?token={token}" if token else "")
    if as_json:
        print_json({"url": url, "port": port, "read_only": posture.read_only, "token": token is not None}, indent=None)
        sys.stdout.flush()
        return
    said = ["read-only" if posture.read_only else "can steer runs", "token needed" if token else "this machine only"]
    if posture.insecure and not posture.is_local:
        click.secho("anybody who reaches this port can steer runs (--insecure-no-auth)", fg="red", bold=True, err=True)
        said[1] = "no token"
    if not posture.exposes:
        said.append("errors and values hidden")
    if posture.host in ANY_HOST and not posture.hosts:
        said.append("from elsewhere under a name given with --allow-host")
    click.echo(f"inspector at {url}   ({', '.join(said)}); Ctrl-C stops it")
