"""Testing workflows: `Lab`, a clock that only moves when told, crashes at chosen writes, and the drivers' conformance suite."""

from __future__ import annotations

from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.testing.clock import FakeClock
from flowkit.testing.crashes import SimulatedCrash
from flowkit.testing.driver_suite import driver_suite
from flowkit.testing.lab import Lab, Pass, Stuck

__all__ = ["FakeClock", "Lab", "MemoryDriver", "Pass", "SQLiteDriver", "SimulatedCrash", "Stuck", "driver_suite"]
