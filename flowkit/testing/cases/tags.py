"""Tags that are put on a run and taken off it after it was started."""

from __future__ import annotations

from typing import Any

from flowkit.core.change import Finish
from flowkit.drivers.base import Duplicate, NoRun, RunQuery, Steered, Tag
from flowkit.testing.cases.base import NOW, Case, completed

__all__ = ["Tags"]

DAY = 86_400.0


class Tags(Case):
    """`Tag`."""

    def tag(self, **fields: Any) -> Any:
        return self.one(Tag(**{"run": "r", "op": "op-t", "who": "me", **fields}))

    def found(self, tag: str) -> list[str]:
        return [row.id for row in self.driver.runs(RunQuery(tag=tag))]

    def test_tags_are_put_on_and_taken_off(self) -> None:
        self.start(tags=("old", "eu"))

        result = self.tag(add=("vip",), remove=("old",))

        assert result == Steered(status="pending")
        assert self.row().tags == ("eu", "vip")
        assert (self.found("vip"), self.found("old"), self.found("eu")) == (["r"], [], ["r"])

    def test_a_tag_that_is_there_is_not_put_on_twice(self) -> None:
        self.start(tags=("vip",))

        self.tag(add=("vip", "vip"), remove=("absent",))

        assert (self.row().tags, self.found("vip")) == (("vip",), ["r"])

    def test_a_run_that_has_ended_can_be_tagged(self) -> None:
        self.held().write(status="completed", finish=Finish(output=b"1"), release=True)

        assert self.tag(add=("vip",)) == Steered(status="completed")
        assert self.found("vip") == ["r"]

    def test_the_owner_of_a_run_is_not_disturbed(self) -> None:
        hold = self.held()

        self.tag(add=("vip",))
        hold.write(add=[completed(1)])

        assert (self.row().tags, self.row().epoch, self.row().head) == (("vip",), hold.epoch, 1)

    def test_a_repeated_wish_is_a_duplicate(self) -> None:
        self.start()
        self.tag(add=("vip",))
        self.tag(remove=("vip",), op="another")

        assert self.tag(add=("vip",)) == Duplicate(first="pending")
        assert self.row().tags == ()

    def test_a_run_that_is_not_there_cannot_be_tagged(self) -> None:
        assert self.tag(add=("vip",)) == NoRun()

    def test_a_tag_goes_with_its_run(self) -> None:
        self.driver.retain({"completed": 1})
        self.ended()
        self.tag(add=("vip",))

        self.driver.purge(NOW + DAY)

        assert self.found("vip") == []
