"""The driver that logs, over PostgreSQL; apart, so that those who fork workers over a file need no client library."""

from __future__ import annotations

from flowkit.drivers.postgres import PostgresDriver
from tests.torture.log import Logging

__all__ = ["LoggingServer"]


class LoggingServer(Logging, PostgresDriver):
    """A PostgreSQL database that logs."""
