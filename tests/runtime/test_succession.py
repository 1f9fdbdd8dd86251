"""Which worker makes room for which: newer ones of another version that serve all it serves, and that were told to."""

from __future__ import annotations

import msgspec
import pytest

from flowkit.drivers.base import WorkerRow
from flowkit.runtime.serving import Serving
from flowkit.runtime.succession import successor

MINE = Serving(workflows=("order", "refund"), version="1")


def worker(id: int, *, alive: bool = True, kind: str = "worker", **told: object) -> WorkerRow:
    serving = Serving(**{"workflows": ("order", "refund"), "version": "2", "drains_older": True, **told})  # type: ignore[arg-type]
    return WorkerRow(
        id=id, name="w", host="h", pid=1, kind=kind, state="live", started_at=0.0, seen_at=0.0, alive=alive,
        info=msgspec.json.encode(serving).decode(),
    )  # fmt: skip


def test_a_worker_makes_room_for_one_of_another_version_that_joined_later() -> None:
    found = successor(3, MINE, [worker(3, version="1"), worker(7)])

    assert found is not None
    assert found.id == 7


def test_of_several_that_joined_at_once_the_newest_stays() -> None:
    rows = [worker(7, version="2"), worker(8, version="3")]

    found = [successor(id, Serving(workflows=("order",), version=version), rows) for id, version in ((7, "2"), (8, "3"))]

    assert [None if row is None else row.id for row in found] == [8, None]


def test_the_old_version_started_again_takes_over_as_any_other() -> None:
    found = successor(7, Serving(workflows=("order",), version="2"), [worker(9, version="1")])

    assert found is not None
    assert found.id == 9


@pytest.mark.parametrize(
    "other",
    [
        worker(2),
        worker(7, drains_older=False),
        worker(7, version="1"),
        worker(7, alive=False),
        worker(7, kind="client"),
        worker(7, leaving=True),
        worker(7, workflows=("order",)),
        worker(7, workflows=None),
    ],
    ids=["joined before", "was not told to", "same version", "dead", "a client", "leaves itself", "serves less", "has not said"],
)
def test_a_worker_stays_beside(other: WorkerRow) -> None:
    assert successor(3, MINE, [other]) is None


def test_a_worker_that_serves_nothing_yet_makes_room_for_nobody() -> None:
    nothing = Serving(workflows=(), version="1")

    assert successor(3, nothing, [worker(7)]) is None


def test_a_worker_under_dev_is_replaced_by_saves_alone() -> None:
    developing = Serving(workflows=("order",), generation=4)

    assert successor(3, developing, [worker(7)]) is None


def test_a_worker_that_had_to_join_anew_is_no_newer_for_it() -> None:
    older, newer = Serving(workflows=("order",), version="1", first=3), Serving(workflows=("order",), version="2")
    rows = [worker(9, version="1", first=3), worker(7, version="2")]

    assert successor(7, newer, rows) is None
    assert successor(9, older, rows) is rows[1]
