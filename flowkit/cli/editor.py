"""``--editor``: the address with which a place in the source opens in an editor on the reader's machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["EDITORS", "editor", "editor_address"]

F = TypeVar("F", bound=Callable[..., Any])

EDITORS = {
    "vscode": "vscode://file{file}:{line}",
    "vscodium": "vscodium://file{file}:{line}",
    "cursor": "cursor://file{file}:{line}",
    "windsurf": "windsurf://file{file}:{line}",
    "zed": "zed://file{file}:{line}",
    "pycharm": "pycharm://open?file={file}&line={line}",
    "idea": "idea://open?file={file}&line={line}",
    "sublime": "subl://open?url=file://{file}&line={line}",
    "textmate": "txmt://open?url=file://{file}&line={line}",
}
"""What opens a line in the editors that have an address for it; `{file}` is an absolute path."""

_ADDRESS = re.compile(r"(?!(?:javascript|data|vbscript|blob|file|about):)[a-z][a-z0-9+.-]*:[^\s\"'<>]*", re.IGNORECASE)


def editor_address(text: str) -> str:
    """A known editor's address, or one that is given in full.

    Raises:
        ValueError: it is neither.
    """
    address = EDITORS.get(text, text)
    if not text or (_ADDRESS.fullmatch(address) and "{file}" in address):
        return address
    raise ValueError(
        f"{text!r} is none of {', '.join(EDITORS)}, and no address such as myeditor://open?file={{file}}&line={{line}}"
    )


def editor(function: F) -> F:
    """``--editor``, as the parameter `editor`."""
    return click.option(
        "--editor",
        metavar="NAME",
        envvar="FLOWKIT_EDITOR",
        default="",
        callback=_checked,
        help="Link places in your code to this editor: vscode, pycharm, zed, … or an address with {file} and {line}.",
    )(function)


def _checked(context: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        return editor_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error
