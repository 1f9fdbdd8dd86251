"""Every interval, threshold and limit of flowkit, in one frozen value, with its unit, its allowed range and its reason.

A setting comes from the argument `settings=`, else from the environment (`FLOWKIT_POLL`), else from `[tool.flowkit]` of the
nearest pyproject.toml, else it has its default; `read_settings` puts them together and keeps where each came from. What is
unknown, unreadable or out of range is refused with its name and its source before anything starts. This module knows no
other part of flowkit: whoever needs a setting is handed the value when it is made, and reads it once.

Longer than 400 lines because whoever looks for a setting finds them all in one place.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from functools import cache, wraps
from pathlib import Path
from typing import Any, Literal

from flowkit.durations import format_seconds, seconds, size_bytes

__all__ = ["GROUPS", "InForce", "Rule", "Settings", "in_force", "read_settings", "rules"]

Unit = Literal["seconds", "bytes", "count", "retention"]

_DAY = 86_400.0
_YEAR = 366 * _DAY
_GB = 1_000_000_000
_LONGEST = 60

GROUPS = {
    "worker": "Workers",
    "engine": "Passes and bodies",
    "limits": "Limits",
    "store": "Stores",
    "logs": "Kept logs",
    "client": "Clients and the command line",
    "inspector": "The inspector",
    "dev": "flowkit dev",
}

NOT_SETTINGS = frozenset({"DB", "EDITOR", "OTEL", "SHOTS", "REQUIRE_ALL", "VERSION"})
NOT_SETTINGS_BEGIN = ("TEST_", "TORTURE")
"""Variables that begin with FLOWKIT_ and are no settings, such as the database and the editor, or what our own tests read."""

_SERVICE = re.compile(r"(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=|PORT=\w+://)")
"""What Kubernetes tells every pod of a namespace about a service whose name begins with "flowkit": no setting, and no slip."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting may be. `low` and `high` are inclusive, in seconds, bytes or a count; a retention has neither."""

    unit: Unit
    low: float
    high: float
    why: str
    group: str

    @property
    def range(self) -> str:
        """The allowed range, for people."""
        if self.unit == "retention":
            return "lengths of time by status, workflow/status or workflow/*, such as completed=30d, checkout/failed=1w"
        return f"{self.text(self.low)} to {self.text(self.high)}"

    def text(self, value: Any) -> str:
        """A value of this setting, for people."""
        if self.unit == "retention":
            return ", ".join(f"{key}={format_seconds(length)}" for key, length in value.items()) or "for ever"
        if self.unit == "seconds":
            return format_seconds(value)
        return f"{value:,.0f} bytes" if self.unit == "bytes" else f"{value:,.0f}"

    def read(self, value: object) -> Any:
        """`value` as a number of the rule's unit.

        Raises:
            ValueError: it cannot be read, or is out of range.
        """
        try:
            found = _READ[self.unit](value)
        except (TypeError, ValueError):
            raise ValueError(f"{_shown(value)} cannot be read; it is {self.range}") from None
        if self.unit != "retention" and not self.low <= found <= self.high:
            raise ValueError(f"{_shown(value)} is out of range; it is {self.range}")
        return found


