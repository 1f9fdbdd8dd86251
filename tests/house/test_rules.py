"""The rules of style that a machine can check, over every file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.source import ROOT, Module, comments, functions, imports, modules, text_files

pytestmark = pytest.mark.timeout(120)  # whichever comes first parses every module

PRODUCT = modules("flowkit", "inspector")
EVERYTHING = modules("flowkit", "inspector", "examples", "tests")

LONGEST_FILE = 400
LONGEST_FUNCTION = 60

WALL_CLOCK = {
    ("time", "time"), ("time", "time_ns"),
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
}  # fmt: skip

FOREIGN_PRIVATE = {"_asdict", "_current_frames", "_exit", "_fields", "_getframe", "_make", "_name_", "_replace"}
"""Private by their spelling, public by their documentation: those of namedtuple, enums, `os` and `sys`."""

TERMINAL = {"sys.stdout", "sys.stderr", "traceback", "click"}

# Written so that this file does not hold the words it looks for.
UNWELCOME = {
    "a path of somebody's machine": re.compile(r"/(?:(?:w)ork|(?:h)ome/[a-z]+|(?:U)sers/[A-Za-z]+)/"),
    "a plan": re.compile(r"\b(?:i)ssue \d+|as the (?:i)ssue (?:says|asks)", re.IGNORECASE),
    "the host of a package registry": re.compile(r"(?:p)ypi\.org|(?:p)ythonhosted\.org|registry\.(?:n)pmjs|(?:c)rates\.io"),
}


def complain(broken: list[str], rule: str) -> None:
    assert not broken, f"{rule}:\n" + "\n".join(broken)


def test_a_file_longer_than_400_lines_says_why() -> None:
    broken = [
        f"{module.where} has {len(module.text.splitlines())} lines"
        for module in EVERYTHING
        if len(module.text.splitlines()) > LONGEST_FILE and not says_why_it_is_long(module)
    ]

    complain(broken, "find the second idea, or say in the docstring 'Longer than 400 lines because …'")


def test_no_function_has_more_than_60_lines() -> None:
    broken = [
        f"{module.where}:{function.lineno} {function.name} has {length(function)} lines"
        for module in EVERYTHING
        for function in functions(module)
        if length(function) > LONGEST_FUNCTION
    ]

    complain(broken, "most functions fit in ten lines, and sixty is a defect (docstrings are not counted)")


def test_only_the_clock_module_reads_the_wall_clock() -> None:
    broken = [
        f"{module.where}:{line}" for module in PRODUCT if module.name != "flowkit.clock" for line in wall_clock_reads(module)
    ]

    complain(broken, "the instant enters through an argument; only flowkit/clock.py asks the machine")


def test_nothing_prints_but_the_command_line() -> None:
    broken = [
        f"{module.where}:{node.lineno}"
        for module in PRODUCT
        if not module.name.startswith("flowkit.cli")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]

    complain(broken, "print belongs to flowkit/cli and examples")


def test_every_record_of_flowkit_is_made_by_the_log_that_has_the_fields() -> None:
    """`core.fields` names the logger, once: what went past it would lack the fields and ignore the logger that was given."""
    broken = [
        f"{module.where}:{node.lineno}"
        for module in PRODUCT
        if module.name != "flowkit.core.fields"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and makes_a_logger(node)
    ]

    complain(broken, "log on the log that is handed in, or on own_log()")


def test_nothing_writes_to_the_terminal_but_the_command_line() -> None:
    broken = [
        f"{module.where}:{node.lineno}"
        for module in PRODUCT
        if not module.name.startswith(("flowkit.cli", "flowkit.dev", "flowkit.__main__"))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"write", "print_exc", "print_exception", "echo", "secho"}
        if isinstance(node.value, ast.Attribute | ast.Name) and ast.unparse(node.value) in TERMINAL
    ]

    complain(broken, "what is to be said goes through logging")


def makes_a_logger(call: ast.Call) -> bool:
    """`logging.getLogger("…")`; without a name it is the root, which is asked and never logged on."""
    return ast.unparse(call.func) in {"logging.getLogger", "getLogger"} and bool(call.args)


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Tidying up on the way out swallows nothing: the handler ends by raising what it caught."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_every_broad_except_says_why() -> None:
    broken = [
        f"{module.where}:{handler.lineno}"
        for module in PRODUCT
        for handler in ast.walk(module.tree)
        if isinstance(handler, ast.ExceptHandler) and catches_everything(handler) and not raises_again(handler)
        if not comments(module).keys() & {handler.lineno, handler.lineno - 1}
    ]

    complain(broken, "a broad except stands only where user code is called, and says so on its line or above it")


def test_no_private_name_is_imported_from_another_module() -> None:
    broken = [
        f"{module.where}:{found.line} {found.target}"
        for module in EVERYTHING
        for found in imports(module)
        if found.target.split(".")[0] in {"flowkit", "inspector", "tests"} and private(found.target.rpartition(".")[2])
    ]

    complain(broken, "what another module needs is public: name it and document it")


def test_no_private_attribute_of_another_module_is_read() -> None:
    broken = [
        f"{module.where}:{node.lineno} .{node.attr}"
        for module in PRODUCT
        for known in [names_made_in(module)]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and private(node.attr) and node.attr not in known | FOREIGN_PRIVATE
    ]

    complain(broken, "these private names are made in another module")


def test_every_module_says_what_it_is_for() -> None:
    broken = [module.where for module in EVERYTHING if module.text.strip() and not ast.get_docstring(module.tree)]

    complain(broken, "a module opens with what it is for")


def test_every_public_function_and_class_has_a_docstring() -> None:
    broken = [
        f"{module.where}:{node.lineno} {node.name}"
        for module in PRODUCT
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if not private(node.name) and not is_overload(node) and not ast.get_docstring(node)
    ]

    complain(broken, "one sentence of effect on every public name")


def test_no_word_is_in_the_repository_that_does_not_belong() -> None:
    broken = [
        f"{where}:{text[: match.start()].count(chr(10)) + 1} {match[0]!r} is {what}"
        for where, text in text_files()
        for what, pattern in UNWELCOME.items()
        for match in pattern.finditer(text)
    ]

    complain(broken, "the repository knows nothing of the machine or the plan it was made with")


def test_no_test_is_skipped_silently() -> None:
    silent = re.compile(r"pytest\.(?:skip|xfail|importorskip)\b|mark\.(?:skip|skipif|xfail)\b")
    broken = [
        f"{module.where}:{number}"
        for module in modules("tests")
        if module.name != "tests.support" and module.path != ROOT / "tests/house/test_rules.py"
        for number, line in enumerate(module.text.splitlines(), 1)
        if silent.search(line)
    ]

    complain(broken, "say require(condition, reason) of tests/support.py, which continuous integration can refuse")


def says_why_it_is_long(module: Module) -> bool:
    docstring = ast.get_docstring(module.tree) or ""
    return any(line.startswith("Longer than 400 lines because") for line in docstring.splitlines())


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return lines
    text = function.body[0]
    return lines - ((text.end_lineno or text.lineno) - text.lineno + 1)


def wall_clock_reads(module: Module) -> Iterator[int]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)) if (owner, name) in WALL_CLOCK:
                yield node.lineno
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr=owner), attr=name)) if (
                owner,
                name,
            ) in WALL_CLOCK:
                yield node.lineno
            case ast.ImportFrom(module="time", names=names) if any(alias.name in {"time", "time_ns"} for alias in names):
                yield node.lineno


def catches_everything(handler: ast.ExceptHandler) -> bool:
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or getattr(kind, "id", "") in {"Exception", "BaseException"} for kind in types)


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(getattr(mark, "id", getattr(mark, "attr", "")) == "overload" for mark in node.decorator_list)


def names_made_in(module: Module) -> set[str]:
    """Every name that the module defines, assigns, takes as a parameter or lists as a slot."""
    made = set[str]()
    for node in ast.walk(module.tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                made.add(name)
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                made.add(name)
            case ast.Constant(value=str(name)) | ast.arg(arg=name):
                made.add(name)
    return made
