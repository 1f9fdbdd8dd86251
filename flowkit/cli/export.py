"""`export`: one run written out whole, for other programs, for keeping, or as a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from flowkit.cli.failure import Failure
from flowkit.cli.options import as_json, database, run_id
from flowkit.cli.store import find_run, looking, row_of

if TYPE_CHECKING:
    from flowkit.client.export import Export

__all__ = ["export_command"]


@click.command("export", short_help="Write a run out: as JSON, as lines of JSON, or as a pytest file.")
@run_id
@click.option("--format", "format", type=click.Choice(["json", "ndjson", "py"]), help="What to write.  [default: json]")
@click.option("--output", "-o", metavar="FILE", help="Write to this file instead of stdout.")
@click.option("--workflow", "place", metavar="MODULE:NAME", default="", help="With py: where the test imports the workflow from.")
@click.option("--secrets", is_flag=True, help="Leave values under keys such as password or token as they are.")
@database
@as_json
def export_command(
    id: str, format: str | None, output: str | None, place: str, secrets: bool, db: str, as_json: bool
) -> None:  # fmt: skip
    """Write a run out: what it was given and came to, its entries, attempts and messages, and its code.

    With py it is one pytest file that goes through the run again: a failed run's fails for the same reason until the code is
    mended, a completed run's checks output and order of entries.

    \b
    Example:
      flowkit export order-7 --format py -o test_order_7.py
    """
    from flowkit.client.export import Export

    if as_json and format not in (None, "json"):
        raise Failure(f"--json and --format {format} contradict each other: leave one out")
    if place and format != "py":
        raise Failure("--workflow is for --format py, which imports it")
    with looking(db) as flowkit:
        row = row_of(flowkit, find_run(flowkit, id))
        export = Export(flowkit.driver, row, flowkit.house.clock.now(), reveals=secrets)
        chunks = _chunks(export, format or "json", place)
        if output is None:
            _write(chunks, sys.stdout.buffer)
            return
        try:
            with Path(output).open("wb") as file:
                _write(chunks, file)
        except OSError as error:
            raise Failure(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"wrote {output}{_masked(export)}", err=True)


def _chunks(export: Export, format: str, place: str) -> Iterator[bytes]:
    from flowkit.client.export import exported
    from flowkit.client.export_pytest import exported_test

    if format == "py":
        return exported_test(export, place)
    return exported(export, "ndjson" if format == "ndjson" else "json")


def _write(chunks: Iterator[bytes], file: IO[bytes]) -> None:
    for chunk in chunks:
        file.write(chunk)
    file.flush()


def _masked(export: Export) -> str:
    names = sorted(export.masker.masked)
    return f"; masked: {', '.join(names)} (--secrets leaves them)" if names else ""
