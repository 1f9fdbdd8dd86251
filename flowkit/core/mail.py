"""The part of a run's inbox that a worker has in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from flowkit.core.entry import Message

__all__ = ["Mail", "wanted"]


class Mail:
    """Messages known, by number; complete up to `number`, if `complete`. Consumed ones leave at once."""

    def __init__(self, messages: Sequence[Message] = (), number: int = 0, *, complete: bool = True) -> None:
        self.known: dict[int, Message] = {message.seq: message for message in messages}
        self.number = number
        self.complete = complete
        self.taken: set[int] = set()
        self.open: set[int] | None = None
        """Numbers of completable messages that were taken and not completed; None until somebody asked."""

    def learn(self, messages: Sequence[Message]) -> None:
        """Add what was read from the store since."""
        for message in messages:
            if message.seq not in self.taken:
                self.known[message.seq] = message

    def take(self, number: int) -> None:
        """The message leaves the inbox."""
        self.known.pop(number, None)
        self.taken.add(number)

    def matching(self, names: Collection[str]) -> list[Message]:
        """Those with one of these names (none: any), in inbox order; completable ones in hand are left out."""
        held = self.open or ()
        return [
            self.known[number] for number in sorted(self.known) if number not in held and wanted(self.known[number].name, names)
        ]


def wanted(name: str, names: Collection[str]) -> bool:
    """Whether a receive of `names` takes a message called `name`; no names, or ``*``, take any."""
    return not names or name in names or "*" in names
