"""The tables of a SQLite file, and how a file gets from one version of them to the next.

Text statuses, JSON bodies and views with dates: the file is meant to be read with any database tool. Migrations are
numbered functions run by sqlite-utils inside one transaction under the gate, so they can be killed anywhere and run
again. sqlite-utils is imported only when there is something to migrate: it takes longer to import than a file takes to
open.
"""

from __future__ import annotations

import secrets
import sqlite3
from typing import TYPE_CHECKING

from flowkit.errors import SchemaTooNew, StoreError

if TYPE_CHECKING:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

__all__ = ["MIN_WRITER", "TABLES", "VERSION", "found_version", "migrate", "needs_migration", "refuse_newer"]

VERSION = 1
"""The schema this code writes."""

MIN_WRITER = 1
"""The oldest code that may write a file of this schema."""

_ENTRY_COLUMNS = """\
  run INTEGER NOT NULL REFERENCES runs(seq),
  seq INTEGER NOT NULL,
  parent INTEGER NOT NULL,
  location TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  round INTEGER NOT NULL,
  created_at REAL NOT NULL,
  started_at REAL,
  settled_at REAL,
  due_at REAL,
  rollback TEXT NOT NULL,
  source TEXT NOT NULL,
  size INTEGER NOT NULL,
  crc INTEGER NOT NULL,
  args_crc INTEGER NOT NULL,
  output TEXT,
  error TEXT,
  patch TEXT,
  args TEXT,
  by_hand TEXT"""

TABLES = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;

CREATE TABLE runs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  workflow TEXT NOT NULL,
  status TEXT NOT NULL,
  wake_at REAL,
  owner INTEGER REFERENCES workers(id),
  epoch INTEGER NOT NULL DEFAULT 0,
  head INTEGER NOT NULL DEFAULT 0,
  entries INTEGER NOT NULL DEFAULT 0,
  inbox INTEGER NOT NULL DEFAULT 0,
  seen INTEGER NOT NULL DEFAULT 0,
  owes INTEGER NOT NULL DEFAULT 0,
  waiting TEXT,
  request TEXT NOT NULL DEFAULT '',
  ending TEXT NOT NULL DEFAULT '',
  crashes INTEGER NOT NULL DEFAULT 0,
  passes INTEGER NOT NULL DEFAULT 0,
  replays INTEGER NOT NULL DEFAULT 0,
  current TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  attempts_max INTEGER NOT NULL DEFAULT 0,
  undone INTEGER NOT NULL DEFAULT 0,
  error_line TEXT,
  tags TEXT NOT NULL DEFAULT '[]',
  code TEXT NOT NULL DEFAULT '',
  context TEXT NOT NULL DEFAULT '',
  created_at REAL NOT NULL,
  start_at REAL NOT NULL,
  started_at REAL,
  updated_at REAL NOT NULL,
  finished_at REAL,
  expire_at REAL
);
CREATE INDEX runs_status ON runs (status);
CREATE INDEX runs_workflow ON runs (workflow);
CREATE INDEX runs_workflow_status ON runs (workflow, status);
CREATE INDEX runs_due ON runs (workflow, wake_at) WHERE wake_at IS NOT NULL AND owner IS NULL;
CREATE INDEX runs_owned ON runs (owner, wake_at) WHERE owner IS NOT NULL;
CREATE INDEX runs_expire ON runs (expire_at) WHERE expire_at IS NOT NULL;

CREATE TABLE run_io (
  run INTEGER PRIMARY KEY REFERENCES runs(seq),
  token TEXT NOT NULL DEFAULT '',
  input_hash TEXT NOT NULL,
  input_crc INTEGER NOT NULL,
  output_crc INTEGER NOT NULL DEFAULT 0,
  error_crc INTEGER NOT NULL DEFAULT 0,
  state_crc INTEGER NOT NULL DEFAULT 0,
  tried TEXT NOT NULL DEFAULT '',
  first_code TEXT NOT NULL DEFAULT '',
  failed_entry INTEGER,
  input TEXT NOT NULL,
  output TEXT,
  error TEXT,
  state TEXT,
  fork_crc INTEGER NOT NULL DEFAULT 0,
  fork TEXT
);

