"""Bulks that go on without their page: another inspector carries them on, and each run gets the verb once."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from flowkit.client.bulk_piece import do_piece
from flowkit.client.walk import Walker
from flowkit.drivers.base import SaveBulk
from tests.inspector.bulks import begun, ended, press, rows_of, statuses
from tests.inspector.served import Served, serving
from tests.inspector.test_live import event

# --- going on without its page --------------------------------------------------------------------------------------


def test_what_another_process_left_behind_is_carried_on_by_the_next_inspector(small_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "left.db"
    shutil.copy(small_file, copy)
    with serving(copy, read_only=False, untouched=True) as dead:
        count = len(dead.ask("/runs.json?status=failed").json()["items"])
    with serving(copy) as first:
        first.app.site.carrier.close()
        begun(first, "recover")

    with serving(copy) as next_one:
        item = ended(next_one)

    assert (item["state"]["word"], item["done"]) == ("done", str(count))


def test_a_piece_that_was_done_and_not_counted_is_counted_once(small_file: Path, tmp_path: Path) -> None:
    """The process died between the verbs and the row that counts them."""
    copy = tmp_path / "left.db"
    shutil.copy(small_file, copy)
    with serving(copy) as first:
        first.app.site.carrier.close()
        walker = Walker(first.client)
        held = walker.take(begun(first, "recover"))
        assert held is not None
        held = walker.step(held)
        assert held is not None
        do_piece(first.client, held, held.plan)
        count = len(held.plan)
        left = first.client.driver.bulk(1)
        assert left is not None
        first.client.desk.writer.write(SaveBulk(bulk=replace(left, held_until=0.0)))

    with serving(copy) as next_one:
        item = ended(next_one)
        heads = [row.head for row in rows_of(next_one) if row.replays]

    assert (item["done"], item["failed"], item["skipped"]) == (str(count), "", "")
    assert heads == []


def test_two_inspectors_do_one_bulk_once(many: Served) -> None:
    with serving(Path(many.app.site.settings.database)) as other:
        press(many, "/bulk/new?verb=send", typed="150", name="note")
        item = ended(other)

    assert (item["done"], item["failed"], item["skipped"]) == ("150", "", "")
    assert {row.inbox for row in rows_of(many)} == {1}


def test_a_bulk_is_stopped_by_its_button(many: Served) -> None:
    many.app.site.carrier.close()
    press(many, "/bulk/new?verb=pause", typed="150")
    assert "Stop</button>" in many.ask("/bulk/1").text

    reply = many.post("/bulk/1/stop")

    assert (reply.status, reply.headers["location"]) == (303, "/bulk/1")
    page = many.ask("/bulk/1")
    assert "stopped" in page.text
    assert "Stop</button>" not in page.text
    assert statuses(many) == {"pending"}


def test_the_page_hears_of_its_bulk_and_of_nothing_else(many: Served) -> None:
    many.app.site.carrier.close()
    press(many, "/bulk/new?verb=pause", typed="150")
    token = re.search(r"as_of=([^&\"]+)", many.ask("/bulk/1").text)
    assert token is not None
    with many.stream(f"/events?bulk=1&since={token[1]}") as file, many.stream("/events?bulk=all&since=old") as both:
        assert event(both)["event"] == "bulk"

        many.client.get("n-001").cancel()
        Walker(many.client).walk(1)

        told = event(file)
    assert told["event"] == "bulk"
    assert many.ask(f"/bulk/1?part=now&as_of={told['data']}").status in (200, 204)


def test_a_part_that_is_current_is_not_sent_again(own: Served) -> None:
    press(own, "/bulk/new?verb=pause")
    ended(own)

    for path in ("/bulk", "/bulk/1"):
        token = own.app.site.pulse.bulk_token("all" if path == "/bulk" else "1")
        assert own.ask(f"{path}?part=now&as_of={token}").status == 204
        assert own.ask(f"{path}?part=now&as_of=old").text.strip().startswith('<div id="now"')


def test_why_runs_failed_is_listed_with_the_runs(own: Served) -> None:
    press(own, "/bulk/new?verb=replay&q=order-1", step="no-such-step")
    ended(own)

    page = own.ask("/bulk/1").text
    assert '<a class="id" href="/runs/order-1">order-1</a>' in page
    assert "has no entry" in page


def test_a_defect_at_one_bulk_does_not_hold_up_the_others(own: Served, capsys: pytest.CaptureFixture[str]) -> None:
    own.app.site.carrier.close()
    broken, well = begun(own, "pause"), begun(own, "recover", "b" * 32)
    with closing(sqlite3.connect(own.app.site.settings.database)) as db:
        db.execute("UPDATE bulks SET verb = 'no-such-verb' WHERE seq = ?", (broken.seq,))
        db.commit()

    with serving(Path(own.app.site.settings.database)) as served:
        deadline = time.monotonic() + 8
        while any(bulk.is_open for bulk in served.client.driver.bulks(9)) and time.monotonic() < deadline:
            time.sleep(0.02)
        first, second = served.client.driver.bulk(broken.seq), served.client.driver.bulk(well.seq)

    assert first is not None
    assert second is not None
    assert (first.state, first.reasons) == ("stopped", (("", "a defect stopped it; the inspector's terminal shows more"),))
    assert second.state == "done"
