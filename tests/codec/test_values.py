"""Values and their bodies: what is readable, what is refused, and where."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pytest

from flowkit.codec import MAX_DEPTH, coder, describe
from flowkit.errors import PayloadError, PayloadTooLarge
from tests.codec.values import (
    Colour,
    Entry,
    Level,
    Moment,
    Order,
    Plain,
    Point,
    Receipt,
    Special,
    Taxed,
    Text,
    Tree,
    same,
)

ANY = coder()
T = TypeVar("T")


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_json_is_stored_as_it_is() -> None:
    assert ANY.encode({"id": 7, "tags": ["a"], "rate": 0.5, "note": None}) == (b'{"id":7,"tags":["a"],"rate":0.5,"note":null}')


def test_a_value_of_its_annotation_is_stored_as_plain_json() -> None:
    order = Order(1, Receipt("r", 5), [Receipt("s", 6, True)], note={"any": ["thing"]})

    body = coder(Order).encode(order)

    assert body == (
        b'{"id":1,"receipt":{"id":"r","amount":5,"paid":false},"items":[{"id":"s","amount":6,"paid":true}],'
        b'"when":null,"note":{"any":["thing"]}}'
    )
    assert coder(Order).decode(body) == order


def test_only_what_json_would_alter_is_tagged() -> None:
    assert ANY.encode({"pair": (1, 2), "id": 7}) == b'{"$":{"pair":{"$tuple":[1,2]},"id":7}}'


def test_a_tagged_body_needs_no_annotation_to_be_read() -> None:
    body = ANY.encode(Order(1))

    assert coder(Order).decode(body) == coder(int).decode(body) == ANY.decode(body) == Order(1)


def test_a_dict_that_looks_like_a_tag_is_a_dict() -> None:
    for value in ({"$": 1}, {"$tuple": [1]}, {"a": {"$dataclass": "x"}}, {"$": {"$": ()}}):
        assert same(ANY.copy(value), value)
        assert same(coder(dict[str, Any]).copy(value), value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, math.nan),
        (float, -math.inf),
        (float, 1),
        (int, True),
        (int, Level.HIGH),
        (str, Text("x")),
        (str, "\ud800 and \0"),
        (str, None),
        (Receipt, Receipt("r", 5, paid=None)),  # type: ignore[arg-type]  # that is the point
        (Order, Order(1, note=(1, 2))),
        (Entry, {"id": 1, "other": 2}),
        (list[int], (1, 2)),
        (dict[str, int], {1: 2}),
        (dict[int | str, int], {1: 1, "1": 2}),
        (datetime, datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=1, seconds=7)))),
        (datetime, Moment(2030, 1, 1)),
        (int, 10**4000),
        (Taxed, Taxed(1)),
        (T, {1, 2}),
        (object, b"x"),
    ],
)
def test_what_msgspec_would_alter_is_not_altered(annotation: Any, value: Any) -> None:
    assert same(coder(annotation).copy(value), value)


def test_a_subclass_of_the_annotated_class_keeps_its_type_and_fields() -> None:
    value = Special(1, extra="more")

    assert same(coder(Order).copy(value), value)


def test_a_zone_comes_back_as_its_offset() -> None:
    at = datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))

    for annotation in (datetime, Any):
        again = coder(annotation).copy(at)
        assert again == at
        assert again.tzinfo == timezone(timedelta(hours=2))


def test_a_time_in_a_zone_that_needs_a_date_is_refused() -> None:
    with pytest.raises(PayloadError, match="has no offset"):
        ANY.encode(datetime(2030, 7, 1, tzinfo=ZoneInfo("Europe/Berlin")).timetz())


def test_decoding_gives_a_new_value_each_time() -> None:
    value = {"list": [1]}
    body = ANY.encode(value)

    first = ANY.decode(body)
    first["list"].append(2)

    assert ANY.decode(body) == value == {"list": [1]}


def test_a_number_of_more_digits_than_python_prints_is_kept() -> None:
    assert ANY.copy([10**5000, {10**5000: 1}]) == [10**5000, {10**5000: 1}]


def test_equal_sets_give_equal_bytes() -> None:
    names = [f"n{number}" for number in range(50)]

    for annotation in (Any, set[str]):
        assert coder(annotation).encode(set(names)) == coder(annotation).encode({*names[25:], *names[:25]})


def test_a_local_class_is_fine_where_the_annotation_names_it() -> None:
    class Local(msgspec.Struct):
        id: int

    assert coder(Local).copy(Local(1)) == Local(1)


def _local_class() -> Any:
    class Local(Point):
        pass

    return Local(1, 2)


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: Plain(), "$"),
        (lambda: {"items": [0, 1, 2, {"when": Plain()}]}, "$.items[3].when"),
        (lambda: Order(1, items=[Receipt(Plain(), 1)]), "$.items[0].id"),  # type: ignore[arg-type]  # that is the point
        (lambda: {"odd key": (1, lambda: None)}, "$['odd key'][1]"),
        (lambda: {3: {"a": open}}, "$[3].a"),
        (lambda: {Plain(): 1}, "$<key [<Plain>]>"),
        (lambda: [ValueError("x")], "$[0]"),
        (lambda: [int], "$[0]"),
        (lambda: {"c": _local_class()}, "$.c"),
        (lambda: CYCLE, "$" + "[0]" * MAX_DEPTH),
    ],
)
def test_what_cannot_be_stored_is_refused_with_the_path_to_it(make: Callable[[], Any], path: str) -> None:
    for annotation in (Any, Order, dict[str, Any]):
        with pytest.raises(PayloadError) as caught:
            coder(annotation).encode(make())
        assert caught.value.path == path
        assert path in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "body", "path", "expected"),
    [
        (int, b'"x"', "$", "Expected `int`, got `str`"),
        (Order, b'{"id":1,"items":[{"id":"a","amount":"x"}]}', "$.items[0].amount", "Expected `int`"),
        (Order, b"{}", "$", "missing required field `id`"),
        (dict[str, list[int]], b'{"a":[1],"b":[2],"c":[3,"x"],"d":[]}', "$.c[1]", "Expected `int`"),
        (dict[str, dict[str, int]], b'{"a":{"b":1},"c":{"odd key":null}}', "$.c['odd key']", "got `null`"),
        (dict[int, int], b'{"x":1}', "$", "a key of it"),
        (Colour, b'"green"', "$", "Invalid enum value"),
        (Any, b'{"a":', "$", "truncated"),
        (Any, b"", "$", "truncated"),
        (Any, b'"\xff"', "$", "utf-8"),
        (Any, b'{"$":{"a":[{"$tuple":1}]}}', "$.a[0]", "expected an array"),
        (Any, b'{"$":{"a":{"$nope":1}}}', "$.a", "not known"),
        (Any, b'{"$":{"$dataclass":"tests.codec.values:Gone","fields":{}}}', "$", "cannot be imported"),
        (Any, b'{"$":{"$dataclass":"tests.codec.values:Plain","fields":{}}}', "$", "not a dataclass"),
        (Any, b'{"$":{"$dataclass":"tests.codec.values:Order","fields":{}}}', "$", "'id' that was not stored"),
        (Any, b'{"$":{"$enum":"tests.codec.values:Colour","name":"GREEN"}}', "$", "no member 'GREEN'"),
        (Plain, b"{}", "$", "cannot be read from plain JSON"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_path_and_what_was_expected(
    annotation: Any, body: bytes, path: str, expected: str
) -> None:
    with pytest.raises(PayloadError, match="cannot be read back") as caught:
        coder(annotation).decode(body)

    assert (caught.value.path, expected in str(caught.value)) == (path, True), str(caught.value)


def test_a_field_added_to_a_class_takes_its_default_in_old_bodies() -> None:
    body = b'{"$":{"$dataclass":"tests.codec.values:Receipt","fields":{"id":"r","amount":5,"gone":1}}}'

    assert ANY.decode(body) == coder(Receipt).decode(b'{"id":"r","amount":5,"gone":1}') == Receipt("r", 5)


def test_200_levels_are_stored_and_201_refused() -> None:
    assert ANY.copy(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    assert same(ANY.copy([*nested(MAX_DEPTH), ()]), [*nested(MAX_DEPTH), ()])
    for value in (nested(MAX_DEPTH + 1), (nested(MAX_DEPTH),), nested(100_000)):
        with pytest.raises(PayloadError, match="deeper than 200"):
            ANY.encode(value)


def test_a_class_that_contains_itself_has_the_same_bound() -> None:
    tree = Tree(0)
    for number in range(99):
        tree = Tree(number, [tree])

    assert coder(Tree).copy(tree) == tree
    with pytest.raises(PayloadError, match="deeper than 200"):
        coder(Tree).encode(Tree(1, [Tree(2, [tree])]))


@pytest.mark.parametrize("levels", [201, 900, 100_000])
@pytest.mark.parametrize("form", [(b"", b"[", b"]", b""), (b'{"$":', b"[", b"]", b"}"), (b"", b'{"a":', b"}", b"")])
def test_a_stored_body_that_nests_too_deep_is_refused(levels: int, form: tuple[bytes, ...]) -> None:
    before, left, right, after = form
    body = before + left * levels + b"1" + right * levels + after

    for annotation in (Any, list[Any], Tree):
        with pytest.raises(PayloadError):
            coder(annotation).decode(body)
    describe(body)


def test_brackets_in_text_are_no_levels() -> None:
    value = {"a": "[{" * 500, 'b"\\': ["]]" * 500, "\\", '"[']}

    assert ANY.copy(value) == value


def test_a_body_over_the_limit_is_refused_with_both_sizes() -> None:
    assert len(ANY.encode("x" * 98, limit=100)) == 100
    with pytest.raises(PayloadTooLarge, match=r"takes 101 bytes as JSON, over the limit of 100") as caught:
        ANY.encode("x" * 99, limit=100)
    assert (caught.value.size, caught.value.limit) == (101, 100)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"pair": (1, 2)}, {"pair": [1, 2]}),
        (datetime(2030, 1, 1, tzinfo=UTC), "2030-01-01T00:00:00+00:00"),
        (Receipt("r", (5,)), {"id": "r", "amount": [5], "paid": False}),  # type: ignore[arg-type]  # so that it is tagged
        (Colour.RED, "RED"),
        ({1: "one", "$x": b"ab"}, {"1": "one", "$x": "YWI="}),
        ({1: "one", "1": "other"}, [[1, "one"], ["1", "other"]]),
        (math.nan, "nan"),
        (2**2000, 2**2000),
        (Text("t"), "t"),
    ],
)
def test_a_body_is_shown_without_tags(value: Any, shown: Any) -> None:
    assert describe(ANY.encode(value)) == shown


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"{", b'{"$":', b'{"$":{"$dict":7}}', b'{"$":1'])
def test_a_damaged_body_is_shown_as_such(body: bytes) -> None:
    assert f"<{len(body)} bytes that are not readable JSON" in str(describe(body))
