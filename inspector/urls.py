"""The addresses of all pages, and how ids and names stand in them.

Each UTF-8 byte outside letters, digits, ``_`` and ``-`` is written ``~XX``. Percent-encoding will not do: servers decode
``%2F`` before they route, browsers fold ``..``, and ``.json`` must stay free as the twin's ending.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from starlette.convertors import Convertor, register_url_convertor

__all__ = ["decode", "encode", "entry_url", "run_url", "safe_href", "start_url", "with_query", "workflow_url"]

_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_CODED = re.compile(rb"~([0-9A-Fa-f]{2})")


def encode(text: str) -> str:
    """`text` as one segment of a path."""
    return "".join(chr(byte) if byte in _SAFE else f"~{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def decode(segment: str) -> str:
    """The text behind a segment; what nobody encoded comes out as some text that is no id."""
    raw = _CODED.sub(lambda found: bytes([int(found[1], 16)]), segment.encode("utf-8", "replace"))
    return raw.decode("utf-8", "replace")


class _Key(Convertor[str]):
    """A path parameter that holds an id or a name."""

    regex = "[A-Za-z0-9_~-]+"

    def convert(self, value: str) -> str:
        return decode(value)

    def to_string(self, value: str) -> str:
        return encode(value)


register_url_convertor("key", _Key())


def run_url(id: str, *rest: str | int) -> str:
    """The page of a run, or one below it."""
    return "/".join(["/runs", encode(id), *(str(part) for part in rest)])


def entry_url(id: str, seq: int, *rest: str) -> str:
    """The page of an entry, or one of its values."""
    return run_url(id, "e", seq, *rest)


def workflow_url(name: str) -> str:
    """The page of a workflow."""
    return f"/workflows/{encode(name)}"


def start_url(workflow: str) -> str:
    """The start form of a workflow."""
    return f"{workflow_url(workflow)}/start"


def with_query(path: str, **query: object) -> str:
    """`path` with the parameters that are neither None nor empty."""
    pairs = [
        (name, str(each))
        for name, value in query.items()
        for each in (value if isinstance(value, tuple | list) else (value,))
        if each not in (None, "", False)
    ]
    return f"{path}?{urlencode(pairs, errors='surrogatepass')}" if pairs else path


def safe_href(url: str) -> str:
    """`url` if it leads to this inspector, else nowhere: a stored text must not become another scheme."""
    return url if url.startswith("/") and not url.startswith("//") and "\\" not in url else "/"
