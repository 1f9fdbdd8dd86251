"""The servers of the tests themselves: they are what the other tests stand on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests.house.source import ROOT
from tests.postgres.server import VERSIONS, fresh_database, new_database, owned, shared

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_of_each_version_answers(version: str) -> None:
    ((found,),) = shared(version).ask("SHOW server_version_num")

    assert int(found) // 10_000 == int(version)


def test_a_server_of_ones_own_keeps_what_it_acknowledged_when_it_dies() -> None:
    with owned() as server:
        server.ask("CREATE TABLE t (a int)")
        server.ask("INSERT INTO t VALUES (1)")

        server.crash()
        with pytest.raises(psycopg.OperationalError):
            server.ask("SELECT 1")
        server.start()

        assert server.ask("SELECT a FROM t") == [(1,)]
    assert not server.folder.exists()


def test_a_new_database_is_empty_and_a_fresh_one_has_the_tables_of_flowkit() -> None:
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"

    empty, fresh = new_database(shared()), fresh_database()

    assert shared().ask(tables, database=empty.rsplit("/", 1)[1]) == [(0,)]
    assert shared().ask(tables, database=fresh.rsplit("/", 1)[1])[0][0] > 10


def test_a_server_ends_with_the_last_process_that_used_it_even_if_that_is_killed() -> None:
    program = "from tests.postgres.server import owned\nwith owned() as it: print(it.folder, it.pid, flush=True); input()"
    user = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert user.stdout is not None
    folder, pid = user.stdout.readline().split()

    os.kill(user.pid, signal.SIGKILL)
    user.communicate()

    end = time.monotonic() + 20
    while Path(folder).exists():
        assert time.monotonic() < end, f"the server {pid} in {folder} is still there"
        time.sleep(0.02)
