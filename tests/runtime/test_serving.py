"""What a worker tells of itself: what it serves, and what its code consists of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import flowkit
from flowkit import Workflow, receive, step, workflow
from flowkit.client import Flowkit
from flowkit.client.reader import Reader
from flowkit.definitions.graphs import graph_of
from flowkit.definitions.manifest import manifest_of
from flowkit.registry import fingerprint, project_code, project_sources
from flowkit.runtime.serving import Serving, read_serving
from flowkit.runtime.worker import Worker
from tests.runtime.waiting import until


@step
def charge() -> str:
    """Charges."""
    return "charged"


@step(retries=7)
def bill() -> str:
    """Charges."""
    # the same, under another name
    return "charged"


@step
def other() -> str:
    return "something else"


@workflow(name="order")
def order() -> None:
    charge()
    receive("paid")


@workflow(name="bill-order")
def bill_order() -> None:
    bill()
    other()


def serving(fk: Flowkit) -> list[Serving]:
    return [read_serving(worker.info) for worker in fk.driver.workers() if worker.kind == "worker"]


def test_a_worker_says_what_it_serves_and_under_which_code(path: Path) -> None:
    with flowkit.open(path, workflows=[order, bill_order]) as fk:
        (told,) = serving(fk)
        (worker,) = fk.driver.workers()

    assert told == Serving(code=project_code(project_sources()), workflows=("bill-order", "order"))
    assert worker.pid == os.getpid()


def test_a_worker_that_comes_to_serve_more_says_so(path: Path) -> None:
    served: dict[str, Workflow[..., object]] = {"order": order}
    with flowkit.open(path, worker=False) as fk:
        worker = Worker(fk.house, lambda: served)
        worker.start()
        until(lambda: serving(fk)[0].workflows == ("order",))

        served["bill-order"] = bill_order

        until(lambda: serving(fk)[0].workflows == ("bill-order", "order"))
        until(lambda: set(Reader(fk).manifest(project_code(project_sources())).workflows) == {"order", "bill-order"})
        worker.stop()


def test_what_another_program_wrote_there_says_nothing() -> None:
    assert read_serving("{}") == read_serving("[]") == read_serving("no JSON") == Serving()


def test_the_code_of_a_run_is_the_projects_whatever_its_workflow(path: Path) -> None:
    code = project_code(project_sources())

    with flowkit.open(path, workflows=[order, bill_order]) as fk:
        runs = [fk.start("a", order), fk.start("b", bill_order)]
        until(lambda: runs[0].status() == "sleeping" and runs[1].status() == "completed")
        rows = [row for run in runs if (row := fk.driver.get(run.id)) is not None]
        reader = Reader(fk)

        assert [project_code(row.code) for row in rows] == [code, code]
        assert [reader.first_code(row.seq) for row in rows] == [code, code]
        assert rows[0].code != rows[1].code


def test_fingerprints_differ_by_workflow_and_by_sources() -> None:
    found = {fingerprint(each, sources) for each in (order, bill_order) for sources in ("", "a", "b")}

    assert len(found) == 6


def test_the_manifest_of_a_code_is_there_as_soon_as_a_worker_has_run_under_it(path: Path) -> None:
    code = project_code(project_sources())

    for _ in range(2):
        with flowkit.open(path, workflows=[order, bill_order]):
            pass

    with flowkit.open(path, worker=False) as fk:
        assert Reader(fk).manifest(code) == manifest_of([order, bill_order])
        assert Reader(fk).manifest("another").workflows == {}
        assert Reader(fk).graph(code, "order") == graph_of(order)
        assert Reader(fk).graph(code, "another") is None


class Odd:
    """A body that does not tell what it is."""

    def __call__(self) -> str:
        return "odd"

    def __repr__(self) -> str:
        raise LookupError("not to be shown")


class Secretive(Odd):
    """A body that cannot be looked at at all while it `hides`."""

    hides = False

    def __getattribute__(self, name: str) -> object:
        if name == "__code__" and type(self).hides:
            raise LookupError("not to be looked at")
        return super().__getattribute__(name)


odd = step(Odd(), name="odd")
secretive = step(Secretive(), name="secretive")


@workflow(name="oddly")
def oddly(body: object = Odd()) -> str:  # a default whose repr raises
    return odd()


def test_a_body_and_a_default_whose_repr_raises_are_described_by_their_type(path: Path) -> None:
    again = step(Odd(), name="again")

    @workflow(name="oddly-again")
    def oddly_again() -> str:
        return again()

    found = manifest_of([oddly, oddly_again])

    assert found.workflows["oddly"]["odd"] == found.workflows["oddly-again"]["again"]
    assert set(found.graphs) == {"oddly", "oddly-again"}


def test_a_workflow_that_cannot_be_looked_at_is_left_out_and_the_others_are_published(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Secretive, "hides", True)  # here alone: other workers of this process look at all there is
    code = project_code(project_sources())

    @workflow(name="secretly")
    def secretly() -> str:
        return secretive()

    served = {each.name: each for each in (oddly, order, secretly)}
    with flowkit.open(path, worker=False) as fk:
        worker = Worker(fk.house, lambda: served)
        worker.start()
        until(lambda: set(Reader(fk).manifest(code).workflows) == {"oddly", "order"})
        served = {**served, bill_order.name: bill_order}  # imported later
        until(lambda: set(Reader(fk).manifest(code).workflows) == {"bill-order", "oddly", "order"})

        assert fk.run("r", secretly) == "odd"
        assert serving(fk)[0].workflows == ("bill-order", "oddly", "order", "secretly")
        worker.stop()
    (said,) = [record for record in caplog.records if "could not be described" in record.getMessage()]
    assert "'secretly'" in said.getMessage()
    assert "LookupError: not to be looked at" in said.getMessage()


def test_a_body_is_known_by_what_it_does_whatever_its_name_and_options() -> None:
    steps = manifest_of([order, bill_order]).workflows

    assert steps["order"]["charge"] == steps["bill-order"]["bill"] != steps["bill-order"]["other"]
