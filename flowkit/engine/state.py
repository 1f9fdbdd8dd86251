"""The run's own durable state: what bodies that succeed leave for later ones.

A body works on a decoded copy. Only if it succeeds, what it changed becomes a patch of top-level keys, written with the
step's entry in the same commit; an attempt that fails, times out or loses leaves nothing. Patches are folded in the order
in which their steps completed, so that for one key the later commit wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

import msgspec

from flowkit.codec import coder
from flowkit.core.entry import Entry
from flowkit.errors import PayloadError

__all__ = ["RunState", "StateBox", "StateView", "decoded_state", "fold_patches"]

_values = coder()


class _Patch(msgspec.Struct):
    set: dict[str, msgspec.Raw] = {}
    gone: list[str] = []


class _Kept(msgspec.Struct):
    at: float
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Base(msgspec.Struct):
    """The state that no live entry holds, from pruned entries and rollback handlers: by key, its value (none: deleted) and
    the instant of the commit it came from, since live entries may be older or newer.
    """

    keys: dict[str, _Kept] = {}


_read_patch = msgspec.json.Decoder(_Patch)
_read_base = msgspec.json.Decoder(_Base)


def fold_patches(base: bytes | None, entries: Iterable[Entry]) -> dict[str, bytes]:
    """The state after `entries`: encoded values by key."""
    known = _folded(base, entries)
    return {key: bytes(kept.value) for key, kept in known.items() if kept.value is not msgspec.UNSET}


def decoded_state(base: bytes | None, entries: Iterable[Entry]) -> dict[str, Any]:
    """The state after `entries`, decoded."""
    return {key: _values.decode(body) for key, body in fold_patches(base, entries).items()}


def _folded(base: bytes | None, entries: Iterable[Entry]) -> dict[str, _Kept]:
    known = (_read_base.decode(base) if base else _Base()).keys
    for entry in sorted(_patched(entries), key=lambda each: (each.settled_at or 0.0, each.seq)):
        _keep(known, _read_patch.decode(entry.patch or b"{}"), entry.settled_at or 0.0)
    return known


def _patched(entries: Iterable[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.patch is not None)


def _keep(known: dict[str, _Kept], change: _Patch, at: float) -> None:
    news = dict.fromkeys(change.gone, _Kept(at)) | {key: _Kept(at, value) for key, value in change.set.items()}
    for key, kept in news.items():
        if key not in known or known[key].at <= at:
            known[key] = kept


class RunState:
    """The committed state as one worker knows it, folded when first asked for: runs that never ask pay nothing."""

    def __init__(self, base: bytes | None, entries: Iterable[Entry]) -> None:
        self.base = base
        self._entries: Iterable[Entry] | None = entries
        self._values: dict[str, bytes] = {}

    def current(self) -> dict[str, bytes]:
        """Encoded values by key."""
        if self._entries is not None:
            entries, self._entries = list(self._entries), None
            self._values = fold_patches(self.base, entries)
        return self._values

    def latest(self) -> float:
        """The instant of the newest commit in the base: what comes now is newer, whatever the clock says."""
        if not self.base:
            return 0.0
        return max((kept.at for kept in _folded(self.base, ()).values()), default=0.0)

    def rebase(self, gone: Iterable[Entry], live: Iterable[Entry]) -> bytes:
        """The new base once `gone` has gone and `live` remains."""
        known = _folded(self.base, gone)
        deleted = {key for key, kept in known.items() if kept.value is msgspec.UNSET}
        if deleted:  # worth remembering only while a live entry would bring the key back
            set_by_live = {key for entry in _patched(live) for key in _read_patch.decode(entry.patch or b"{}").set}
            known = {key: kept for key, kept in known.items() if key not in deleted or key in set_by_live}
        return self._rebased(known)

    def merge(self, patch: bytes, now: float) -> bytes:
        """The new base with the patch of a rollback handler, whose entry is settled and changes no more."""
        self.apply(patch)
        known = _folded(self.base, ())
        _keep(known, _read_patch.decode(patch), now)
        return self._rebased(known)

    def apply(self, patch: bytes) -> None:
        """A patch is staged."""
        if self._entries is None:
            change = _read_patch.decode(patch)
            for key in change.gone:
                self._values.pop(key, None)
            self._values |= {key: bytes(value) for key, value in change.set.items()}

    def _rebased(self, known: dict[str, _Kept]) -> bytes:
        self.base = msgspec.json.encode(_Base(keys=known))
        return self.base


class StateBox:
    """One body's view of the state, decoded when the body first asks for it."""

    __slots__ = ("_before", "_source", "view")

    def __init__(self, source: RunState) -> None:
        self._source = source
        self._before: dict[str, bytes] = {}
        self.view: StateView | None = None

    def open(self) -> StateView:
        """The mapping that `run_state()` gives."""
        if self.view is None:
            self._before = dict(self._source.current())
            self.view = StateView({key: _values.decode(body) for key, body in self._before.items()})
        return self.view

    def patch(self, limit: int) -> bytes | None:
        """What the body changed, None if nothing.

        Raises:
            PayloadError: a value cannot be encoded, with the path ``$state.key…``.
        """
        if self.view is None:
            return None
        after = {key: self._encode(key, value, limit) for key, value in self.view.items()}
        changed = {key: msgspec.Raw(body) for key, body in after.items() if self._before.get(key) != body}
        gone = [key for key in self._before if key not in after]
        return msgspec.json.encode(_Patch(set=changed, gone=gone)) if changed or gone else None

    def _encode(self, key: str, value: Any, limit: int) -> bytes:
        try:
            return _values.encode(value, limit=limit)
        except PayloadError as error:
            error.path = f"$state.{key}{error.path[1:]}"
            error.args = (f"the run's state cannot be stored at {error.path}: {error}",)
            raise


class StateView(MutableMapping[str, Any]):
    """A mapping with text keys over a decoded copy."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"keys of run_state() are text, not {type(key).__name__}: {key!r}")
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"run_state({self._values!r})"
