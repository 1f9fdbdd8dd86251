"""A database of a million runs, built once and kept in the user's cache.

The engine itself makes one run of each kind in a small file, and SQL copies their rows a million times with other ids,
instants and tags: no column is made up here, so the copies cannot drift from what the driver writes; only fingerprints and
tokens are cut, to save space. The file's name holds a hash of the schema, of these rows and of this module. A file is whole
or not there: it is built under another name, by one process at a time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock

from flowkit import step, workflow
from flowkit.drivers import open_driver
from flowkit.drivers.base import Start, WorkerInfo
from flowkit.testing import FakeClock, Lab
from flowkit.testing.clock import START
from tests.inspector import stories

__all__ = ["DAYS", "NOW", "RECENT", "RUNS", "build", "build_models", "million_file"]

RUNS = 1_000_000
DAYS = 90
NOW = START + DAYS * 86_400
"""The instant at which the database is looked at; the newest run began a second before."""

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "flowkit-tests"
_KEPT_SECONDS = 86_400
RECENT = 20_000
"""So many of the newest runs are of the mix that has not ended yet."""

OLD = {
    "note": 540, "ping": 360, "completed": 4, "failed": 20, "cancelled": 20, "sleeping": 25, "waiting": 20, "paused": 5,
    "held": 1, "retrying": 5,
}  # fmt: skip
"""How many of a thousand runs are of each kind."""

NEW = {
    "note": 300, "ping": 300, "completed": 100, "failed": 40, "cancelled": 20, "sleeping": 100, "waiting": 60, "paused": 10,
    "held": 5, "retrying": 30, "pending": 20, "running": 10, "rolling_back": 5,
}  # fmt: skip
"""The same for the newest ones, of which many have not ended."""

TAGS = """CASE WHEN number % 3 = 0 AND number % 1000 = 7 THEN '["eu", "vip"]' WHEN number % 3 = 0 THEN '["eu"]'
          WHEN number % 100000 = 5 THEN '["audit"]' WHEN number % 1000 = 7 THEN '["vip"]' ELSE '[]' END"""
"""One tag of a third of the runs, one of a thousandth, one of ten runs."""


@step
def pong(n: int) -> int:
    return n


@workflow
def ping(n: int) -> int:
    """Many runs have one step."""
    return pong(n)


@workflow
def note(n: int) -> int:
    """Most runs have none, which keeps the file within half a gigabyte."""
    return n


def million_file() -> Path:
    """The database; not to be written."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
        models = Path(folder) / "models.db"
        kinds = build_models(models)
        file = _CACHE / f"million-{_fingerprint(models)}.db"
        with FileLock(_CACHE / "million.lock"):
            if not file.exists():
                _forget_others()
                part = Path(folder) / "million.db"
                build(part, models, kinds)
                part.replace(file)
            file.touch()
    return file


def _fingerprint(models: Path) -> str:
    """What a file must agree on to be used again. Tokens and checksums over them are as random as they should be."""
    found = hashlib.sha256(Path(__file__).read_bytes())
    with closing(sqlite3.connect(models)) as db:
        for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"):
            found.update(sql.encode())
        rows = db.execute("SELECT workflow, status, waiting, ending, current, attempts, error_line, entries, inbox FROM runs")
        found.update(repr(rows.fetchall()).encode())
    return found.hexdigest()[:16]


def _forget_others() -> None:
    """Remove what nobody has used for a day; another checkout may be at its own."""
    for old in _CACHE.glob("million-*.db"):
        if old.stat().st_mtime < time.time() - _KEPT_SECONDS:
            for part in _CACHE.glob(f"{old.name}*"):
                shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


# --- one run of each kind -------------------------------------------------------------------------------------------


def build_models(file: Path) -> dict[str, int]:
    """One run of each kind, made by the engine; their seqs."""
    clock = FakeClock(START)
    with Lab(file, clock=clock) as lab:
        for made in (ping, note):
            lab.start(made.name, made, 7)
            lab.run_to_end(made.name)
    stories.build_small(file, START + 1)
    with closing(open_driver(file)) as driver:
        worker = driver.join(WorkerInfo(name="lost", host="elsewhere", pid=1), START)
        born = Start(
            id="running", workflow="ping", input=b'{"n":7}', input_hash="", start_at=START, worker=worker, code="f", token="t"
        )
        driver.write([born], START)
    with Lab(file, clock=clock) as lab:
        lab.start("rolling_back", stories.checkout, {"id": 20})
        lab.run_once("rolling_back")
        lab.get("rolling_back").cancel(rollback=True)
    ids = {
        "note": "note", "ping": "ping", "completed": "order-1", "failed": "order-2", "cancelled": "order-6",
        "sleeping": "order-4", "waiting": "approval-1", "paused": "order-5", "held": "held-1", "retrying": "fetch-1",
        "pending": "waiting-for-a-worker", "running": "running", "rolling_back": "rolling_back",
    }  # fmt: skip
    with closing(sqlite3.connect(file)) as db:
        seqs = dict(db.execute("SELECT id, seq FROM runs").fetchall())
    return {kind: seqs[id] for kind, id in ids.items()}


