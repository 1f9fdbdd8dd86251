"""F10: processes that crowd before one file all get their turn, soon, and none is told that it is locked."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.house.source import ROOT
from tests.support import require
from tests.torture.trials import BRIEF, LONG, MINUTES, Torture, Trial

PROCESSES = 16 if LONG else 8
SECONDS = min(3600.0, MINUTES * 60) if LONG else 2.0 if BRIEF else 10.0
OTHER_SECONDS = 20.0
FAIR = 1.2
P99_SECONDS = 0.020
TURNS = 4
"""Where the disk is so slow that a turn of the whole crowd takes longer than 5 ms, so many turns are the limit."""

OTHER_SQLITE = """
import sys
import pysqlite3, pysqlite3.dbapi2
sys.modules["sqlite3"] = pysqlite3
sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2
"""


@pytest.mark.torture
@pytest.mark.alone
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("library", ["standard", "other"] if LONG else ["standard"])
def test_eight_processes_on_one_file_get_the_same_share(torture: Torture, library: str, tmp_path: Path) -> None:
    """In the long run also with another SQLite (R7), in processes of their own, where it stands in for the standard one."""
    path = other_sqlite(tmp_path) if library == "other" else None

    with torture("F10", ci=1, long=1) as fault:
        for trial in fault.trials():
            told = crowded(trial, SECONDS if path is None else OTHER_SECONDS, path)

            standard = {each["sqlite"] for each in told} == {sqlite3.sqlite_version}
            trial.found(["the library was not replaced"] if path is not None and standard else [])


def other_sqlite(folder: Path) -> Path:
    """A folder that, first on the path, replaces the SQLite of a process."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "pysqlite3-binary"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    require(done.returncode == 0, "no other SQLite could be installed")
    (folder / "sitecustomize.py").write_text(OTHER_SQLITE)
    return folder


def crowded(trial: Trial, seconds: float, path: Path | None) -> list[dict[str, Any]]:
    """Let a crowd write, and find what is wrong with what it tells."""
    (alone,) = crowd(trial.folder / "alone.db", 1, 1.0, path)
    told = crowd(trial.folder / "crowd.db", PROCESSES, seconds, path)
    trial.injected += PROCESSES
    trial.acked += sum(each["writes"] for each in told)
    trial.checked += PROCESSES
    trial.found(unfair(told, max(P99_SECONDS, TURNS * PROCESSES / alone["writes"])))
    trial.found(unwritten(trial.folder / "crowd.db", told))
    return told


def unwritten(database: Path, told: list[dict[str, Any]]) -> Iterator[str]:
    """Every write that was acknowledged is there, and the file is sound."""
    with closing(sqlite3.connect(database)) as connection:
        heads = sorted(row[0] for row in connection.execute("SELECT head FROM runs"))
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    if heads != sorted(each["writes"] for each in told):
        yield f"C1: the runs have heads {heads}, acknowledged were {sorted(each['writes'] for each in told)}"
    if verdict != "ok":
        yield f"C9: integrity_check says {verdict}"


def crowd(database: Path, processes: int, seconds: float, path: Path | None = None) -> list[dict[str, Any]]:
    """What each of the crowd tells in the end."""
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path is not None else {})}
    command = [sys.executable, "-m", "tests.torture.crowd", str(database), str(seconds)]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [json.loads(process.communicate()[0]) for process in started]
    finally:
        for process in started:
            process.kill()
            process.communicate()


def unfair(told: list[dict[str, Any]], longest: float) -> Iterator[str]:
    """Who got too little, waited too long, or was turned away."""
    writes = [each["writes"] for each in told]
    if max(writes) > FAIR * min(writes):
        yield f"the shares differ by more than {FAIR}: {writes}"
    slow = [round(each["p99"] * 1000, 1) for each in told if each["p99"] > longest]
    if slow:
        yield f"one write in a hundred waited longer than {longest * 1000:.0f} ms: {slow} ms"
    for each in told:
        if each["errors"]:
            yield f"a writer was refused: {each['errors']}"
