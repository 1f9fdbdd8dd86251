"""Parsing while other code of the same program parses: a finalizer of the user's may run in the middle of it."""

from __future__ import annotations

import ast
import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flowkit.definitions.parsing import parsed

TEXT = "\n".join(f"def f{number}(a, b):\n    return [a + {number}, (b, {{'x': a}})]" for number in range(300))


class Dropped:
    """Garbage that only the collector finds; it does something when it is found."""

    def __init__(self, last_wish: Callable[[], object]) -> None:
        self.me = self
        self.last_wish = last_wish

    def __del__(self) -> None:
        self.last_wish()


@contextmanager
def eager_collector() -> Iterator[None]:
    """The collector runs often, so also while a tree is built."""
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(500, 1, 1)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def test_a_finalizer_that_parses_in_the_middle_of_it_spoils_nothing() -> None:
    with eager_collector():
        Dropped(lambda: ast.parse("x = 1"))

        tree = parsed(TEXT)

    assert len(tree.body) == 300


def test_our_own_threads_parse_one_after_the_other() -> None:
    waited: list[bool] = []
    other = threading.Thread(target=lambda: parsed("x = 1"))

    def begin() -> None:
        other.start()
        other.join(0.2)
        waited.append(other.is_alive())

    with eager_collector():
        Dropped(begin)
        parsed(TEXT)
    other.join(20)

    assert waited == [True]
    assert not other.is_alive()
