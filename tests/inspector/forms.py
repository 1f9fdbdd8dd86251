"""A workflow whose parameters are made of all that has parts, and the code behind its form."""

from __future__ import annotations

import datetime
import typing
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import pydantic

from flowkit import workflow
from flowkit.client import Flowkit
from flowkit.client.livecode import Answer, CodeState, Parameter, ResolveWish, StartAnswer, StartWish
from flowkit.dev.manifest import describe_workflow
from flowkit.dev.starting import start_as_wished
from flowkit.drivers import open_driver

__all__ = ["Code", "Order", "parameter", "ship"]


class Size(Enum):
    SMALL = "S"
    LARGE = "L"


class Point(NamedTuple):
    x: int
    y: float = 0.5


@dataclass
class Item:
    """What is bought."""

    sku: str
    count: int = 1
    when: datetime.datetime | None = None
    size: Size = Size.SMALL
    fragile: bool = False


class Note(TypedDict, total=False):
    text: typing.Required[str]
    by: str


class Buyer(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=18)
    emails: list[str] = []


@dataclass
class Order:
    """An order of a shop."""

    id: int
    items: list[Item]
    place: Point
    gift: Item | None = None
    prices: dict[str, float] = field(default_factory=dict)
    extra: int | list[int] = 0


@dataclass
class Tree:
    name: str
    below: list[Tree] = field(default_factory=list)


@workflow
def ship(
    order: Order, buyer: Buyer, note: Note | None = None, tree: Tree | None = None, level: typing.Literal[1, 2] = 2
) -> None: ...


def parameter(name: str) -> Parameter:
    """A parameter of the workflow, as the code publishes it."""
    return next(each for each in describe_workflow(ship).parameters if each.name == name)


class Code:
    """A `CodeInfo` that has loaded the workflow."""

    def __init__(self, file: Path) -> None:
        self.flowkit = Flowkit(open_driver(file), worker=False, workflows=(ship,))
        self.wishes: list[StartWish] = []

    def state(self) -> CodeState:
        return CodeState(
            version=1, status="loaded", app="shop.py", code="c0de", running="c0de", workflows=(describe_workflow(ship),)
        )

    def start(self, wish: StartWish) -> StartAnswer:
        self.wishes.append(wish)
        return start_as_wished(self.flowkit, ship, wish)

    def resolve(self, wish: ResolveWish) -> Answer:
        raise AssertionError("nothing is resolved here")

    def kill(self) -> None:
        raise AssertionError("nothing hangs here")

    def input_of(self, id: str) -> Any:
        """The decoded arguments of a run."""
        row = self.flowkit.driver.get(id)
        view = None if row is None else self.flowkit.driver.load(row.seq)
        assert view is not None
        return ship.input.decode(view.input)
