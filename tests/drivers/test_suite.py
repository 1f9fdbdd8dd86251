"""The public conformance suite on the drivers of this package."""

import tempfile
from pathlib import Path

from flowkit.drivers.base import Driver
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.testing.driver_suite import driver_suite

_folder = tempfile.TemporaryDirectory(prefix="flowkit-suite-")
_count = 0


def new_file() -> Driver:
    global _count
    _count += 1
    return SQLiteDriver(Path(_folder.name) / f"{_count}.db", "process")


TestMemory = driver_suite(MemoryDriver)
TestSQLite = driver_suite(new_file)
