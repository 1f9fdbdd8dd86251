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


class _Base(msgspec.Struct):
    """The state that no live entry holds: folded values, and the patches of rollback handlers with their instants."""

    values: dict[str, msgspec.Raw] = {}
    late: list[tuple[float, _Patch]] = []


_read_patch = msgspec.json.Decoder(_Patch)
_read_base = msgspec.json.Decoder(_Base)


def fold_patches(base: bytes | None, entries: Iterable[Entry]) -> dict[str, bytes]:
    """The state after `entries`: encoded values by key."""
    known = _read_base.decode(base) if base else _Base()
    state = {key: bytes(value) for key, value in known.values.items()}
    patches = [(instant, 0, patch) for instant, patch in known.late]
    patches += [
        (entry.settled_at or 0.0, entry.seq, _read_patch.decode(entry.patch)) for entry in entries if entry.patch is not None
    ]
    for _, _, patch in sorted(patches, key=lambda each: each[:2]):
        _fold(state, patch)
    return state


def decoded_state(base: bytes | None, entries: Iterable[Entry]) -> dict[str, Any]:
    """The state after `entries`, decoded."""
    return {key: _values.decode(body) for key, body in fold_patches(base, entries).items()}


def _fold(state: dict[str, bytes], change: _Patch) -> None:
    for key in change.gone:
        state.pop(key, None)
    for key, value in change.set.items():
        state[key] = bytes(value)


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

    def rebase(self, entries: Iterable[Entry]) -> bytes:
        """The new base once these entries are gone."""
        known = _read_base.decode(self.base) if self.base else _Base()
        late, known.late = known.late, []
        folded = fold_patches(msgspec.json.encode(known), entries)
        values = {key: msgspec.Raw(body) for key, body in folded.items()}
        self.base = body = msgspec.json.encode(_Base(values=values, late=late))
        return body

    def merge(self, patch: bytes, now: float) -> bytes:
        """The new base with the patch of a rollback handler, whose entry is settled and changes no more."""
        self.apply(patch)
        known = _read_base.decode(self.base) if self.base else _Base()
        known.late.append((now, _read_patch.decode(patch)))
        self.base = body = msgspec.json.encode(known)
        return body

    def apply(self, patch: bytes) -> None:
        """A patch is staged."""
        if self._entries is None:
            _fold(self._values, _read_patch.decode(patch))


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
