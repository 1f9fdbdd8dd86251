"""What `flowkit dev` is asked to run, and how long it waits for what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flowkit.settings import in_force

__all__ = [
    "AGAIN_SECONDS",
    "CHECK_SECONDS",
    "DEATHS",
    "DEATHS_SECONDS",
    "IN_FORCE",
    "KEEP_SECONDS",
    "LATE_SECONDS",
    "MANY_SECONDS",
    "QUIET_SECONDS",
    "STOP_SECONDS",
    "Settings",
]  # fmt: skip

IN_FORCE = in_force()
"""What environment and pyproject.toml say, once for each process of dev: it has been found right before the first one began."""

KEEP_SECONDS = IN_FORCE.dev_keep
"""How long the former generation is kept, to go on if the new one dies at once."""

MANY_SECONDS = IN_FORCE.dev_debounce_many
"""How long no file may be saved before a save of several counts as over."""

CHECK_SECONDS = IN_FORCE.dev_check
QUIET_SECONDS = IN_FORCE.dev_quiet
LATE_SECONDS = IN_FORCE.dev_late
STOP_SECONDS = IN_FORCE.dev_stop
DEATHS, DEATHS_SECONDS = IN_FORCE.dev_deaths, IN_FORCE.dev_deaths_within

AGAIN_SECONDS = IN_FORCE.dev_again
"""How much longer to wait with each death before code that has died is loaded again; after the first there is no wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What to run. `works` is False beside another `dev` or a worker: then nothing is claimed. `url` is the inspector's, and
    with a `terminal` there is one that a debugger may have. With `replays` all runs are tried in the background after a load,
    the reports are kept in the file `kept`, and a check that says nothing for `silence` seconds is ended. `apply` says whether
    new code waits for a person's word, and with `drain` the former code finishes the runs that it has in hand.
    """

    app: str
    db: str
    grace: float = IN_FORCE.dev_grace
    globs: tuple[str, ...] = ()
    import_seconds: float = IN_FORCE.dev_import
    works: bool = True
    url: str = ""
    terminal: bool = False
    replays: bool = True
    kept: Path | None = None
    silence: float = IN_FORCE.dev_replay_silence
    apply: Literal["auto", "ask"] = "auto"
    drain: bool = False
