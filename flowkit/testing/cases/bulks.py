"""Bulks: kept once under their id, and moved on only by who has read how far they are."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from flowkit.core.bulk import Bulk, Picks
from flowkit.drivers.base import Duplicate, Kept, Moved, SaveBulk
from flowkit.testing.cases.base import NOW, Case

__all__ = ["Bulks"]

_PICKS = Picks(statuses=("failed", "blocked"), workflow="w", tag="vip", since=NOW - 60, until=NOW + 0.1, id_prefix="ord/é")


def _bulk(id: str = "b", **fields: Any) -> Bulk:
    given: dict[str, Any] = {"verb": "recover", "who": "tester", "picks": _PICKS, "top": 9, "expected": 4, "position": 10}
    return Bulk(id=id, **{**given, **fields})


class Bulks(Case):
    """What is read back, and who may write over it."""

    def kept(self, bulk: Bulk | None = None, now: float = NOW) -> Bulk:
        """A bulk as the store has it."""
        made = bulk or _bulk()
        self.one(SaveBulk(bulk=made), now)
        return self.stored(made.id)

    def stored(self, id: str = "b") -> Bulk:
        found = self.driver.bulk(id)
        assert found is not None
        return found

    def test_a_new_bulk_gets_a_number(self) -> None:
        assert self.one(SaveBulk(bulk=_bulk())) == Kept(seq=1, version=1)
        assert self.one(SaveBulk(bulk=_bulk("c"))) == Kept(seq=2, version=1)

    def test_a_bulk_is_read_back_as_it_was_asked(self) -> None:
        asked = _bulk(step="charge", name="m", key="k", body=b'{"a": "\xc3\xa9"}', more=True)

        kept = self.kept(asked)

        assert kept == replace(asked, seq=1, version=1, created_at=NOW, updated_at=NOW)
        assert self.driver.bulk(1) == kept

    def test_a_message_that_is_no_text_is_read_back(self) -> None:
        assert self.kept(_bulk(body=b"\xff\0\xfe")).body == b"\xff\0\xfe"

    def test_a_bulk_asked_again_is_the_first_one(self) -> None:
        first = self.kept()

        assert self.one(SaveBulk(bulk=_bulk(verb="cancel"))) == Duplicate(first="1")
        assert self.stored() == first

    def test_a_bulk_that_was_read_is_moved_on(self) -> None:
        read = self.kept()
        on = replace(
            read, state="stopping", position=3, plan=(2, 1), done=1, failed=2, skipped=3, reasons=(("r-é", "why"),), holder="me",
            held_until=NOW + 9.5,
        )  # fmt: skip

        assert self.one(SaveBulk(bulk=on), NOW + 1) == Kept(seq=1, version=2)
        assert self.stored() == replace(on, version=2, updated_at=NOW + 1)

    def test_what_was_asked_is_not_changed_by_moving_on(self) -> None:
        read = self.kept(_bulk(body=b"1"))

        self.one(SaveBulk(bulk=replace(read, position=1)), NOW + 5)

        assert self.stored().created_at == NOW
        assert self.stored().body == b"1"

    def test_of_two_that_read_the_same_one_moves_it_on(self) -> None:
        read = self.kept()
        self.one(SaveBulk(bulk=replace(read, done=1)))

        assert self.one(SaveBulk(bulk=replace(read, done=2))) == Moved(head=2)
        assert self.stored().done == 1

    def test_a_bulk_that_is_not_there_is_not_moved_on(self) -> None:
        assert self.one(SaveBulk(bulk=_bulk(version=3))) == Moved(head=0)
        assert self.driver.bulk("b") is None
        assert self.driver.bulk(1) is None

    def test_the_newest_come_first_in_pages(self) -> None:
        for id in "abc":
            self.kept(_bulk(id))

        assert [bulk.id for bulk in self.driver.bulks(2)] == ["c", "b"]
        assert [bulk.id for bulk in self.driver.bulks(2, before=2)] == ["a"]
        assert self.driver.bulks(2, before=1) == []

    def test_those_that_are_not_finished_are_found_alone(self) -> None:
        for id in "abc":
            self.kept(_bulk(id))
        self.one(SaveBulk(bulk=replace(self.stored("b"), state="done", finished_at=NOW)))

        assert [bulk.id for bulk in self.driver.bulks(9, unfinished=True)] == ["c", "a"]

    def test_a_bulk_that_has_long_been_finished_is_forgotten_and_one_that_has_not_stays(self) -> None:
        self.kept(_bulk("open"))
        self.one(SaveBulk(bulk=replace(self.kept(), state="done", finished_at=NOW)))

        self.driver.purge(NOW + 89 * 86_400)
        kept = self.driver.bulk("b")
        self.driver.purge(NOW + 91 * 86_400)

        assert kept is not None
        assert self.driver.bulk("b") is None
        assert [bulk.id for bulk in self.driver.bulks(9)] == ["open"]

    def test_a_bulk_is_written_beside_other_operations(self) -> None:
        self.start()
        read = self.kept()

        result = self.driver.write([SaveBulk(bulk=replace(read, done=1)), self.new_start("s")], NOW)

        assert result[0] == Kept(seq=1, version=2)
        assert self.row("s").status == "pending"
