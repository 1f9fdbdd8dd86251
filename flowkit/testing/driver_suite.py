"""The public conformance suite: what every driver must do, as pytest cases.

In a test file of your own::

    from flowkit.testing import driver_suite

    TestMine = driver_suite(lambda: MyDriver())

pytest collects more than two hundred cases from it. Each makes a driver over an *empty* store and closes it at the end.
Nothing sleeps and nothing dies: instants are handed in, and death is told by ``reap(now, dead=[…])``.
"""

from __future__ import annotations

from collections.abc import Callable

from flowkit.drivers.base import Driver
from flowkit.testing.cases.base import Case
from flowkit.testing.cases.bulks import Bulks
from flowkit.testing.cases.changes import Changes
from flowkit.testing.cases.claims import Adopting, Claims
from flowkit.testing.cases.copies import Copies
from flowkit.testing.cases.endings import Endings
from flowkit.testing.cases.fences import Bumps, Fences, Guards, Sends
from flowkit.testing.cases.logs import Logs
from flowkit.testing.cases.messages import Messages
from flowkit.testing.cases.reads import Bodies, Histories, Lists
from flowkit.testing.cases.reports import Reports
from flowkit.testing.cases.resolves import Resolves
from flowkit.testing.cases.starts import Starts
from flowkit.testing.cases.tags import Tags
from flowkit.testing.cases.verbs import Verbs, VerbTable
from flowkit.testing.cases.workers import Retention, Takeover, Waiting

__all__ = ["driver_suite"]

_PARTS: tuple[type[Case], ...] = (
    Starts,
    Fences,
    Guards,
    Changes,
    Endings,
    Bumps,
    Sends,
    Messages,
    VerbTable,
    Verbs,
    Claims,
    Adopting,
    Takeover,
    Retention,
    Waiting,
    Lists,
    Histories,
    Bodies,
    Logs,
    Bulks,
    Tags,
    Resolves,
    Copies,
    Reports,
)


def driver_suite(make_driver: Callable[[], Driver]) -> type[Case]:
    """A class of pytest cases for the drivers that `make_driver` makes, each over an empty store."""
    return type("DriverSuite", _PARTS, {"make_driver": staticmethod(make_driver)})
