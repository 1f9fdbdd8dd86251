"""The fields of a form as they are shown: what they hold, their buttons, and the faults where they belong.

Fields make a tree as the values do that they ask for. Everything is text here, and harmless as such.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from flowkit.client.livecode import Fault, Parameter

from .filling import Fields, count_in, key_of, segments
from .schema import described, example, schema_text
from .shape import Area, Choice, Group, Keyed, Leaf, Many, Maybe, Shape, shape_of
from .values import shown

__all__ = ["FieldView", "shape_for", "views_of"]

_CONTROLS = {"str": "text", "int": "number", "float": "text", "bool": "checkbox", "choice": "choice", "date": "date"}
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]|\[('[^']*'|\"[^\"]*\")\]")

Tokens = tuple[str | int, ...]
Told = Sequence[tuple[Tokens, str, str]]
"""Faults below a place: the way on to each, the path as it was told, and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldView:
    """A field of a form, or several. `control`: text, number, choice, checkbox, date, datetime, time, duration or json; of
    several group, list, map or maybe.

    `schema` says what a JSON area takes, `said` what it says of itself in words, and `placeholder` is an example of that shape.
    `marker` is a hidden field beside `children`; `add`, `drop` and `switch` are what buttons send, `fresh` is shown first.
    """

    name: str
    label: str
    control: str
    hint: str = ""
    value: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    fault: str = ""
    said: str = ""
    schema: str = ""
    placeholder: str = ""
    optional: bool = False
    children: tuple[FieldView, ...] = ()
    marker: tuple[str, str] | None = None
    add: str = ""
    drop: str = ""
    switch: str = ""
    fresh: bool = False

    def count(self) -> int:
        """How many fields of a body it can take."""
        own = 0 if self.control in ("group", "list", "map", "maybe") else 1
        return own + (self.marker is not None) + sum(child.count() for child in self.children)


def shape_for(parameter: Parameter) -> Shape | None:
    """Of what a parameter is made; None for what is one field anyway: a plain type, or JSON of which nothing is known."""
    if parameter.kind != "json" or not parameter.schema:
        return None
    known = bool(parameter.default)
    found = shape_of(parameter.schema, required=parameter.required, known=known, optional=parameter.optional)
    return None if isinstance(found, Area) else found


def views_of(parameters: Iterable[Parameter], fields: Fields, faults: Sequence[Fault], fresh: str = "") -> tuple[FieldView, ...]:
    """The fields as they are shown, with faults where they belong and the place that a button was about."""
    return tuple(_view_of(each, fields, _told(each.name, faults), fresh) for each in parameters)


def _told(name: str, faults: Sequence[Fault]) -> Told:
    return tuple((_tokens(fault.path), fault.path, shown(fault.message)) for fault in faults if fault.field == name)


def _tokens(path: str) -> Tokens:
    if path.startswith("#"):  # found here, and named as the field is
        return (path,)
    found: list[str | int] = []
    for name, index, key in _STEP.findall(path):
        with suppress(ValueError, SyntaxError):  # a key that was cut short, as it was long: the fault stands above it
            found.append(int(index) if index else name if name else str(ast.literal_eval(key)))
    return tuple(found)


def _view_of(parameter: Parameter, fields: Fields, told: Told, fresh: str) -> FieldView:
    shape = shape_for(parameter)
    name = parameter.name
    as_json = f"j.{name}" in fields or (not isinstance(shape, Leaf | Choice | None) and f"a.{name}" in fields)
    if shape is None or as_json:
        view = _one_view(parameter, fields, told)
        return view if shape is None else replace(view, name=f"j.{name}", switch=f"fields {name}", fresh=fresh == name)
    told = [(tokens, path.removeprefix("#"), why) for tokens, path, why in told]
    viewer = _Viewer(fields, fresh)
    view = viewer.view(shape, name, shown(name), told)
    switch = "" if isinstance(shape, Leaf | Choice) or (view.control == "maybe" and not view.children) else f"json {name}"
    said = described(parameter.schema) or view.said
    return replace(view, hint=shown(parameter.annotation), required=parameter.required, switch=switch, said=said)


def _one_view(parameter: Parameter, fields: Fields, told: Told) -> FieldView:
    """A parameter as one field."""
    name = parameter.name
    return FieldView(
        name=f"a.{name}", label=shown(name), control=_CONTROLS.get(parameter.kind, parameter.kind),
        hint=shown(parameter.annotation), value=shown(fields.get(f"j.{name}", fields.get(f"a.{name}", ""))),
        required=parameter.required, optional=not parameter.required,
        choices=(*(("",) if parameter.optional else ()), *map(shown, parameter.choices)), fault=_said(told),
        said=described(parameter.schema), schema=schema_text(parameter.schema), placeholder=example(parameter.schema),
    )  # fmt: skip


def _said(told: Told) -> str:
    """Faults at one place; those that lie deeper than any field name the way."""
    return "; ".join(f"at {shown(path)}: {why}" if tokens and path else why for tokens, path, why in told)


