"""The seam for encryption and compression: what happens to a body on its way to the store and back."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Codec"]


class Codec(Protocol):
    """Turns stored bodies into other bytes and back, for encryption or compression. Used from several threads at
    once.
    """

    def encode(self, body: bytes) -> bytes:
        """What to store in place of `body`."""
        ...

    def decode(self, body: bytes) -> bytes:
        """The `body` that `encode` was given."""
        ...
