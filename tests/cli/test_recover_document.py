"""The rows of docs/recover.md that are about the store itself; those about runs are tried in the document's own example."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import flowkit
from flowkit import SchemaTooNew, StoreError, receive, workflow
from flowkit.cli.failure import STORE
from flowkit.client import Flowkit
from flowkit.settings import Settings
from tests.cli.conftest import Cli
from tests.drivers.flaky import Flaky, until

AWAY = ["no"] * 1_000


@workflow(name="order")
def order() -> list[str]:
    return [receive("item").data, receive("item").data]


@pytest.fixture
def store() -> Flaky:
    """A store whose answers get lost, and which is away after that."""
    return Flaky()


@pytest.fixture
def client(store: Flaky) -> Iterator[Flowkit]:
    with Flowkit(store, worker=False, patience_seconds=0.1, settings=Settings(write_retry=0.01)) as made:
        yield made
        store.plan = []


def answers_again(store: Flaky, client: Flowkit) -> None:
    """The store is back, and knows what was written."""
    store.plan = []
    until(lambda: client.house.writer.idle)


@pytest.mark.parametrize("lost", ["lost before", "lost after"])
def test_a_start_of_unknown_outcome_that_is_made_again_happens_once(store: Flaky, client: Flowkit, lost: str) -> None:
    store.plan = [lost, *AWAY]
    with pytest.raises(StoreError) as caught:
        client.start("o-1", order)

    answers_again(store, client)
    client.start("o-1", order)

    assert caught.value.outcome == "unknown"
    assert [item.id for item in client.runs()] == ["o-1"]


@pytest.mark.parametrize("lost", ["lost before", "lost after"])
def test_a_message_of_unknown_outcome_that_is_sent_again_by_its_key_comes_once(store: Flaky, client: Flowkit, lost: str) -> None:
    run = client.start("o-1", order)
    store.plan = [lost, *AWAY]
    with pytest.raises(StoreError) as caught:
        run.send("item", "book", key="k-1")

    answers_again(store, client)
    run.send("item", "book", key="k-1")

    assert caught.value.outcome == "unknown"
    assert len(store.inbox(run.seq, (), 10)) == 1


@pytest.mark.parametrize("lost", ["lost before", "lost after"])
def test_a_verb_of_unknown_outcome_may_be_called_again(store: Flaky, client: Flowkit, lost: str) -> None:
    run = client.start("o-1", order)
    store.plan = [lost, *AWAY]
    with pytest.raises(StoreError) as caught:
        run.cancel()

    answers_again(store, client)
    run.cancel()

    assert caught.value.outcome == "unknown"
    assert run.status() == "cancelled"


def test_a_database_of_a_newer_flowkit_is_left_as_it_is_for_one_that_knows_it(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    with flowkit.open(path, worker=False) as fk:
        fk.start("o-1", order)
    told(path, "99")

    with pytest.raises(SchemaTooNew) as caught:
        flowkit.open(path)
    told(path, str(caught.value.supported))  # as a flowkit would find it that knows version 99

    assert caught.value.found == 99
    with flowkit.open(path, worker=False) as fk:
        assert fk.get("o-1").status() == "pending"


def told(path: Path, version: str) -> None:
    """Have the database say that a flowkit with this schema wrote it."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE key IN ('schema_version', 'min_writer')", (version,))


def test_a_damaged_file_is_replaced_by_its_backup_and_runs_go_on(cli: Cli, tmp_path: Path) -> None:
    path, backup = tmp_path / "orders.db", tmp_path / "backup.db"
    with flowkit.open(path, worker=False) as fk:
        fk.start("o-1", order).send("item", "book")
        with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(backup)) as copy:
            db.backup(copy)  # what `.backup` of the program sqlite3 does
        fk.send("o-1", "item", "lost with the disk")
    damage(path)
    assert cli("doctor", "--db", str(path)).exit_code == STORE

    for name in ("orders.db", "orders.db-wal", "orders.db-shm"):
        (tmp_path / name).rename(tmp_path / f"damaged-{name}") if (tmp_path / name).exists() else None
    backup.rename(path)

    assert cli("doctor", "--db", str(path)).exit_code == 0
    with flowkit.open(path, workflows=[order]) as fk:
        fk.send("o-1", "item", "pen")
        assert fk.get("o-1").result(timeout=20) == ["book", "pen"]


def damage(path: Path) -> None:
    """As a bad disk does."""
    body = bytearray(path.read_bytes())
    body[8192:] = b"\x07" * (len(body) - 8192)
    path.write_bytes(body)
