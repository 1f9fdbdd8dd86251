"""The body of a POST: form fields or a JSON object, under limits that are checked before anything is parsed whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from .security import MAX_BODY

__all__ = ["MAX_DEPTH", "MAX_FIELDS", "Form", "depth_of", "read_form"]

MAX_FIELDS = 200
MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a body by name, as texts; of JSON what is no text is JSON text. `is_json`: answer in JSON."""

    fields: dict[str, str] = field(default_factory=dict)
    is_json: bool = False

    def get(self, name: str, default: str = "") -> str:
        """The field, without blanks around it."""
        return self.fields.get(name, default).strip()


async def read_form(request: Request) -> Form:
    """The form in a request.

    Raises:
        HTTPException: 413 for a body above 1 MB, 400 for more than 200 fields, JSON deeper than 64, or a body that is none.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise HTTPException(413, "the body is larger than 1 MB")
    except ClientDisconnect as error:  # nobody hears this; but it is the sender's doing, and no failure of ours
        raise HTTPException(400, "the body is not complete") from error
    if request.headers.get("content-type", "").startswith("application/json"):
        return Form(_from_json(bytes(body)), is_json=True)
    return Form(_from_pairs(bytes(body)))


def _from_pairs(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeDecodeError) as error:
        raise HTTPException(400, f"the form cannot be read, or has more than {MAX_FIELDS} fields") from error
    return {name: text.replace("\r\n", "\n") for name, text in pairs}  # which is how browsers send the end of a line


def _from_json(body: bytes) -> dict[str, str]:
    if depth_of(body) > MAX_DEPTH:
        raise HTTPException(400, f"the JSON nests deeper than {MAX_DEPTH}")
    try:
        found = msgspec.json.decode(body or b"{}", type=dict[str, object])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise HTTPException(400, "the body is no JSON object") from error
    if len(found) > MAX_FIELDS:
        raise HTTPException(400, f"the JSON has more than {MAX_FIELDS} fields")
    return {name: value if isinstance(value, str) else msgspec.json.encode(value).decode() for name, value in found.items()}


def depth_of(body: bytes) -> int:
    """How deep brackets nest in JSON text, strings skipped; parsed by hand since a parser would recurse first."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            escaped, in_string = (not escaped and byte == 0x5C), byte != 0x22 or escaped
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
