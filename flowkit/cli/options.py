"""The options that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["DATABASE", "as_json", "database", "exposing", "run_id", "show_traceback"]

DATABASE = "flowkit.db"
F = TypeVar("F", bound=Callable[..., Any])


def database(function: F) -> F:
    """``--db``, as the parameter `db`."""
    return click.option(
        "--db",
        metavar="URL",
        envvar="FLOWKIT_DB",
        default=DATABASE,
        show_default="$FLOWKIT_DB, else flowkit.db here",
        help="The database: a SQLite file or a URL.",
    )(function)


def as_json(function: F) -> F:
    """``--json``, as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document; instants are epoch seconds.")(function)


def show_traceback(function: F) -> F:
    """``--traceback``, as the parameter `traceback`."""
    return click.option("--traceback", is_flag=True, help="Show the traceback of an error in your code, too.")(function)


def exposing(function: F) -> F:
    """``--expose-errors/--hide-errors``, as the parameter `expose_errors`: None where neither is given."""
    return click.option(
        "--expose-errors/--hide-errors",
        default=None,
        help="Whether readers see what errors say and what values are, or types and places only. Default: shown if only this "
        "machine can reach it.",
    )(function)


def run_id(function: F) -> F:
    """The argument ID, as the parameter `id`."""
    return click.argument("id", metavar="ID")(function)
