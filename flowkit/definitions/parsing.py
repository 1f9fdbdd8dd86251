"""The syntax tree of a text, one at a time, whatever other threads of the program parse meanwhile.

Python 3.11 counts the depth of a tree while it builds it, in one place for all threads. Where another thread gets its turn
then, which takes no more than a finalizer of the user's, and parses too, one of the two gets a `SystemError`. A worker describes
its code in a thread of its own, since that takes far longer than opening may, so our own threads wait for each other, and what
a thread of the user's has spoilt is parsed again.
"""

from __future__ import annotations

import ast
import os
import threading

__all__ = ["parsed"]

_TRIES = 5
_one_at_a_time = threading.RLock()  # a finalizer that runs meanwhile may come here again


def parsed(text: str | bytes) -> ast.Module:
    """As `ast.parse`.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: it is no Python, or too much of it.
    """
    with _one_at_a_time:
        for _ in range(_TRIES - 1):
            try:
                return ast.parse(text)
            except SystemError:
                continue
        return ast.parse(text)


def _forget_lock() -> None:
    """In a forked child: the thread that held it is the parent's."""
    global _one_at_a_time
    _one_at_a_time = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
