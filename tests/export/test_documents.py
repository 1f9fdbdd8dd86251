"""Exports as JSON and as lines of JSON: all that a run holds, streamed, with secrets masked."""

from __future__ import annotations

import ast
import json
import tracemalloc
from typing import Any

import pytest

from flowkit import CriticalError, RunConflict, receive, step, workflow
from flowkit.client.export import Export, exported
from flowkit.client.export_pytest import exported_test
from flowkit.core.change import Change, Finish
from flowkit.core.entry import Entry
from flowkit.drivers.base import Driver
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.runtime.serving import worker_info
from flowkit.testing import Lab

HOSTILE = '"""\'\\"\n</script>{{7*7}}\u202e' + "x" * 300


def export_of(lab: Lab, id: str = "r", **options: Any) -> Export:
    row = lab.client.driver.get(id)
    assert row is not None
    return Export(lab.client.driver, row, lab.now, **options)


def text_of(chunks: Any) -> str:
    return b"".join(chunks).decode()


@step(retries=1, backoff=0)
def log_in(user: str, password: str) -> dict[str, Any]:
    raise CriticalError(user) if user == "nobody" else OSError("busy")


@workflow(tags=("vip",))
def shop(user: str, password: str) -> Any:
    return log_in(user, password)


@workflow
def waits() -> Any:
    return receive("go")


def failed(lab: Lab) -> None:
    lab.start("r", shop, "ada", "hunter2")
    with pytest.raises(Exception, match="busy"):
        lab.run_to_end("r")


def test_the_document_holds_run_entries_attempts_values_and_code() -> None:
    with Lab() as lab:
        failed(lab)

        found = json.loads(text_of(exported(export_of(lab), "json")))

    assert list(found) == ["format", "run", "code", "messages", "entries", "end"]
    assert (found["run"]["id"], found["run"]["status"], found["run"]["tags"]) == ("r", "failed", ["vip"])
    (entry,) = found["entries"]
    assert (entry["location"], entry["status"], entry["attempts"]) == ("log_in", "exhausted", 2)
    assert [failure["error"]["message"] for failure in entry["failures"]] == ["busy", "busy"]
    assert found["end"]["entries"] == 1


def test_the_messages_that_wait_are_in_the_document() -> None:
    with Lab() as lab:
        lab.start("r", waits)
        lab.send("r", "later", {"n": 1})

        found = json.loads(text_of(exported(export_of(lab), "json")))

    assert [(each["name"], each["data"]) for each in found["messages"]] == [("later", {"n": 1})]


def test_the_lines_say_what_they_are() -> None:
    with Lab() as lab:
        failed(lab)

        lines = [json.loads(line) for line in text_of(exported(export_of(lab), "ndjson")).splitlines()]

    assert [line["piece"] for line in lines] == ["run", "code", "entry", "end"]


def test_a_run_without_anything_is_a_whole_document() -> None:
    with Lab() as lab:
        lab.start("r", waits)

        found = json.loads(text_of(exported(export_of(lab), "json")))

    assert (found["messages"], found["entries"]) == ([], [])


def test_secrets_are_masked_and_counted() -> None:
    with Lab() as lab:
        failed(lab)

        text = text_of(exported(export_of(lab), "json"))

    assert "hunter2" not in text
    assert json.loads(text)["end"]["masked"] == {"password": 2}


def test_secrets_are_left_where_that_is_asked() -> None:
    with Lab() as lab:
        failed(lab)

        text = text_of(exported(export_of(lab, reveals=True), "json"))

    assert text.count("hunter2") == 2
    assert json.loads(text)["end"]["masked"] == {}


def test_a_run_that_moves_on_meanwhile_is_told() -> None:
    with Lab() as lab:
        lab.start("r", waits)
        export = export_of(lab)
        lab.run_once("r")

        found = json.loads(text_of(exported(export, "json")))

    assert found["end"]["moved"] is True


def test_no_text_of_a_run_becomes_code() -> None:
    @step(name="s")
    def echo(text: str) -> str:
        return text

    @workflow(name="import os;")
    def hostile(text: str) -> str:
        return echo(text)

    with Lab() as lab:
        lab.start('r"""); import os; (', hostile, HOSTILE)
        lab.run_to_end('r"""); import os; (')

        tree = ast.parse(text_of(exported_test(export_of(lab, 'r"""); import os; ('), "os; import sys:boo")))

    names = [type(each).__name__ for each in tree.body]
    assert names == ["Expr", "ImportFrom", "ImportFrom", "ImportFrom", "Assign", "FunctionDef"]


def test_a_run_that_has_not_ended_gives_no_test() -> None:
    with Lab() as lab:
        lab.start("r", waits)

        with pytest.raises(RunConflict, match="only a completed or failed run"):
            exported_test(export_of(lab))


def test_values_too_deep_for_a_literal_come_back_too() -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]

    @step(name="deep")
    def dig(value: Any) -> Any:
        return value

    @workflow
    def mine(value: Any) -> Any:
        return dig(value)

    with Lab() as lab:
        lab.start("r", mine, deep)
        lab.run_to_end("r")
        tree = ast.parse(text_of(exported_test(export_of(lab))))
    (literal,) = (each.value for each in tree.body if isinstance(each, ast.Assign))

    with Lab() as lab:
        run = lab.load(ast.literal_eval(literal), mine)
        assert lab.run_to_end("r") == deep == run.recorded_output()


def long_run(driver: Driver, entries: int) -> None:
    worker = driver.join(worker_info(), 1.0)
    with Lab(driver=driver) as lab:
        lab.start("r", waits)
        row = driver.get("r")
        assert row is not None
        claim = driver.take(worker, row.seq, "c", 2.0)
        assert claim is not None
        head = claim.head
        body = json.dumps("x" * 1_000).encode()
        for first in range(1, entries, 500):
            made = [
                Entry(seq=n, location=f"s#{n}", kind="step", status="completed", settled_at=3.0, attempts=1, output=body)
                for n in range(first, first + 500)
            ]
            change = Change(run=row.seq, epoch=claim.epoch, head=head, add=made, entries=first + 499, seen=0, owes=0)
            driver.write([change], 3.0)
            head += 1
        end = Change(
            run=row.seq, epoch=claim.epoch, head=head, entries=entries, seen=0, owes=0, status="completed",
            finish=Finish(output=b"1"), release=True,
        )  # fmt: skip
        driver.write([end], 4.0)
        measure(lab)


def measure(lab: Lab) -> None:
    tracemalloc.start()
    document = sum(map(len, exported(export_of(lab), "json")))
    test = sum(map(len, exported_test(export_of(lab))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert min(document, test) > 10_000_000
    assert peak < 2_000_000


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_ten_thousand_entries_are_streamed_in_constant_memory(tmp_path: Any) -> None:
    long_run(SQLiteDriver(tmp_path / "runs.db"), 10_000)
