"""GET /metrics: what the store says of all runs, for Prometheus, under the inspector's own rules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.inspector.served import Served, serving
from tests.observe.figures import Figures

SECRET = "s" * 43


def test_a_scrape_gets_the_runs_of_the_store(small: Served) -> None:
    reply = small.ask("/metrics")

    figures = Figures(reply.body)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert figures.of("flowkit_store_up") == 1
    assert (figures.of("flowkit_runs", status="failed") or 0) > 0


def test_a_scrape_changes_nothing_and_names_no_run(small: Served) -> None:
    reply = small.ask("/metrics")

    assert b"order-" not in reply.body


def test_with_a_token_the_bearer_is_let_in_and_nobody_else(small_file: Path) -> None:
    with serving(small_file, token=SECRET, session="c" * 43) as guarded:
        told = guarded.ask("/metrics", headers=[("Authorization", f"Bearer {SECRET}")])
        untold = guarded.ask("/metrics")

    assert told.status == 200
    assert b"flowkit_store_up 1.0" in told.body
    assert untold.status == 401
    assert b"flowkit_store_up" not in untold.body


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_no_other_site_may_even_navigate_there(small: Served, site: str) -> None:
    headers = [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]

    assert small.ask("/metrics", headers=headers).status == 403


def test_without_the_extra_it_is_said_what_to_install(small_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with serving(small_file) as served:
        reply = served.ask("/metrics")

    assert (reply.status, reply.body) == (501, b"metrics need prometheus-client: pip install 'flowkit-engine[metrics]'\n")
