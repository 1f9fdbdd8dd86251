"""What the tests of bulks in the inspector share: forms pressed, bulks begun and awaited."""

from __future__ import annotations

import html
import re
import time
from typing import Any

from flowkit.client.bulk import Bulks, BulkWish, Picks, narrowed
from flowkit.client.reader import Bulk, RunRow
from flowkit.drivers.base import RunQuery
from tests.inspector.served import SAME_ORIGIN, Reply, Served

__all__ = ["JSON", "NOW", "OP", "begun", "ended", "form_of", "press", "rows_of", "statuses"]

OP = "a" * 32
JSON = [("Content-Type", "application/json"), *SAME_ORIGIN]
NOW = 1_767_225_600.0


def form_of(page: str) -> dict[str, str]:
    """The hidden fields of the form that begins a bulk."""
    form = page[page.index('action="/bulk"') :]
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form[: form.index("</form>")])
    return {name: html.unescape(value) for name, value in found}


def press(served: Served, path: str, **fields: object) -> Reply:
    """The form of the page before a bulk."""
    return served.post("/bulk", **form_of(served.ask(path).text), **fields)


def ended(served: Served, seq: int = 1) -> Any:
    """The bulk once it is finished."""
    deadline = time.monotonic() + 8
    while (item := served.ask(f"/bulk/{seq}.json").json()["item"])["is_open"] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not item["is_open"]
    return item


def statuses(served: Served, **query: Any) -> set[str]:
    return {item.status for item in served.client.runs(limit=500, **query)}


def rows_of(served: Served) -> list[RunRow]:
    """All runs, newest first."""
    return served.client.driver.runs(RunQuery(limit=500))


def begun(served: Served, verb: str, op: str = OP) -> Bulk:
    """A bulk that nobody was told of."""
    bulks = Bulks(served.client, "tester")
    wish = BulkWish(verb=verb, picks=narrowed(verb, Picks()), top=bulks.newest_run())
    return bulks.begin(op, wish, bulks.count(wish.picks, wish.top))
