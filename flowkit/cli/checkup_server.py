"""What `doctor` finds out about a database on a server, by way of the driver: the server looks after its own files."""

from __future__ import annotations

from urllib.parse import urlsplit

from flowkit.cli.checkup import Finding, Report, standing
from flowkit.cli.store import looking
from flowkit.errors import FlowkitError

__all__ = ["examine_server"]


def examine_server(db: str, now: float) -> Report:
    """Everything about the database that `db` names. One that cannot be opened is a finding."""
    report = Report({"database": _without_password(db)})
    try:
        with looking(db) as flowkit:
            _examine(flowkit.driver, report, now)
    except FlowkitError as error:
        report.findings.append(Finding(str(error)))
    return report


def _examine(driver: object, report: Report, now: float) -> None:
    from flowkit.drivers.across import SeenAcross
    from flowkit.drivers.survey import Surveyed

    if isinstance(driver, SeenAcross):
        across = driver.across()
        known = across.facts()
        report.facts |= {"engine": known.engine, "schema": known.schema, "file_bytes": known.size}
        due = next(iter(across.due((-1.0, 0), 1, None)), None)
        report.facts["next_due"] = None if due is None else {"id": due.id, "workflow": due.workflow, "wake_at": due.wake_at}
    if isinstance(driver, Surveyed):
        report.facts["runs"] = {status: count for status, count in driver.survey().tally().items() if count}
    report.findings += standing(report.facts, now)


def _without_password(db: str) -> str:
    parts = urlsplit(db)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
