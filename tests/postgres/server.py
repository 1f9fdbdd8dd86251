"""Real PostgreSQL servers for tests.

`shared(version)` is one server per version for the whole session, all its lanes included; `owned(version)` is a server of a
test's own, to be killed and started at will. Both are gone when their users are, even if these were killed: see `keeper`.
Nothing survives a loss of power here (`fsync=off`), but everything that was acknowledged survives the end of the server.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from flowkit.drivers import open_driver
from tests.postgres.programs import AS_NOBODY, NEWEST, VERSIONS, belongs_to_nobody, programs

__all__ = ["NEWEST", "VERSIONS", "Server", "emptied_database", "fresh_database", "new_database", "owned", "shared"]

# A server of the tests is small, and never waits for a disk. Autovacuum would only disturb what is measured or compared.
_OPTIONS = {
    "fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "max_connections": "300", "autovacuum": "off",
    "unix_socket_directories": "''", "max_wal_size": "256MB", "listen_addresses": "127.0.0.1", "log_lock_waits": "on",
    "dynamic_shared_memory_type": "mmap",
}  # fmt: skip
_ENOUGH_BYTES = 2_000_000_000
_numbers = count(1)


@dataclass(frozen=True)
class Server:
    """A server: its programs, its folder, its address. `before` stands before its commands, such as `ip netns exec`."""

    version: str
    folder: Path
    port: int
    host: str = "127.0.0.1"
    before: tuple[str, ...] = ()

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def url(self, database: str = "postgres") -> str:
        """How to reach a database."""
        return f"postgresql://postgres@{self.host}:{self.port}/{database}"

    def start(self, **options: str) -> None:
        """Start it, and wait until it answers."""
        everywhere = {} if self.host == "127.0.0.1" else {"listen_addresses": "0.0.0.0"}
        chosen = {**_OPTIONS, **everywhere, **options}
        settings = " ".join(f"-c {name}={value}" for name, value in chosen.items())
        self._ctl("start", "-o", f"-p {self.port} {settings}", "-l", str(self.folder / "log"), "-t", "60")

    def crash(self) -> None:
        """End it at once, as if it had been killed; what it had not acknowledged may be lost."""
        self._ctl("stop", "-m", "immediate")

    def stop(self) -> None:
        """End it in order; its connections are closed."""
        self._ctl("stop", "-m", "fast")

    @property
    def pid(self) -> int:
        """The process number of the server's first process."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def ask(self, query: str, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows of one query, on a connection of its own."""
        with closing(psycopg.connect(self.url(database), autocommit=True)) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def _ctl(self, verb: str, *options: str) -> None:
        """`pg_ctl`, its output kept in a file: the server inherits it, and would hold a pipe open."""
        command = [*self.before, *AS_NOBODY, str(programs(self.version) / "pg_ctl"), "-D", str(self.data), "-w", *options, verb]
        with (self.folder / "ctl.log").open("w+") as told:
            done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=told, stderr=told, check=False)
            if done.returncode:
                told.seek(0)
                log = self.folder / "log"
                tail = log.read_text(errors="replace")[-2_000:] if log.exists() else ""
                raise AssertionError(f"pg_ctl {verb} failed: {told.read()}\n{tail}")


# --- one for all ----------------------------------------------------------------------------------------------------------


@cache
def shared(version: str = NEWEST) -> Server:
    """The session's server of this version; started by whoever needs it first."""
    programs(version)
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"of-{os.getpid()}")
    folder = _roomy() / f"flowkit-pg-{session}-{version}"
    with _locked(Path(tempfile.gettempdir()) / f"{folder.name}.lock"):
        if (folder / "users").exists():
            _use(folder)  # waits if the keeper is at work, which then has left nothing
            if (folder / "port").exists():
                return Server(version, folder, int((folder / "port").read_text()))
            _end(folder)
        server = _started(version, folder)
        (folder / "port").write_text(str(server.port))
        return server


def new_database(server: Server, *, template: str = "template0", name: str = "", tables: bool = False) -> str:
    """The URL of a new, empty database; with flowkit's `tables` in it if these are wanted."""
    name = name or f"d{os.getpid()}_{next(_numbers)}"
    made = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(name), sql.Identifier(template))
    with closing(psycopg.connect(server.url(), autocommit=True)) as connection:
        connection.execute(made)
    if tables:
        open_driver(server.url(name)).close()
    return server.url(name)


def fresh_database(version: str = NEWEST) -> str:
    """The URL of a new database of the shared server, with flowkit's tables in it and no row."""
    return new_database(shared(version), template=_template(version))


