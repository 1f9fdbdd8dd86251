"""What stands in the fields of a form: made from a value, read back as one, and changed by the buttons that add and remove.

A field's name is its path: ``a.order.items.0.sku`` holds a text, ``n.order.items`` how many items there are, ``m.order.gift``
that something is given which could be left out. So the form itself is all there is to know, and a page made from it again
shows it as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from math import isfinite

from ..urls import encode
from .shape import OUT, Area, Choice, Group, Keyed, Leaf, Many, Maybe, Member, Shape

__all__ = ["Fields", "ReadFaults", "Unfit", "blank", "changed", "count_in", "filled", "key_of", "read", "segments"]

MOST_ITEMS = 200

Fields = Mapping[str, str]
ReadFaults = dict[str, str]
"""By a field's path, what cannot be sent as it stands."""


class Unfit(Exception):
    """A value does not have the shape: it can be shown as JSON only."""


def segments(group: Group) -> Iterator[tuple[int, Member, str]]:
    """The members of a group, with the part of a path that leads to each."""
    for number, member in enumerate(group.members):
        yield number, member, str(number) if group.positional else encode(member.name)


def count_in(fields: Fields, path: str) -> int:
    """How many items a list or mapping has."""
    text = fields.get(f"n.{path}", "")
    return min(int(text), MOST_ITEMS) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def key_of(fields: Fields, path: str, number: int) -> str:
    """The key of a mapping's item."""
    return fields.get(f"a.{path}.{number}.k", "")


# --- from values ------------------------------------------------------------------------------------------------------


def blank(shape: Shape, path: str, default: object = OUT) -> dict[str, str]:
    """The fields of what nobody has filled in: defaults where they are known."""
    if default is not OUT:
        try:
            return filled(shape, path, default)
        except Unfit:
            pass  # a default that the schema does not tell right: the field starts empty
    match shape:
        case Group():
            made: dict[str, str] = {}
            for _, member, part in segments(shape):
                made |= blank(member.shape, f"{path}.{part}", member.default)
            return made
        case Many() | Keyed():
            return {f"n.{path}": "0"}
        case Maybe():
            return {}
        case Choice(options=options, empty=""):
            return {f"a.{path}": next(iter(options))}
        case Leaf(control="checkbox"):
            return {}
        case _:
            return {f"a.{path}": ""}


def filled(shape: Shape, path: str, value: object) -> dict[str, str]:
    """The fields that hold `value`.

    Raises:
        Unfit: it has another shape.
    """
    match shape:
        case Maybe(inner=inner, empty=empty):
            if value is None and empty is None:
                return {}
            return {f"m.{path}": "1"} | filled(inner, path, value)
        case Group():
            return _filled_group(shape, path, value)
        case Many(item=item):
            if not isinstance(value, list) or len(value) > MOST_ITEMS:
                raise Unfit
            made = {f"n.{path}": str(len(value))}
            for number, each in enumerate(value):
                made |= filled(item, f"{path}.{number}", each)
            return made
        case Keyed(item=item):
            if not isinstance(value, dict) or len(value) > MOST_ITEMS:
                raise Unfit
            made = {f"n.{path}": str(len(value))}
            for number, (key, each) in enumerate(value.items()):
                made |= {f"a.{path}.{number}.k": str(key)} | filled(item, f"{path}.{number}.v", each)
            return made
        case _:
            text = _text_of(shape, value)
            return {} if text is None else {f"a.{path}": text}


def _filled_group(group: Group, path: str, value: object) -> dict[str, str]:
    given: Mapping[object, object]
    if group.positional:
        if not isinstance(value, list) or len(value) > len(group.members):
            raise Unfit
        given = dict(enumerate(value))
    elif isinstance(value, dict) and value.keys() <= {member.name for member in group.members}:
        given = value
    else:
        raise Unfit
    made: dict[str, str] = {}
    for number, member, part in segments(group):
        key: object = number if group.positional else member.name
        place = f"{path}.{part}"
        made |= filled(member.shape, place, given[key]) if key in given else blank(member.shape, place, member.default)
    return made


def _text_of(shape: Leaf | Choice | Area, value: object) -> str | None:
    if isinstance(shape, Area):
        return json.dumps(value, ensure_ascii=False, indent=2)
    if value is None and shape.empty is None:
        return ""
    if isinstance(shape, Choice):
        for text, option in shape.options.items():
            if option == value and type(option) is type(value):
                return text
        raise Unfit
    if shape.control == "checkbox" and isinstance(value, bool):
        return "on" if value else None
    if shape.control == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    if shape.control not in ("checkbox", "number") and isinstance(value, str) and (value or shape.empty == ""):
        return value
    raise Unfit


# --- to values --------------------------------------------------------------------------------------------------------


