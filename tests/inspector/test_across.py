"""The pages over all runs: instants to come, messages kept, how a workflow fares, what runs here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

import flowkit
from flowkit import join, receive, sleep, step, workflow
from flowkit.cli.serving import load_inspector
from flowkit.client.across import AcrossReader
from flowkit.core.run import STATUSES
from flowkit.drivers import open_driver
from flowkit.drivers.base import WorkerInfo
from flowkit.testing import FakeClock, Lab
from flowkit.testing.clock import START
from tests.inspector.given import ROW, module
from tests.inspector.served import Served, serving
from tests.inspector.stories import approval, checkout

stats, kept, timers, crews = map(module, ("stats", "kept", "timers", "crew"))
SYSTEM = import_module(f"{load_inspector().__name__}.views.system")


@step(retries=3, backoff=600, backoff_max=600)
def flaky() -> None:
    raise TimeoutError("no answer")


@workflow
def naps(hours: int) -> None:
    """Sleeps in two branches, of which one takes longer."""
    join("naps", {"short": lambda: sleep(f"{hours}h", name="short"), "long": lambda: sleep(f"{hours * 10}h", name="long")})


@workflow
def tries() -> None:
    flaky()


@workflow
def waits() -> Any:
    return receive("paid", timeout="3h").data


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def lab(tmp_path: Path, clock: FakeClock) -> Iterator[Lab]:
    with Lab(tmp_path / "x.db", clock=clock) as made:
        yield made


@pytest.fixture
def served(lab: Lab, tmp_path: Path, clock: FakeClock) -> Iterator[Served]:
    """Looks at the lab's database while it is written."""
    with serving(tmp_path / "x.db", clock=clock) as found:
        yield found


def begin(lab: Lab, id: str, made: Any, *args: Any) -> None:
    lab.start(id, made, *args)
    lab.run_once(id)


def coming(served: Served, query: str = "") -> list[tuple[str, str, float]]:
    """Run, kind and instant of each timer, in hours from the start."""
    timers = served.ask(f"/timers.json{query}").json()["timers"]
    return [(timer["run"], timer["kind"], round((timer["due"]["at"] - START) / 3_600, 2)) for timer in timers]


# --- timers


def test_every_kind_of_instant_is_listed_soonest_first(lab: Lab, served: Served) -> None:
    begin(lab, "n-1", naps, 1)
    begin(lab, "w-1", waits)
    begin(lab, "t-1", tries)
    lab.start("later", approval.options(delay="2h"), {})

    assert coming(served) == [
        ("t-1", "retry", 0.17), ("n-1", "sleep", 1.0), ("later", "start", 2.0), ("w-1", "deadline", 3.0), ("n-1", "sleep", 10.0),
    ]  # fmt: skip


def test_a_timer_leads_to_its_entry_and_its_run(lab: Lab, served: Served) -> None:
    begin(lab, "w-1", waits)

    (timer,) = served.ask("/timers.json").json()["timers"]

    assert (timer["what"], timer["run_href"], timer["href"]) == ("paid", "/runs/w-1", "/runs/w-1/e/1")


