"""No interval and no threshold but in flowkit/settings.py: a number that says how long or how often is a setting.

What counts: a constant whose name ends in a word of time, a number given to an argument that is named like one or stands as its
default, and a number handed to `wait`, `join`, `sleep` and their like. What does not: 0 and None, which say at once and never; a
millisecond or less, which is a try and no wait; the length of a day; and the defaults of steps, which are public.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house.source import Module, modules

PRODUCT = [
    module
    for module in modules("flowkit", "inspector")
    if module.name not in {"flowkit.settings", "flowkit.durations"} and not module.name.startswith("flowkit.testing.")
]

TIME_WORDS = r"(?:seconds|timeout|wait|poll|every|delay|grace|linger|lease|patience|interval|debounce|backoff|ms|days)"
TIMED = re.compile(rf"(?:^|_){TIME_WORDS}(?:_|$)", re.IGNORECASE)
WAITS = {"wait", "join", "sleep", "acquire", "call_later", "wait_for", "result", "Timer"}
UNITS = {60, 3_600, 86_400, 31_536_000}

ALLOWED = {
    "flowkit.definitions.steps": {
        "DEFAULT_BACKOFF",
        "DEFAULT_BACKOFF_MAX",
        "DEFAULT_TIMEOUT",
    },  # public: of a step, not of flowkit
    "flowkit.calls": {"DEFAULT_PRUNE_EVERY"},  # public: turns of a loop
    "flowkit.core.health": {"START_SECONDS", "FADES_SECONDS"},  # what a report means: who writes and who reads it must agree
    "inspector.present.crew": {"UNATTENDED_SECONDS"},  # a word on a page, for the same moment in every browser
    "inspector.present.bulk": {"ORPHAN_SECONDS"},
}


def test_every_interval_and_threshold_is_a_setting() -> None:
    found = [
        f"{module.where}:{line} {what}" for module in PRODUCT for line, what, name in literals(module)
        if name not in ALLOWED.get(module.name, set())
    ]  # fmt: skip

    assert not found, "make it a field of flowkit/settings.py, and read it where its owner is made:\n" + "\n".join(found)


def test_nothing_is_allowed_that_is_not_there() -> None:
    known = {(module.name, name) for module in PRODUCT for _, _, name in literals(module)}

    assert not [(module, name) for module, names in ALLOWED.items() for name in names if (module, name) not in known]


def test_the_search_finds_what_it_is_for() -> None:
    text = (
        "RETRY_SECONDS = 1.0\nHOURS = 24\nDAY_SECONDS = 86_400.0\n"
        "def f(timeout: float = 3.0, *, grace: float = 0) -> None:\n    lock.acquire(timeout=5.0)\n"
        "    event.wait(2)\n    event.wait(0.001)\n"
        "    ', '.join(names)\n    g(poll_interval=0.5, limit=10)\n"
    )
    module = Module(PRODUCT[0].path, "x", text, ast.parse(text))

    assert [line for line, _, _ in literals(module)] == [1, 4, 5, 6, 9]


def literals(module: Module) -> Iterator[tuple[int, str, str]]:
    """Line, text and name of each number that says how long or how often."""
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            found += _constants(node)
        elif isinstance(node, ast.Call):
            found += _arguments(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found += _defaults(node)
    yield from sorted(set(found))


def _constants(node: ast.Assign | ast.AnnAssign) -> Iterator[tuple[int, str, str]]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = list(zip(target.elts, node.value.elts, strict=False))
        else:
            pairs = [(target, node.value)]
        for each, value in pairs:
            if isinstance(each, ast.Name) and TIMED.search(each.id) and is_interval(value):
                yield node.lineno, f"{each.id} = {ast.unparse(value)}", each.id


def _arguments(node: ast.Call) -> Iterator[tuple[int, str, str]]:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    for keyword in node.keywords:
        if keyword.arg is not None and TIMED.search(keyword.arg) and is_interval(keyword.value):
            yield keyword.value.lineno, f"{called}({keyword.arg}={ast.unparse(keyword.value)})", keyword.arg
    if called in WAITS:
        for argument in node.args[:2]:
            if is_interval(argument):
                yield argument.lineno, f"{called}({ast.unparse(argument)})", called


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, str, str]]:
    names = node.args.posonlyargs + node.args.args
    pairs = list(zip(names[len(names) - len(node.args.defaults) :], node.args.defaults, strict=True))
    pairs += [(name, value) for name, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if value is not None]
    for name, value in pairs:
        if TIMED.search(name.arg) and is_interval(value):
            yield value.lineno, f"{node.name}({name.arg}={ast.unparse(value)})", name.arg


def is_interval(node: ast.expr | None) -> bool:
    """A number, or a product of numbers, that is neither nothing nor a try nor a unit."""
    number = value_of(node)
    return number is not None and number > 0.001 and number not in UNITS


def value_of(node: ast.expr | None) -> float | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = value_of(node.left), value_of(node.right)
        return None if left is None or right is None else left * right
    return None