def read(shape: Shape, path: str, fields: Fields, faults: ReadFaults) -> object:
    """The value that is filled in, `OUT` for what is left out; what fits no JSON is noted in `faults`."""
    match shape:
        case Maybe(inner=inner, empty=empty):
            return read(inner, path, fields, faults) if fields.get(f"m.{path}") else empty
        case Group():
            parts = [(member, read(member.shape, f"{path}.{part}", fields, faults)) for _, member, part in segments(shape)]
            if shape.positional:
                return _positions(parts)
            return {member.name: value for member, value in parts if value is not OUT}
        case Many(item=item):
            found = [read(item, f"{path}.{number}", fields, faults) for number in range(count_in(fields, path))]
            return [value for value in found if value is not OUT]
        case Keyed(item=item):
            return _read_keyed(item, path, fields, faults)
        case _:
            return _read_leaf(shape, path, fields, faults)


def _positions(parts: list[tuple[Member, object]]) -> list[object]:
    """An array can lack its end only: what is left out before that has its default, else null, which the code will judge."""
    while parts and parts[-1][1] is OUT:
        parts.pop()
    return [(None if member.default is OUT else member.default) if value is OUT else value for member, value in parts]


def _read_keyed(item: Shape, path: str, fields: Fields, faults: ReadFaults) -> dict[str, object]:
    found: dict[str, object] = {}
    for number in range(count_in(fields, path)):
        key, value = key_of(fields, path, number), read(item, f"{path}.{number}.v", fields, faults)
        if key in found:
            faults[f"{path}.{number}.k"] = "this key is given twice"
        if value is not OUT:
            found[key] = value
    return found


def _read_leaf(shape: Leaf | Choice | Area, path: str, fields: Fields, faults: ReadFaults) -> object:
    text = fields.get(f"a.{path}")
    if isinstance(shape, Leaf) and shape.control == "checkbox":
        return text in ("on", "true", "1")
    if text is None:
        return OUT if shape.empty == "" else shape.empty
    if isinstance(shape, Area):
        return _read_area(shape, path, text, faults)
    if not text or (not text.strip() and shape.empty != ""):
        return shape.empty
    if isinstance(shape, Choice):
        return shape.options.get(text, text)
    return _number(text) if shape.control == "number" else text


def _read_area(shape: Area, path: str, text: str, faults: ReadFaults) -> object:
    if not text.strip():
        if shape.empty == "":
            faults[path] = "this is needed"
        return OUT if shape.empty == "" else shape.empty
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        faults[path] = f"this is not JSON: {error}"
        return OUT


def _number(text: str) -> object:
    """The number, else the text, which the code will refuse by its path."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and (isinstance(value, int) or isfinite(value)) else text


# --- buttons ----------------------------------------------------------------------------------------------------------


def changed(shape: Shape, path: str, fields: Fields, act: str, number: int = 0) -> dict[str, str] | None:
    """The fields after a button: ``add`` or ``drop`` of an item, ``give`` or ``leave`` of what need not be there.

    `path` leads to the list or part, beginning with the parameter whose shape this is. None where nothing can be done there.
    """
    there = _at(shape, path.split(".")[1:])
    match act, there:
        case ("give", Maybe(inner=inner)):
            return {**_without(fields, path), f"m.{path}": "1"} | blank(inner, path)
        case ("leave", Maybe()):
            return _without(fields, path)
        case ("add" | "drop", Maybe(inner=Many() | Keyed() as inner)):
            there = inner
    match act, there:
        case ("add", Many(item=item)) if count_in(fields, path) < MOST_ITEMS:
            last = count_in(fields, path)
            return {**fields, f"n.{path}": str(last + 1)} | blank(item, f"{path}.{last}")
        case ("add", Keyed(item=item)) if count_in(fields, path) < MOST_ITEMS:
            last = count_in(fields, path)
            return {**fields, f"n.{path}": str(last + 1), f"a.{path}.{last}.k": ""} | blank(item, f"{path}.{last}.v")
        case ("drop", Many() | Keyed()) if number < count_in(fields, path):
            return _dropped(fields, path, number)
    return None


def _at(shape: Shape, parts: list[str]) -> Shape | None:
    found: Shape | None = shape
    for position, part in enumerate(parts):
        inner = found.inner if isinstance(found, Maybe) else found
        match inner:
            case Group():
                found = next((member.shape for _, member, name in segments(inner) if name == part), None)
            case Many(item=item):
                found = item
            case Keyed(item=item):
                if part != "v":  # the number of the item; its value is one step further
                    continue
                found = item
            case _:
                return None
        if found is None or position > MOST_ITEMS:
            return None
    return found


def _without(fields: Fields, path: str) -> dict[str, str]:
    own = re.compile(rf"[anm]\.{re.escape(path)}(\..*)?", re.DOTALL)
    return {name: text for name, text in fields.items() if not own.fullmatch(name)}


def _dropped(fields: Fields, path: str, number: int) -> dict[str, str]:
    """The items behind the one that goes move up by one."""
    item = re.compile(rf"([anm]\.{re.escape(path)}\.)([0-9]{{1,8}})((?:\..*)?)", re.DOTALL)
    left: dict[str, str] = {}
    for name, text in fields.items():
        found = item.fullmatch(name)
        at = int(found[2]) if found else -1
        if at != number:
            left[f"{found[1]}{at - 1}{found[3]}" if found and at > number else name] = text
    return left | {f"n.{path}": str(count_in(fields, path) - 1)}
