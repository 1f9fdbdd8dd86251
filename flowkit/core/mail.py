"""The part of a run's inbox that a worker has in memory."""

from __future__ import annotations

from collections.abc import Sequence

from flowkit.core.entry import Message

__all__ = ["Mail", "wanted"]


class Mail:
    """Messages known, by number. Consumed ones leave at once.

    Of the whole inbox, all up to `number` are known; of names that were asked for, all up to what was read of them. Beyond
    that a message is not offered, even if it is known by chance: an earlier one may stand before it in the store.
    """

    def __init__(self, messages: Sequence[Message] = (), number: int = 0) -> None:
        self.known: dict[int, Message] = {message.seq: message for message in messages}
        self.number = number
        self.taken: set[int] = set()
        self.open: set[int] | None = None
        """Numbers of completable messages that were taken and not completed; None until somebody asked."""
        self._read: dict[tuple[str, ...], int] = {}

    def read_up_to(self, names: tuple[str, ...]) -> int:
        """The number up to which every message with one of these names (none: any) is known."""
        return max(self.number, self._read.get(names, 0))

    def learn(self, messages: Sequence[Message], names: tuple[str, ...], number: int) -> None:
        """Add what was read from the store: all with one of these names up to `number`."""
        for message in messages:
            if message.seq not in self.taken:
                self.known[message.seq] = message
        if names:
            self._read[names] = max(number, self.read_up_to(names))
        else:
            self.number = max(number, self.number)

    def take(self, number: int) -> None:
        """The message leaves the inbox."""
        self.known.pop(number, None)
        self.taken.add(number)
        if self.open is not None:
            self.open.discard(number)

    def matching(self, names: tuple[str, ...]) -> list[Message]:
        """Those with one of these names (none: any), in inbox order; completable ones in hand are left out."""
        held = self.open or ()
        until = self.read_up_to(names)
        return [
            self.known[number]
            for number in sorted(self.known)
            if number <= until and number not in held and wanted(self.known[number].name, names)
        ]


def wanted(name: str, names: tuple[str, ...]) -> bool:
    """Whether a receive of `names` takes a message called `name`; no names take any."""
    return not names or name in names
