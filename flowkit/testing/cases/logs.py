"""The lines that runs logged: kept in order, read by windows, gone with their run."""

from __future__ import annotations

from typing import Any

from flowkit.core.line import BOOK, Book, Line, book_in
from flowkit.drivers.base import LineQuery, Log, Logged, NoRun
from flowkit.testing.cases.base import NOW, Case

__all__ = ["Logs"]

DAY = 86_400.0
DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40


def line(seq: int, **fields: Any) -> Line:
    """A line whose text names its number."""
    base: dict[str, Any] = {"at": NOW, "location": "charge", "part": "step", "text": f"line {seq}".encode()}
    return Line(seq=seq, **{**base, **fields})


class Logs(Case):
    """The log of a run."""

    def log_lines(self, *lines: Line, run: str = "r", most: int = 100_000) -> Any:
        return self.one(Log(run=self.row(run).seq, lines=lines, most=most))

    def book(self, run: str = "r") -> Book:
        """How many lines the run has and had."""
        found = self.driver.lines(LineQuery(run=self.row(run).seq, after=BOOK - 1, before=BOOK + 1))
        return book_in(found[0] if found else None)

    def numbers_of(self, **fields: Any) -> list[int]:
        return [each.seq for each in self.driver.lines(LineQuery(run=self.row().seq, **fields))]

    def ten_lines(self) -> None:
        """Lines 1 to 10: odd ones of `charge`, even ones of the workflow's code; 3 warns, 8 is an error, 9 is for debugging."""
        self.start()
        levels = {3: WARNING, 8: ERROR, 9: DEBUG}
        places = [("charge", "step") if seq % 2 else ("", "code") for seq in range(1, 11)]
        self.log_lines(*(line(n, location=at, part=part, level=levels.get(n, INFO)) for n, (at, part) in enumerate(places, 1)))

    def test_a_line_is_kept_as_it_was_logged(self) -> None:
        self.start()
        logged = line(
            1 << 61, at=NOW + 0.25, location="pack/~3/label", part="rollback", attempt=2, place=7, level=35, logger="shop.tills",
            text="paid €5\nand more".encode(),
        )  # fmt: skip

        assert self.log_lines(logged) == Logged()
        assert self.driver.lines(LineQuery(run=self.row().seq)) == [logged]

    def test_a_text_may_be_any_bytes(self) -> None:
        self.start()
        texts = [b"", b"\x00\xff", b"base64:??", "ü".encode()]

        self.log_lines(*(line(seq, text=text) for seq, text in enumerate(texts, 1)))

        assert [each.text for each in self.driver.lines(LineQuery(run=self.row().seq))] == texts

    def test_a_run_that_logged_nothing_has_no_lines(self) -> None:
        self.start()

        assert self.numbers_of() == []

    def test_lines_of_a_run_that_is_not_there_are_refused(self) -> None:
        assert self.one(Log(run=99, lines=[line(1)])) == NoRun()

    def test_lines_stand_in_order_of_their_numbers(self) -> None:
        self.start()
        self.log_lines(line(5), line(2))
        self.log_lines(line(3))

        assert self.numbers_of() == [2, 3, 5]

    def test_the_same_lines_again_are_there_once(self) -> None:
        self.start()
        self.log_lines(line(1), line(2))
        self.log_lines(line(1), line(2))

        assert self.numbers_of() == [1, 2]

    def test_a_line_with_a_number_that_is_there_takes_its_place(self) -> None:
        self.start()
        self.log_lines(line(1, text=b"3 more lines were dropped"))
        self.log_lines(line(1, text=b"9 more lines were dropped"))

        assert [each.text for each in self.driver.lines(LineQuery(run=self.row().seq))] == [b"9 more lines were dropped"]

    def test_a_window_begins_above_the_line_it_is_after(self) -> None:
        self.ten_lines()

        assert self.numbers_of(after=4, limit=3) == [5, 6, 7]

    def test_a_window_before_a_line_holds_the_last_ones_below_it(self) -> None:
        self.ten_lines()

        assert self.numbers_of(before=8, limit=3) == [5, 6, 7]
        assert self.numbers_of(before=8, after=5, limit=3) == [6, 7]

    def test_windows_together_are_the_log(self) -> None:
        self.ten_lines()
        found: list[int] = []
        while page := self.numbers_of(after=found[-1] if found else 0, limit=3):
            found += page

        assert found == list(range(1, 11))

    def test_by_level_and_above(self) -> None:
        self.ten_lines()

        assert self.numbers_of(level=WARNING) == [3, 8]
        assert self.numbers_of(level=ERROR, before=10) == [8]
        assert self.numbers_of(level=INFO) == [1, 2, 3, 4, 5, 6, 7, 8, 10]

    def test_by_location(self) -> None:
        self.ten_lines()

        assert self.numbers_of(location="charge") == [1, 3, 5, 7, 9]
        assert self.numbers_of(location="") == [2, 4, 6, 8, 10]
        assert self.numbers_of(location="charg") == []

    def test_by_part(self) -> None:
        self.ten_lines()

        assert self.numbers_of(location="charge", part="rollback") == []
        assert self.numbers_of(part="step", limit=2) == [1, 3]

    def test_all_filters_hold_at_once(self) -> None:
        self.ten_lines()

        assert self.numbers_of(location="charge", level=INFO, after=2, before=8, limit=2) == [5, 7]

    def test_a_run_has_its_own_lines_only(self) -> None:
        self.start()
        self.start("other")
        self.log_lines(line(1))
        self.log_lines(line(2), run="other")

        assert self.numbers_of() == [1]

    def test_of_a_run_the_newest_lines_are_kept_and_the_others_counted(self) -> None:
        self.start()
        for first in range(1, 1_000, 7):
            self.log_lines(*(line(seq) for seq in range(first, first + 7)), most=10)

        assert self.numbers_of() == list(range(992, 1_002))
        assert self.book() == Book(kept=10, dropped=991)

    def test_of_more_lines_at_once_than_are_kept_the_newest_are(self) -> None:
        self.start()

        self.log_lines(*(line(seq) for seq in range(1, 31)), most=10)

        assert self.numbers_of() == list(range(21, 31))
        assert self.book() == Book(kept=10, dropped=20)

    def test_a_line_that_is_older_than_all_that_are_kept_makes_room_itself(self) -> None:
        self.start()
        self.log_lines(*(line(seq) for seq in range(11, 21)), most=10)

        self.log_lines(line(5), most=10)

        assert self.numbers_of() == list(range(11, 21))
        assert self.book() == Book(kept=10, dropped=1)

    def test_lines_that_are_written_again_count_once(self) -> None:
        self.start()
        for _ in range(3):
            self.log_lines(line(1), line(2), line(2, text=b"again"), most=2)

        assert self.numbers_of() == [1, 2]
        assert self.book() == Book(kept=2)

    def test_a_lower_bound_is_reached_by_slices(self) -> None:
        self.start()
        self.log_lines(*(line(seq) for seq in range(1, 2_501)))

        left = []
        for seq in (2_501, 2_502, 2_503):
            self.log_lines(line(seq), most=10)
            left.append(self.book())

        assert [book.kept for book in left] == [1_500, 500, 10]
        assert left[-1].dropped == 2_493
        assert self.numbers_of() == list(range(2_494, 2_504))

    def test_the_bound_of_a_run_leaves_others_alone(self) -> None:
        self.start()
        self.start("other")
        self.log_lines(line(1), line(2), run="other")

        self.log_lines(line(1), line(2), line(3), most=1)

        assert self.numbers_of() == [3]
        assert [each.seq for each in self.driver.lines(LineQuery(run=self.row("other").seq))] == [1, 2]
        assert self.book("other") == Book(kept=2)

    def test_no_window_shows_the_line_that_keeps_book(self) -> None:
        self.ten_lines()

        assert self.numbers_of(before=3) == [1, 2]
        assert self.numbers_of(location="", level=0, before=5) == [2, 4]

    def test_a_run_that_has_ended_may_still_be_told_its_last_lines(self) -> None:
        self.ended()

        assert self.log_lines(line(1)) == Logged()

    def test_lines_change_nothing_of_their_run(self) -> None:
        self.held()
        before = self.row()

        self.log_lines(line(1))

        assert self.row() == before

    def test_a_run_that_is_removed_takes_its_lines_along(self) -> None:
        self.driver.retain({"completed": 1})
        self.ended()
        run = self.row().seq
        self.log_lines(line(1))

        self.driver.purge(NOW + DAY)

        assert self.driver.get("r") is None
        assert self.driver.lines(LineQuery(run=run)) == []
        assert self.one(Log(run=run, lines=[line(2)])) == NoRun()
