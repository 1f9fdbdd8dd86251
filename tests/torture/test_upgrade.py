"""F22: files of earlier schemas open and their runs end; newer ones are used or refused; a killed migration leaves nothing.

No schema is released yet, so the only file there is was made by the code of today's schema; what a later one would do to it
is done here by hand.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import flowkit
from flowkit import SchemaTooNew, workflow
from flowkit.drivers import open_driver, schema
from tests.drivers.ops import NOW, start
from tests.house.source import ROOT
from tests.torture.trials import Torture
from tests.torture.upgrade import ENDINGS, finish, fixtures, restored, tables


@workflow
def done() -> None:
    """Ends at once."""


NEXT = (
    "ALTER TABLE runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 5",
    "ALTER TABLE entries ADD COLUMN note TEXT",
    "CREATE TABLE queues (name TEXT PRIMARY KEY, width INTEGER NOT NULL)",
    "CREATE INDEX runs_priority ON runs (priority, seq)",
    "INSERT INTO meta (key, value) VALUES ('queues', 'yes')",
)
"""What the next schema could add while this one's code is still at work."""


@pytest.mark.torture
@pytest.mark.timeout(120)
def test_every_run_of_an_earlier_schema_ends(torture: Torture) -> None:
    with torture("F22", ci=1, long=1) as fault:
        for trial in fault.trials():
            for fixture in fixtures():
                file = restored(fixture, trial.folder / f"{fixture.stem}.db")
                trial.injected += 1
                trial.checked += len(ENDINGS)
                trial.found(unlike(finish(file), fixture.stem))
                trial.found(damage(file))


@pytest.mark.torture
@pytest.mark.timeout(120)
def test_a_file_that_was_migrated_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    flowkit.open(tmp_path / "new.db", worker=False).close()
    new = tables(tmp_path / "new.db")
    newest = fixtures()[-1]

    for fixture in fixtures():
        file = restored(fixture, tmp_path / f"{fixture.stem}.db")
        flowkit.open(file, worker=False).close()
        assert tables(file) == new, f"as long as {newest.name} is not released: python -m tests.torture.upgrade make"
    assert newest.stem == f"{schema.VERSION:04}"


@pytest.mark.torture
@pytest.mark.timeout(120)
def test_a_newer_schema_that_older_code_can_live_with_is_used(torture: Torture) -> None:
    with torture("F22", ci=1, long=1) as fault:
        for trial in fault.trials():
            file = newer(trial.folder, schema.VERSION + 1, schema.MIN_WRITER)
            before = tables(file)
            trial.injected += 1
            trial.checked += len(ENDINGS)
            trial.found(unlike(finish(file), "next"))
            if tables(file) != before or meta(file)["schema_version"] != str(schema.VERSION + 1):
                trial.found(["older code changed the tables of a newer schema"])


@pytest.mark.torture
@pytest.mark.timeout(120)
@pytest.mark.parametrize("readonly", [False, True])
def test_a_schema_for_newer_code_only_is_refused_and_left_alone(tmp_path: Path, readonly: bool) -> None:
    file = newer(tmp_path, schema.VERSION + 1, schema.VERSION + 1)
    before = digest(file)

    with pytest.raises(SchemaTooNew) as caught:
        open_driver(file, readonly=readonly)

    assert (caught.value.found, caught.value.supported) == (schema.VERSION + 1, schema.VERSION)
    assert digest(file) == before


@pytest.mark.torture
@pytest.mark.timeout(120)
def test_code_at_work_writes_on_beside_a_schema_that_it_can_live_with(tmp_path: Path) -> None:
    with flowkit.open(tmp_path / "x.db", worker=False) as fk:
        fk.start("before", done)
        make_newer(tmp_path / "x.db", schema.VERSION + 1, schema.MIN_WRITER)

        fk.start("after", done)

        assert len(fk.runs()) == 2


@pytest.mark.torture
@pytest.mark.timeout(120)
def test_code_at_work_writes_nothing_more_once_the_schema_is_for_newer_code_only(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    with closing(open_driver(file)) as driver:
        driver.write([start("before")], NOW)
        make_newer(file, schema.VERSION + 1, schema.VERSION + 1)

        with pytest.raises(SchemaTooNew):
            driver.write([start("after")], NOW)

        assert driver.get("after") is None


@pytest.mark.torture
@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", [["list"], ["show", "done"], ["cancel", "sleeping"], ["doctor"], ["worker", "APP"]])
def test_no_command_touches_a_file_for_newer_code(tmp_path: Path, command: list[str]) -> None:
    file = newer(tmp_path, schema.VERSION + 1, schema.VERSION + 1)
    before = digest(file)
    words = [str(ROOT / "tests/cli/shop.py") if word == "APP" else word for word in command]

    done = subprocess.run(
        [sys.executable, "-m", "flowkit", *words, "--db", str(file)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 4 or (command == ["doctor"] and done.returncode == 1), done.stderr
    assert "newer flowkit" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert digest(file) == before


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_a_migration_that_is_killed_in_any_statement_leaves_nothing_behind(torture: Torture) -> None:
    with torture("F22", ci=1, long=1) as fault:
        for trial in fault.trials():
            done = subprocess.run(
                [sys.executable, "-m", "tests.torture.upgrade", "kill", str(trial.folder)],
                cwd=ROOT, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            trial.injected += told["kills"]
            trial.checked += told["kills"]
            trial.found(told["wrong"])
            trial.control(told["kills"] > 30, "a migration has many statements to be killed in")


def newer(folder: Path, version: int, min_writer: int) -> Path:
    """Today's file, as code of a later schema would leave it."""
    file = restored(fixtures()[-1], folder / "newer.db")
    make_newer(file, version, min_writer)
    return file


def make_newer(file: Path, version: int, min_writer: int) -> None:
    """What the migration of a later schema would do."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for statement in NEXT:
            connection.execute(statement)
        values = [(str(version), "schema_version"), (str(min_writer), "min_writer")]
        connection.executemany("UPDATE meta SET value = ? WHERE key = ?", values)


def unlike(found: dict[str, tuple[str, object]], where: str) -> Iterator[str]:
    for id, wanted in ENDINGS.items():
        if found[id] != wanted:
            yield f"{where}: run {id} is {found[id]}, and should be {wanted}"


def damage(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        (told,) = connection.execute("PRAGMA integrity_check").fetchone()
    return [] if told == "ok" else [f"{file.name}: {told}"]


def meta(file: Path) -> dict[str, str]:
    with closing(sqlite3.connect(file)) as connection:
        return dict(connection.execute("SELECT key, value FROM meta").fetchall())


def digest(file: Path) -> str:
    """The database's bytes; an empty log beside it holds nothing."""
    log = file.with_name(file.name + "-wal")
    assert not log.exists() or log.stat().st_size == 0
    return hashlib.sha256(file.read_bytes()).hexdigest()
