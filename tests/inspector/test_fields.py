"""Forms for values that have parts: their fields from the published schema, what they send, and what their buttons do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowkit.client.livecode import Fault, Parameter
from tests.inspector.forms import parameter
from tests.inspector.given import module

FIELDS, VIEWS = module("fields"), module("field_views")
ORDER = {
    "id": 7,
    "items": [
        {"sku": "a", "count": 2, "when": "2026-03-01T14:00:00Z", "size": "L", "fragile": True},
        {"sku": "b", "count": 1, "when": None, "size": "S", "fragile": False},
    ],
    "place": [1, 2.5],
    "gift": None,
    "prices": {"eur": 1.5},
    "extra": [3],
}


def filled(name: str, value: object) -> dict[str, str]:
    return dict(FIELDS.initial([parameter(name)], {name: value}))


def sent(name: str, fields: dict[str, str]) -> Any:
    faults: list[Fault] = []
    texts = FIELDS.argument_texts([parameter(name)], fields, faults)
    assert not faults
    return json.loads(texts[name])


def view(name: str, fields: dict[str, str], *faults: Fault, fresh: str = "") -> Any:
    return VIEWS.views_of([parameter(name)], fields, faults, fresh)[0]


def flat(field: Any) -> list[Any]:
    return [field, *(each for child in field.children for each in flat(child))]


def press(name: str, fields: dict[str, str], *acts: str) -> dict[str, str]:
    for act in acts:
        pressed = FIELDS.acted([parameter(name)], fields, act)
        assert not pressed.problem
        fields = pressed.fields
    return fields


def test_a_value_that_fills_a_form_is_what_the_form_sends() -> None:
    assert sent("order", filled("order", ORDER)) == ORDER


def test_each_part_has_a_field_of_its_kind() -> None:
    found = flat(view("order", filled("order", ORDER)))

    assert [(each.name, each.control) for each in found if each.name.startswith(("a.order.items.0", "a.order.place"))] == [
        ("a.order.items.0", "group"), ("a.order.items.0.sku", "text"), ("a.order.items.0.count", "number"),
        ("a.order.items.0.when", "datetime"), ("a.order.items.0.size", "choice"), ("a.order.items.0.fragile", "checkbox"),
        ("a.order.place", "group"), ("a.order.place.0", "number"), ("a.order.place.1", "number"),
    ]  # fmt: skip


def test_the_parts_of_a_named_tuple_are_named() -> None:
    found = flat(view("order", filled("order", ORDER)))

    assert [each.label for each in found if each.name.startswith("a.order.place.")] == ["x", "y"]


def test_a_form_that_nobody_has_touched_holds_the_defaults() -> None:
    fields = press("order", FIELDS.initial([parameter("order")], {}), "add order.items")

    assert (fields["a.order.items.0.count"], fields["a.order.items.0.size"], fields["a.order.place.1"]) == ("1", "S", "0.5")


def test_what_has_a_default_that_nobody_knows_is_left_out_until_it_is_given() -> None:
    fields = FIELDS.initial([parameter("order")], {})

    assert "prices" not in sent("order", fields)
    assert sent("order", press("order", fields, "give order.prices"))["prices"] == {}


def test_what_may_be_none_is_null_until_it_is_given() -> None:
    fields = filled("order", ORDER)

    assert sent("order", fields)["gift"] is None
    assert sent("order", press("order", fields, "give order.gift"))["gift"]["count"] == 1
    assert sent("order", press("order", fields, "give order.gift", "leave order.gift")) == ORDER


def test_an_item_that_is_removed_lets_the_others_move_up() -> None:
    left = sent("order", press("order", filled("order", ORDER), "drop order.items 0"))

    assert left["items"] == ORDER["items"][1:]
    assert left | {"items": None} == ORDER | {"items": None}


def test_a_key_is_added_to_a_mapping() -> None:
    fields = press("order", filled("order", ORDER), "add order.prices") | {"a.order.prices.1.k": "usd", "a.order.prices.1.v": "2"}

    assert sent("order", fields)["prices"] == {"eur": 1.5, "usd": 2}


def test_a_key_that_is_given_twice_is_a_fault_at_that_key() -> None:
    fields = press("order", filled("order", ORDER), "add order.prices") | {"a.order.prices.1.k": "eur", "a.order.prices.1.v": "2"}
    faults: list[Fault] = []

    FIELDS.argument_texts([parameter("order")], fields, faults)

    assert [each.fault for each in flat(view("order", fields, *faults)) if each.name == "a.order.prices.1.k"] == [
        "this key is given twice"
    ]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("id", "a.order.id"), ("items[1].when", "a.order.items.1.when"), ("place[0]", "a.order.place.0"),
        ("prices.eur", "a.order.prices.0.v"), ("items", "a.order.items"), ("", "a.order"),
    ],
)  # fmt: skip
def test_a_fault_stands_at_the_field_that_its_path_leads_to(path: str, field: str) -> None:
    fault = Fault(field="order", path=path, message="is wrong")

    found = [(each.name, each.fault) for each in flat(view("order", filled("order", ORDER), fault)) if each.fault]

    assert found in ([(field, "is wrong")], [(f"{field}", "is wrong"), (field, "is wrong")])


def test_a_fault_below_all_fields_names_the_way() -> None:
    fault = Fault(field="order", path="extra[2].of", message="is wrong")

    found = [(each.name, each.fault) for each in flat(view("order", filled("order", ORDER), fault)) if each.fault]

    assert found == [("a.order.extra", "at extra[2].of: is wrong")]


@pytest.mark.parametrize("path", ["items[99].x", "nowhere.at.all", "['a' b]", "[", "items['\\x']", "....", "#a.order"])
def test_a_path_that_leads_nowhere_stands_above_and_is_not_lost(path: str) -> None:
    fault = Fault(field="order", path=path, message="is wrong")

    assert "is wrong" in "".join(each.fault for each in flat(view("order", filled("order", ORDER), fault)))


def test_a_choice_of_types_is_a_json_area() -> None:
    (extra,) = (each for each in flat(view("order", filled("order", ORDER))) if each.name == "a.order.extra")

    assert (extra.control, extra.value) == ("json", "[\n  3\n]")


def test_what_is_no_json_in_an_area_is_a_fault_at_it_and_nothing_is_sent() -> None:
    fields = filled("order", ORDER) | {"a.order.extra": "[3"}
    faults: list[Fault] = []

    FIELDS.argument_texts([parameter("order")], fields, faults)

    (extra,) = (each for each in flat(view("order", fields, *faults)) if each.name == "a.order.extra")
    assert extra.fault.startswith("this is not JSON")


def test_a_type_that_holds_itself_ends_in_a_json_area() -> None:
    fields = press("tree", FIELDS.initial([parameter("tree")], {}), "give tree", "give tree.below", "add tree.below")

    assert [(each.name, each.control) for each in flat(view("tree", fields))][-1] == ("a.tree.below.0", "json")
    assert sent("tree", fields | {"a.tree.name": "root", "a.tree.below.0": '{"name": "leaf"}'}) == {
        "name": "root", "below": [{"name": "leaf"}],
    }  # fmt: skip


def test_a_pydantic_model_has_fields_too() -> None:
    fields = press("buyer", FIELDS.initial([parameter("buyer")], {}), "add buyer.emails")
    fields |= {"a.buyer.name": "Ada", "a.buyer.age": "36", "a.buyer.emails.0": "ada@example.org"}

    assert sent("buyer", fields) == {"name": "Ada", "age": 36, "emails": ["ada@example.org"]}


def test_a_key_of_a_typed_dict_that_need_not_be_there_is_left_out_where_it_is_empty() -> None:
    fields = press("note", FIELDS.initial([parameter("note")], {}), "give note") | {"a.note.text": "hi"}

    assert sent("note", fields) == {"text": "hi"}


def test_a_choice_of_numbers_sends_a_number() -> None:
    assert view("level", FIELDS.initial([parameter("level")], {})).choices == ("1", "2")
    assert sent("level", {"a.level": "1"}) == 1


def test_a_value_can_be_given_as_json_and_turned_back_into_fields() -> None:
    fields = filled("order", ORDER)

    as_json = press("order", fields, "json order")

    assert list(as_json) == ["j.order"]
    assert (view("order", as_json).control, sent("order", as_json)) == ("json", ORDER)
    assert press("order", as_json, "fields order") == fields


@pytest.mark.parametrize("text", ['{"id": 7, "unheard": 1}', "[]", "{", '{"items": [1]}'])
def test_json_that_does_not_have_the_shape_stays_json(text: str) -> None:
    pressed = FIELDS.acted([parameter("order")], {"j.order": text}, "fields order")

    assert pressed.problem
    assert pressed.fields == {"j.order": text}


def test_the_input_of_another_run_that_does_not_have_the_shape_is_shown_as_json() -> None:
    fields = filled("order", {"id": 7, "unheard": 1})

    assert json.loads(fields["j.order"]) == {"id": 7, "unheard": 1}


def test_a_form_never_grows_beyond_what_a_body_may_hold() -> None:
    fields = filled("order", ORDER | {"items": [ORDER["items"][0]] * 30})  # type: ignore[index]

    pressed = FIELDS.acted([parameter("order")], press("order", fields, *["add order.items"] * 4), "add order.items")

    assert view("order", pressed.fields).count() <= FIELDS.MOST_FIELDS
    assert "give order as JSON" in pressed.problem


def test_a_value_with_more_parts_than_a_form_holds_is_shown_as_json() -> None:
    fields = filled("order", ORDER | {"items": [ORDER["items"][0]] * 100})  # type: ignore[index]

    assert list(fields) == ["j.order"]
    assert len(sent("order", fields)["items"]) == 100


@pytest.mark.parametrize(
    "do",
    ["", "add", "add order", "add order.nowhere", "drop order.items 9", "drop order.items x", "give order.id", "boo order",
     "add other.items", "add order.items.0.sku", "leave order.items"],
)  # fmt: skip
def test_a_button_that_nobody_made_changes_nothing(do: str) -> None:
    fields = filled("order", ORDER)

    pressed = FIELDS.acted([parameter("order")], fields, do)

    assert pressed.fields == fields or do == "drop order.items x"


@pytest.mark.parametrize("count", ["-1", "x", "99999999999", "", "1e9", "٣"])
def test_a_count_that_nobody_made_costs_nothing(count: str) -> None:
    found = sent("order", filled("order", ORDER) | {"n.order.items": count})

    assert len(found["items"]) <= 2


@pytest.mark.parametrize("text", ["", "x", "1e999", "NaN", "true", "0x10", "[1]", "9" * 5000])
def test_what_is_no_number_goes_to_the_code_as_the_text_that_it_is(text: str) -> None:
    assert sent("order", filled("order", ORDER) | {"a.order.id": text})["id"] == text


def test_a_text_that_is_emptied_is_the_empty_text_and_not_its_default() -> None:
    schema = json.dumps({"type": "object", "properties": {"text": {"type": "string", "default": "old"}}})
    made = Parameter(name="it", schema=schema)

    fields = FIELDS.initial([made], {})

    assert fields == {"a.it.text": "old"}
    assert FIELDS.argument_texts([made], {"a.it.text": ""}, []) == {"it": '{"text": ""}'}


@pytest.mark.parametrize(
    "schema",
    ['{"type": 3}', '{"anyOf": []}', '{"enum": 5}', "[]", "{", '{"properties": 1}', '{"$ref": "#/$defs/X"}',
     '{"type": "object", "properties": {"a": 1}}', '{"type": "array", "prefixItems": [1]}', '{"type": "array", "items": false}'],
)  # fmt: skip
def test_a_schema_that_makes_no_sense_is_a_json_area(schema: str) -> None:
    (found,) = VIEWS.views_of([Parameter(name="it", schema=schema)], {}, ())

    assert {each.control for each in flat(found)} <= {"json", "group"}
