"""The command line: starts, serves, lists and steers runs from a shell.

Every module here holds one family of commands, and whatever `click.Command` one of them defines is a command of
`flowkit`: to add one, add a file. Commands parse, call the client and print; they decide nothing about runs. Nothing heavy
is imported before a command needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

import click

from flowkit.cli.failure import Commands

__all__ = ["main"]


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if not asked or context.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"flowkit {version('flowkit-engine')}")
    except PackageNotFoundError:
        click.echo("flowkit, not installed as a package")
    context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def main() -> None:
    """Durable workflows from the command line.

    APP is a Python file or a module, e.g. `app.py` or `shop.orders`, and APP:WORKFLOW one of its workflows. Runs live in a
    database: --db, else $FLOWKIT_DB, else flowkit.db in this folder.

    \b
    Example:
      flowkit run app.py:checkout '{"id": 7, "cents": 4200}' --id order-7
      flowkit list --status failed
      flowkit recover order-7

    Exit codes: 0 done, 1 the run failed, 2 usage, 3 not found, 4 store trouble.
    """


for _found in pkgutil.iter_modules(__path__):
    for _value in vars(import_module(f"{__name__}.{_found.name}")).values():
        if isinstance(_value, click.Command):
            main.add_command(_value)
