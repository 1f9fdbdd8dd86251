"""The errands on a disk that is full for a while, or in a file that may not grow for a while.

    python -m tests.torture.full DATABASE LOG --after 0.02 --seconds-full 0.5 [--pages] [--copy-to FOLDER]

Soon after the errands began a greedy neighbour takes all room, and whatever becomes free, until the time is up. With
`--pages` there is no neighbour: the database's `max_page_count` is what it has, and later is lifted. Whether the reserve
file was freed, and made again, goes to the log.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.torture import errands
from tests.torture.log import Log

__all__ = ["main"]

RESERVE_BYTES = 1 << 20
LOOK_SECONDS = 0.005


class _Scarcity:
    """No room from soon after `begin` on, for `seconds` after the first write that failed. Subclasses say how."""

    def __init__(self, driver: errands.ErrandDriver, log: Log, after: float, seconds: float) -> None:
        self.driver = driver
        self.log = log
        self._after = after
        self._seconds = seconds
        self._reserve = driver._connections._reserve
        self._thread = threading.Thread(target=self._rule, daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Wait until it is over and the reserve has been made again."""
        self._thread.join()

    def squeeze(self) -> None: ...

    def relieve(self) -> None: ...

    def _rule(self) -> None:
        time.sleep(self._after)
        self.squeeze()
        self._until(self._bites, 5.0)
        end = time.monotonic() + self._seconds
        freed = False
        while time.monotonic() < end:
            freed = freed or not self._reserve.exists()
            self.squeeze()
            time.sleep(LOOK_SECONDS)
        self.relieve()
        if freed:
            self.log.write("note", "reserve", "freed", time.monotonic())
        if self._until(self._is_made_again, 5.0):
            self.log.write("note", "reserve", "made", time.monotonic())

    def _bites(self) -> bool:
        self.squeeze()
        return self.driver.failing

    def _is_made_again(self) -> bool:
        return self._reserve.exists() and self._reserve.stat().st_size == RESERVE_BYTES

    @staticmethod
    def _until(true: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not true() and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        return true()


class _Neighbour(_Scarcity):
    """Another file on the same disk."""

    def __init__(self, driver: errands.ErrandDriver, log: Log, after: float, seconds: float) -> None:
        super().__init__(driver, log, after, seconds)
        path = driver._connections.path.with_name("neighbour")
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def squeeze(self) -> None:
        try:
            while os.write(self._file, bytes(65_536)):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def relieve(self) -> None:
        os.ftruncate(self._file, 0)


class _Ceiling(_Scarcity):
    """The database file may not grow."""

    limited = False

    def squeeze(self) -> None:
        if not self.limited:
            self.limited = True
            self._limit(1)

    def relieve(self) -> None:
        self._limit(1_000_000)

    def _limit(self, pages: int) -> None:
        """SQLite takes the size that the file has for the least."""
        with self.driver._connections._mutex:
            self.driver._connections._writer.execute(f"PRAGMA max_page_count = {pages}")


def main(arguments: list[str] | None = None) -> int:
    """Run the errands; an exit code as theirs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--after", type=float, default=0.0)
    parser.add_argument("--seconds-full", type=float, default=0.5)
    parser.add_argument("--pages", action="store_true")
    parser.add_argument("--copy-to", type=Path)
    options = parser.parse_args(arguments)
    made: list[_Scarcity] = []

    def opened(driver: errands.ErrandDriver) -> None:
        kind = _Ceiling if options.pages else _Neighbour
        made.append(kind(driver, driver.log, options.after, options.seconds_full))
        made[0].begin()

    code = errands.main(
        [str(options.database), str(options.log), "--patience", "0.5", "--runs", "12"],
        opened,
        lambda: made[0].end(),
    )
    if options.copy_to is not None:
        shutil.copy(options.database, options.copy_to)
    return code


if __name__ == "__main__":
    sys.exit(main())