class _Viewer:
    """Makes the views of one tree. The first field of the fresh part is the one to be in."""

    def __init__(self, fields: Fields, fresh: str) -> None:
        self._fields = fields
        self._fresh = fresh

    def view(self, shape: Shape, path: str, label: str, told: Told) -> FieldView:
        """The view of what stands at `path`."""
        here = f"#{path}"
        told = [((), "", why) if tokens == (here,) else (tokens, way, why) for tokens, way, why in told]
        match shape:
            case Maybe():
                return self._maybe(shape, path, label, told)
            case Group():
                return self._group(shape, path, label, told)
            case Many() | Keyed():
                return self._items(shape, path, label, told)
            case _:
                return self._leaf(shape, path, label, told)

    def _leaf(self, shape: Leaf | Choice | Area, path: str, label: str, told: Told) -> FieldView:
        control = shape.control if isinstance(shape, Leaf) else "choice" if isinstance(shape, Choice) else "json"
        options = tuple(map(shown, shape.options)) if isinstance(shape, Choice) else ()
        schema = shape.schema if isinstance(shape, Area) else ""
        can_be_empty = shape.empty != ""
        return FieldView(
            name=f"a.{path}", label=label, control=control, value=shown(self._fields.get(f"a.{path}", "")),
            required=not can_be_empty and control not in ("text", "checkbox"), optional=can_be_empty,
            choices=("", *options) if can_be_empty else options, fault=_said(told), schema=schema_text(schema),
            said=described(schema), placeholder=example(schema), fresh=self._is_fresh(path),
        )  # fmt: skip

    def _group(self, group: Group, path: str, label: str, told: Told) -> FieldView:
        children: list[FieldView] = []
        for number, member, part in segments(group):
            key: str | int = number if group.positional else member.name
            mine, told = _split(told, key, f"#{path}.{part}")
            children.append(self.view(member.shape, f"{path}.{part}", shown(member.name), mine))
        return FieldView(
            name=f"a.{path}", label=label, control="group", fault=_said(told), said=shown(group.said), children=tuple(children)
        )

    def _items(self, shape: Many | Keyed, path: str, label: str, told: Told) -> FieldView:
        is_map = isinstance(shape, Keyed)
        count = count_in(self._fields, path)
        children: list[FieldView] = []
        for number in range(count):
            key = key_of(self._fields, path, number) if is_map else number
            mine, told = _split(told, key, f"#{path}.{number}")
            item = self._item(shape.item, path, number, label, mine, is_map=is_map)
            children.append(replace(item, drop=f"drop {path} {number}"))
        fresh = self._is_fresh(path)
        return FieldView(
            name=f"a.{path}", label=label, control="map" if is_map else "list", fault=_said(told), children=tuple(children),
            marker=(f"n.{path}", str(count)), add=f"add {path}", fresh=fresh,
        )  # fmt: skip

    def _item(self, shape: Shape, path: str, number: int, label: str, told: Told, *, is_map: bool) -> FieldView:
        place, name = f"{path}.{number}", f"{label} {number + 1}"
        if not is_map:
            return self.view(shape, place, name, told)
        wrong, told = _split(told, "", f"#{place}.k")
        key = replace(self.view(Leaf(control="text"), f"{place}.k", "key", wrong), required=True)
        return FieldView(
            name=f"a.{place}", label=name, control="group", children=(key, self.view(shape, f"{place}.v", "value", told))
        )

    def _maybe(self, maybe: Maybe, path: str, label: str, told: Told) -> FieldView:
        if not self._fields.get(f"m.{path}"):
            return FieldView(
                name=f"a.{path}", label=label, control="maybe", fault=_said(told), add=f"give {path}", optional=True,
                fresh=self._is_fresh(path),
            )  # fmt: skip
        inner = self.view(maybe.inner, path, label, told)
        return FieldView(
            name=f"a.{path}", label=label, control="maybe", children=(inner,), marker=(f"m.{path}", "1"), drop=f"leave {path}"
        )

    def _is_fresh(self, path: str) -> bool:
        """Whether this is the place, which is so once."""
        if not self._fresh or not (path == self._fresh or path.startswith(f"{self._fresh}.")):
            return False
        self._fresh = ""
        return True


def _split(told: Told, key: str | int, field: str) -> tuple[Told, Told]:
    """The faults that lie behind `key`, from there on, and the others. A key is found by its text, as JSON has no other."""
    mine: list[tuple[Tokens, str, str]] = []
    others: list[tuple[Tokens, str, str]] = []
    for tokens, path, why in told:
        first = tokens[0] if tokens else None
        if isinstance(first, str) and first.startswith("#"):
            (mine if first == field or first.startswith(f"{field}.") else others).append((tokens, path, why))
        elif first is not None and str(first) == str(key):
            rest = tokens[1:]
            mine.append((rest, path if rest else "", why))
        else:
            others.append((tokens, path, why))
    return mine, others
