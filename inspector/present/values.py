"""Stored values as text: pretty, cut, and with secrets masked.

A small value is shown whole, a middling one behind a fold, a large one by its beginning only, which is set without
parsing it: a page must not cost what a value weighs. What does not decode is shown as hex with the reason, never blank.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from zlib import crc32

from flowkit.client.reader import Body

__all__ = ["EXPANDABLE", "PREVIEW", "Value", "key_of", "mask", "one_line", "preview", "shown", "size_text"]

PREVIEW = 4_096
EXPANDABLE = 256 * 1024
MASK = "••••••"
_SECRET = re.compile(r"password|secret|token|authorization|cookie", re.IGNORECASE)
_SECRET_PAIR = re.compile(
    r'("[^"\\]*(?:password|secret|token|authorization|cookie)[^"\\]*"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^,}\]\s]+)', re.IGNORECASE
)
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_HEX = 512
_ONE_LINE = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value as a page shows it: `head` at once, `rest` behind a fold, the whole of it at `raw` where that leads somewhere."""

    head: str = ""
    rest: str = ""
    size: str = ""
    cut: bool = False
    masked: bool = False
    damage: str = ""
    raw: str = ""
    reveal: str = ""


def shown(text: str) -> str:
    """`text` with what nobody sees made visible: controls, direction marks and lone surrogates as escapes."""
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def key_of(*texts: str) -> str:
    """A short name for what these texts say, the same as long as they are, to be part of an element's id."""
    return f"{crc32(chr(0).join(texts).encode('utf-8', 'backslashreplace')):08x}"


def size_text(size: int) -> str:
    """A number of bytes: ``812 B``, ``1.4 kB``, ``5.0 MB``."""
    if size < 1_000:
        return f"{size} B"
    return f"{size / 1_000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def preview(body: Body, *, raw: str = "", reveal: str = "", revealed: bool = False) -> Value | None:
    """A stored value for its page; None if there is none. `reveal` is where it stands unmasked."""
    if body.data is None:
        return Value(damage=body.damage, raw=raw) if body.damage else None
    size = size_text(len(body.data) if body.size is None else body.size)
    if body.damage:
        return Value(head=_hex(body.data), size=size, cut=len(body.data) > _HEX, damage=shown(body.damage))
    if body.size is not None or len(body.data) > EXPANDABLE:
        text = body.data[:PREVIEW].decode("utf-8", "replace")
        masked = text if revealed else _SECRET_PAIR.sub(rf'\1"{MASK}"', text)
        return Value(head=shown(masked), size=size, cut=True, masked=masked != text, raw=raw, reveal=reveal)
    try:
        json.loads(body.data)
    except (ValueError, RecursionError) as error:
        why = f"not JSON: {error}"
        return Value(head=_hex(body.data), size=size, cut=len(body.data) > _HEX, damage=shown(why), raw=raw)
    data = body.plain()
    cleaned = data if revealed else mask(data)
    text = shown(_pretty(cleaned))
    head = text if len(text) <= PREVIEW else text[: text.rfind("\n", 0, PREVIEW) + 1 or PREVIEW]
    return Value(head=head, rest=text[len(head) :], size=size, masked=cleaned != data, raw=raw, reveal=reveal)


def _pretty(data: object) -> str:
    try:
        return json.dumps(data, ensure_ascii=False, indent=2)
    except (ValueError, RecursionError, TypeError):
        return repr(data)


def _hex(data: bytes) -> str:
    return data[:_HEX].hex(" ")


def mask(data: object) -> object:
    """`data` with what stands under a key that sounds secret replaced."""
    if isinstance(data, dict):
        return {key: MASK if _SECRET.search(str(key)) and item is not None else mask(item) for key, item in data.items()}
    if isinstance(data, list):
        return [mask(item) for item in data]
    return data


def one_line(data: object, width: int = 120) -> str:
    """A value on one line of at most `width` characters, secrets masked."""
    if data is None:
        return ""
    try:
        text = _ONE_LINE(mask(data))
    except (ValueError, RecursionError, TypeError):
        text = repr(data)
    text = shown(text)
    return text if len(text) <= width else f"{text[: width - 1]}…"
