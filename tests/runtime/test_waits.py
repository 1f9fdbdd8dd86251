"""Waiting on a store that does not answer for a while: what is asked again, and what is told at once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from flowkit.client.waits import Bulletin, end_of, steadily
from flowkit.errors import SchemaTooNew, StoreBusy, StoreError


def answering(*answers: Exception | str) -> tuple[list[int], Callable[[], str]]:
    """A read that raises or returns these, one after the other, and how often it was asked."""
    left, asked = list(answers), [0]

    def read() -> str:
        asked[0] += 1
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return asked, read


def test_a_store_that_is_busy_or_away_is_asked_again() -> None:
    asked, read = answering(StoreBusy("locked"), StoreError("away", passing=True), "here")

    assert steadily(Bulletin(0.001), read, end_of(30)) == "here"
    assert asked == [3]


@pytest.mark.parametrize("error", [SchemaTooNew("newer"), StoreError("a wrong password")], ids=["schema", "refused"])
def test_what_time_does_not_mend_is_told_at_once(error: StoreError) -> None:
    asked, read = answering(error)

    with pytest.raises(type(error)):
        steadily(Bulletin(0.001), read, None)

    assert asked == [1]


def test_a_limit_ends_the_asking() -> None:
    asked, read = answering(StoreBusy("locked"))
    began = time.monotonic()

    with pytest.raises(StoreBusy):
        steadily(Bulletin(0.01), read, end_of(0.2))

    assert asked[0] > 1
    assert time.monotonic() - began >= 0.2