CREATE TABLE run_tags (
  tag TEXT NOT NULL,
  run INTEGER NOT NULL REFERENCES runs(seq),
  PRIMARY KEY (tag, run)
) WITHOUT ROWID;

CREATE TABLE entries (
{_ENTRY_COLUMNS}
);
CREATE UNIQUE INDEX entries_seq ON entries (run, seq);
CREATE INDEX entries_open ON entries (run) WHERE settled_at IS NULL;

CREATE TABLE archive (
{_ENTRY_COLUMNS},
  archived_at REAL NOT NULL,
  why TEXT NOT NULL,
  at_head INTEGER NOT NULL
);
CREATE INDEX archive_seq ON archive (run, seq);

CREATE TABLE attempts (
  run INTEGER NOT NULL REFERENCES runs(seq),
  entry INTEGER NOT NULL,
  part TEXT NOT NULL,
  round INTEGER NOT NULL,
  n INTEGER NOT NULL,
  started_at REAL NOT NULL,
  ended_at REAL NOT NULL,
  retry_at REAL,
  error TEXT
);
CREATE UNIQUE INDEX attempts_n ON attempts (run, entry, part, round, n);

CREATE TABLE inbox (
  run INTEGER NOT NULL REFERENCES runs(seq),
  seq INTEGER NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  sent_at REAL NOT NULL,
  sender TEXT NOT NULL,
  key TEXT,
  reply INTEGER NOT NULL,
  context TEXT NOT NULL DEFAULT '',
  crc INTEGER NOT NULL,
  body TEXT NOT NULL
);
CREATE UNIQUE INDEX inbox_seq ON inbox (run, seq);