def test_pages_of_timers_follow_one_another_without_gap_or_double(lab: Lab, served: Served) -> None:
    for n in range(120):
        begin(lab, f"n-{n}", naps, 1 + n // 40)

    seen, href = [], "/timers"
    while href:
        path, _, query = href.partition("?")
        page = served.ask(f"{path}.json?{query}").json()
        seen += [(timer["run"], timer["what"]) for timer in page["timers"] if timer["what"].endswith("short")]
        href = page["next_href"]

    assert seen == [(f"n-{n}", "naps/short/short") for n in range(120)]


def test_what_a_run_has_beyond_the_page_is_said(lab: Lab, served: Served) -> None:
    for n in range(60):
        begin(lab, f"n-{n}", naps, 1)

    timers = served.ask("/timers.json").json()["timers"]

    assert {timer["later"] for timer in timers} == {1}
    assert "and 1 more in this run, later" in served.ask("/timers").text


def test_what_is_due_already_says_why_it_has_not_happened(lab: Lab, served: Served, clock: FakeClock) -> None:
    begin(lab, "w-1", waits)
    clock.advance(4 * 3_600)

    page = served.ask("/timers.json").json()

    assert [(timer["run"], timer["late"]) for timer in page["late"]] == [("w-1", "a worker will take it")]
    assert not page["timers"]


@pytest.mark.parametrize(
    ("crew", "why"),
    [
        (crews.NOBODY, "no worker is running"),
        (crews.Crew(frozenset({1}), frozenset({"other"})), "no worker serves its workflow"),
        (crews.Crew(frozenset({1}), None), "a worker will take it"),
    ],
)
def test_why_what_is_due_does_not_happen(crew: Any, why: str) -> None:
    assert timers.late_reason(ROW, crew) == why


def test_timers_of_one_workflow_alone(lab: Lab, served: Served) -> None:
    begin(lab, "w-1", waits)
    begin(lab, "t-1", tries)

    assert [run for run, *_ in coming(served, "?workflow=waits")] == ["w-1"]


def test_a_paused_run_has_no_timer(lab: Lab, served: Served) -> None:
    begin(lab, "w-1", waits)
    lab.get("w-1").pause()

    assert coming(served) == []


def test_a_branch_that_sleeps_beside_one_at_work_has_its_timer(lab: Lab, served: Served) -> None:
    begin(lab, "n-1", naps, 1)
    worker = lab.client.driver.join(WorkerInfo(name="w", host="h", pid=1), lab.client.house.clock.now())
    lab.advance("61m")
    assert lab.client.driver.take(worker, 1, "c", lab.client.house.clock.now()) is not None

    assert ("n-1", "sleep", 10.0) in coming(served)


@pytest.mark.parametrize("url", [":memory:", "file"])
def test_stores_with_and_without_an_overview_tell_of_the_same_timers(url: str, tmp_path: Path) -> None:
    with Lab(driver=open_driver(":memory:" if url == ":memory:" else tmp_path / "y.db")) as lab:
        begin(lab, "n-1", naps, 1)
        begin(lab, "w-1", waits)

        found = AcrossReader(lab.client).due(10)

    assert [(due.run.id, [entry.location for entry in due.entries]) for due in found] == [
        ("n-1", ["naps/short/short", "naps/long/long"]), ("w-1", ["paid"]),
    ]  # fmt: skip


def test_a_store_that_cannot_tell_says_so(tmp_path: Path) -> None:
    with Lab(driver=open_driver(":memory:")) as lab:
        reader = AcrossReader(lab.client)

        assert (reader.kept(5), reader.deeds(5), reader.facts()) == (None, None, None)
    assert dict(SYSTEM.store_lines(None, "", 0.0))["Database"] == "in memory"


# --- messages


def test_kept_messages_of_all_open_runs_stand_oldest_first(lab: Lab, served: Served) -> None:
    begin(lab, "a-1", approval, {})
    begin(lab, "w-1", waits)
    lab.send("w-1", "note", {"n": 1})
    lab.advance("1s")
    lab.send("a-1", "comment", {"n": 2})

    messages = served.ask("/messages.json").json()["kept"]

    assert [(message["name"], message["run"], message["why"]) for message in messages] == [
        ("note", "w-1", "nobody waits for note; the run waits for paid"),
        ("comment", "a-1", "nobody waits for comment; the run waits for approved or rejected"),
    ]


def test_messages_of_ended_runs_stand_apart(lab: Lab, served: Served) -> None:
    begin(lab, "w-1", waits)
    lab.send("w-1", "note", {"n": 1})
    lab.get("w-1").cancel()

    page, everything = served.ask("/messages.json").json(), served.ask("/messages.json?ended=1").json()

    assert (page["kept"], page["looked_at"]) == ([], 1)
    assert [message["why"] for message in everything["kept"]] == ["the run has ended"]


def test_pages_of_messages_follow_one_another(lab: Lab, served: Served) -> None:
    begin(lab, "w-1", waits)
    for n in range(120):
        lab.send("w-1", f"note-{n}", {})

    seen, href = [], "/messages"
    while href:
        path, _, query = href.partition("?")
        page = served.ask(f"{path}.json?{query}").json()
        seen += [message["name"] for message in page["kept"]]
        href = page["next_href"]

    assert seen == [f"note-{n}" for n in range(120)]


def test_who_waits_for_what_is_counted_by_workflow_and_names(lab: Lab, served: Served) -> None:
    for n in range(3):
        begin(lab, f"w-{n}", waits)
        lab.advance("1s")
    begin(lab, "a-1", approval, {})

    groups = served.ask("/messages.json").json()["waits"]

    assert [(group["workflow"], group["names"], group["count"], group["run"]) for group in groups] == [
        ("waits", ["paid"], 3, "w-0"), ("approval", ["approved", "rejected"], 1, "a-1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"status": "completed"}, "the run has ended"), ({"status": "paused", "waiting": ("x",)}, "the run is paused"),
        ({"status": "running"}, "the run does not wait for a message now"),
        ({"status": "sleeping", "waiting": ("x",)}, "about to be taken"),
        ({"status": "sleeping", "waiting": ("*",)}, "about to be taken"),
    ],
)  # fmt: skip
def test_why_a_message_is_kept(fields: dict[str, Any], why: str) -> None:
    assert kept.why_kept(changed(ROW, **fields), "x") == why


# --- the system


def test_the_slowest_reads_of_this_process_are_told_and_whose_they_are(own: Served) -> None:
    own.ask("/runs")

    reads = own.ask("/system.json").json()["reads"]
    page = own.ask("/system").text

    assert 0 < len(reads) <= 15
    assert all(each["count"] >= 1 and each["slowest"].endswith(" ms") for each in reads)
    assert any("FROM runs" in each["text"] for each in reads)
    assert "are not among them" in page


def test_verbs_are_listed_newest_first_with_their_run_and_who_asked(own: Served) -> None:
    own.post("/runs/order-4/pause", op="a" * 32)

    deeds = own.ask("/system.json").json()["deeds"]

    assert [(deed["verb"], deed["run"], deed["result"]) for deed in deeds[:2]] == [
        ("pause", "order-4", "paused"), ("cancel", "order-6", "cancelled"),
    ]  # fmt: skip
    assert deeds[0]["who"] == "inspector"


def test_pages_of_verbs_follow_one_another(lab: Lab, served: Served) -> None:
    begin(lab, "w-1", waits)
    run = lab.get("w-1")
    for _ in range(60):
        run.pause()
        run.resume()

    seen, href = [], "/system"
    while href:
        path, _, query = href.partition("?")
        page = served.ask(f"{path}.json?{query}").json()
        seen += [deed["verb"] for deed in page["deeds"]]
        href = page["next_href"]

    assert seen == ["resume", "pause"] * 60


def test_the_database_is_told_by_path_sizes_and_schema(own: Served) -> None:
    store = dict(own.ask("/system.json").json()["store"])

    assert store["Path"] == own.app.site.settings.database
    assert store["Schema"] == "1"
    assert store["Runs ever"] == "13"
    assert store["Size"].endswith("are free")


def test_a_worker_of_this_machine_is_told_with_its_memory(tmp_path: Path) -> None:
    with flowkit.open(tmp_path / "x.db"), serving(tmp_path / "x.db") as served:
        (worker,) = [each for each in served.ask("/system.json").json()["workers"] if each["alive"]]

    assert worker["memory"].endswith("MB")
    assert worker["owned"] == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "whoever is on this machine may look"), ({"token": "t"}, "needed for every page"),
        ({"read_only": True}, "none, it is read-only"), ({"hosts": frozenset({"box.lan"})}, "box.lan"),
    ],
)  # fmt: skip
def test_who_may_look_is_said(settings: dict[str, Any], said: str) -> None:
    lines = SYSTEM.posture_lines(load_inspector().Settings(**settings))

    assert said in " ".join(text for _, text in lines)


def test_the_token_is_never_shown(small_file: Path) -> None:
    with serving(small_file, token="s3cret" * 8) as served:
        page = served.ask("/system", headers=[("Authorization", f"Bearer {'s3cret' * 8}")]).text

    assert "s3cret" not in page


def test_the_help_knows_every_state(small: Served) -> None:
    page = small.ask("/help.json").json()

    assert tuple(meaning["state"]["word"] for meaning in page["runs"]) == STATUSES
    assert {"exhausted", "rolled_back", "retrying"} <= {meaning["state"]["word"] for meaning in page["entries"]}


def test_an_empty_database_has_all_of_these_pages(tmp_path: Path) -> None:
    with serving(tmp_path / "empty.db") as served:
        texts = {path: served.ask(path).text for path in ("/timers", "/messages", "/system", "/help")}

    assert "Nothing is timed" in texts["/timers"]
    assert "No message waits" in texts["/messages"]
    assert "No worker has been at this database" in texts["/system"]
    assert checkout.name not in texts["/help"]
