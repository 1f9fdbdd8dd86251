"""Opening the database for a command. What only looks opens it read-only; only what starts runs may create it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flowkit.cli.failure import NOT_FOUND, STORE, Failure

if TYPE_CHECKING:
    from flowkit.client import Flowkit, Run
    from flowkit.drivers.base import RunRow

__all__ = ["described", "file_of", "find_run", "looking", "row_of", "steering"]

_NEAR = 500


@contextmanager
def looking(db: str) -> Iterator[Flowkit]:
    """The database, opened to be read."""
    with _opened(db, readonly=True) as flowkit:
        yield flowkit


@contextmanager
def steering(db: str, *, create: bool = False) -> Iterator[Flowkit]:
    """The database, opened for writing without a worker; made anew only if `create` says so."""
    with _opened(db, readonly=False, create=create) as flowkit:
        yield flowkit


@contextmanager
def _opened(db: str, *, readonly: bool, create: bool = False) -> Iterator[Flowkit]:
    from flowkit.cli.observing import observers
    from flowkit.client import Flowkit
    from flowkit.drivers import open_driver
    from flowkit.settings import in_force

    file = file_of(db)
    if file is not None and not create and not file.exists():
        raise Failure(
            f"there is no database {str(file)!r}. Name one with --db or $FLOWKIT_DB, or start a run in it first.", STORE
        )
    settings = in_force()
    patience = settings.cli_patience
    driver = open_driver(db, readonly=readonly, busy_seconds=patience, settings=settings, create=create)
    looking_on = [] if readonly else observers()
    with Flowkit(
        driver, worker=False, workflows=(), patience_seconds=patience, settings=settings, observers=looking_on
    ) as flowkit:
        flowkit.desk.who = "CLI"
        yield flowkit


def file_of(db: str) -> Path | None:
    """The SQLite file that `db` names, None if it names none; a `Failure` if no file can have that name."""
    if db.startswith("sqlite:///"):
        db = db.removeprefix("sqlite:///")
    if "://" in db or db in (":memory:", "") or db.startswith(("postgresql:", "postgres:")):
        return None
    file = Path(db)
    try:
        file.exists()
    except OSError as error:
        raise Failure(f"{db[:80]!r} cannot be the name of a file: {error.strerror}", STORE) from error
    return file


def find_run(flowkit: Flowkit, id: str) -> Run[Any]:
    """The run with this id; a `Failure` that names similar ids if there is none."""
    from flowkit.errors import RunNotFound

    try:
        return flowkit.get(id)
    except RunNotFound as error:
        raise Failure(_not_found(flowkit, id), NOT_FOUND) from error


def row_of(flowkit: Flowkit, run: Run[Any]) -> RunRow:
    """The run's row as it stands now."""
    row = flowkit.driver.get(run.id)
    if row is None:
        raise Failure(f"run {run.id!r} is gone: its retention is over", NOT_FOUND)
    return row


def described(flowkit: Flowkit, run: Run[Any], field: Literal["input", "output", "state"]) -> Any:
    """A stored body of the run as plain data: the code of its workflow is not needed to look at it."""
    from flowkit.codec import describe
    from flowkit.drivers.base import BodyRef

    body = flowkit.driver.body(BodyRef(run=row_of(flowkit, run).seq, field=field))
    return None if body is None else describe(body)


def _not_found(flowkit: Flowkit, id: str) -> str:
    from flowkit.core.location import is_storable
    from flowkit.drivers.base import RunQuery

    ids = [row.id for row in flowkit.driver.runs(RunQuery(limit=_NEAR))]
    if id and is_storable(id):
        ids += [row.id for row in flowkit.driver.runs(RunQuery(id_prefix=id, limit=3))]
    begin = [known for known in ids if id and known.startswith(id)]
    near = list(dict.fromkeys([*begin, *get_close_matches(id, ids, n=3)]))[:3]
    hint = f"Did you mean {', '.join(near)}?" if near else "`flowkit list` shows the newest."
    return f"there is no run {id!r}. {hint}"
