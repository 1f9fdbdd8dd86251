"""What a masked value looks like: its shape stays, so that it still decodes."""

from __future__ import annotations

from typing import Any

import pytest

from flowkit.client.masking import Masker


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        ({"password": "x", "name": "ada"}, {"password": "masked", "name": "ada"}),
        ({"api_TOKEN": 12, "n": [{"cookie": True}]}, {"api_TOKEN": 0, "n": [{"cookie": True}]}),
        ({"secrets": {"a": "x", "b": [1, None]}}, {"secrets": {"a": "masked", "b": [0, None]}}),
        ({"token": {"$": {"$decimal": "1.50"}}}, {"token": {"$": "masked"}}),
        ({"$": {"$dict": [["password", "x"], [7, "y"]]}}, {"$": {"$dict": [["password", "masked"], [7, "y"]]}}),
        (
            {"$": {"$dataclass": "shop:Token", "fields": {"token": "x"}}},
            {"$": {"$dataclass": "shop:Token", "fields": {"token": "masked"}}},
        ),
        ({"token": None}, {"token": None}),
    ],
)
def test_what_stands_under_a_secret_key_is_masked(value: Any, masked: Any) -> None:
    assert Masker().mask(value) == masked


def test_masked_values_are_counted_by_key() -> None:
    masker = Masker()

    masker.mask([{"token": "a"}, {"token": {"x": "b", "y": "c"}}, {"password": "d"}])

    assert masker.masked == {"token": 2, "password": 1}


def test_a_revealing_masker_changes_and_counts_nothing() -> None:
    masker = Masker(reveals=True)
    value = {"token": "a"}

    assert masker.mask(value) is value
    assert not masker.masked
