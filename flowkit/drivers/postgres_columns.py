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


def array_of(values: Iterable[Any]) -> str:
    """`values` as the text of an array."""
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
        marks = ", ".join(f"%({key})s::{type}[]" for key, type in zip(self._keys, types.values(), strict=True))
        self.source = f"unnest({marks}) AS {alias}({', '.join(types)})"
        """What to select from."""

    def values(self, rows: Sequence[Sequence[Any]]) -> dict[str, str]:
        """The arrays of `rows`, by the names that `source` has for them."""
        return {key: array_of(column) for key, column in zip(self._keys, zip(*rows, strict=True), strict=True)}
