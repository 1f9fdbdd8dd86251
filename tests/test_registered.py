"""A test finds the workflows of its own file by name, though another file has some of the same names."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from flowkit import Workflow, workflow
from flowkit.registry import known, remember
from tests.registered import own_first


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module beside the tests, with a workflow of its own."""
    module = ModuleType("tests.imported_here")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module).update(shop=made("registered-shop", "imported"), till=made("registered-till", "imported"))
    return module


def made(name: str, says: str) -> Workflow[[], str]:
    @workflow(name=name)
    def flow() -> str:
        return says

    return flow


def test_the_workflows_of_the_file_win_over_those_of_other_files() -> None:
    file = ModuleType("tests.file")
    mine = vars(file)["shop"] = made("registered-shop", "mine")
    made("registered-shop", "another file's")

    own_first(file)

    assert known()["registered-shop"] is mine


def test_so_do_those_that_it_imports(imported: ModuleType) -> None:
    file = ModuleType("tests.file")
    vars(file)["beside"] = imported
    made("registered-till", "another file's")

    own_first(file)

    assert known()["registered-till"] is imported.till


def test_its_own_win_over_those_that_it_imports(imported: ModuleType) -> None:
    file = ModuleType("tests.file")
    mine = vars(file)["shop"] = made("registered-shop", "mine")
    vars(file)["beside"] = imported
    remember(imported.shop)

    own_first(file)

    assert known()["registered-shop"] is mine


def test_those_of_other_files_stay_where_no_name_is_the_same() -> None:
    other = made("registered-elsewhere", "another file's")

    own_first(ModuleType("tests.file"))

    assert known()["registered-elsewhere"] is other
