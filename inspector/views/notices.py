"""What a run's page says after a verb: read back from the record of what was done, not from the address."""

from __future__ import annotations

from flowkit.client.facts import taken_messages
from flowkit.client.reader import RunRow

from ..present.crew import outlook
from ..present.runs import VERBS
from ..present.times import clock_text
from ..site import Asked, Notice

__all__ = ["notice_of"]

_DONE = {
    "recover": "Recovered", "resolve": "Resolved by hand",
    "replay": "Replay begun", "cancel": "Cancelled", "cancel_rollback": "Cancelling, with rollback",
    "pause": "Paused", "resume": "Resumed", "wake": "Woken", "evict": "Evicted",
}  # fmt: skip
_LAST_ENTRIES = 50


def notice_of(asked: Asked, row: RunRow, op: str) -> Notice | None:
    """What the wish `op` came to, if it was one on this run."""
    deed = asked.reader.deed(op)
    if deed is not None and deed.run == row.seq:
        when = clock_text(deed.at, asked.now)
        waits = outlook(row, asked.site.crew(), asked.now)
        tagged = deed.verb.startswith("tag ")
        done = "Tags changed" if tagged else _DONE.get(deed.verb, VERBS.get(deed.verb, (deed.verb, ""))[0])
        return Notice(f"{done} at {when} UTC; the run was {deed.result} then. {waits}".rstrip())
    if any(message.id == op for message in asked.reader.inbox(row.seq)):
        return Notice("The message is in the inbox.")
    taken = (message for entry in asked.reader.last(row.seq, _LAST_ENTRIES) for message in taken_messages(entry))
    if any(message.id == op for message in taken):
        return Notice("The message was delivered and taken.")
    return None
