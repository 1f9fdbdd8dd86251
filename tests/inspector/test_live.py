"""Event streams: a change is told at once, nothing is lost before connecting, and one browser has four at most."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import flowkit
from flowkit.testing import FakeClock
from tests.inspector.served import Served, serving
from tests.inspector.stories import other_code


def event(file: Any) -> dict[str, str]:
    """The next event, comments skipped."""
    fields: dict[str, str] = {}
    while True:
        line = file.readline().decode().rstrip("\n")
        if not line and "event" in fields:
            return fields
        name, _, value = line.partition(": ")
        if name and not line.startswith(":"):
            fields[name] = value


def token_of(served: Served, id: str) -> str:
    return str(served.ask(f"/runs/{id}.json").json()["head"]["token"])


def test_a_change_of_the_run_is_told(own: Served) -> None:
    with own.stream(f"/events?run=order-4&since={token_of(own, 'order-4')}") as file:
        own.client.get("order-4").pause()

        assert event(file)["event"] == "run"


def test_what_changed_before_the_page_connected_is_told_at_once(own: Served) -> None:
    token = token_of(own, "order-4")
    own.client.get("order-4").pause()

    with own.stream(f"/events?run=order-4&since={token}") as file:
        told = event(file)

    assert told == {"retry": "500", "event": "run", "id": token_of(own, "order-4"), "data": token_of(own, "order-4")}


def test_after_a_break_the_browsers_own_token_counts(own: Served) -> None:
    headers = [("Last-Event-ID", "older")]

    with own.stream(f"/events?run=order-4&since={token_of(own, 'order-4')}", headers=headers) as file:
        assert event(file)["event"] == "run"


def test_lists_hear_of_any_run(own: Served) -> None:
    token = own.ask("/runs.json").json()["token"]

    with own.stream(f"/events?since={token}") as file:
        own.client.get("order-4").pause()

        assert event(file)["event"] == "runs"


def test_a_fifth_stream_of_one_browser_ends_its_first(own: Served) -> None:
    path = f"/events?since={own.ask('/runs.json').json()['token']}"
    with ExitStack() as stack:
        streams = [stack.enter_context(own.stream(path, headers=[("User-Agent", "one")])) for _ in range(5)]

        assert event(streams[0])["event"] == "demote"
        assert streams[0].readline() == b""
        assert len(own.app.site.pulse) == 4


def test_another_browser_keeps_its_streams(own: Served) -> None:
    path = f"/events?since={own.ask('/runs.json').json()['token']}"
    with ExitStack() as stack:
        for agent in ("one", "two"):
            for _ in range(3):
                stack.enter_context(own.stream(path, headers=[("User-Agent", agent)])).readline()

        assert len(own.app.site.pulse) == 6


def test_sixty_four_streams_stay_and_one_more_ends_the_oldest(own: Served) -> None:
    path = f"/events?since={own.ask('/runs.json').json()['token']}"
    with ExitStack() as stack:
        streams = [stack.enter_context(own.stream(path, headers=[("User-Agent", str(n // 4))])) for n in range(64)]
        for each in streams:
            each.readline()  # only then does the server know of it
        assert len(own.app.site.pulse) == 64

        stack.enter_context(own.stream(path, headers=[("User-Agent", "late")])).readline()

        assert event(streams[0])["event"] == "demote"
        assert len(own.app.site.pulse) == 64


def test_what_changed_while_the_server_was_away_is_told(small_file: Path) -> None:
    """The database numbers its changes per connection, so a later server may count up to the very number of a former one."""
    with serving(small_file) as before:
        token = before.ask("/runs.json").json()["token"]

    with serving(small_file) as after, after.stream(f"/events?since={token}") as file:
        assert event(file)["event"] == "runs"
        assert after.ask(f"/runs?part=rows&as_of={token}").status == 200


def test_a_worker_that_comes_is_told_to_the_page_of_a_run_that_missed_one(own: Served) -> None:
    since, file = token_of(own, "approval-1"), own.app.site.settings.database
    with own.stream(f"/events?run=approval-1&since={since}") as events, flowkit.open(file, workflows=[other_code]):
        assert event(events)["event"] == "run"


def test_without_any_worker_a_list_hears_that_time_passes(small_file: Path) -> None:
    """A run falls due and nobody takes it: nothing is written, and yet it is unattended from then on."""
    clock = FakeClock(1_800_000_000.0)
    with serving(small_file, clock=clock, untouched=True) as served:
        token = served.ask("/runs.json").json()["token"]
        with served.stream(f"/events?since={token}") as file:
            for _ in range(3):  # a new stream is looked at twice whatever happens
                clock.advance(11)
                assert event(file)["event"] == "runs"
