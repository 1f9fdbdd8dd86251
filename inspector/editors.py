"""Links that open a line of the project in an editor on the reader's machine.

A place comes from the database, so it is never trusted: only a file that stands below the folder in which the inspector was
started, and is there, becomes a link.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

__all__ = ["editor_link", "opener"]


def editor_link(template: str, source: str, folder: Path | None = None) -> str:
    """The address that opens a ``file:line``; empty if there is no such file. `template` has ``{file}`` and ``{line}``."""
    file, _, line = source.rpartition(":")
    if not file or not line.isascii() or not line.isdigit() or "\0" in file:
        return ""
    below = (folder or Path.cwd()).resolve()
    try:
        path = (below / file).resolve()
        if not path.is_relative_to(below) or path.suffix != ".py" or not path.is_file():
            return ""
        return template.replace("{file}", quote(str(path))).replace("{line}", line)
    except (OSError, ValueError):  # a name that no file can have
        return ""


def opener(template: str) -> Callable[[str], str]:
    """What gives the address that opens a ``file:line``, each looked for once; empty ones without a `template`."""
    known: dict[str, str] = {}

    def href(source: str) -> str:
        if template and source not in known:
            known[source] = editor_link(template, source)
        return known.get(source, "")

    return href
