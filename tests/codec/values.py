"""Classes and Hypothesis strategies for values, and what it means for two values to be the same."""

from __future__ import annotations

import dataclasses
import enum
import math
import pathlib
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import msgspec
from hypothesis import strategies as st


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mode(enum.StrEnum):
    FAST = "fast"


class Odd(enum.Enum):
    PAIR = (1, 2)
    TEXT = "x"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass
class Receipt:
    id: str
    amount: int
    paid: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float


@dataclass
class Order:
    id: int
    receipt: Receipt | None = None
    items: list[Receipt] = field(default_factory=list)
    when: datetime | None = None
    note: Any = None


@dataclass
class Special(Order):
    extra: str = ""


@dataclass
class Taxed:
    net: int
    gross: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.net += 1
        self.gross = self.net * 2


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)


class Pair(NamedTuple):
    left: Any
    right: str = "r"


class Entry(TypedDict):
    id: int
    note: NotRequired[str]


class Reading(msgspec.Struct, rename="camel"):
    sensor_id: int
    value: float = 0.0


class Text(str):  # noqa: SLOT000  # instances may carry more
    """A text of another type."""


class Number(int):
    pass


class Real(float):
    pass


class Items(list[Any]):
    pass


class Table(dict[Any, Any]):
    pass


class Moment(datetime):
    pass


class Plain:
    """Nothing a codec could know how to store."""


def same(left: Any, right: Any) -> bool:
    """Equal and of the same type, all the way down; NaN is NaN, and -0.0 is not 0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return repr(float(left)) == repr(float(right))
    if isinstance(left, Decimal):
        return str(left) == str(right)
    if isinstance(left, complex):
        return same(left.real, right.real) and same(left.imag, right.imag)
    if isinstance(left, dict):
        return _same_items(left.items(), right.items()) and _same_state(left, right)
    if isinstance(left, (list, tuple, deque)):
        return _same_items(left, right) and _same_state(left, right)
    if isinstance(left, (set, frozenset)):
        return _same_items(sorted(left, key=_order), sorted(right, key=_order))
    if isinstance(left, (datetime, time)):
        return (left.isoformat(), left.fold) == (right.isoformat(), right.fold)
    if dataclasses.is_dataclass(left):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))
    if isinstance(left, msgspec.Struct):
        return same(msgspec.structs.asdict(left), msgspec.structs.asdict(right))
    equal: bool = left == right
    return equal and _same_state(left, right)


def _order(item: Any) -> str:
    """A place for an item of a set; whole numbers may have more digits than Python prints."""
    return hex(item) if isinstance(item, int) else repr(item)


def _same_items(left: Any, right: Any) -> bool:
    return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))


def _same_state(left: Any, right: Any) -> bool:
    """What instances of users' subclasses carry besides their builtin value."""
    if isinstance(left, enum.Enum) or not hasattr(left, "__dict__"):
        return True
    return same(vars(left), vars(right))


offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
zones = st.none() | offsets | st.timezones()
any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)  # lone surrogates and NUL too
dates = st.dates()
datetimes = st.datetimes(timezones=zones).map(lambda at: at.replace(tzinfo=_fixed(at)))
times = st.times(timezones=st.none() | offsets)


def _fixed(at: datetime) -> timezone | None:
    """A zone as the offset it comes back as."""
    offset = at.utcoffset()
    return None if offset is None else timezone(offset)


hashables = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    any_text,
    st.binary(max_size=8),
    dates,
    st.uuids(),
    st.sampled_from([*Colour, *Level, *Mode, *Odd]),
    st.builds(Number, st.integers()),
    st.tuples(st.integers(), any_text),
    st.frozensets(st.integers(), max_size=3),
)

