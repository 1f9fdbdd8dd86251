"""The public conformance suite on every version of PostgreSQL that is supported: all of it on the newest, a part on the others.

A statement that an older server does not understand shows in any case that makes it, and each part has every fifth case; the
long torture run has them all.
"""

from functools import partial
from zlib import crc32

import pytest

from flowkit.drivers import open_driver
from flowkit.drivers.base import Driver
from flowkit.testing.cases.base import Case
from flowkit.testing.driver_suite import driver_suite
from tests.postgres.server import VERSIONS, emptied_database
from tests.torture.trials import LONG

PART = 1 if LONG else 5
pytestmark = pytest.mark.timeout(60)  # the first one starts a server


def opened(version: str) -> Driver:
    return open_driver(emptied_database(version))


def part(suite: type[Case], remainder: int) -> type[Case]:
    """Without the cases of other remainders."""
    cases = [name for name in dir(suite) if name.startswith("test_")]
    return type(suite.__name__, (suite,), {name: None for name in cases if crc32(name.encode()) % PART != remainder % PART})


TestOldest = part(driver_suite(partial(opened, VERSIONS[0])), 0)
TestMiddle = part(driver_suite(partial(opened, VERSIONS[1])), 1)
TestNewest = driver_suite(partial(opened, VERSIONS[2]))
