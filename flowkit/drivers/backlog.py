"""Operations that no group has taken yet, in order: a bounded queue, and a door before it.

Above `most_operations` or `most_bytes` an operation stands at the door, and comes in when a group has made room. Whoever gave
it waits meanwhile, as he waits for its result: a thread blocks, a task awaits. Whoever takes a group admits the next
operations himself instead of waking their threads to queue up: a thread that must be woken to make progress is a thread that
can fail to be.

Not thread-safe: the writer's lock is held around every call.
"""

from __future__ import annotations

from collections import deque

from flowkit.drivers.group import Item, size_of

__all__ = ["Backlog"]


class Backlog:
    """`len()` is how many operations are inside; `size` is roughly their bytes."""

    __slots__ = ("_door", "_inside", "_most_bytes", "_most_operations", "size")

    def __init__(self, *, most_operations: int = 10_000, most_bytes: int = 64_000_000) -> None:
        self._most_operations = most_operations
        self._most_bytes = most_bytes
        self._inside: deque[Item] = deque()
        self._door: deque[Item] = deque()
        self.size = 0

    def __len__(self) -> int:
        return len(self._inside)

    @property
    def outside(self) -> int:
        """How many operations stand at the door."""
        return len(self._door)

    def add(self, item: Item) -> None:
        """Take `item` in behind all others, or let it stand at the door."""
        item.size = size = size_of(item.op)
        if self._door or len(self._inside) >= self._most_operations or self.size >= self._most_bytes:
            self._door.append(item)  # see `_has_room`
        else:
            self._inside.append(item)
            self.size += size

    def take(self, most: int, most_bytes: int) -> list[Item]:
        """The oldest operations, marked as taken: up to `most`, and no more once they have `most_bytes`."""
        items: list[Item] = []
        size = 0
        while self._inside and len(items) < most and size < most_bytes:
            item = self._inside.popleft()
            item.taken = True
            size += item.size
            items.append(item)
        self.size -= size
        if self._door:
            self._open_door()
        return items

    def remove(self, item: Item) -> None:
        """Forget an operation that was withdrawn, wherever it stands."""
        if item in self._door:
            self._door.remove(item)
            return
        self._inside.remove(item)
        self.size -= item.size
        self._open_door()

    def clear(self) -> list[Item]:
        """All operations, marked as taken: whoever runs out of patience before he is answered must not look for his here."""
        items = [*self._inside, *self._door]
        for item in items:
            item.taken = True
        self._inside.clear()
        self._door.clear()
        self.size = 0
        return items

    def _has_room(self) -> bool:
        """What is larger than all the room there is comes in alone: else nobody behind it ever would."""
        return len(self._inside) < self._most_operations and self.size < self._most_bytes

    def _open_door(self) -> None:
        while self._door and self._has_room():
            item = self._door.popleft()
            self._inside.append(item)
            self.size += item.size
