"""pydantic models, which flowkit recognises without importing pydantic."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pydantic
import pytest

from flowkit.codec import coder, describe
from flowkit.errors import PayloadError


class Line(pydantic.BaseModel):
    sku: str
    count: int = 1
    ratio: float = 1.0
    _seen: int = pydantic.PrivateAttr(default=0)


class Basket(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    lines: list[Line]
    when: datetime | None = None


@pytest.mark.parametrize("annotation", [Any, Basket, Basket | None])
def test_a_model_comes_back_equal_and_of_its_type(annotation: Any) -> None:
    basket = Basket(lines=[Line(sku="a"), Line(sku="b", count=2, ratio=float("inf"))], colour=("r", 1))
    basket.lines[0]._seen = 5

    again = coder(annotation).copy(basket)

    assert type(again) is Basket
    assert again == basket
    assert again.model_fields_set == basket.model_fields_set
    assert again.lines[0]._seen == 5


def test_json_from_outside_is_validated_into_a_model() -> None:
    assert coder(list[Line]).decode(b'[{"sku":"a","count":3}]') == [Line(sku="a", count=3)]


def test_json_that_does_not_validate_is_refused_with_its_path() -> None:
    with pytest.raises(PayloadError, match="count") as caught:
        coder(dict[str, Line]).decode(b'{"good":{"sku":"a"},"bad":{"sku":"a","count":"many"}}')

    assert caught.value.path == "$.bad"


def test_a_model_that_grew_a_field_validates_old_bodies() -> None:
    body = b'{"$":{"$model":"tests.codec.test_models:Line","fields":{"sku":"a"},"set":["sku"]}}'

    assert coder().decode(body) == Line(sku="a")


def test_a_model_is_shown_by_its_fields() -> None:
    assert describe(coder().encode(Line(sku="a"))) == {"sku": "a", "count": 1, "ratio": 1.0}
