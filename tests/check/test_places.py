"""The lines that a check proposes, pasted where they are said to belong: then the run fits, and goes on to its end."""

from __future__ import annotations

import importlib.util
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from flowkit.check import Cause, Line, check_runs
from flowkit.check.places import spot_of, top_of
from flowkit.testing import Lab, MemoryDriver

STEPS = """
from flowkit import receive, removed, sleep, step, version, workflow

ran = []
""" + "".join(f"\n@step\ndef {name}(*args: int) -> int:\n    ran.append({name!r})\n    return 1\n" for name in "abcd")

REMOVED = {
    "before a call in the middle of an expression": ("a(), b()", "max(\n    1,\n    b(),\n)"),
    "before the whole of an if, where the call is in an elif": ("a(), b()", "if ran is None:\n    pass\nelif b():\n    pass"),
    "before an else in one line": ("a(), b()", "if None: pass\nelse: b()"),
    "before a for, where the call is in its body": ("for _ in 'xy':\n    a()\n    b()", "for _ in 'xy':\n    b()"),
    "before a while": ("a(), b()", "while b() > 1:\n    pass"),
    "before a comprehension": ("[(a(), b()) for _ in 'xy']", "[b() for _ in 'xy']"),
    "before all, where the call is in a function that is called twice": ("a(), b(), a(), b()", "twice()"),
    "before all, if there is no call any more": ("a()", "return 1"),
    "before a return": ("b(), a()", "return b() and receive('go').data"),
    "behind a call over several lines": ("b(), a()", "b(\n)\nreturn 1"),
}  # fmt: skip

GATED = {
    "a call": "d(1)\nb()",
    "a call over several lines": "d(\n    1,\n)\nb()",
    "a call whose value is used later": "found = d()\nb()\nused.append(found)",
    "a call with an annotation whose value is used later": "found: int = d(\n)\nb()\nused.append(found)",
    "two calls of one step": "d(1)\nd(2)\nb()",
    "a call in a loop": "for _ in 'xy':\n    d()\nb()",
    "a call in a loop in a loop, beside others": (
        "for n in range(2):\n    used.append(n)\n    while n < 2:\n        d(n)\n        n += 1\nb()"
    ),
    "a call in a loop whose value is used later": "for _ in 'xy':\n    found = d()\n    used.append(found)\nb()",
}

UNGATED = {
    "another call stands in the same statement": "found = b(d())",
    "its value decides what comes next": "if d() and b():\n    pass",
    "it stands in a comprehension": "found = [d() for _ in 'xy']\nb()",
    "it stands in a loop of a function that is called twice": "looped(), looped()\nb()",
    "it decides how long a loop goes on": "while d() > 1:\n    pass\nb()",
    "it is in a function that is called twice": "within(), within()\nb()",
    "another statement stands in the same line": "d(); b()",
}


def load(folder: Path, number: int, body: str) -> ModuleType:
    """A module whose workflow makes the calls of `body`, and then waits for a message."""
    file = folder / f"code_{number}.py"
    whole = f'"""What it does."""\n{body}\nreceive("go")\nreturn 2'
    text = f"{STEPS}\nused = []\n\ndef twice():\n    once()\n    once()\n\ndef once():\n    b()\n\ndef within():\n    d()\n\n"
    text += "def looped():\n    for _ in 'xy':\n        d()\n\n"
    file.write_text(f'{text}@workflow(\n    name="shop"\n)\ndef shop(\n):\n{textwrap.indent(whole, "    ")}\n')
    return read(file)


def read(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def driver() -> MemoryDriver:
    return MemoryDriver()


@pytest.fixture
def lab(driver: MemoryDriver) -> Iterator[Lab]:
    with Lab(driver=driver) as made:
        yield made


def held(folder: Path, lab: Lab, driver: MemoryDriver, old: str, new: str) -> tuple[ModuleType, Cause]:
    """The code that holds a run of the old one, and why."""
    lab.start("r", load(folder, 1, old).shop)
    lab.run_once("r")
    module = load(folder, 2, new)
    (cause,) = causes(driver, module)
    return module, cause


def causes(driver: MemoryDriver, module: ModuleType) -> Sequence[Cause]:
    return check_runs(driver, {"shop": module.shop}).workflows[0].causes


def paste(module: ModuleType, lines: Sequence[Line]) -> ModuleType:
    """The code with the lines where they belong, as a person would paste them."""
    assert module.__file__ is not None
    rows = Path(module.__file__).read_text().splitlines()
    for _, line in sorted(enumerate(lines), key=lambda item: (number(item[1]), item[0]), reverse=True):
        at = number(line) - 1
        spaces = re.match(" *", rows[at]).group()  # type: ignore[union-attr]
        if line.where == "around":
            rows[at] = f"    {rows[at]}"
        rows.insert(at + (line.where == "after"), spaces + line.text)
    pasted = Path(module.__file__).with_name("code_3.py")
    pasted.write_text("\n".join(rows))
    return read(pasted)


def number(line: Line) -> int:
    return int(line.place.rpartition(":")[2])


def ran_to_the_end(lab: Lab, module: ModuleType) -> list[str]:
    """What was run of the new code until the run ended."""
    lab.send("r", "go")
    assert lab.run_once("r", workflow=module.shop).status == "completed"
    return list(module.ran)


@pytest.mark.parametrize(("old", "new"), REMOVED.values(), ids=REMOVED)
def test_a_line_for_what_left_the_code_stands_where_it_is_passed_once(
    tmp_path: Path, lab: Lab, driver: MemoryDriver, old: str, new: str
) -> None:
    module, cause = held(tmp_path, lab, driver, old, new)

    pasted = paste(module, cause.lines)

    assert cause.lines
    assert causes(driver, pasted) == []
    assert ran_to_the_end(lab, pasted) == []


@pytest.mark.parametrize("new", GATED.values(), ids=GATED)
def test_a_gate_stands_around_the_whole_of_a_statement_that_is_one_call(
    tmp_path: Path, lab: Lab, driver: MemoryDriver, new: str
) -> None:
    module, cause = held(tmp_path, lab, driver, "b()", new)

    pasted = paste(module, cause.lines)

    assert cause.lines
    assert causes(driver, pasted) == []
    assert ran_to_the_end(lab, pasted) == []


@pytest.mark.parametrize("new", UNGATED.values(), ids=UNGATED)
def test_where_a_gate_would_do_more_than_was_tried_there_is_no_line(
    tmp_path: Path, lab: Lab, driver: MemoryDriver, new: str
) -> None:
    _, cause = held(tmp_path, lab, driver, "b()", new)

    assert (cause.kind, cause.lines) == ("new", ())
    assert re.match(r"no line found: `d` is new in the statement at .*code_2\.py:\d+, `.*`\. Put version\(", cause.advice)


def test_one_call_fewer_of_a_step_is_not_taken_for_another_order(tmp_path: Path, lab: Lab, driver: MemoryDriver) -> None:
    _, cause = held(tmp_path, lab, driver, "a(1)\na(2)", "a(1)")

    assert (cause.kind, cause.lines) == ("unknown", ())
    assert 'put removed("a#2", "step")' in cause.advice


def test_of_a_file_that_cannot_be_read_nothing_is_said() -> None:
    assert (spot_of("gone.py:3"), spot_of("<string>:1"), spot_of(""), top_of("gone.py:3")) == (None, None, None, "")
