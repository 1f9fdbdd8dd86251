"""Odd values, each decided by chance: what a store must give back exactly as it was, and what it must refuse.

`odd_value` is a function of the chance alone, so that the same seed makes the same value again, in which nothing is shared
with the first. Every value comes with whether it is to be kept: a store that refused everything would prove nothing.
"""

from __future__ import annotations

import math
import pathlib
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic

from tests.codec.values import (
    Colour,
    Entry,
    Items,
    Level,
    Mode,
    Moment,
    Number,
    Odd,
    Order,
    Pair,
    Plain,
    Point,
    Reading,
    Real,
    Receipt,
    Rights,
    Special,
    Table,
    Taxed,
    Text,
    Tree,
)

__all__ = ["LIMIT", "Line", "Oddity", "odd_name", "odd_value"]

LIMIT = 8_000_000
DEEPEST = 200
EPOCH = datetime.fromisoformat("1970-01-01")
NAMED_ZONES = ("Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "UTC")
TEXTS = (
    "", "\0", "a\0b", "\ud800", "\udfff x", "ok \udc80", "é", "e\u0301", "ﬁ", "İ", "\u202egnp.exe", "\u2028", "\ufeff",
    "🏴‍☠️", "'; DROP TABLE runs; --", "$", "$tuple", '{"$":1}', "~0", "a/b", "%00", "\\u0000", "\r\n", "\x7f\x9b", "\U0010ffff",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**308, 10**700, -(10**4000), 10**5000)
FLOATS = (math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e22, -1e-7, 2.0**53)


class Line(pydantic.BaseModel):
    """A pydantic model."""

    sku: str
    ratio: float = 1.0
    when: datetime | None = None


@dataclass(frozen=True)
class Oddity:
    """A value. `kept` is False for what must be refused."""

    value: Any
    kept: bool = True


def odd_value(chance: random.Random) -> Oddity:
    """A value that is hard to store, or impossible."""
    kind = chance.random()
    if kind < 0.004:
        return _large(chance)
    if kind < 0.06:
        return _deep(chance)
    if kind < 0.16:
        return Oddity(_wrapped(chance, chance.choice(_IMPOSSIBLE)(chance)), kept=False)
    if kind < 0.20:
        return _shared(chance)
    return Oddity(_tree(chance, chance.choice((0, 1, 2, 2, 3))))


def odd_name(chance: random.Random) -> tuple[Any, bool]:
    """Something that is to be the id of a run, and whether it may be."""
    good = [
        "é",
        "e\u0301",
        "日本",
        "a b",
        "a/b",
        "#1",
        "'; --",
        "x" * 200,
        "🏴",
        "..",
        "%2e",
        "$",
        "\u202eb",
        "-",
        "NULL",
        "a\\b",
    ]
    bad = ["", "\0", "a\nb", "\ud800", "x" * 201, "~0", "~", "\x7f", "a\x85b", 7, b"x", ("a",), 1.5, True]
    if chance.random() < 0.5:
        return chance.choice(good), True
    return chance.choice(bad), False


# --- kept -----------------------------------------------------------------------------------------------------------


def _tree(chance: random.Random, depth: int) -> Any:
    return _leaf(chance) if depth == 0 else chance.choice(_CONTAINERS)(chance, depth - 1)


def _leaf(chance: random.Random) -> Any:
    return chance.choice(_LEAVES)(chance)


def _several(chance: random.Random, depth: int) -> list[Any]:
    return [_tree(chance, chance.randint(0, depth)) for _ in range(chance.randint(0, 4))]


def _text(chance: random.Random) -> str:
    return "".join(chance.choice(TEXTS) for _ in range(chance.choice((1, 1, 2, 5))))


def _key(chance: random.Random) -> Any:
    makers: tuple[Callable[[], Any], ...] = (
        lambda: _text(chance), lambda: _text(chance), lambda: chance.choice(NUMBERS), lambda: chance.choice((None, True, False)),
        lambda: (chance.randint(0, 9), _text(chance)), lambda: chance.choice(list(Colour)), lambda: chance.choice(list(Level)),
        lambda: chance.choice((0.5, -0.0, math.inf)), lambda: chance.randbytes(3), lambda: Text(_text(chance)),
        lambda: date.fromordinal(chance.randint(1, 3_000_000)), lambda: frozenset({chance.randint(0, 9)}),
    )  # fmt: skip
    return chance.choice(makers)()


def _mapping(chance: random.Random, depth: int) -> dict[Any, Any]:
    return {_key(chance): _tree(chance, chance.randint(0, depth)) for _ in range(chance.randint(0, 4))}


def _day(chance: random.Random) -> datetime:
    return EPOCH + timedelta(days=chance.randint(-700_000, 2_900_000), microseconds=chance.randint(0, 86_399_999_999))


def _offset(chance: random.Random) -> timezone:
    return timezone(timedelta(seconds=chance.randint(-86_399, 86_399), microseconds=chance.choice((0, 0, 1, 999_999))))


def _instant(chance: random.Random) -> datetime:
    match chance.randrange(4):
        case 0:
            return _day(chance)
        case 1:
            return _day(chance).replace(tzinfo=_offset(chance), fold=chance.randint(0, 1))
        case 2:  # in a night in which an hour comes twice, or never
            day = datetime.fromisoformat(chance.choice(("2030-10-27 02:30", "2030-03-31 02:30")))
            return day.replace(tzinfo=ZoneInfo(chance.choice(NAMED_ZONES)), fold=chance.randint(0, 1))
    edge = datetime.fromisoformat(chance.choice(("0001-01-01", "9999-12-31T23:59:59.999999")))
    return edge.replace(tzinfo=chance.choice((None, UTC)))


_LEAVES: tuple[Callable[[random.Random], Any], ...] = (
    lambda c: c.choice(NUMBERS), lambda c: c.choice(FLOATS), _text, _text, _instant, _instant,
    lambda c: c.choice((None, True, False)),
    lambda c: c.randbytes(c.choice((0, 1, 300))), lambda c: bytearray(c.randbytes(3)),
    lambda c: Decimal(c.choice(("NaN", "sNaN", "-Infinity", "-0", "0E-27", "1.10", "1E+400", "-12345678901234567890.5"))),
    lambda c: date.fromordinal(c.randint(1, 3_652_059)),
    lambda c: time(c.randint(0, 23), 59, 59, c.choice((0, 999_999)), tzinfo=c.choice((None, _offset(c))), fold=c.randint(0, 1)),
    lambda c: c.choice((timedelta.min, timedelta.max, timedelta(microseconds=-1), timedelta(days=c.randint(-9, 9), seconds=1))),
    lambda c: UUID(int=c.getrandbits(128)), lambda c: complex(c.choice(FLOATS), c.choice(FLOATS)),
    lambda c: range(c.choice(NUMBERS[:8]), c.choice(NUMBERS[:8]), c.choice((1, -3, 2**80))),
    lambda c: c.choice([*Colour, *Level, *Mode, *Odd, Rights.READ | Rights.WRITE, Rights(0)]),
    lambda c: Point(c.choice(FLOATS), c.choice(FLOATS)), lambda c: Receipt(_text(c), c.choice(NUMBERS), c.random() < 0.5),
    lambda c: Taxed(c.randint(0, 9)), lambda c: Reading(c.randint(0, 9), c.choice(FLOATS)), lambda c: Text(_text(c)),
    lambda c: Number(c.choice(NUMBERS)), lambda c: Real(c.choice(FLOATS)), lambda c: Moment(2030, 1, 2, 3, c.randint(0, 59)),
    lambda c: c.choice((pathlib.Path("a/b"), pathlib.PurePosixPath("/\udcff"), pathlib.PureWindowsPath("c:\\y"))),
    lambda c: Line(sku=c.choice(("", "é", "a\0")), ratio=c.choice((1.0, math.inf, -0.0))), lambda c: Entry(id=c.randint(0, 9)),
)  # fmt: skip

_CONTAINERS: tuple[Callable[[random.Random, int], Any], ...] = (
    _several, lambda c, d: tuple(_several(c, d)), _mapping, _mapping, lambda c, d: {_text(c): _tree(c, d)},
    lambda c, d: Items(_several(c, d)), lambda c, d: Table(_mapping(c, d)), lambda c, d: OrderedDict(_mapping(c, d)),
    lambda c, d: defaultdict(list, _mapping(c, d)), lambda c, d: deque(_several(c, d), c.choice((None, 9))),
    lambda c, d: Counter({_key(c): 2}), lambda c, d: {_key(c) for _ in range(3)}, lambda c, d: frozenset((_key(c), _key(c))),
    lambda c, d: Pair(_tree(c, d), _text(c)), lambda c, d: Order(c.randint(0, 9), note=_tree(c, d)),
    lambda c, d: Special(1, note=_tree(c, d), extra=_text(c)), lambda c, d: Tree(1, [Tree(2), Tree(c.choice(NUMBERS))]),
)  # fmt: skip


def _shared(chance: random.Random) -> Oddity:
    """The same object in two places: it comes back equal, as two."""
    part = _several(chance, 1)
    return Oddity({"one": part, "other": part, "both": [part, part]})


def _deep(chance: random.Random) -> Oddity:
    levels = chance.choice((2, 50, DEEPEST - 1, DEEPEST, DEEPEST + 1, 1_000, 100_000))
    pack: Callable[[Any], Any] = chance.choice((lambda v: [v], lambda v: (v,), lambda v: {"a": v}, lambda v: {1: v}))
    value: Any = pack(7)
    for _ in range(levels - 1):
        value = pack(value)
    return Oddity(value, kept=levels <= DEEPEST)


def _large(chance: random.Random) -> Oddity:
    kept = chance.random() < 0.5
    size = 7_900_000 if kept else 8_100_000
    if chance.random() < 0.5:
        return Oddity("x" * size, kept)
    return Oddity(chance.randbytes(1_000) * (size * 3 // 4 // 1_000), kept)


# --- refused --------------------------------------------------------------------------------------------------------


def _itself(chance: random.Random) -> Any:
    around: list[Any] = []
    around.append({"inside": (around,)} if chance.random() < 0.5 else around)
    return around


def _table_of_itself(chance: random.Random) -> Any:
    table: dict[Any, Any] = {}
    table[chance.choice(("a", 1))] = table
    return table


def _local(chance: random.Random) -> Any:
    @dataclass
    class Local:
        id: int

    return Local(1)


def _times_of_a_zone(chance: random.Random) -> Any:
    return time(2, 30, tzinfo=ZoneInfo("Europe/Berlin"))


_IMPOSSIBLE: tuple[Callable[[random.Random], Any], ...] = (
    _itself, _table_of_itself, _local, _times_of_a_zone, lambda c: Plain(), lambda c: (lambda: 1), lambda c: iter([1]),
    lambda c: math, lambda c: Plain, lambda c: object(), lambda c: ..., lambda c: memoryview(b"x"), lambda c: ValueError("x"),
    lambda c: defaultdict(lambda: 1),
)  # fmt: skip


def _wrapped(chance: random.Random, value: Any) -> Any:
    """`value` somewhere inside others."""
    for _ in range(chance.choice((0, 0, 1, 2))):
        value = chance.choice((lambda v: [1, v], lambda v: {"a": v}, lambda v: Order(1, note=v), lambda v: {1: v, 2: 3}))(value)
    return value
