"""Carrying bulks on: a thread that walks those that nobody holds, so that they outlive the page and the process that began them.

It looks now and then, since what another inspector or a command left behind when it died is carried on, too.
"""

from __future__ import annotations

import threading
from itertools import count

from flowkit.client import Flowkit
from flowkit.client.bulk import Bulk
from flowkit.client.walk import Walker
from flowkit.errors import StoreError

__all__ = ["Carrier"]

_TURN = 25
"""So many pieces of one bulk, then it is the next one's turn: a small one does not wait for a large one."""


class Carrier:
    """The thread; it ends with the client, or when it is closed."""

    def __init__(self, client: Flowkit) -> None:
        self._client = client
        self._log = client.house.logger
        self._walker = Walker(client)
        self._woken = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._trouble = ""

    def start(self) -> None:
        """Begin to look for bulks."""
        self._thread = threading.Thread(target=self._run, name="flowkit-bulk", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is a new one."""
        self._woken.set()

    def close(self) -> None:
        """End after the piece under way, and leave the rest to others. Does not wait."""
        self._closed = True
        self._woken.set()

    def _over(self) -> bool:
        return self._closed or self._client.desk.bulletin.closed

    def _run(self) -> None:
        while not self._over():
            try:
                more = self._take_turns()
                self._trouble = ""
            except StoreError as error:
                more = False
                self._tell(str(error))
            if not more:
                self._woken.wait(self._client.settings.carry_every)
                self._woken.clear()

    def _tell(self, trouble: str) -> None:
        """A database that is locked or gone: pages say so when they ask, and what is stored is carried on when it is back."""
        if trouble != self._trouble and not self._over():
            self._trouble = trouble
            self._log.warning("flowkit: bulks wait for the database: %s", trouble)

    def _take_turns(self) -> bool:
        """A turn of each bulk, oldest first; whether one of ours has more to do."""
        more = False
        for bulk in reversed(self._client.driver.bulks(100, unfinished=True)):
            try:
                left = self._turn(bulk)
            except StoreError:
                raise
            except Exception:  # a defect of ours at one run must not keep all other bulks waiting
                self._log.exception("flowkit: bulk %d was stopped by a defect", bulk.seq)
                left = self._client.driver.bulk(bulk.seq)
                if left is not None:
                    self._walker.give_up(left, "a defect stopped it; the inspector's terminal shows more")
                continue
            more = more or (left is not None and left.is_open and left.holder == self._walker.holder)
        return more

    def _turn(self, bulk: Bulk) -> Bulk | None:
        pieces = count()
        return self._walker.walk(bulk.seq, go_on=lambda: not self._over() and next(pieces) < _TURN)
