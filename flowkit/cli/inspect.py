"""`inspect`: the inspector alone, over a database. `flowkit dev` serves the same pages with live code beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flowkit.cli.editor import editor
from flowkit.cli.failure import USAGE, Failure
from flowkit.cli.options import as_json, database, exposing

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["inspect_command"]


@click.command("inspect", short_help="Look at runs in a browser.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; any other host needs a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Only this port. Default: 8733, or the next free one.")
@click.option("--read-only", is_flag=True, help="Only look: no page writes anything.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="Answer to this host name too; may be repeated.")
@click.option(
    "--insecure-no-auth", is_flag=True, help="Listen on another host without a token: whoever reaches it may steer runs."
)
@exposing
@editor
@database
@as_json
def inspect_command(
    host: str,
    port: int | None,
    read_only: bool,
    hosts: tuple[str, ...],
    insecure_no_auth: bool,
    expose_errors: bool | None,
    editor: str,
    db: str,
    as_json: bool,
) -> None:
    """Show the runs of a database in a browser, and steer them, without executing anything.

    \b
    Example:
      flowkit inspect --db orders.db --read-only
    """
    from flowkit.cli.serving import Posture, bound, serve
    from flowkit.cli.store import file_of, looking, steering

    file: Path | None = file_of(db)
    if file is None and db in (":memory:", "sqlite://"):
        raise Failure("a database in memory belongs to its process: give a file, e.g. --db orders.db", USAGE)
    posture = Posture(
        host=host, hosts=hosts, read_only=read_only, insecure=insecure_no_auth, editor=editor, expose_errors=expose_errors
    )
    with (looking if read_only else steering)(db) as flowkit, bound(host, port) as sockets:
        serve(flowkit, posture, sockets, database=db, as_json=as_json)