def _shown(value: object) -> str:
    """The beginning of a value that was refused."""
    try:
        text = repr(value)
    except ValueError:  # a number of more digits than Python writes
        return f"{type(value).__name__}…"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _seconds(value: object) -> float:
    if isinstance(value, str) and (number := _number(value)) is not None:
        return seconds(number)
    if not isinstance(value, (int, float, timedelta, str)):
        raise TypeError
    return seconds(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _bytes(value: object) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if not isinstance(value, (int, str)):
        raise TypeError
    return size_bytes(value)


def _count(value: object) -> int:
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


_STATUSES = ("completed", "failed", "cancelled")


def _retention(value: object) -> Mapping[str, float]:
    """Length of time by ``status``, ``workflow/status`` or ``workflow/*``."""
    if isinstance(value, str):
        parts = [part.partition("=") for part in value.split(",") if part.strip()]
        value = {key.strip(): length.strip() for key, _, length in parts}
        if len(value) < len(parts):
            raise ValueError
    if not isinstance(value, Mapping):
        raise TypeError
    for key in value:
        workflow, slash, status = str(key).rpartition("/")
        if bool(slash) != bool(workflow) or "/" in workflow or (status not in _STATUSES and not (workflow and status == "*")):
            raise ValueError
    return {str(key): _seconds(length) for key, length in value.items()}


_READ: dict[Unit, Callable[[object], Any]] = {"seconds": _seconds, "bytes": _bytes, "count": _count, "retention": _retention}


def _setting(group: str, unit: Unit, default: float | int, low: float, high: float, why: str) -> Any:
    return field(default=default, metadata={"rule": Rule(unit, low, high, why, group)})


def _time(group: str, default: float, low: float, high: float, why: str) -> Any:
    return _setting(group, "seconds", default, low, high, why)


def _size(group: str, default: int, low: int, high: int, why: str) -> Any:
    return _setting(group, "bytes", default, low, high, why)


def _number_of(group: str, default: int, low: int, high: int, why: str) -> Any:
    return _setting(group, "count", default, low, high, why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one handle. Lengths of time are seconds, or text such as ``"250ms"`` and ``"3d 4h"``; sizes are bytes,
    or text such as ``"8MB"``; the values read back are numbers. What is not given here is looked for in the environment and
    in pyproject.toml when a database is opened.

    Raises:
        ValueError: a setting cannot be read or is out of its range.
    """

    # fmt: off
    # --- workers
    poll: float = _time("worker", 1.0, 0.01, 60, "a worker looks for due runs at least this often, also if no news came")
    beat: float = _time("worker", 5.0, 0.05, 600, "a worker renews its lease this often; at most half of `lease`")
    lease: float = _time("worker", 15.0, 0.2, 3600, "a worker not heard of for so long is taken for dead, where no lock tells")
    reap: float = _time("worker", 0.25, 0.01, 60, "how often workers look for dead ones")
    succession: float = _time("worker", 1.0, 0.05, 600, "how often a worker looks whether newer code takes its place")
    adopt_after: float = _time("worker", 2.0, 0.05, 600, "a claim whose answer got lost is taken up again after this")
    purge_every: float = _time("worker", 60.0, 0.05, _DAY, "how often a worker deletes a slice of what retention has ended")
    purge_slice: int = _number_of("worker", 500, 1, 10_000, "how many runs one slice deletes, so that no write waits long for it")
    grace: float = _time("worker", 10.0, 0, 3600, "how long bodies may go on when a run is evicted or a worker stops")
    concurrency: int = _number_of("worker", 100, 1, 100_000, "how many runs a worker holds in memory")
    gather: float = _time("worker", 0.01, 0, 1, "a worker that was full gathers free places, so that one claim takes many runs")
    calm: float = _time("worker", 0.002, 0, 1, "the breath after news that was none: a busy run hears its messages by itself")
    gentle_every: float = _time("worker", 0.01, 0, 1, "a worker that takes over from another claims a few runs this often")
    gentle_runs: int = _number_of("worker", 10, 1, 10_000, "and so many at a time, the run that is due first before the others")
    lease_margin: float = _time("worker", 2.0, 0, 600, "no body begins in the last moments of a lease, for at most 2/15 of it")
    report_kept: float = _time("worker", 60.0, 1, _DAY, "how long a report on its health stands that a worker does not renew")
    report_renew: float = _time("worker", 20.0, 0.1, _DAY, "how often a worker renews its report; at most half of `report_kept`")
    report_stays: float = _time("worker", 900.0, 1, _DAY, "how long the report stands of a worker that could not live")
    loop_blocked: float = _time("worker", 3.0, 0.05, 600, "an event loop that does not answer for so long is reported as blocked")
    join_threads: float = _time("worker", 5.0, 0.1, 600, "how long a worker or engine that stops waits for each of its threads")

    # --- passes and bodies
    linger: float = _time("engine", 1.0, 0, 600, "a run whose next timer is nearer than this stays in memory")
    record_after: float = _time("engine", 0.25, 0.01, 3600, "a body that runs longer has its start written, for people to see")
    bodies: int = _number_of("engine", 64, 1, 10_000, "how many plain bodies of branches and async workflows run at once")
    watchdog_tick: float = _time("engine", 0.05, 0.005, 1, "how exactly timeouts of bodies are met")
    watchdog_idle: int = _number_of("engine", 20, 1, 10_000, "after so many ticks without a body the watchdog rests")
    look: float = _time("engine", 1.0, 0.01, 60, "how soon a wait in memory notices that the clock has jumped")
    red_poll: float = _time("engine", 0.05, 0.005, 10, "how often a new body looks whether a failed store takes writes again")
    abandoned_after: float = _time("engine", 5.0, 0, _DAY, "a plain body that goes on so long after its timeout is warned of")
    loop_close: float = _time("engine", 1.0, 0.01, 600, "how long async tasks may take to end when the engine closes")

    # --- limits
    max_payload: int = _size("limits", 8_000_000, 1, 64_000_000, "one input, output, state, message or response")
    inbox: int = _number_of("limits", 100_000, 1, 10_000_000, "messages waiting in a run; the sender of one more gets InboxFull")
    history: int = _number_of("limits", 1_000_000, 10, 100_000_000, "live entries of a run; every pass reads them; more block it")
    history_warning: int = _number_of("limits", 10_000, 10, 100_000_000, "live entries of a run at which a warning names loop()")
    loop_turns: int = _number_of("limits", 1_000_000, 1, 1_000_000_000, "turns of a loop without any wait; more block the run")
    branches: int = _number_of("limits", 1_000, 1, 100_000, "branches of a run open at once, threads if plain; more block it")
    tags: int = _number_of("limits", 20, 0, 100, "tags of one run")
    deadline: float = _time("limits", 0, 0, 100 * _YEAR, "total time of a run whose workflow names no deadline; 0 is no end")
    retention: Mapping[str, float] = field(
        default_factory=dict,
        metadata={"rule": Rule("retention", 0, 0, "how long ended runs are kept; what is not named is kept for ever", "limits")},
    )

    # --- stores
    patience: float = _time("store", 30.0, 0, 3600, "how long a write of a client is repeated while the store does not answer")
    busy: float = _time("store", 30.0, 0, 3600, "how long one write waits for the lock of a database file")
    write_retry: float = _time("store", 1.0, 0, 60, "how often a write that failed is repeated")
    closing_poll: float = _time("store", 0.002, 0.0005, 1, "how often closing a handle looks whether the last write is through")
    group_bytes: int = _size("store", 4_000_000, 1, _GB, "the bodies that one transaction carries when many writes are grouped")
    store_poll: float = _time("store", 0.02, 0.001, 10, "how often an idle handle asks a file for commits of other processes")
    store_poll_busy: float = _time("store", 0.005, 0.001, 10, "the same for a while after anything has happened")
    store_busy_for: float = _time("store", 1.0, 0, 60, "how long that while is")
    readers: int = _number_of("store", 4, 1, 64, "connections that read one file; held snapshots make its log grow")
    reserve: float = _time("store", 5.0, 0, 600, "how often a full disk is tried again with the space held in reserve")
    fork_wait: float = _time("store", 5.0, 0, 600, "how long fork() waits for calls into SQLite to end")
    replies_kept: float = _time("store", _DAY, 60, _YEAR, "how long the answer to a request waits for whoever asked")
    audit_kept: float = _time("store", 90 * _DAY, 60, 100 * _YEAR, "how long verbs and bulks stay in the audit")
    workers_kept: float = _time("store", _DAY, 60, _YEAR, "how long a worker that has gone stays known")
    search: float = _time("store", 0.15, 0.005, 60, "how long one search through ids and errors may take before it says partial")

    pg_connect: float = _time("store", 10.0, 1, 600, "how long connecting to a PostgreSQL server may take")
    pg_silence: float = _time("store", 30.0, 0.1, 3_600, "a PostgreSQL server that says nothing for so long is taken for gone")
    pg_lock: float = _time("store", 20.0, 1, 3_600, "how long it waits for a lock; shorter than its silence, so that it answers")
    pg_stale: float = _time("store", 0.25, 0, 60, "a connection idle for longer is looked at before it is used")
    pg_pause: float = _time("store", 0.05, 0.001, 60, "how soon a lost connection is made again, twice as late with each failure")
    pg_pause_most: float = _time("store", 2.0, 0.01, 600, "and how late at most")
    pg_poll: float = _time("store", 1.0, 0.01, 60, "how often an idle handle asks the server for commits of others")
    pg_poll_busy: float = _time("store", 0.02, 0.001, 10, "the same for a while after anything has happened")
    pg_busy_for: float = _time("store", 1.0, 0, 60, "how long that while is")
    pg_heeded: float = _time("store", 5.0, 0.1, 600, "how often the server's own signs of change are looked at besides")
    pg_notify: float = _time("store", 0.01, 0.001, 10, "how far apart two notices to other handles are at least")
    pg_again: float = _time("store", 0.5, 0.01, 60, "how soon a bell that lost its connection listens again")

    # --- kept logs
    log_lines: int = _number_of("logs", 1_000, 1, 1_000_000, "lines kept of one body; what follows is counted")
    log_run_lines: int = _number_of("logs", 100_000, 1, 100_000_000, "lines kept of one run; the oldest make room")
    log_characters: int = _number_of("logs", 8_000, 80, 1_000_000, "characters kept of one line")
    log_batch: float = _time("logs", 0.1, 0.001, 60, "how long lines are gathered for one write")
    log_retry: float = _time("logs", 1.0, 0.01, 600, "how soon lines that could not be written are tried again")
    log_closing: float = _time("logs", 5.0, 0, 600, "how long closing waits for lines that are not written yet")
    log_buffer: int = _number_of("logs", 10_000, 1, 1_000_000, "lines held in memory; further ones are dropped and counted")

    # --- clients and the command line
    result_look: float = _time("client", 0.02, 0.001, 10, "how often result() and watch() look at a run of another process")
    counts_kept: float = _time("client", 5.0, 0, 600, "how long exact counts over all runs are shown before they are made anew")
    bulk_hold: float = _time("client", 10.0, 0.5, 600, "after this without progress another process may carry a bulk on")
    bulk_stale: float = _time("client", 30 * _DAY, 60, 10 * _YEAR, "a bulk that nobody carried on for so long is not begun again")
    cli_patience: float = _time("client", 5.0, 0, 3600, "how long a command waits for a database that is locked")
    cli_look: float = _time("client", 0.2, 0.01, 60, "how often a command that follows a run or its log looks")
    vigil_look: float = _time("client", 0.1, 0.001, 60, "how often a wait with fail_fast looks after workers at most")
    metrics_kept: float = _time("client", 5.0, 0, 600, "how long what the store said for metrics is said again")
    metrics_late: float = _time("client", 5.0, 0.1, _DAY, "a due run that nobody took for so long is late in metrics")
    metrics_request: float = _time("client", 5.0, 0.1, 600, "how long one who scrapes metrics may take to ask")
    trace_batch: float = _time("client", 0.05, 0.001, 60, "how long spans are gathered before they are ended")
    trace_closing: float = _time("client", 5.0, 0, 600, "how long closing waits for spans that are not ended yet")
    check_run: float = _time("client", 1.0, 0.001, 600, "how long one run is tried under new code")
    check_tell: float = _time("client", 1.0, 0.01, 600, "how often a check of many runs says what it has found")
    report_patience: float = _time("client", 1.0, 0.01, 600, "how long a command that cannot begin waits for the store to say so")
    late: float = _time("client", 10.0, 0.1, 86_400, "a due run that nobody took for so long is said to be overdue")

    # --- inspector
    live_poll: float = _time("inspector", 0.1, 0.01, 60, "how often an open page hears of changes")
    live_crew: float = _time("inspector", 2.0, 0.1, 600, "how often an open page hears of workers")
    live_comment: float = _time("inspector", 15.0, 1, 600, "how often a quiet stream says that it lives, so that proxies keep it")
    live_streams: int = _number_of("inspector", 64, 1, 10_000, "open pages that are told of changes at once")
    live_per_browser: int = _number_of("inspector", 4, 1, 100, "the same of one browser, which has six connections")
    inspector_close: float = _time("inspector", 1.0, 1, 600, "how long requests under way may take when the inspector stops")
    carry_every: float = _time("inspector", 2.0, 0.05, 600, "how often the inspector looks for bulks that nobody carries on")

    # --- dev
    dev_grace: float = _time("dev", 5.0, 0, 3600, "how long bodies may go on when a save replaces the worker")
    dev_keep: float = _time("dev", 3.0, 0, 600, "the former worker is kept so long, to go on if the new one dies at once")
    dev_debounce: float = _time("dev", 0.05, 0.001, 10, "how long no file may be written before a save counts as over")
    dev_debounce_many: float = _time("dev", 0.1, 0.001, 10, "the same for a save of several files")
    dev_watch_step: float = _time("dev", 0.02, 0.001, 1, "how often the watcher collects what the system saw")
    dev_check: float = _time("dev", 15.0, 0.1, 600, "how long new code is checked against open runs at most")
    dev_quiet: float = _time("dev", 2.0, 0.01, 600, "what takes longer than this is told on the terminal")
    dev_late: float = _time("dev", 2.0, 0.01, 600, "a worker that says nothing for so long when it should is replaced")
    dev_stop: float = _time("dev", 5.0, 0.1, 600, "how long a worker may take to leave beyond its grace")
    dev_import: float = _time("dev", 10.0, 0.1, 600, "how long importing your code may take before it is said where it stands")
    dev_again: float = _time("dev", 0.5, 0, 60, "how much later than the last one a worker that died is started again, each time")
    dev_start: float = _time("dev", 10.0, 0.1, 600, "how long the inspector waits for an answer of your code")
    dev_spare: float = _time("dev", 0.5, 0, 600, "how long after a change an interpreter is made ready for the next save")
    dev_check_run: float = _time("dev", 0.2, 0.001, 60, "how long one open run is checked before new code takes over")
    dev_check_runs: float = _time("dev", 2.0, 0.01, 600, "how long all of them are")
    dev_replay_after: float = _time("dev", 0.7, 0, 600, "how long after a save its full check of recorded runs begins")
    dev_replay_run: float = _time("dev", 1.0, 0.001, 600, "how long one recorded run is replayed in it")
    dev_replay_runs: float = _time("dev", 120.0, 0.1, 86_400, "how long all of them are")
    dev_replay_end: float = _time("dev", 150.0, 0.1, 86_400, "a full check that is not over after this is given up")
    dev_replay_silence: float = _time("dev", 30.0, 0.1, 86_400, "and so is one that says nothing for this")
    dev_undo: float = _time("dev", 5.0, 0.01, 600, "how long a rollback is tried out")
    dev_waits: float = _time("dev", 0.25, 0.01, 60, "how often a worker that is to leave says what it waits for")
    dev_held: float = _time("dev", 0.05, 0.001, 60, "how often a worker that is to leave looks whether it may")
    dev_close: float = _time("dev", 3.0, 0.01, 600, "how long threads may take to end when dev or the inspector stops")
    dev_beside: float = _time("dev", 1.0, 0.01, 600, "how long dev waits for another on the same database to say where it is")
    dev_beside_look: float = _time("dev", 0.05, 0.001, 10, "how often it looks meanwhile")
    dev_report_kept: float = _time("dev", 90.0, 1, 86_400, "how long what dev says of broken code stands unless said again")
    dev_report_again: float = _time("dev", 30.0, 0.1, 3_600, "how often it is said again")
    dev_report_patience: float = _time("dev", 2.0, 0.01, 600, "how long saying it waits for a database that is locked")
    dev_stack: float = _time("dev", 0.05, 0.001, 10, "how long the stack of a stuck import takes to arrive")
    dev_watch_again: float = _time("dev", 1.0, 0.01, 60, "how soon a folder that could not be watched is tried again")
    dev_watch_wake: float = _time("dev", 0.5, 0.05, 60, "how soon the watcher hears that it should watch other folders")
    dev_deaths: int = _number_of("dev", 3, 1, 100, "a worker that dies so many times ...")
    dev_deaths_within: float = _time("dev", 10.0, 0.1, 3600, "... within this is not started again until a save")

    # fmt: on

    given: frozenset[str] = field(default=frozenset(), init=False, repr=False, compare=False)
    """The names that were given, as opposed to left at their default."""

    def __post_init__(self) -> None:
        for name, rule in rules().items():
            value = getattr(self, name)
            if value is not _DEFAULTS[name]:
                try:
                    object.__setattr__(self, name, rule.read(value))
                except ValueError as error:
                    raise ValueError(f"setting {name}: {error}") from None
        for name, whole in _HALVES:
            part, length = getattr(self, name), getattr(self, whole)
            if part * 2 > length:
                raise ValueError(
                    f"setting {name}: {format_seconds(part)} is more than half of {whole}, which is {format_seconds(length)}; "
                    f"what is renewed so seldom runs out while its worker lives"
                )


_HALVES = (("beat", "lease"), ("report_renew", "report_kept"))
"""What is renewed, and how long it holds."""


def _remembering(made: type[Settings]) -> None:
    """Have a `Settings` know what was given to it: what was not may still come from the environment."""
    generated = made.__init__

    @wraps(generated)
    def remember(self: Settings, **given: Any) -> None:
        generated(self, **given)
        object.__setattr__(self, "given", frozenset(given))

    made.__init__ = remember  # type: ignore[method-assign]  # a dataclass writes its own


@cache
def rules() -> Mapping[str, Rule]:
    """The rule of each setting, by name."""
    return {each.name: each.metadata["rule"] for each in dataclasses.fields(Settings) if "rule" in each.metadata}


_DEFAULTS = {each.name: each.default for each in dataclasses.fields(Settings)}
_remembering(Settings)


@dataclass(frozen=True, slots=True)
class InForce:
    """Settings, and where each came from: ``argument``, ``environment FLOWKIT_…``, ``<file> [tool.flowkit]`` or ``default``."""

    settings: Settings
    sources: Mapping[str, str]


def read_settings(
    argument: Settings | Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> InForce:
    """What is in force for whoever opens a database now: argument before environment before pyproject.toml before default.

    Raises:
        ValueError: a setting is unknown, cannot be read or is out of range; the text names it, its source and its range.
    """
    found: dict[str, Any] = {}
    sources = dict.fromkeys(rules(), "default")
    for source, layer in (
        *_of_pyproject(Path.cwd() if folder is None else folder),
        *_of_environment(os.environ if environ is None else environ),
        *_of_argument(argument),
    ):
        name, value = layer
        found[name] = _read(name, value, source)
        sources[name] = source
    try:
        return InForce(Settings(**found), sources)
    except ValueError as error:  # each is right by itself, but not beside another
        names = [name for pair in _HALVES for name in pair if name in found and name in str(error)]
        raise ValueError(f"{error} ({', '.join(f'{name} by {sources[name]}' for name in names)})") from None


def in_force() -> Settings:
    """What environment and pyproject.toml say: for commands, which nobody hands settings."""
    return read_settings().settings


def _read(name: str, value: object, source: str) -> Any:
    rule = rules().get(name)
    if rule is None:
        near = get_close_matches(name, rules(), n=1)
        hint = f"did you mean {near[0]}, {rules()[near[0]].range}?" if near else "docs/settings.md lists them all"
        raise ValueError(f"there is no setting {name!r} ({source}); {hint}")
    try:
        return rule.read(value)
    except ValueError as error:
        raise ValueError(f"setting {name} ({source}): {error}") from None


Layer = list[tuple[str, tuple[str, object]]]


def _of_argument(argument: Settings | Mapping[str, object] | None) -> Layer:
    if argument is None:
        return []
    if isinstance(argument, Settings):
        argument = {name: getattr(argument, name) for name in argument.given}
    if not isinstance(argument, Mapping):
        raise TypeError(f"settings is a flowkit.Settings or a mapping of settings, not {argument!r}")
    return [("argument settings=", (str(name), value)) for name, value in argument.items()]


def _of_environment(environ: Mapping[str, str]) -> Layer:
    found: Layer = []
    for variable in sorted(environ):
        name = variable.removeprefix("FLOWKIT_")
        if name == variable or name in NOT_SETTINGS or name.startswith(NOT_SETTINGS_BEGIN):
            continue
        if _SERVICE.match(f"{name}={environ[variable]}"):
            continue
        found.append((f"environment {variable}", (name.lower(), environ[variable])))
    return found


def _of_pyproject(folder: Path) -> Layer:
    for each in (folder, *folder.parents):
        file = each / "pyproject.toml"
        try:
            text = file.read_bytes()
        except OSError:  # none here, or none that may be read
            continue
        return _of_file(file, text)
    return []


def _of_file(file: Path, text: bytes) -> Layer:
    if b"flowkit" not in text:  # the parser is not even imported
        return []
    import tomllib

    try:
        tools = tomllib.loads(text.decode()).get("tool", {})
    except ValueError as error:
        raise ValueError(f"{file} cannot be read: {error}") from None
    table = tools.get("flowkit", {}) if isinstance(tools, dict) else None
    if not isinstance(table, dict):
        raise ValueError(f"{file} cannot be read: [tool.flowkit] is no table of settings")
    return [(f"{file} [tool.flowkit]", (str(name), value)) for name, value in table.items()]
