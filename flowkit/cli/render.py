"""Values, instants and tables as people and scripts read them. Knows nothing of commands or databases.

Everything from the database may hold control characters, which a terminal would obey: `clean` stands before every cell.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from flowkit.codec import coder, describe
from flowkit.durations import format_seconds, utc_text
from flowkit.engine.source import shown_path
from flowkit.errors import ErrorInfo, PayloadError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "STATES",
    "ago",
    "cause_of",
    "clean",
    "compact",
    "error_data",
    "error_place",
    "error_text",
    "print_fields",
    "print_json",
    "print_table",
    "state",
    "to_data",
    "value_text",
    "when",
]

STATES = {
    "pending": ("▷", "cyan"),
    "running": ("▶", "cyan"),
    "sleeping": ("◷", "blue"),
    "retrying": ("↻", "yellow"),
    "rolling_back": ("◀", "yellow"),
    "rolled_back": ("↶", "yellow"),
    "completed": ("✓", "green"),
    "failed": ("✕", "red"),
    "exhausted": ("✕", "red"),
    "cancelled": ("⊘", "bright_black"),
    "paused": ("‖", "yellow"),
    "blocked": ("■", "red"),
}
"""Icon and colour of each status of a run or an entry."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|[\n\t]")
_FRAME = re.compile(r'^  File "(.+)", line (\d+)', re.MULTILINE)
_WIDE = 10_000
_anything = coder()


# --- text -----------------------------------------------------------------------------------------------------------


def clean(text: str, *, lines: bool = False) -> str:
    """`text` with its control characters escaped; with `lines`, line ends and tabs stay."""

    def escaped(found: re.Match[str]) -> str:
        return found[0] if lines and found[0] in "\n\t" else ascii(found[0])[1:-1]

    return _CONTROL.sub(escaped, text)


def compact(text: str, width: int) -> str:
    """`text` on one line of at most `width` characters."""
    text = clean(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def when(instant: float | None, now: float) -> str:
    """An instant as date and distance: ``2026-11-20 09:04:11Z (3m ago)``; ``—`` if there is none."""
    return "—" if instant is None else f"{utc_text(instant)} ({ago(instant, now)})"


def ago(instant: float | None, now: float) -> str:
    """An instant by its distance from `now`: ``3m ago``, ``in 2d 4h``; ``—`` if there is none."""
    if instant is None:
        return "—"
    distance = now - instant
    if abs(distance) < 1:
        return "now"
    return f"{format_seconds(distance)} ago" if distance > 0 else f"in {format_seconds(-distance)}"


# --- values ---------------------------------------------------------------------------------------------------------


def to_data(value: object) -> object:
    """Any recorded value as plain JSON data."""
    if isinstance(value, ErrorInfo):
        return error_data(value)
    try:
        return describe(_anything.encode(value))
    except PayloadError:
        return repr(value)


def error_data(error: ErrorInfo | None) -> object:
    """An error as plain JSON data."""
    if error is None:
        return None
    data = {"type": error.type, "message": error.message, "traceback": error.traceback}
    cause = cause_of(error)
    return data if cause is None else {**data, "cause": error_data(cause)}


def cause_of(error: ErrorInfo) -> ErrorInfo | None:
    """The error of the last attempt, if this says that a step has none left."""
    cause = error.attributes.get("error")
    return cause if isinstance(cause, ErrorInfo) else None


def error_text(error: ErrorInfo) -> str:
    """An error with the traceback that leads to the user's line."""
    trace = (cause_of(error) or error).traceback.rstrip()
    return f"{error}\n{trace}" if _FRAME.search(trace) else str(error)


def error_place(error: ErrorInfo) -> str:
    """``file:line`` where an error was raised; of a step that is exhausted, where its last attempt was."""
    frames = _FRAME.findall((cause_of(error) or error).traceback)
    return f"{shown_path(frames[-1][0])}:{frames[-1][1]}" if frames else ""


def value_text(value: object) -> str:
    """A recorded value as compact JSON."""
    return json.dumps(to_data(value), ensure_ascii=False)


def print_json(document: object, *, indent: int | None = 2) -> None:
    """Print one JSON document; text that the terminal's encoding does not have is written ``\\u1234``."""
    narrow = not (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    click.echo(json.dumps(document, ensure_ascii=narrow, indent=indent))


# --- tables ---------------------------------------------------------------------------------------------------------


def state(status: str, note: str = "") -> Text:
    """A status as icon, word and colour."""
    from rich.text import Text

    icon, colour = STATES.get(status, ("?", ""))
    return Text(f"{icon} {status}{f' {note}' if note else ''}", style=colour)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, wraps: Sequence[str] = (), right: Sequence[str] = ()
) -> None:
    """Print rows in aligned columns; only on a terminal are they cut to its width, those in `wraps` first."""
    table = _table()
    for name in columns:
        align: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(name, no_wrap=True, justify=align, min_width=None if name in wraps else len(name), overflow="ellipsis")
    for row in rows:
        table.add_row(*(_cell(cell) for cell in row))
    _print(table)


def print_fields(fields: Iterable[tuple[str, str | Text]]) -> None:
    """Print names and values, one a line."""
    table = _table(header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        table.add_row(name, _cell(value, lines=True))
    _print(table)


def _table(header: bool = True) -> Table:
    from rich.table import Table

    return Table(box=None, pad_edge=False, show_header=header, header_style="bold", padding=(0, 2, 0, 0))


def _cell(cell: str | Text, lines: bool = False) -> Text:
    from rich.text import Text

    return Text(clean(cell, lines=lines)) if isinstance(cell, str) else cell


def _print(table: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console = Console(width=_WIDE, highlight=False, emoji=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=True if console.is_terminal else None)
