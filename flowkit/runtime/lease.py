"""The thread that keeps a worker's lease, and the one that takes over for the dead and does what else is to be done.

The lease has a thread of its own, so that neither a blocked event loop nor a claim or takeover that waits for somebody's lock
can lose it; and it goes on while the worker drains, since runs that are let end must still be the worker's own.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Protocol

from flowkit.errors import Fenced, StoreError

if TYPE_CHECKING:
    from flowkit.runtime.house import House

__all__ = ["Chores", "Lease", "do_chores", "keep_lease"]

_LAST_SHARE = 2 / 15


class Lease:
    """Until when bodies may begin here: in the last moments of a lease another worker may be about to have their runs.

    By this process's monotonic clock, counted from before the renewal was asked for. Without a lease (0 seconds) it never ends.
    """

    def __init__(self, seconds: float, margin: float) -> None:
        self._length = seconds - min(margin, seconds * _LAST_SHARE)
        self._until = math.inf
        self._ends = seconds > 0

    @property
    def holds(self) -> bool:
        """Whether a body may begin."""
        return time.monotonic() < self._until

    def renewed(self, asked_at: float) -> None:
        """The store has renewed it; `asked_at` is the monotonic instant before it was asked."""
        if self._ends:
            self._until = asked_at + self._length


class Chores(Protocol):
    """What a worker has done for it."""

    @property
    def stopping(self) -> bool:
        """Whether it claims nothing more."""
        ...

    def tell(self) -> None:
        """Say what is served."""
        ...

    def tick(self) -> None:
        """Report how the workflows fare, and see whether another worker takes this one's place."""
        ...

    def renew(self) -> None:
        """Renew the lease."""
        ...

    def adopt(self) -> None:
        """Take up what is this worker's to do."""
        ...


def keep_lease(house: House, worker: Chores, gone: threading.Event) -> None:
    """Until `gone` is set. Whatever fails is tried again; nothing here ends the lease."""
    settings = house.settings
    pause = min(settings.reap, settings.beat)
    while not gone.wait(pause):
        pause = settings.beat
        try:
            worker.renew()
        except Fenced:
            house.driver.nudge()  # the claiming thread finds the same and joins anew
        except StoreError as error:
            pause = min(pause, settings.poll)
            house.logger.debug("flowkit: the lease could not be renewed, and is tried again: %s", error)
        except Exception:  # a defect here must not silently end the lease
            house.logger.exception("flowkit: keeping the lease failed, and is tried again")


def do_chores(house: House, worker: Chores, gone: threading.Event) -> None:
    """Until `gone` is set. Whatever fails is tried again, and may take its time."""
    settings = house.settings
    next_adoption = next_purge = 0.0
    worker.tell()  # first of all, and also if this worker is stopped already
    while not gone.wait(settings.reap):
        now = time.monotonic()
        worker.tell()
        try:
            worker.tick()
            if worker.stopping:
                continue
            if now >= next_adoption:
                next_adoption = now + settings.beat
                worker.adopt()
            if house.driver.reap(house.clock.now()):
                house.driver.nudge()
            if now >= next_purge:
                next_purge = now + settings.purge_every
                house.driver.purge(house.clock.now(), settings.purge_slice)
        except Fenced:
            house.driver.nudge()
        except StoreError as error:
            next_adoption = min(next_adoption, now + settings.poll)
            house.logger.debug("flowkit: looking after the store failed, and is tried again: %s", error)
        except Exception:  # a defect here must not silently end the takeovers
            house.logger.exception("flowkit: looking after the store failed, and is tried again")