leaves = st.one_of(
    hashables,
    st.integers(-(2**70), 2**70),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**700, -(10**4000)]),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324]),
    st.decimals(),
    datetimes,
    times,
    st.timedeltas(),
    st.complex_numbers(),
    st.binary(max_size=8).map(bytearray),
    st.builds(range, st.integers(), st.integers(), st.integers(1, 2**80)),
    st.sampled_from([pathlib.Path("a/b"), pathlib.PurePosixPath("/x"), pathlib.PureWindowsPath("c:\\y")]),
    st.sampled_from([Rights.READ, Rights.READ | Rights.WRITE, Rights(0)]),
    st.builds(Point, st.floats(), st.floats()),
    st.builds(Receipt, any_text, st.integers(), st.booleans()),
    st.builds(Text, any_text),
    st.builds(Real, st.floats()),
    st.builds(Reading, st.integers(), st.floats(allow_nan=False)),
    st.builds(Taxed, st.integers()),
    st.just(Moment(2030, 1, 2, 3, 4)),
)

tag_like = st.sampled_from(["$", "$tuple", "$dataclass", "$dict", "$x", "$$"])


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(any_text | tag_like, inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(Items),
        st.dictionaries(hashables, inner, max_size=3).map(Table),
        st.dictionaries(hashables, inner, max_size=3).map(OrderedDict),
        st.dictionaries(hashables, inner, max_size=3).map(lambda items: defaultdict(list, items)),
        st.dictionaries(hashables, st.integers(), max_size=3).map(Counter),
        st.lists(inner, max_size=3).map(lambda items: deque(items, 9)),
        st.sets(hashables, max_size=4),
        st.builds(Pair, inner, any_text),
        st.builds(Order, st.integers(), note=inner),
    )


values = st.recursive(leaves, _containers, max_leaves=12)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | tag_like, inner, max_size=4),
    max_leaves=12,
)

scalars: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(),
    float: st.floats(),
    str: any_text,
    bool: st.booleans(),
    bytes: st.binary(max_size=8),
    date: dates,
    datetime: datetimes,
    time: times,
    timedelta: st.timedeltas(),
    Decimal: st.decimals(),
    UUID: st.uuids(),
    Colour: st.sampled_from(Colour),
    Level: st.sampled_from(Level),
    Odd: st.sampled_from(Odd),
    Rights: st.sampled_from([Rights.READ, Rights.READ | Rights.WRITE]),
    Point: st.builds(Point, st.floats(), st.floats()),
    Receipt: st.builds(Receipt, any_text, st.integers(), st.booleans()),
    Order: st.builds(Order, st.integers(), st.none(), when=st.none() | datetimes, note=json_values),
    Taxed: st.builds(Taxed, st.integers()),
    Pair: st.builds(Pair, json_values, any_text),
    Entry: st.fixed_dictionaries({"id": st.integers()}, optional={"note": any_text}),
    Reading: st.builds(Reading, st.integers(), st.floats()),
    Any: json_values,
}


def _wrapped(annotation: Any) -> st.SearchStrategy[tuple[Any, Any]]:
    """Annotations made of `annotation`, each with the values for it."""
    inner = scalars[annotation]
    hashable = annotation in (int, str, bytes, date, UUID, Colour, Level)
    made: list[tuple[Any, st.SearchStrategy[Any]]] = [
        (annotation, inner),
        (annotation | None if annotation is not Any else Any, inner | st.none()),
        (list[annotation], st.lists(inner, max_size=4)),
        (dict[str, annotation], st.dictionaries(any_text | tag_like, inner, max_size=4)),
        (tuple[annotation, ...], st.lists(inner, max_size=4).map(tuple)),
        (tuple[int, annotation], st.tuples(st.integers(), inner)),
        (dict[int, list[annotation]], st.dictionaries(st.integers(), st.lists(inner, max_size=2), max_size=3)),
    ]
    if hashable:
        made += [
            (set[annotation], st.sets(inner, max_size=4)),
            (frozenset[annotation], st.frozensets(inner, max_size=4)),
            (dict[annotation, str], st.dictionaries(inner, any_text, max_size=4)),
        ]
    return st.one_of([st.tuples(st.just(made_one), strategy) for made_one, strategy in made])


annotated_values = st.sampled_from(list(scalars)).flatmap(_wrapped)
