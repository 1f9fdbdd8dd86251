"""Drivers of other packages are found by the scheme that their metadata names."""

from __future__ import annotations

from pathlib import Path

import pytest

import flowkit
from flowkit.drivers import open_driver
from flowkit.errors import StoreError

MODULE = """
from flowkit.testing import MemoryDriver

opened = []


def open_shelf(url, *, durability, readonly, settings):
    opened.append((url, durability, readonly))
    return MemoryDriver(settings=settings)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a function of its own test
    """Installs a package whose metadata names an opener."""

    def put(package: str, scheme: str, opener: str, module: str = MODULE) -> None:
        (tmp_path / f"{package}.py").write_text(module, "utf-8")
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", "utf-8")
        (info / "entry_points.txt").write_text(f"[flowkit.drivers]\n{scheme} = {opener}\n", "utf-8")

    monkeypatch.syspath_prepend(tmp_path)
    return put


def test_a_url_is_opened_by_the_package_that_names_its_scheme(install) -> None:  # type: ignore[no-untyped-def]
    install("shelf_store", "shelf", "shelf_store:open_shelf")

    with flowkit.open("shelf://left/3", worker=False, durability="process") as fk:
        assert list(fk.runs()) == []

    import shelf_store  # type: ignore[import-not-found]

    assert shelf_store.opened == [("shelf://left/3", "process", False)]


def test_two_packages_for_one_scheme_are_refused_by_name(install) -> None:  # type: ignore[no-untyped-def]
    install("shelf_one", "pair", "shelf_one:open_shelf")
    install("shelf_two", "pair", "shelf_two:open_shelf")

    with pytest.raises(StoreError, match=r"shelf[-_]one, shelf[-_]two"):
        open_driver("pair://x")


def test_a_package_that_cannot_be_imported_is_named(install) -> None:  # type: ignore[no-untyped-def]
    install("shelf_broken", "broken", "shelf_broken:open_shelf", "import no_such_module")

    with pytest.raises(StoreError, match=r"shelf[-_]broken opens broken://.*no_such_module"):
        open_driver("broken://x")


def test_a_scheme_that_nobody_opens_is_said_so() -> None:
    with pytest.raises(StoreError, match="knows no database nobody://"):
        open_driver("nobody://x")
