"""Saves that load, and saves that must work: however an editor writes, whatever the clock says."""

from __future__ import annotations

import os
import py_compile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dev.harness import APP, Dev, alive, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

Start = Callable[..., Dev]


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)


def test_a_save_loads_new_code_and_says_what_changed(dev: Start) -> None:
    made = dev()
    first = made.wait("loaded")

    made.save(APP.replace("return n\n", "return n + 1\n"))

    saved, loaded = made.wait("saved"), made.wait("loaded")
    assert (first["former"], first["workflows"], first["steps"]) == ("", 1, 1)
    assert saved["files"] == ["app.py"]
    assert loaded["former"] == first["code"] != loaded["code"]
    assert loaded["changes"] == {"checkout": ["~ charge (body)"]}


def test_a_comment_is_new_code_without_a_change(dev: Start) -> None:
    made = dev()
    made.wait("loaded")

    made.save(APP + "# a thought\n")

    assert made.wait("loaded")["changes"] == {}


def test_two_saves_of_equal_size_within_one_second_both_count(dev: Start) -> None:
    made = dev()
    made.wait("loaded")

    made.save(APP + '\nnote("one")\n')
    one = made.wait("loaded")
    made.save(APP + '\nnote("two")\n')
    two = made.wait("loaded")

    assert one["code"] != two["code"]
    assert made.log() == ["one", "two"]


def test_bytecode_that_looks_current_is_not_taken_for_it(dev: Start, tmp_path: Path) -> None:
    source = tmp_path / "helper.py"
    source.write_text("VALUE = 1\n")
    py_compile.compile(str(source))
    stat = source.stat()
    source.write_text("VALUE = 2\n")
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (tmp_path / "app.py").write_text(f"import helper\n{APP}\nnote(str(helper.VALUE))\n")

    dev().wait("loaded")

    assert (tmp_path / "log").read_text() == "2\n"


def test_a_newer_save_cancels_the_candidate(dev: Start) -> None:
    made = dev()
    made.wait("loaded")

    made.save(APP + "\nnote(str(os.getpid()))\ntime.sleep(60)\n")
    made.wait("saved")
    candidate = int(until(made.log, "the import is under way")[0])
    made.save(APP + "\nLAST = 1\n")

    made.wait("saved")
    loaded = made.wait("loaded", seconds=5)
    assert loaded["pid"] != candidate
    until(lambda: not alive(candidate), "the candidate is gone")


def test_touching_a_file_reloads_nothing(dev: Start) -> None:
    made = dev()
    made.wait("loaded")
    os.utime(made.folder / "app.py")
    made.save(APP)
    made.save_atomically(APP)

    made.save("VALUE = 1\n", "other.py")

    assert made.wait("saved")["files"] == ["other.py"]
    made.wait("loaded")
    assert made.count("saved") == 1


def test_a_checkout_of_300_files_is_one_reload(dev: Start) -> None:
    made = dev()
    made.wait("loaded")
    many = made.folder / "many"
    many.mkdir()

    for number in range(300):
        (many / f"m{number}.py").write_text(f"VALUE = {number}\n")

    until(lambda: sum(len(each["files"]) for each in made.events if each["event"] == "saved") >= 300, "all are seen")
    made.wait("loaded")
    assert made.count("saved") <= 2


def test_atomic_saves_are_saves(dev: Start) -> None:
    made = dev()
    made.wait("loaded")

    made.save_atomically(APP + "\nONE = 1\n")
    one = made.wait("loaded")
    made.save_atomically(APP + "\nTWO = 2\n")
    two = made.wait("loaded")

    assert one["code"] != two["code"]


def test_a_module_is_watched_wherever_it_is_imported_from(dev: Start, tmp_path: Path) -> None:
    shop, lib = tmp_path / "shop", tmp_path / "space" / "inner"
    shop.mkdir()
    lib.mkdir(parents=True)
    (shop / "__init__.py").write_text("from shop.flows import checkout\n")
    (shop / "flows.py").write_text(APP + "\nfrom space.inner.values import VALUE\n")
    (lib / "values.py").write_text("VALUE = 1\n")  # a namespace package: no __init__.py
    made = dev("shop")
    first = made.wait("loaded")

    (lib / "values.py").write_text("VALUE = 2\n")

    second = made.wait("loaded")
    assert first["workflows"] == second["workflows"] == 1
    assert first["code"] != second["code"]


def test_a_file_behind_a_linked_folder_is_watched(dev: Start, tmp_path: Path) -> None:
    real, elsewhere = tmp_path / "real", tmp_path / "elsewhere"
    real.mkdir()
    elsewhere.mkdir()
    (real / "app.py").write_text(APP)
    (elsewhere / "link").symlink_to(real, target_is_directory=True)
    made = dev("link/app.py", here="elsewhere")
    made.wait("loaded")

    (real / "app.py").write_text(APP + "\nONE = 1\n")

    assert len(made.wait("saved")["files"]) == 1
    made.wait("loaded")


def test_globs_are_watched_too(dev: Start) -> None:
    made = dev("app.py", "--watch", "*.html")
    made.wait("loaded")

    made.save("nothing", "notes.txt")
    made.save("<p>", "page.html")

    assert made.wait("saved")["files"] == ["page.html"]


def test_what_stands_under_the_main_guard_does_not_run(dev: Start) -> None:
    made = dev()
    made.wait("loaded")

    made.save(APP + '\nif __name__ == "__main__":\n    note("guarded")\n')

    made.wait("loaded")
    assert made.log() == []


def test_effects_at_import_happen_once_a_load(dev: Start) -> None:
    made = dev()
    made.wait("loaded")

    made.save(APP + '\nnote("imported")\n')

    made.wait("loaded")
    assert made.log() == ["imported"]


def test_no_bytecode_of_user_code_is_written(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("VALUE = 1\n")
    (tmp_path / "app.py").write_text("import helper\n" + APP)
    made = dev()
    made.wait("loaded")

    assert not (made.folder / "__pycache__").exists()
