"""What `flowkit dev` is asked to run, and how long it waits for what."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CHECK_SECONDS", "DEATHS", "DEATHS_SECONDS", "KEEP_SECONDS", "LATE_SECONDS", "MANY_SECONDS", "QUIET_SECONDS", "STOP_SECONDS",
    "Settings",
]  # fmt: skip

KEEP_SECONDS = 3.0
"""How long the former generation is kept, to go on if the new one dies at once."""

MANY_SECONDS = 0.1
"""How long no file may be saved before a save of several counts as over."""

CHECK_SECONDS = 15.0
QUIET_SECONDS = 2.0
LATE_SECONDS = 2.0
STOP_SECONDS = 5.0
DEATHS, DEATHS_SECONDS = 3, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What to run. `works` is False beside another `dev` or a worker: then nothing is claimed. `url` is the inspector's, and
    with a `terminal` there is one that a debugger may have.
    """

    app: str
    db: str
    grace: float = 5.0
    globs: tuple[str, ...] = ()
    import_seconds: float = 10.0
    works: bool = True
    url: str = ""
    terminal: bool = False
