"""The wheel holds all that the package needs and works without the checkout; the sdist holds what makes the wheel."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.house.source import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expected_files() -> set[str]:
    """What must be in the wheel, by the names that it has there."""
    places = {"flowkit": "flowkit", "inspector": "flowkit/inspector", "templates": "flowkit/inspector/templates"}
    return {
        f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, inside in places.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    run("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(target), str(ROOT), cwd=target)
    (built,) = target.glob("flowkit_engine-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    run("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel), cwd=target)
    return target


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())

    assert expected_files() <= held


def test_the_wheel_brings_no_other_top_level_name(wheel: Path) -> None:
    top = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert {name for name in top if not name.endswith(".dist-info")} == {"flowkit"}


def test_the_source_distribution_holds_what_the_wheel_is_made_of(tmp_path: Path) -> None:
    run("-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path), cwd=ROOT)

    (built,) = tmp_path.glob("flowkit_engine-*.tar.gz")
    with tarfile.open(built) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}

    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "flowkit/py.typed", "tests/conftest.py"} <= held


def test_the_installed_package_is_typed(installed: Path) -> None:
    assert (installed / "flowkit/py.typed").is_file()


def test_the_installed_package_imports_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    probe = f"import sys; sys.path.insert(0, {str(installed)!r}); import flowkit; print(flowkit.__file__)"

    printed = run("-c", probe, cwd=tmp_path)

    assert printed.strip() == str(installed / "flowkit/__init__.py")


def test_the_installed_inspector_imports_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    probe = f"import sys; sys.path.insert(0, {str(installed)!r}); import flowkit.inspector as i; print(i.__file__)"

    printed = run("-c", probe, cwd=tmp_path)

    assert printed.strip() == str(installed / "flowkit/inspector/__init__.py")
