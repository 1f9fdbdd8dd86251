"""Many rows in one statement: each column travels as one array, written here, since that is what a large group costs.

`unnest` turns the arrays back into rows. Column types come from the tables' own text, so that they are said once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from flowkit.drivers.schema import TABLES

__all__ = ["Columns", "array_of", "types_of"]

_TYPES = {"INTEGER": "int8", "REAL": "float8", "TEXT": "text"}
_BOOLEANS = ("reply", "more")


def array_of(values: Sequence[Any], type: str = "text") -> str:
    """`values` as the text of an array. A column at a time: a large group has thousands of values, and most of them are plain."""
    if values.count(None) == len(values):
        return "{" + ",".join(["NULL"] * len(values)) + "}"
    if type == "text":
        return _texts(values) if None not in values else _one_by_one(values)
    if type == "bool":
        return _one_by_one(values)
    return "{" + str(list(values))[1:-1].replace("None", "NULL") + "}"


def _texts(values: Sequence[str]) -> str:
    """Marked where one ends and the next begins by what no text for the server may hold, and escaped all at once."""
    marked = "\0".join(values)
    if marked.count("\0") != len(values) - 1:
        return _one_by_one(values)
    if "\\" in marked:
        marked = marked.replace("\\", "\\\\")
    if '"' in marked:
        marked = marked.replace('"', '\\"')
    return '{"' + marked.replace("\0", '","') + '"}'


def _one_by_one(values: Iterable[Any]) -> str:
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return "t" if value else "f"
    return repr(value)


@cache
def types_of(table: str) -> dict[str, str]:
    """The columns of a table and their types."""
    (body,) = re.findall(rf"CREATE TABLE {table} \((.*?)\n\)", TABLES, re.DOTALL)
    found = re.findall(r"^\s*(\w+) (INTEGER|REAL|TEXT)", body, re.MULTILINE)
    return {name: "bool" if name in _BOOLEANS else _TYPES[type] for name, type in found}


class Columns:
    """The named and typed columns of a list of rows that is handed to a statement."""

    def __init__(self, alias: str, types: dict[str, str]) -> None:
        self.alias = alias
        self.names = tuple(types)
        self._keys = [f"{alias}_{name}" for name in types]
        self._types = tuple(types.values())
        marks = ", ".join(f"%({key})s::{type}[]" for key, type in zip(self._keys, types.values(), strict=True))
        self.source = f"unnest({marks}) AS {alias}({', '.join(types)})"
        """What to select from."""

    def values(self, rows: Sequence[Sequence[Any]]) -> dict[str, str]:
        """The arrays of `rows`, by the names that `source` has for them."""
        columns = zip(self._keys, self._types, zip(*rows, strict=True), strict=True)
        return {key: array_of(column, type) for key, type, column in columns}
