"""`dev`: works on the runs of an APP and reloads it on every save, with the inspector beside it."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from flowkit.cli.editor import editor
from flowkit.cli.failure import NOT_FOUND, USAGE, Failure, refusing
from flowkit.cli.options import database, exposing

if TYPE_CHECKING:
    import socket

    from flowkit.cli.serving import Posture
    from flowkit.client import Flowkit
    from flowkit.client.livecode import CodeInfo

__all__ = ["dev_command"]


@click.command("dev", short_help="Work on runs, reload on save, show the inspector.")
@click.argument("app", metavar="APP")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the inspector listens; any other host needs a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Only this port. Default: 8733, or the next free one.")
@click.option("--watch", "globs", multiple=True, metavar="GLOB", help="Reload for these files too, as *.html; may be repeated.")
@click.option("--grace", metavar="DURATION", default=None, help="Time for steps to end. Default: the setting.")
@click.option("--import-limit", metavar="DURATION", default=None, help="Say where an import is after this. Default: the setting.")
@click.option(
    "--apply", type=click.Choice(["auto", "ask"]), default="auto", show_default=True,
    help="Whether good code takes over at once, or waits for a word in the inspector.",
)  # fmt: skip
@click.option("--drain", is_flag=True, help="Let the former code finish the runs that it has in hand.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="Answer to this host name too; may be repeated.")
@click.option("--replay/--no-replay", default=True, show_default=True, help="Try all runs in the background after each load.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line for everything that happens.")
@exposing
@editor
@database
def dev_command(
    app: str,
    host: str,
    port: int | None,
    globs: tuple[str, ...],
    grace: str | None,
    import_limit: str | None,
    apply: Literal["auto", "ask"],
    drain: bool,
    hosts: tuple[str, ...],
    replay: bool,
    as_json: bool,
    expose_errors: bool | None,
    editor: str,
    db: str,
) -> None:
    """Work on the runs of APP, load it anew on every save, and show the inspector.

    New code is tried on the open runs before it may touch one of them; runs that it does not fit are held, with the line to
    paste, and go on by themselves once code that fits is saved. Code that does not load changes nothing. Ctrl-C drains and
    stops, a second one stops at once.

    \b
    Example:
      flowkit dev app.py --watch '*.html'
    """
    from flowkit.cli.serving import ANY_HOST, Posture
    from flowkit.clock import SystemClock
    from flowkit.dev.report import Ready, Remark, Report
    from flowkit.dev.settings import IN_FORCE, Settings
    from flowkit.dev.shelf import shelf_file
    from flowkit.dev.supervisor import Supervisor
    from flowkit.durations import seconds

    if not hasattr(os, "killpg"):
        raise Failure("dev needs process groups, which this system lacks. Run flowkit worker and flowkit inspect instead.")
    with refusing(ValueError):
        grace_seconds = IN_FORCE.dev_grace if grace is None else seconds(grace, "--grace")
        import_seconds = IN_FORCE.dev_import if import_limit is None else seconds(import_limit, "--import-limit")
    file = _checked(app, db)
    report = Report(_write, SystemClock(), colour=sys.stdout.isatty(), as_json=as_json)
    with _listening(host, port) as sockets, _opened(db) as flowkit, _alone(file, flowkit) as why_not:
        url = Posture(host=host, hosts=hosts).address(sockets[0].getsockname()[1])
        settings = Settings(
            app=app,
            db=db,
            grace=grace_seconds,
            globs=globs,
            import_seconds=import_seconds,
            works=not why_not,
            url=url,
            terminal=sys.stdin.isatty() and sys.stdout.isatty(),
            replays=replay,
            apply=apply,
            drain=drain,
            kept=None if why_not else shelf_file(file),
        )
        supervisor = Supervisor(settings, report)
        posture = Posture(
            host=host, hosts=hosts, read_only=bool(why_not), why_read_only=why_not, editor=editor, expose_errors=expose_errors
        )
        with _serving(flowkit, sockets, posture, db, supervisor.live) as token:
            report.tell(Ready(app=app, db=db, url=f"{url}/?token={token}" if token else f"{url}/"))
            if why_not:
                report.tell(Remark(text=why_not))
            if host in ANY_HOST and not hosts:
                report.tell(Remark(text="from elsewhere it answers only under a name given with --allow-host"))
            supervisor.run()


def _checked(app: str, db: str) -> Path:
    """The database's file, or what stands for it; a `Failure` for what can never work."""
    from flowkit.cli.store import file_of
    from flowkit.registry import split_app

    place, name = split_app(app)
    if name is not None or not place:
        raise Failure(f"dev serves a whole APP: give a file or a module, as in flowkit dev {place or 'app.py'}", USAGE)
    if place.endswith(".py") and not Path(place).is_file():
        raise Failure(f"there is no file {place!r}", NOT_FOUND)
    file = file_of(db)
    if file is None and "://" in db and ":memory:" not in db and db != "sqlite://":
        return _place_of(db)
    if file is None:
        raise Failure(f"{db!r} cannot be shared by two processes, as dev must: give a file, e.g. --db flowkit.db", USAGE)
    return file


def _place_of(url: str) -> Path:
    """What stands for the file of a database on a server: this user's, on this machine, the same for every start."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"flowkit-dev-{user}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"


def _write(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


@contextmanager
def _opened(db: str) -> Iterator[Flowkit]:
    from flowkit.cli.store import steering

    with steering(db, create=True) as flowkit:
        yield flowkit


@contextmanager
def _alone(file: Path, flowkit: Flowkit) -> Iterator[str]:
    """Why nothing may be claimed here, empty if it may."""
    from flowkit.dev.beside import Alone, why_not_alone

    alone = Alone(file)
    try:
        yield why_not_alone(alone, flowkit.driver)
    finally:
        alone.release()


@contextmanager
def _listening(host: str, port: int | None) -> Iterator[Sequence[socket.socket]]:
    from flowkit.cli.serving import DEFAULT_PORT, bind

    sockets = bind(host, port)
    if port is None and (got := sockets[0].getsockname()[1]) != DEFAULT_PORT:
        click.echo(f"port {DEFAULT_PORT} is taken; the inspector listens on {got}", err=True)
    try:
        yield sockets
    finally:
        for each in sockets:
            each.close()


@contextmanager
def _serving(
    flowkit: Flowkit, sockets: Sequence[socket.socket], posture: Posture, db: str, code: CodeInfo
) -> Iterator[str | None]:
    """Serve the inspector in a thread of its own; the token that it wants, if any."""
    from flowkit.cli.serving import make_inspector, server_of

    app, token = make_inspector(flowkit, posture, sockets[0].getsockname()[1], database=db, code=code)
    server: Any = server_of(app)
    gc.freeze()  # as `serve` does
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve(sockets=list(sockets))

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="flowkit-server", daemon=True)
    thread.start()
    try:
        yield token
    finally:
        if loops and thread.is_alive():
            loops[0].call_soon_threadsafe(server.handle_exit, signal.SIGTERM, None)
        thread.join(flowkit.settings.dev_close)