# --- a million copies -----------------------------------------------------------------------------------------------


def build(file: Path, models: Path, kinds: Mapping[str, int], count: int = RUNS) -> None:
    """Copy the models' rows until there are `count` runs; indexes come last, since making them at once is far quicker."""
    open_driver(file).close()
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000", "temp_store = MEMORY"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("ATTACH ? AS models", (str(models),))
        db.execute("BEGIN")
        _plan(db, kinds, count)
        with _without_indexes(db):
            id = "m.workflow || printf('-%07d', number)"
            _copy(db, "runs", "seq", id=id, tags=TAGS, wake_at=_wake_at("m.wake_at"), code="substr(m.code, 1, 6)")
            _copy(db, "run_io", "run", token="''", input_hash="substr(m.input_hash, 1, 6)")
            for table in ("entries", "attempts", "inbox"):
                _copy(db, table, "run")
        tags = "SELECT j.value, r.seq FROM runs r, json_each(r.tags) j WHERE r.tags <> '[]' ORDER BY 1, 2"
        db.execute(f"INSERT INTO run_tags (tag, run) {tags}")
        db.execute("INSERT INTO workers SELECT * FROM models.workers")
        db.execute("COMMIT")
        db.execute("DETACH models")
        db.execute("PRAGMA journal_mode = WAL")


def _plan(db: sqlite3.Connection, kinds: Mapping[str, int], count: int) -> None:
    """For each number the model that it copies, and how far that one's instants are moved."""
    db.execute("CREATE TEMP TABLE mix (recent INTEGER, place INTEGER, model INTEGER, PRIMARY KEY (recent, place))")
    for recent, shares in enumerate((OLD, NEW)):
        models = [kinds[kind] for kind, share in shares.items() for _ in range(share)]
        db.executemany("INSERT INTO mix VALUES (?, ?, ?)", [(recent, place, model) for place, model in enumerate(models)])
    db.execute("CREATE TEMP TABLE plan (number INTEGER PRIMARY KEY, model INTEGER, moved REAL)")
    db.execute(
        """INSERT INTO plan
        WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :count)
        SELECT number, model, :now - 1 - (:count - number) * :days * 86400.0 / :count - m.created_at
        FROM numbers CROSS JOIN mix ON recent = (number > :count - :recent) AND place = number * 7919 % 1000
        CROSS JOIN models.runs m ON m.seq = model""",
        {"count": count, "now": NOW, "days": DAYS, "recent": min(RECENT, count // 10)},
    )


def _wake_at(model: str) -> str:
    """Who sleeps does so until some instant of the next month; whatever else is due was so when it was made."""
    sleeps = f"{model} IS NOT NULL AND m.status = 'sleeping'"
    return f"CASE WHEN {sleeps} THEN {NOW} + 1 + number * 7919 % 2592000 ELSE {model} + moved END"


def _copy(db: sqlite3.Connection, table: str, run: str, **given: str) -> None:
    """Copy the rows of the models in `table`, whose run stands in the column `run`; `given` columns are made anew."""
    columns = [str(row[1]) for row in db.execute(f"PRAGMA models.table_info({table})")]
    made = {name: f"m.{name} + moved" if name.endswith("_at") else f"m.{name}" for name in columns} | given | {run: "number"}
    order = ", m.rowid" if run != "seq" else ""
    db.execute(
        f"INSERT INTO main.{table} ({', '.join(columns)}) SELECT {', '.join(made[name] for name in columns)} "
        f"FROM plan CROSS JOIN models.{table} m ON m.{run} = model ORDER BY number{order}"
    )


@contextmanager
def _without_indexes(db: sqlite3.Connection) -> Iterator[None]:
    found = db.execute("SELECT name, sql FROM main.sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    for name, _ in found:
        db.execute(f"DROP INDEX main.{name}")
    yield
    for _, sql in found:
        db.execute(sql)
