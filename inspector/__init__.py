"""The inspector: a web page over a database of runs, to see what stopped and put it right.

It knows the client's read side and verbs, and live code only through a protocol; it never imports a user's module, holds
no SQL, and keeps nothing in memory that a restart would lose. In a checkout it is the package `inspector`, in the wheel
`flowkit.inspector`, so every import within it is relative.
"""

from __future__ import annotations

from .app import Inspector, create_app
from .security import Settings

__all__ = ["Inspector", "Settings", "create_app"]
