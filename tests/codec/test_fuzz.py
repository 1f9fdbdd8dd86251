"""Whatever goes in comes out as it was, or is refused; whatever is stored is read or refused (TORTURE F19)."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowkit.codec import coder, decode_error, describe, rebuild, snapshot
from flowkit.codec.tree import UNTAGGERS
from flowkit.errors import PayloadError
from tests.codec.values import Colour, Entry, Order, Point, Reading, annotated_values, json_values, same, values

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
ANY = coder()

pytestmark = pytest.mark.timeout(60)


@given(values)
@QUICK
def test_a_value_without_annotation_comes_back_equal_and_of_its_type(value: Any) -> None:
    body = ANY.encode(value)

    assert same(ANY.decode(body), value)


@given(annotated_values)
@QUICK
def test_a_value_of_its_annotation_comes_back_equal_and_of_its_type(pair: tuple[Any, Any]) -> None:
    annotation, value = pair
    typed = coder(annotation)

    assert same(typed.decode(typed.encode(value)), value)


@given(annotated_values, values)
@QUICK
def test_a_value_of_another_type_than_annotated_is_not_altered(pair: tuple[Any, Any], value: Any) -> None:
    typed = coder(pair[0])

    assert same(typed.decode(typed.encode(value)), value)


@given(values)
@QUICK
def test_a_body_is_json_without_nul_and_can_be_shown(value: Any) -> None:
    body = ANY.encode(value)

    assert b"\0" not in body
    json.dumps(describe(body))
    json.loads(body)


@given(json_values)
@QUICK
def test_plain_json_is_shown_as_it_is(value: Any) -> None:
    assert same(describe(ANY.encode(value)), value)


@given(values)
@QUICK
def test_encoding_twice_gives_the_same_bytes(value: Any) -> None:
    assert ANY.encode(ANY.copy(value)) == ANY.encode(value)


TAGS = ["$", "$unknown", *UNTAGGERS]
NAMES = st.sampled_from(
    [
        f"tests.codec.values:{name}"
        for name in (
            "Order",
            "Colour",
            "Rights",
            "Pair",
            "Reading",
            "Text",
            "Items",
            "Plain",
            "Moment",
            "Taxed",
            "same",
        )
    ]
    + ["builtins:int", "os:system", "builtins:eval", "no.such:Thing", "flowkit.errors:Parked", "", ":", "a", "..:x"]
)
KEYS = st.sampled_from(["name", "value", "fields", "of", "state", "set", "fold", "maxlen", "factory", "class", "id"])


def _hostile(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    extra = st.dictionaries(KEYS, inner, max_size=3)
    return st.one_of(
        st.lists(inner, max_size=3),
        st.builds(lambda name, content, rest: {name: content, **rest}, st.sampled_from(TAGS), inner, extra),
        extra,
    )


hostile = st.recursive(
    NAMES
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.sampled_from(["int", "str", "list", "dict", "RED", "nan", "2030-01-01", "PT1S", "PosixPath", [], {}]),
    _hostile,
    max_leaves=10,
)


@given(hostile)
@settings(QUICK, max_examples=400)
def test_a_hostile_document_is_read_or_refused(tree: Any) -> None:
    body = b'{"$":' + json.dumps(tree).encode() + b"}"

    _read_or_refuse(ANY, body)
    json.dumps(describe(body))


@given(
    st.binary(max_size=40) | values.map(ANY.encode),
    st.sampled_from([None, int, Order, Point, Entry, Colour, Reading]),
    st.data(),
)
@settings(QUICK, max_examples=250)
def test_damaged_bytes_are_read_or_refused(body: bytes, annotation: Any, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, max(len(body) - 1, 0)))
    damaged = body[:place] + data.draw(st.binary(max_size=2)) + body[place + 1 :]

    _read_or_refuse(ANY, damaged)
    _read_or_refuse(coder(annotation), damaged)
    describe(damaged)


def _read_or_refuse(typed: Any, body: bytes) -> None:
    with contextlib.suppress(PayloadError):
        typed.decode(body)


class Failure(Exception):
    def __init__(self, *, part: Any) -> None:
        super().__init__("failed", part)
        self.part = part


@given(values)
@QUICK
def test_an_error_keeps_the_values_in_it(value: Any) -> None:
    info = snapshot(Failure(part=value))

    again = rebuild(info)

    assert same(vars(again)["part"], value)
    assert snapshot(again) is info


@given(st.binary(max_size=30) | json_values.map(ANY.encode))
@QUICK
def test_a_body_that_is_no_error_is_refused(body: bytes) -> None:
    with contextlib.suppress(PayloadError):
        decode_error(body)
