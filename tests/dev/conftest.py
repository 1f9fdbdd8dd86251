"""What the tests of `flowkit dev` share: a folder with an APP, and the real thing running over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.dev.harness import Dev


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Dev]]:
    """Starts ``flowkit dev`` in the test's own folder, and ends it, with all of its children, afterwards."""
    monkeypatch.delenv("FLOWKIT_DB", raising=False)
    started: list[Dev] = []

    def start(app: str = "app.py", *options: str, here: str = ".", replay: bool = False) -> Dev:
        made = Dev(tmp_path / here, app, *options, replay=replay)
        started.append(made)
        return made

    yield start
    for each in started:
        each.end()
