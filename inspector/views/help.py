"""What a newcomer looks for: keys, states, what a reload keeps, limits, versions."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry
from flowkit.core.run import STATUSES

from ..present.states import State, entry_state, run_state
from ..present.values import size_text
from ..site import Asked, Page

__all__ = ["HelpPage", "help_page"]

_RUNS = {
    "pending": "has not begun: it starts when a worker is free, or at its instant",
    "running": "a worker has it",
    "sleeping": "waits for an instant, a message, or the next attempt; costs nothing",
    "rolling_back": "what it did is being undone, newest first",
    "completed": "ended well, with an output",
    "failed": "ended with an error; Recover gives its steps fresh attempts",
    "cancelled": "ended by somebody; rolled back if that was asked for",
    "paused": "stands still until it is resumed; messages still arrive",
    "blocked": "held by code that does not fit, or quarantined after crashes: nothing of it runs, is written or undone",
}
_ENTRIES = {
    "pending": "recorded, and not begun or not settled yet",
    "running": "its body is under way",
    "retrying": "an attempt failed, the next one is timed",
    "completed": "has its output for good: it is never done again, unless a replay says so",
    "failed": "ended with an error that is not retried",
    "exhausted": "ended with an error after its last attempt",
    "cancelled": "was given up: the branch that lost a race, or a cancelled run",
    "rolled_back": "had completed, and was undone",
}
_MARKS = (
    ("unattended", "unattended", "attention", "a mark, not a status: nobody looks after a run to which something should happen"),
    ("failed-hollow", "handled", "bad", "it failed, and the workflow went on from that"),
)
_KEPT = ("runs and their histories", "instants: one that has passed fires once", "messages", "verbs", "what your browser shows")
_LOST = (
    "module globals",
    "open clients and connections",
    "progress inside a body: it runs again, unless it is declared at most once",
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """A state and what it means."""

    state: State
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpPage:
    """The help."""

    runs: tuple[Meaning, ...]
    entries: tuple[Meaning, ...]
    marks: tuple[Meaning, ...]
    kept: tuple[str, ...]
    lost: tuple[str, ...]
    limits: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]


def help_page(asked: Asked) -> Page:
    """GET /help."""
    model = HelpPage(
        runs=tuple(Meaning(run_state(RunRow(seq=0, id="", workflow="", status=each)), _RUNS[each]) for each in STATUSES),
        entries=tuple(Meaning(_entry(status), text) for status, text in _ENTRIES.items()),
        marks=tuple(Meaning(State(icon, word, group), text) for icon, word, group, text in _MARKS),  # type: ignore[arg-type]
        kept=_KEPT, lost=_LOST, limits=_limits(asked), versions=_versions(asked),
    )  # fmt: skip
    return Page(template="help.html", title="help", model=model, here="help")


def _entry(status: str) -> State:
    run = RunRow(seq=0, id="", workflow="", status="running")
    return entry_state(Entry(seq=1, location="", kind="step", status=status), run)


def _limits(asked: Asked) -> tuple[tuple[str, str], ...]:
    limits = asked.site.across.limits
    return (
        ("A value", f"{size_text(limits.body)}: an input, an output, a message"),
        ("An inbox", f"{limits.inbox:,} messages a run"),
        ("A history here", "200 entries a window, 10,000 on one page"),
        ("A value here", "4 kB at once, 256 kB unfolded, all of it as raw"),
        ("A form", "1 MB, 200 fields, JSON 64 deep"),
        ("Live windows", "4 by stream; further ones ask every three seconds"),
    )


def _versions(asked: Asked) -> tuple[tuple[str, str], ...]:
    facts = asked.site.across.facts()
    try:
        ours = version("flowkit-engine")
    except PackageNotFoundError:  # run from a checkout that is not installed
        ours = "not installed"
    store = () if facts is None else (("Store", f"{facts.engine}, schema {facts.schema}"),)
    return (("flowkit", ours), ("Python", platform.python_version()), *store, ("htmx", "4.0.1"))
