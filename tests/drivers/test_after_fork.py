"""What a child writes through a handle of its own, after `fork()`, stays: SQLite's state of the parent is none of the child's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from flowkit.drivers.sqlite import SQLiteDriver
from tests.drivers.ops import NOW, start
from tests.house.source import ROOT

FORKING = """
import os, sys, time
from pathlib import Path
from flowkit.drivers.sqlite import SQLiteDriver
from tests.drivers.ops import NOW, start

folder = Path(sys.argv[1])
parent = SQLiteDriver(folder / "orders.db")
parent.write([start("early")], NOW)
if os.fork():
    if sys.argv[2] == "dies":
        os._exit(0)
    os.wait()
    parent.write([start("parent")], NOW)
    parent.close()
    sys.exit()
child = SQLiteDriver(folder / "orders.db")
(folder / "ready").touch()
while not (folder / "go").exists():
    time.sleep(0.005)
child.write([start("late")], NOW)
(folder / "written").touch()
os._exit(0)
"""


def until_there(path: Path) -> None:
    end = time.monotonic() + 9
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} never came"
        time.sleep(0.005)


def fork(folder: Path, parent: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", FORKING, str(folder), parent]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_what_a_child_writes_is_not_lost_when_another_process_closes_the_file(tmp_path: Path) -> None:
    parent = fork(tmp_path, "dies")
    until_there(tmp_path / "ready")
    assert parent.wait() == 0
    another = SQLiteDriver(tmp_path / "orders.db")
    another.write([start("between")], NOW)
    another.close()  # the last one to have the file open checkpoints its log and removes it

    (tmp_path / "go").touch()
    until_there(tmp_path / "written")

    found = SQLiteDriver(tmp_path / "orders.db")
    assert [found.get(id) is not None for id in ("early", "between", "late")] == [True, True, True]
    found.close()


def test_a_parent_goes_on_writing_after_its_child_has_let_go(tmp_path: Path) -> None:
    parent = fork(tmp_path, "goes on")
    until_there(tmp_path / "ready")
    (tmp_path / "go").touch()
    assert parent.wait() == 0

    found = SQLiteDriver(tmp_path / "orders.db")
    assert [found.get(id) is not None for id in ("early", "late", "parent")] == [True, True, True]
    found.close()
