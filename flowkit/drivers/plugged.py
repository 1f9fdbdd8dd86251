"""Drivers of other packages, found by the scheme of the URL.

A package says in its metadata which scheme it opens and with what: an entry point of the group `flowkit.drivers`, whose
name is the scheme and whose object is called with the URL and the settings, as `open_driver` gets them.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from flowkit.drivers.base import Driver
from flowkit.drivers.connections import Durability
from flowkit.errors import FlowkitError, StoreError
from flowkit.settings import Settings

__all__ = ["GROUP", "Opener", "plugged"]

GROUP = "flowkit.drivers"


class Opener(Protocol):
    """What an entry point of the group `flowkit.drivers` names. It creates or migrates the store if need be."""

    def __call__(self, url: str, *, durability: Durability, readonly: bool, settings: Settings) -> Driver: ...


def plugged(scheme: str) -> Callable[..., Driver] | None:
    """What opens a URL with this scheme; None if no installed package does.

    Raises:
        StoreError: several packages claim the scheme, or the one that does cannot be imported.
    """
    found = list(entry_points(group=GROUP, name=scheme))
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(sorted(_package(point) for point in found))
        raise StoreError(f"several packages open {scheme}://: {names}. Uninstall all but one of them.")
    (point,) = found
    try:
        opener: Callable[..., Driver] = point.load()
    except FlowkitError:
        raise
    except Exception as error:  # another package's module: whatever it raises, the user is told whose it is
        raise StoreError(f"{_package(point)} opens {scheme}://, but {point.value} cannot be imported: {error}") from error
    return opener


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
