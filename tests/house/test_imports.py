"""Who may import whom. The packages stand in rows, and imports go downward only."""

from __future__ import annotations

import pytest

from tests.house.source import Import, Module, imports, modules

ROWS = {
    "errors": 0, "clock": 0, "codec": 0, "durations": 0, "settings": 0,
    "core": 1,
    "engine": 2, "drivers": 2,
    "primitives": 3,
    "observe": 3, "definitions": 4, "registry": 4, "calls": 4, "plain": 4, "awaited": 4,
    "client": 5, "runtime": 5, "check": 5,
    "dev": 6, "aio": 6, "": 6,
    "cli": 8, "__main__": 9,
}  # fmt: skip
"""The row of each part of flowkit; ``""`` is the package root. The inspector, row 7, has a test of its own."""

SIDEWAYS = {
    ("clock", "errors"),
    ("codec", "errors"),
    ("durations", "errors"),
    ("settings", "durations"),
    ("definitions", "registry"),
    ("plain", "calls"),
    ("awaited", "calls"),
    ("client", "runtime"),
    ("check", "runtime"),
    ("", "aio"),
}
"""The imports allowed within a row."""

IMPURE = {"asyncio", "datetime", "os", "psycopg", "random", "secrets", "sqlite3", "time", "uuid"}

FLOWKIT = modules("flowkit")
INSPECTOR = modules("inspector")


def part(name: str) -> str:
    """``flowkit.core.entry`` belongs to ``core``, ``flowkit`` itself to ``""``."""
    return f"{name}.".split(".")[1]


def inside(found: Import) -> bool:
    return f"{found.target}.".startswith("flowkit.")


def target_part(found: Import) -> str:
    """The part that the import reaches into; ``""`` for a name of the package root."""
    return part(found.target) if part(found.target) in {*ROWS, "testing"} else ""


def complain(broken: list[tuple[Module, Import]], rule: str) -> None:
    lines = [f"{module.where}:{found.line} imports {found.target}" for module, found in broken]
    assert not lines, f"{rule}:\n" + "\n".join(lines)


def found_in(*names: str) -> list[tuple[Module, Import]]:
    """The imports of flowkit's own names in these parts of it, or in all."""
    return [
        (module, found)
        for module in FLOWKIT
        if not names or part(module.name) in names
        for found in imports(module)
        if inside(found)
    ]


def may_import(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    if importer == "testing":
        return ROWS[imported] <= 5
    return ROWS[imported] < ROWS[importer] or (importer, imported) in SIDEWAYS


def test_every_part_of_flowkit_has_a_row() -> None:
    unplaced = {module.where for module in FLOWKIT if part(module.name) not in {*ROWS, "testing"}}

    assert not unplaced, f"give these a row in {__name__}: {sorted(unplaced)}"


def test_imports_go_downward_only() -> None:
    broken = [
        (module, found)
        for module, found in found_in()
        if target_part(found) not in {"", "testing"} and not may_import(part(module.name), target_part(found))
    ]

    complain(broken, "imports go downward only")


def test_no_module_imports_the_package_root() -> None:
    broken = [(module, found) for module, found in found_in() if not target_part(found)]

    complain(broken, "import from the module that defines the name, not from the package root")


def test_nothing_imports_testing() -> None:
    broken = [
        (module, found)
        for module in (*FLOWKIT, *INSPECTOR)
        if part(module.name) != "testing"
        for found in imports(module)
        if f"{found.target}.".startswith("flowkit.testing.")
    ]

    complain(broken, "flowkit.testing is for tests and imported by nothing else")


def test_engine_and_drivers_never_import_each_other() -> None:
    broken = [
        (module, found)
        for module, found in found_in("engine", "drivers")
        if {part(module.name), target_part(found)} == {"engine", "drivers"}
    ]

    complain(broken, "engine declares the Recorder it needs; runtime supplies it over a driver")


def test_no_primitive_imports_another() -> None:
    broken = [
        (module, found)
        for module, found in found_in("primitives")
        if target_part(found) == "primitives" and not module.path.name.startswith("__init__")
    ]

    complain(broken, "one primitive never needs another; what they share belongs to engine or core")


def test_core_imports_only_errors_and_durations_of_flowkit() -> None:
    broken = [(module, found) for module, found in found_in("core") if target_part(found) not in {"core", "errors", "durations"}]

    complain(broken, "core imports nothing of row 0 but errors and durations")


def test_core_neither_waits_nor_reads_a_clock_nor_touches_the_machine() -> None:
    broken = [
        (module, found)
        for module in FLOWKIT
        if part(module.name) == "core"
        for found in imports(module)
        if found.target.split(".")[0] in IMPURE
    ]

    complain(broken, "core is pure: what it needs of the world enters through arguments")


def test_the_inspector_sees_client_core_and_errors_only() -> None:
    broken = [
        (module, found)
        for module in INSPECTOR
        for found in imports(module)
        if (inside(found) and target_part(found) not in {"client", "core", "errors", "settings"})
        or found.target.split(".")[0] in {"sqlite3", "psycopg"}
    ]

    complain(broken, "the inspector asks the client; it knows no driver and no SQL")


def test_the_inspector_imports_itself_relatively() -> None:
    broken = [
        (module, found)
        for module in INSPECTOR
        for found in imports(module)
        if found.target.split(".")[0] == "inspector" and f"from {found.source}" in module.text
    ]

    complain(broken, "in the wheel it is flowkit.inspector, so only relative imports find it under both names")


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("core", "errors", True),
        ("client", "runtime", True),
        ("runtime", "client", False),
        ("engine", "drivers", False),
        ("core", "engine", False),
        ("testing", "client", True),
        ("testing", "aio", False),
        ("errors", "durations", False),
        ("cli", "dev", True),
    ],
)
def test_the_table_says_what_the_picture_says(importer: str, imported: str, allowed: bool) -> None:
    assert may_import(importer, imported) is allowed