def emptied_database(version: str = NEWEST) -> str:
    """The URL of a database without a row, much cheaper than a new one: this process's last, emptied.

    For those that use one database after the other: whoever still has it open loses his connections.
    """
    url, connection = _reused(version, os.getpid())
    connection.execute(_EMPTY)
    return url


@cache
def _reused(version: str, pid: int) -> tuple[str, psycopg.Connection[Any]]:
    """A database, and a connection that is kept: the first statements on a new one take ten times as long."""
    url = fresh_database(version)
    connection = psycopg.connect(url, autocommit=True)
    atexit.register(connection.close)
    return url, connection


_EMPTY = """DO $$
DECLARE found record;
BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
  FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'meta' LOOP
    EXECUTE format('DELETE FROM %I', found.tablename);
  END LOOP;
  FOR found IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
    PERFORM setval(found.sequencename::regclass, 1, false);
  END LOOP;
  IF to_regclass('meta') IS NOT NULL THEN DELETE FROM meta WHERE key = 'retention'; END IF;
END $$"""


@cache
def _template(version: str) -> str:
    """The database that fresh ones are copied from; made by whoever needs it first."""
    name, server = "flowkit_template", shared(version)
    with _locked(Path(tempfile.gettempdir()) / f"{server.folder.name}.lock"):
        if not server.ask("SELECT 1 FROM pg_database WHERE datname = %s", name):
            server.ask(f"CREATE DATABASE {name}_in_work")
            open_driver(server.url(f"{name}_in_work")).close()
            server.ask(f"ALTER DATABASE {name}_in_work RENAME TO {name}")
    return name


# --- one of one's own -------------------------------------------------------------------------------------------------------


@contextmanager
def owned(
    version: str = NEWEST,
    *,
    host: str = "127.0.0.1",
    before: Sequence[str] = (),
    megabytes: int | None = None,
    place: Path | None = None,
    **options: str,
) -> Iterator[Server]:
    """A server of one's own, below `place` if given. With `megabytes` its disk is no larger, for which one must be root."""
    programs(version)
    folder = Path(tempfile.mkdtemp(prefix="flowkit-pg-", dir=place or _roomy()))
    server = _started(version, folder, host=host, before=tuple(before), megabytes=megabytes, **options)
    try:
        yield server
    finally:
        _end(folder)


def _end(folder: Path) -> None:
    """This process needs the server no more; returns when it is gone."""
    os.close(_held.pop(folder))
    end = time.monotonic() + 20
    while folder.exists():
        assert time.monotonic() < end, f"the server in {folder} does not end"
        time.sleep(0.01)


# --- how they begin and end -----------------------------------------------------------------------------------------------

_held: dict[Path, int] = {}


def _started(
    version: str,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    before: tuple[str, ...] = (),
    megabytes: int | None = None,
    **options: str,
) -> Server:
    folder.mkdir(exist_ok=True)
    belongs_to_nobody(folder)
    folder.chmod(0o755)
    if megabytes is not None:
        (folder / "disk").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder / "disk"], check=True)
        belongs_to_nobody(folder / "disk")
        (folder / "data").symlink_to(folder / "disk" / "data")
    (folder / "users").touch()
    _use(folder)
    keeper = [sys.executable, "-S", str(Path(__file__).with_name("keeper.py")), str(folder)]
    subprocess.run(keeper, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    try:
        _initialised(version, folder)
        server = Server(version, folder, _free_port(), host, before)
        server.start(**options)
    except BaseException:
        _end(folder)
        raise
    return server


def _use(folder: Path) -> None:
    """From now until this process ends, or gives it back, the server in `folder` is needed."""
    users = os.open(folder / "users", os.O_RDWR)
    fcntl.flock(users, fcntl.LOCK_SH)
    _held[folder] = users


def _initialised(version: str, folder: Path) -> None:
    flags = ["-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C", "--wal-segsize=1"]
    command = [*AS_NOBODY, str(programs(version) / "initdb"), "-D", os.path.realpath(folder / "data"), *flags]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"initdb failed: {done.stdout}{done.stderr}"
    with (folder / "data" / "pg_hba.conf").open("a") as access:
        access.write("host all all 10.77.0.0/16 trust\n")  # the hosts of tests that have several


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _roomy() -> Path:
    """Memory if there is enough of it, which makes databases within milliseconds; else the temporary folder."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ENOUGH_BYTES:
        return memory
    return Path(tempfile.gettempdir())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with closing(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "w")) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