CREATE TABLE keys (
  run INTEGER NOT NULL REFERENCES runs(seq),
  key TEXT NOT NULL,
  message TEXT NOT NULL,
  at REAL NOT NULL,
  PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE INDEX keys_at ON keys (at) WHERE key >= '~id:' AND key < '~id;';

CREATE TABLE replies (
  message TEXT PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs(seq),
  at REAL NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX replies_at ON replies (at);
CREATE INDEX replies_run ON replies (run);

CREATE TABLE logs (
  run INTEGER NOT NULL REFERENCES runs(seq),
  seq INTEGER NOT NULL,
  at REAL NOT NULL,
  location TEXT NOT NULL,
  part TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  place INTEGER NOT NULL,
  level INTEGER NOT NULL,
  logger TEXT NOT NULL,
  text TEXT NOT NULL,
  PRIMARY KEY (run, seq)
) WITHOUT ROWID;
CREATE INDEX logs_location ON logs (run, location);
CREATE INDEX logs_warned ON logs (run) WHERE level >= 30;

CREATE TABLE workers (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  started_at REAL NOT NULL,
  seen_at REAL NOT NULL,
  expires_at REAL,
  info TEXT NOT NULL
);

CREATE TABLE codes (code TEXT PRIMARY KEY, at REAL NOT NULL, manifest TEXT NOT NULL);

CREATE TABLE health (source TEXT PRIMARY KEY, until REAL NOT NULL, reports TEXT NOT NULL);

CREATE TABLE steering (
  op TEXT PRIMARY KEY,
  at REAL NOT NULL,
  run INTEGER NOT NULL,
  verb TEXT NOT NULL,
  who TEXT NOT NULL,
  result TEXT NOT NULL
);
CREATE INDEX steering_at ON steering (at);
CREATE INDEX steering_run ON steering (run);

CREATE TABLE bulks (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  created_at REAL NOT NULL,
  updated_at REAL NOT NULL,
  finished_at REAL,
  state TEXT NOT NULL,
  verb TEXT NOT NULL,
  who TEXT NOT NULL,
  picks TEXT NOT NULL,
  top INTEGER NOT NULL,
  expected INTEGER NOT NULL,
  more INTEGER NOT NULL,
  position INTEGER NOT NULL,
  done INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  skipped INTEGER NOT NULL,
  reasons TEXT NOT NULL,
  plan TEXT NOT NULL,
  holder TEXT NOT NULL,
  held_until REAL NOT NULL,
  step TEXT,
  name TEXT,
  key TEXT,
  crc INTEGER NOT NULL,
  body TEXT
);
CREATE INDEX bulks_open ON bulks (seq) WHERE finished_at IS NULL;
CREATE INDEX bulks_finished ON bulks (finished_at) WHERE finished_at IS NOT NULL;
"""


def _readable(column: str) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f', {column}, 'unixepoch')"


def _views() -> str:
    times = ("created_at", "started_at", "updated_at", "finished_at", "wake_at")
    run_times = ", ".join(f"{_readable('r.' + name)} AS {name}" for name in times)
    entry_times = ", ".join(f"{_readable('e.' + name)} AS {name}" for name in ("created_at", "settled_at", "due_at"))
    return f"""
CREATE VIEW runs_view AS
SELECT r.seq, r.id, r.workflow, r.status, r.current, r.attempts, r.error_line, r.tags, {run_times}, r.owner, r.waiting,
       r.crashes, r.passes, i.input, i.output, i.error
FROM runs r LEFT JOIN run_io i ON i.run = r.seq;

CREATE VIEW history_view AS
SELECT r.id AS run_id, e.seq, e.parent, e.location, e.kind, e.status, e.attempts, {entry_times},
       round(e.settled_at - coalesce(e.started_at, e.created_at), 3) AS seconds, e.rollback, e.source,
       e.output, e.error, e.args, e.by_hand, e.run
FROM entries e JOIN runs r ON r.seq = e.run;
"""


def found_version(connection: sqlite3.Connection, name: str) -> int:
    """The schema version of an open file, 0 for a new one.

    Raises:
        SchemaTooNew: the file is for newer code only. StoreError: these are the tables of something else.
    """
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "meta" not in tables:
        return _version_without_meta(tables, name)
    try:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        version, min_writer = int(meta["schema_version"]), int(meta["min_writer"])
    except (sqlite3.OperationalError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{name} is a SQLite database of something else than flowkit. Choose another file.") from error
    refuse_newer(name, version, min_writer)
    return version


def refuse_newer(name: str, version: int, min_writer: int) -> None:
    """Leave a database alone that only newer code understands: `min_writer` is the lowest schema that may write it.

    Raises:
        SchemaTooNew: it is beyond ours.
    """
    if min_writer > VERSION:
        raise SchemaTooNew(
            f"{name} was written by a newer flowkit (schema {version}; this one knows {VERSION}). Upgrade flowkit to open it.",
            found=version,
            supported=VERSION,
        )


def _version_without_meta(tables: set[str], name: str) -> int:
    if tables & {"runs", "entries", "inbox", "workers"}:
        raise StoreError(f"{name} is a SQLite database with tables of something else. Choose another file.")
    return 0


def needs_migration(version: int) -> bool:
    """Whether a file of `version` must be migrated before this code writes it."""
    return version < VERSION


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to `VERSION`. The caller has begun a transaction under the gate, and commits it."""
    from sqlite_utils import Database

    database = Database(connection, recursive_triggers=False, execute_plugins=False)
    _migrations().apply(database)
    values = {"schema_version": str(VERSION), "min_writer": str(MIN_WRITER)}
    connection.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", values.items())


def _migrations() -> Migrations:
    from sqlite_utils.migrations import Migrations

    migrations = Migrations("flowkit")

    @migrations(name="0001_tables")
    def tables(db: Database) -> None:
        _execute_each(db.conn, TABLES + _views())
        first = {"store_id": secrets.token_hex(16), "retention": "{}"}
        db.conn.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", first.items())

    return migrations


def _execute_each(connection: sqlite3.Connection, script: str) -> None:
    """Not `executescript`, which would commit the transaction around us."""
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)
