"""What one run should look like, in dictionaries: a model of the workflow below and of everything that is done to its run.

::

    checkpoint("c"); reserve(); receive("go"); charge(); sleep(10); receive("done", timeout=20)

`reserve` and `charge` can be undone, `charge` fails for good as long as the world is broken, and the time-out of "done" is
handled. There are no attempts, leases, epochs or commits here: a pass is a function of the record, the inbox and the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ORDER", "Entry", "Reference"]

ORDER = ("c", "reserve", "go", "charge", "sleep", "done")
TERMINAL = ("completed", "failed", "cancelled")
SLEEP_SECONDS = 10.0
DONE_SECONDS = 20.0
KEPT_SECONDS = 86_400.0


@dataclass
class Entry:
    """A recorded operation: its status, the instant it waits for, and the message it took."""

    status: str
    due: float | None = None
    took: int | None = None


@dataclass
class Reference:
    """The run. `inbox` is number → (name, accepted at)."""

    now: float
    broken: bool = False
    status: str = "pending"
    entries: dict[str, Entry] = field(default_factory=dict)
    inbox: dict[int, tuple[str, float]] = field(default_factory=dict)
    messages: dict[int, tuple[str, float]] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    waiting: str | None = None
    wake_at: float | None = None
    back: bool = False
    """It is to be undone, and cancelled then."""
    finished_at: float | None = None

    # --- what a pass does -------------------------------------------------------------------------------------------

    def run_once(self) -> None:
        """One pass."""
        if self.status in TERMINAL or self.status == "paused":
            return
        self.waiting = self.wake_at = None
        if self.back:
            self._undo("cancelled")
        elif self._forward():
            self._end("completed")

    def _forward(self) -> bool:
        """Go as far as history and the world allow; True at the end of the code."""
        self._record("c", "completed")
        self._perform("reserve")
        if not self._receive("go", None):
            return False
        if not self._settled("charge") and self.broken:
            self._record("charge", "failed")
            self._undo("failed")
            return False
        self._perform("charge")
        return self._sleep() and self._receive("done", DONE_SECONDS)

    def _settled(self, name: str) -> bool:
        return name in self.entries and self.entries[name].status not in ("pending",)

    def _record(self, name: str, status: str) -> Entry:
        entry = self.entries.setdefault(name, Entry("pending"))
        entry.status = status
        return entry

    def _perform(self, name: str) -> None:
        if not self._settled(name):
            self._record(name, "completed")

    def _sleep(self) -> bool:
        if self._settled("sleep"):
            return True
        entry = self.entries.setdefault("sleep", Entry("pending", self.now + SLEEP_SECONDS))
        assert entry.due is not None
        if self.now >= entry.due:
            entry.status = "completed"
            return True
        return self._park(entry.due, None)

    def _receive(self, name: str, timeout: float | None) -> bool:
        if self._settled(name):
            return True
        waited = name in self.entries
        due = None if timeout is None else self.now + timeout
        entry = self.entries.setdefault(name, Entry("pending", due))
        for number, (called, sent_at) in sorted(self.inbox.items()):
            if called == name and (not waited or entry.due is None or sent_at <= entry.due):
                entry.status, entry.took = "completed", number
                del self.inbox[number]
                return True
        if entry.due is not None and self.now >= entry.due:
            entry.status = "failed"
            return True
        return self._park(entry.due, name)

    def _park(self, wake_at: float | None, waiting: str | None) -> bool:
        self.status, self.wake_at, self.waiting = "sleeping", wake_at, waiting
        return False

    def _undo(self, ending: str) -> None:
        for name in self.owing():
            self.entries[name].status = "rolled_back"
        self.back = False
        self._end(ending)

    def owing(self) -> list[str]:
        """What can still be undone."""
        return [name for name in ("charge", "reserve") if name in self.entries and self.entries[name].status == "completed"]

    def _end(self, status: str) -> None:
        self.status, self.finished_at = status, self.now
        self.waiting = self.wake_at = None
        self.back = False

    # --- what people do ---------------------------------------------------------------------------------------------

    def send(self, name: str, key: str | None) -> bool:
        """Whether the run takes messages; a key that it had is taken and changes nothing."""
        if key is not None and key in self.keys:
            return True
        if self.status in TERMINAL:
            return False
        number = len(self.messages) + 1
        self.messages[number] = self.inbox[number] = (name, self.now)
        if key is not None:
            self.keys.add(key)
        if self.status == "sleeping" and self.waiting == name:
            self.wake_at = self.now if self.wake_at is None else min(self.wake_at, self.now)
        return True

    def cancel(self, rollback: bool) -> None:
        """Now, or once all is undone."""
        if self.status in TERMINAL:
            return
        if rollback and self.owing():
            self.status, self.back, self.waiting = "rolling_back", True, None
            return
        for entry in self.entries.values():
            if entry.status == "pending":
                entry.status = "cancelled"
        self._end("cancelled")

    def pause(self) -> None:
        """Nothing goes on."""
        if self.status not in TERMINAL:
            self.status, self.waiting = "paused", None

    def resume(self) -> None:
        """It goes on where it was."""
        if self.status == "paused":
            self.status = "rolling_back" if self.back else "pending"

    def recover(self) -> None:
        """A failed run starts over what failed, and what was undone."""
        if self.status == "failed":
            self._again("failed", "rolled_back")

    def replay(self, start: str | None) -> bool:
        """Whether it is allowed."""
        if self.status == "rolling_back":
            return False
        names = list(self.entries)
        for name in names[names.index(start) if start is not None else 0 :]:
            gone = self.entries.pop(name)
            if gone.took is not None:
                self.inbox[gone.took] = self.messages[gone.took]
        self.back = False
        self._again("rolled_back", "cancelled")
        return True

    def _again(self, *statuses: str) -> None:
        for entry in self.entries.values():
            if entry.status in statuses:
                entry.status = "pending"
        self.status, self.finished_at, self.waiting, self.wake_at = "pending", None, None, None

    def expired(self) -> bool:
        """Whether retention is over."""
        return self.finished_at is not None and self.finished_at + KEPT_SECONDS <= self.now
