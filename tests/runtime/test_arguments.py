"""What a program gives that cannot be: refused at once, in words, and before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import flowkit


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"tag": 3}, TypeError, "tag is a text, not 3"),
        ({"tag": ["vip"]}, TypeError, "tag is a text, not"),
        ({"workflow": 7}, TypeError, "workflow is a workflow or its name, not 7"),
        ({"status": 7}, TypeError, "status is a status or several, not 7"),
        ({"status": [7]}, ValueError, "there is no status 7"),
    ],
)
def test_a_filter_that_can_match_nothing_is_refused(path: Path, asked: dict[str, Any], error: type[Exception], said: str) -> None:
    with flowkit.open(path, worker=False) as fk, pytest.raises(error, match=said):
        fk.runs(**asked)


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"logger": 7}, TypeError, "logger is a logging.Logger, not 7"),
        ({"clock": 7}, TypeError, "clock is an object whose now\\(\\) gives UTC epoch seconds, not 7"),
        ({"clock": "now"}, TypeError, "clock is an object"),
        (
            {"max_payload": 0},
            ValueError,
            r"max_payload \(argument max_payload=\): 0 is out of range; it is 1 bytes to 64,000,000",
        ),
        ({"max_payload": "0KB"}, ValueError, "max_payload .* is out of range"),
        ({"max_payload": "1GB"}, ValueError, "max_payload .* is out of range"),
        ({"max_payload": [8]}, ValueError, "max_payload .* cannot be read"),
        (
            {"concurrency": 10**9},
            ValueError,
            r"concurrency \(argument concurrency=\): 1000000000 is out of range; it is 1 to 100,000",
        ),
    ],
)
def test_a_handle_is_not_opened_with_what_could_not_work(
    path: Path, asked: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        flowkit.open(path, **asked)

    assert not path.exists()
