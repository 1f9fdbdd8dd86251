"""How a command ends when it cannot do what was asked: one line on stderr, and an exit code that scripts can use.

Errors of flowkit become such a line here, once for all commands. Errors that mean a mistake only at a certain call, such as
a `ValueError`, are turned by the command that makes the call, so that a defect elsewhere is not mistaken for one.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from flowkit.errors import FlowkitError, HistoryDiverged, RunCancelled, RunFailed, RunNotFound, StoreError, Unattended

__all__ = ["FAILED", "NOT_FOUND", "STORE", "USAGE", "Commands", "Failure", "refusing"]

FAILED, USAGE, NOT_FOUND, STORE = 1, 2, 3, 4


class Failure(click.ClickException):
    """Ends the command with `code`, after `message` on stderr."""

    def __init__(self, message: str, code: int = USAGE) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click declares it for the class and reads it from the instance

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message."""
        from flowkit.cli.render import clean

        click.echo(f"flowkit: {clean(self.message, lines=True)}", file=file, err=file is None)


class Commands(click.Group):
    """The group of all commands: turns what they raise into a `Failure`."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; text that the terminal's encoding does not have is escaped instead of refused."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command, unless a setting is wrong: then nothing starts."""
        from flowkit.settings import read_settings

        with refusing(ValueError):
            read_settings()
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx is not None else ctx.command_path
            raise Failure(f"{error.format_message()} See: {path} --help") from error
        except FlowkitError as error:
            raise Failure(str(error), _code(error)) from error
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            _quietly_leave()


def _code(error: FlowkitError) -> int:
    match error:
        case RunNotFound():
            return NOT_FOUND
        case StoreError():
            return STORE
        case RunFailed() | RunCancelled() | HistoryDiverged() | Unattended():
            return FAILED
        case _:
            return USAGE


def _quietly_leave() -> None:
    """The reader of our output has gone, as `head` does. What is buffered must not raise again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    raise SystemExit(0)


@contextmanager
def refusing(*kinds: type[Exception], code: int = USAGE) -> Iterator[None]:
    """Turn these errors of a call into a `Failure`: there they can only come from what the user gave."""
    try:
        yield
    except FlowkitError:
        raise
    except kinds as error:
        raise Failure(str(error), code) from error
