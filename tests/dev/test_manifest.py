"""What the loaded code tells of its workflows, so that a page can show a form for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import pydantic

from flowkit import step, workflow
from flowkit.dev.manifest import describe_workflow
from flowkit.dev.schemas import schema_for


@dataclass
class Item:
    sku: str


@dataclass
class Order:
    """What a customer wants."""

    id: int
    items: list[Item]


@step(at_most_once=True)
def pay(order: Order) -> None: ...


@step
def tell(order: Order) -> None: ...


@workflow
def checkout(order: Order, note: str = "", *extras: Item) -> None:
    pay(order)
    tell(order)


def schema_of(name: str) -> Any:
    (found,) = (each for each in describe_workflow(checkout).parameters if each.name == name)
    return json.loads(found.schema) if found.schema else None


def test_what_has_no_field_of_its_own_brings_its_schema_with_all_that_it_refers_to() -> None:
    schema = schema_of("order")

    assert schema["$ref"] == "#/$defs/Order"
    assert sorted(schema["$defs"]) == ["Item", "Order"]
    assert schema["$defs"]["Order"]["description"] == "What a customer wants."


def test_what_has_a_field_of_its_own_needs_none() -> None:
    assert schema_of("note") is None


def test_collected_arguments_are_an_array_of_theirs() -> None:
    schema = schema_of("extras")

    assert (schema["type"], schema["items"], list(schema["$defs"])) == ("array", {"$ref": "#/$defs/Item"}, ["Item"])


def test_steps_that_must_not_happen_twice_are_named_as_such() -> None:
    assert {each.name: each.at_most_once for each in describe_workflow(checkout).steps} == {"pay": True, "tell": False}


class Point(NamedTuple):
    x: int
    at: datetime


class Buyer(pydantic.BaseModel):
    name: str
    friends: list[Buyer] = []


@dataclass
class Deal:
    buyer: Buyer
    places: dict[str, Point]


def test_the_positions_of_a_named_tuple_have_their_names() -> None:
    schema = schema_for(Deal)

    assert schema is not None
    assert [part["title"] for part in schema["$defs"]["Point"]["prefixItems"]] == ["x", "at"]


def test_an_instant_is_known_as_one_even_if_it_may_lack_a_zone() -> None:
    schema = schema_for(tuple[datetime | None, Point])

    assert schema is not None
    assert schema["prefixItems"][0]["anyOf"][0]["format"] == "date-time"
    assert schema["$defs"]["Point"]["prefixItems"][1]["format"] == "date-time"


def test_a_pydantic_model_inside_a_dataclass_brings_its_own_schema_and_all_that_it_refers_to() -> None:
    schema = schema_for(Deal)

    assert schema is not None
    assert schema["$defs"]["Deal"]["properties"]["buyer"]["$ref"] == "#/$defs/Buyer..Buyer"
    assert schema["$defs"]["Buyer..Buyer"]["properties"]["friends"]["items"] == {"$ref": "#/$defs/Buyer..Buyer"}


def test_one_parameter_that_has_no_schema_costs_the_others_nothing() -> None:
    class Odd: ...

    @workflow
    def flow(odd: Odd, deal: Deal) -> None: ...

    odd, deal = describe_workflow(flow).parameters

    assert (odd.schema, "$ref" in deal.schema) == ("", True)
