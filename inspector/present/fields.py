"""A form that asks for values of the code's types: what its fields hold at first, what they send, and what its buttons do.

A parameter has one field, or where its schema says of what it is made a tree of them. Each tree can be given as JSON instead,
and is where a form cannot show it. What is filled in goes to the code as JSON texts, and its faults come back by path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flowkit.client.livecode import Fault, Parameter

from .field_views import shape_for, views_of
from .filling import Fields, ReadFaults, Unfit, blank, changed, count_in, filled, read
from .shape import OUT, Choice, Leaf, Shape

__all__ = ["MOST_FIELDS", "Acted", "acted", "argument_texts", "filled_in", "initial"]

MOST_FIELDS = 180
"""Of arguments, in one form: a body has 200, some of which are the form's own."""

# --- what is filled in ------------------------------------------------------------------------------------------------


def initial(parameters: Iterable[Parameter], values: Mapping[str, object]) -> dict[str, str]:
    """The fields of a form that nobody has touched yet: `values` by parameter, else the defaults.

    Where they would be more than a form holds, the largest parameters are given as JSON.
    """
    made = {each: _held(each, values[each.name]) if each.name in values else _blank(each) for each in parameters}
    sizes = {each: views_of([each], fields, ())[0].count() for each, fields in made.items()}
    for each in sorted(sizes, key=lambda each: -sizes[each]):
        shape = shape_for(each)
        if sum(sizes.values()) > MOST_FIELDS and shape is not None:
            made[each] = _as_json(each.name, read(shape, each.name, made[each], {}))
            sizes[each] = 1
    return {name: text for fields in made.values() for name, text in fields.items()}


def _blank(parameter: Parameter) -> dict[str, str]:
    shape = shape_for(parameter)
    if shape is not None:
        return blank(shape, parameter.name, _default(parameter))
    return {f"a.{parameter.name}": parameter.default if parameter.kind == "json" else _text_of(_default(parameter))}


def _text_of(default: object) -> str:
    return "" if default is OUT or default is None else default if isinstance(default, str) else json.dumps(default)


def _as_json(name: str, value: object) -> dict[str, str]:
    return {f"j.{name}": "" if value is OUT else json.dumps(value, ensure_ascii=False, indent=2)}


def _default(parameter: Parameter) -> object:
    try:
        return json.loads(parameter.default) if parameter.default else OUT
    except ValueError:
        return OUT


def _held(parameter: Parameter, value: object) -> dict[str, str]:
    shape = shape_for(parameter)
    if shape is not None:
        try:
            return filled(shape, parameter.name, value)
        except Unfit:
            return _as_json(parameter.name, value)
    text = value if isinstance(value, str) and parameter.kind != "json" else json.dumps(value, ensure_ascii=False)
    return {f"a.{parameter.name}": text}


def argument_texts(parameters: Iterable[Parameter], fields: Fields, faults: list[Fault]) -> dict[str, str]:
    """What a form sends, as JSON texts by parameter; what is left out has none. Adds to `faults` what is no JSON."""
    found: dict[str, str] = {}
    for each in parameters:
        text = _argument(each, fields, faults)
        if text is not None:
            found[each.name] = text
    return found


def filled_in(parameters: Iterable[Parameter], fields: Fields) -> dict[str, str]:
    """As `argument_texts`, for those to whom it is shown: without what nobody has touched, and without what is no JSON."""
    found: dict[str, str] = {}
    for each in parameters:
        faults: list[Fault] = []
        text = _argument(each, fields, faults)
        if text is not None and not faults and text != _argument(each, _blank(each), []):
            found[each.name] = text
    return found


def _argument(parameter: Parameter, fields: Fields, faults: list[Fault]) -> str | None:
    shape = shape_for(parameter)
    if shape is None:
        return _one_text(parameter, fields.get(f"a.{parameter.name}"))
    given = fields.get(f"j.{parameter.name}", None if isinstance(shape, Leaf | Choice) else fields.get(f"a.{parameter.name}"))
    if given is not None:
        return _one_text(parameter, given)
    wrong: ReadFaults = {}
    value = read(shape, parameter.name, fields, wrong)
    faults.extend(Fault(field=parameter.name, path=f"#{path}", message=why) for path, why in wrong.items())
    return None if value is OUT else json.dumps(value, ensure_ascii=False)


def _one_text(parameter: Parameter, given: str | None) -> str | None:
    if parameter.kind == "bool":
        return "true" if given in ("on", "true", "1") else "false"
    if given is None or (not given.strip() and parameter.kind != "str"):
        return "null" if parameter.optional and parameter.required else None
    if parameter.kind in ("int", "float", "json"):
        return given.strip()
    if not given and not parameter.required:
        return None
    return "null" if not given and parameter.optional else json.dumps(given, ensure_ascii=False)


# --- buttons ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Acted:
    """The form after a button. `fresh` is the path that it is about; `problem` says why nothing was changed."""

    fields: dict[str, str]
    fresh: str = ""
    problem: str = ""


def acted(parameters: Sequence[Parameter], fields: Fields, do: str) -> Acted:
    """Press a button: ``add``, ``drop``, ``give``, ``leave``, ``json`` or ``fields``, a path, and of an item its number."""
    act, _, rest = do.partition(" ")
    path, _, digits = rest.partition(" ")
    parameter = next((each for each in parameters if each.name == path.partition(".")[0]), None)
    shape = None if parameter is None else shape_for(parameter)
    if parameter is None or shape is None:
        return Acted(dict(fields), problem="There is no such field.")
    if act in ("json", "fields"):
        return _switched(parameter, shape, fields, act)
    number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else 0
    made = changed(shape, path, fields, act, number)
    if made is None:
        return Acted(dict(fields), problem="There is no such field any more.")
    if act in ("add", "give") and sum(each.count() for each in views_of(parameters, made, ())) > MOST_FIELDS:
        return Acted(dict(fields), problem=f"A form holds {MOST_FIELDS} fields at most: give {parameter.name} as JSON.")
    return Acted(made, fresh=f"{path}.{count_in(made, path) - 1}" if act == "add" else path)


def _switched(parameter: Parameter, shape: Shape, fields: Fields, act: str) -> Acted:
    name = parameter.name
    own = re.compile(rf"[anmj]\.{re.escape(name)}(\..*)?", re.DOTALL)
    others = {each: text for each, text in fields.items() if not own.fullmatch(each)}
    if act == "json":
        wrong: ReadFaults = {}
        value = read(shape, name, fields, wrong)
        if wrong:
            return Acted(dict(fields), problem=f"{'; '.join(sorted(set(wrong.values())))}: mend that first.")
        return Acted(others | _as_json(name, value), name)
    text = fields.get(f"j.{name}", fields.get(f"a.{name}", ""))
    try:
        made = filled(shape, name, json.loads(text)) if text.strip() else blank(shape, name, _default(parameter))
    except (ValueError, RecursionError) as error:
        return Acted(dict(fields), problem=f"This is not JSON: {error}")
    except Unfit:
        return Acted(dict(fields), problem=f"This JSON does not have the shape of {name}, so it cannot be shown in fields.")
    if sum(each.count() for each in views_of([parameter], made, ())) > MOST_FIELDS:
        return Acted(dict(fields), problem=f"That would be more than {MOST_FIELDS} fields: it stays JSON.")
    return Acted(others | made, name)
