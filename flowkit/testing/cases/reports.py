"""What workers report of what keeps them from serving."""

from __future__ import annotations

from msgspec.structs import replace

from flowkit.core.health import Report
from flowkit.testing.cases.base import NOW, Case

__all__ = ["Reports"]


def broken(workflow: str, *, kind: str = "import") -> Report:
    """Something that a worker has to say of a workflow."""
    return Report(
        workflow=workflow, kind="crash" if kind == "crash" else "import", type="ImportError", line="no 'ü'", place="app.py:3",
        since=NOW - 5, last=NOW, count=3, source="w-7", origin="h app.py", worker=9,
    )  # fmt: skip


class Reports(Case):
    """Kept by source, replaced as a whole, and gone when their time is over."""

    def test_reports_come_back_as_they_were_given(self) -> None:
        given = [broken("order"), broken("refund", kind="crash")]

        self.driver.report("w-7", given, NOW + 60, NOW)

        found = self.driver.reports(NOW)
        assert [replace(each, line="") for each in found] == [replace(each, line="") for each in given]
        assert {each.line for each in found} <= {"no 'ü'", ""}  # what an error says is left out where values are sealed

    def test_what_a_source_reports_stands_in_place_of_what_it_reported_before(self) -> None:
        self.driver.report("w-7", [broken("order"), broken("refund")], NOW + 60, NOW)
        self.driver.report("w-8", [broken("ship")], NOW + 60, NOW)

        self.driver.report("w-7", [broken("refund")], NOW + 60, NOW)

        assert sorted(report.workflow for report in self.driver.reports(NOW)) == ["refund", "ship"]

    def test_who_has_nothing_to_report_takes_its_reports_away(self) -> None:
        self.driver.report("w-7", [broken("order")], NOW + 60, NOW)

        self.driver.report("w-7", [], NOW, NOW)
        self.driver.report("nobody", [], NOW, NOW)

        assert self.driver.reports(NOW) == []

    def test_a_report_expires(self) -> None:
        self.driver.report("w-7", [broken("order")], NOW + 60, NOW)

        assert len(self.driver.reports(NOW + 59)) == 1
        assert self.driver.reports(NOW + 60) == []

    def test_expired_reports_are_purged_and_others_are_not(self) -> None:
        self.driver.report("w-7", [broken("order")], NOW + 60, NOW)
        self.driver.report("w-8", [broken("ship")], NOW + 120, NOW)

        self.driver.purge(NOW + 60)

        assert [report.workflow for report in self.driver.reports(NOW)] == ["ship"]

    def test_a_report_is_heard_of(self) -> None:
        before = self.driver.token()

        self.driver.report("w-7", [broken("order")], NOW + 60, NOW)

        assert self.driver.token() != before
