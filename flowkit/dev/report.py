"""The terminal: one block for each thing that happened, in stable columns, or one JSON line for tools.

Everything told is a plain value, so that both forms say the same. What comes from user code or the database is cleaned of
control characters, which a terminal would obey; a child's own output passes as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from flowkit.client.livecode import LoadError
from flowkit.clock import Clock
from flowkit.core.verdict import VERDICTS, Counted, Replay
from flowkit.dev.protocol import Fit, Held

__all__ = [
    "Asking", "Died", "Failed", "News", "NowLoaded", "Output", "Ready", "Remark", "Replayed", "Report", "Saved", "Stopped",
    "Stuck", "Waiting",
]  # fmt: skip

_PAD = " " * 18
_NEAR_FILES = 3
_COLOURS = {
    "loaded": "32", "ready": "32", "HELD": "33", "ASKS": "33", "waits": "33", "note": "33", "BROKEN": "31", "STUCK": "31",
    "DIED": "31",
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Item(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=str.lower):
    """Base of what is told; on a JSON line its `event` is the class's name."""


class Ready(Item, frozen=True, kw_only=True):
    """The server is up."""

    app: str
    db: str
    url: str


class Saved(Item, frozen=True, kw_only=True):
    """Files were saved."""

    files: tuple[str, ...]


class NowLoaded(Item, frozen=True, kw_only=True, tag="loaded"):
    """New code works on runs, or looks at them. `changes` are steps by workflow, such as ``+ notify``."""

    code: str
    former: str
    seconds: float
    pid: int
    workflows: int
    steps: int
    changes: dict[str, tuple[str, ...]] = {}
    fits: tuple[Fit, ...] = ()
    held: tuple[Held, ...] = ()
    freed: int = 0
    unattended: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    url: str = ""


class Asking(Item, frozen=True, kw_only=True):
    """Good code waits for a person's word; `running` goes on. What is told of open runs is what would become of them."""

    code: str
    running: str
    changes: dict[str, tuple[str, ...]] = {}
    fits: tuple[Fit, ...] = ()
    held: tuple[Held, ...] = ()
    freed: int = 0
    unattended: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    url: str = ""


class Failed(Item, frozen=True, kw_only=True, tag="broken"):
    """The newest code does not load; `running` goes on."""

    error: LoadError
    running: str


class Stuck(Item, frozen=True, kw_only=True):
    """An import does not come to an end."""

    source: str
    frames: tuple[str, ...]
    running: str


class Died(Item, frozen=True, kw_only=True):
    """A child is gone that should not be. `next` says what happens now."""

    code: str
    how: str
    output: tuple[str, ...]
    next: str


class Waiting(Item, frozen=True, kw_only=True):
    """What a drain waits for."""

    code: str
    bodies: tuple[str, ...]
    why: str


class Replayed(Item, frozen=True, kw_only=True):
    """All runs were tried in the background. `changed` are the counts that differ from those `before`, the load before."""

    code: str
    tried: int
    seconds: float
    held: int
    why: str = ""
    counts: tuple[Counted, ...] = ()
    before: tuple[Counted, ...] = ()
    warned: int = 0
    leftovers: int = 0
    url: str = ""

    @classmethod
    def of(cls, replay: Replay, former: Replay | None, url: str) -> Replayed:
        """What is told of a report, beside the one before."""
        return cls(
            code=replay.code, tried=replay.tried, seconds=replay.seconds, held=replay.held, why=replay.why,
            counts=replay.counts, before=() if former is None else former.counts, warned=len(replay.warnings),
            leftovers=len(replay.leftovers), url=url,
        )  # fmt: skip

    def changed(self) -> list[tuple[str, bool, list[tuple[str, int, int]]]]:
        """By workflow, open and finished apart: the verdicts of which there are more or fewer than before."""
        now = {(each.workflow, each.ended, each.verdict): each.runs for each in self.counts}
        then = {(each.workflow, each.ended, each.verdict): each.runs for each in self.before}
        found: dict[tuple[str, bool], list[tuple[str, int, int]]] = {}
        for workflow, ended, verdict in sorted(now.keys() | then.keys(), key=lambda key: (*key[:2], VERDICTS.index(key[2]))):
            old, new = then.get((workflow, ended, verdict), 0), now.get((workflow, ended, verdict), 0)
            if old != new:
                found.setdefault((workflow, ended), []).append((verdict, old, new))
        return [(workflow, ended, verdicts) for (workflow, ended), verdicts in found.items()]


class Remark(Item, frozen=True, kw_only=True, tag="note"):
    """Something else to know."""

    text: str


class Output(Item, frozen=True, kw_only=True):
    """A line that a child printed."""

    code: str
    stream: str
    line: str


class Stopped(Item, frozen=True, kw_only=True):
    """Everything has ended."""


News = Ready | Saved | NowLoaded | Asking | Failed | Stuck | Died | Waiting | Replayed | Remark | Output | Stopped


class Report:
    """Writes news with `write`, which gets one text without its line end for each."""

    def __init__(self, write: Callable[[str], None], clock: Clock, *, colour: bool = False, as_json: bool = False) -> None:
        self._write = write
        self._clock = clock
        self._colour = colour
        self._as_json = as_json

    def now(self) -> float:
        """The wall clock, by which news is dated."""
        return self._clock.now()

    def tell(self, news: News) -> None:
        """Write it down."""
        if self._as_json:
            fields = {"at": round(self._clock.now(), 3)} | msgspec.to_builtins(news)
            self._write(msgspec.json.encode(fields).decode("utf-8", "replace"))
            return
        if isinstance(news, Output):
            self._write(f"{news.code or '……':>6} │ {news.line}")
            return
        now = datetime.fromtimestamp(self._clock.now(), UTC).astimezone()
        for word, *lines in blocks(news):
            shown = f"\x1b[{_COLOURS[word]}m{word:<8}\x1b[0m" if self._colour and word in _COLOURS else f"{word:<8}"
            first, *rest = lines or [""]
            head = f"{now:%H:%M:%S}  {shown}{clean(first)}".rstrip()
            self._write("\n".join([head, *(f"{_PAD}{clean(line)}" for line in rest)]))


def blocks(news: News) -> Iterable[list[str]]:
    """The blocks of a piece of news: a word for the left column, then the lines."""
    match news:
        case Ready():
            yield ["ready", f"{news.app} in {news.db}   {news.url}".rstrip()]
        case Saved(files=files):
            more = f" and {len(files) - _NEAR_FILES} more" if len(files) > _NEAR_FILES else ""
            yield ["saved", ", ".join(files[:_NEAR_FILES]) + more]
        case NowLoaded():
            yield ["loaded", *_loaded(news)]
            for number, held in enumerate(news.held, 1):
                yield ["HELD", *_held(held), *([news.url] if news.url and number == len(news.held) else [])]
        case Asking():
            yield ["ASKS", *_asking(news)]
            for held in news.held:
                line, *lines = _held(held)
                yield ["HELD", f"would be: {line}", *lines]
        case Failed(error=error, running=running):
            yield ["BROKEN", *_broken(error, running)]
        case Stuck(source=source, frames=frames, running=running):
            yield ["STUCK", f"import still running at {source}{_keeps(running)}", *(f"    {frame}" for frame in frames)]
        case Died(code=code, how=how, output=output, next=then):
            yield ["DIED", f"{code or 'the new code'} {how}; {then}", *(f"    {line}" for line in output)]
        case Waiting(code=code, bodies=bodies, why=why):
            yield ["waits", f"{code} {why}: {', '.join(bodies)}"]
        case Replayed():
            if lines := [*_replayed(news)]:
                yield ["checked", *lines]
        case Remark(text=text):
            yield ["note", *text.splitlines()]
        case Stopped():
            yield ["stopped"]
        case Output(line=line):
            yield ["output", line]


def _loaded(news: NowLoaded) -> Iterable[str]:
    arrow = f"{news.former} → {news.code}" if news.former else news.code
    what = f"{_count(news.workflows, 'workflow')}, {_count(news.steps, 'step')}"
    if news.freed and not news.held:
        what = f"{_count(news.freed, 'held run')} {'fits and goes' if news.freed == 1 else 'fit and go'} on"
    yield f"{arrow} in {news.seconds * 1000:.0f} ms   {what}"
    yield from _fits(news)


def _asking(news: Asking) -> Iterable[str]:
    yield f"{news.running or 'no code'} → {news.code}?   apply it, hold it or discard it at {news.url}"
    yield from _fits(news)


def _fits(news: NowLoaded | Asking) -> Iterable[str]:
    for workflow, changes in news.changes.items():
        yield f"{workflow}  {'   '.join(changes)}"
    for fit in news.fits:
        if fit.workflow in news.changes or fit.held or fit.unchecked:
            yield f"{fit.workflow}  {_fitting(fit)}"
    for workflow, runs in news.unattended.items():
        yield f"{workflow}  {_count(runs, 'open run')}: no code for them here, they are left alone"
    yield from news.notes


def _fitting(fit: Fit) -> str:
    parts = [f"{fit.fits} fit{'s' if fit.fits == 1 else ''}"]
    parts += [f"{fit.held} held by code"] if fit.held else []
    parts += [f"{fit.unchecked} not checked"] if fit.unchecked else []
    return f"{_count(fit.fits + fit.held + fit.unchecked, 'open run')}: {', '.join(parts)}"


def _replayed(news: Replayed) -> Iterable[str]:
    """Changed counts only; nothing where none has changed and nothing went wrong."""
    changed = news.changed()
    if not changed and not news.why:
        return
    yield f"{news.code}  {_count(news.tried, 'run')} in {news.seconds:.1f} s   {news.url}".rstrip()
    for workflow, ended, verdicts in changed:
        parts = (f"{f'{old:,} → ' if old else ''}{new:,} {verdict}" for verdict, old, new in verdicts)
        yield f"{workflow}  {'finished' if ended else 'open'}: {', '.join(parts)}"
    yield from news.why.splitlines()


def _held(held: Held) -> Iterable[str]:
    cause = held.cause
    runs = f"{_count(cause.runs, 'run')} of {cause.workflow}."
    if not held.lines:
        yield f"{runs} No line was found that helps"
        yield from (f"    {line}" for line in cause.advice.splitlines())
        return
    for line in held.lines:
        yield f"{runs} In {line.place}, {line.where} {line.code or 'that line'}, add".strip()
        yield f"    {line.text}"
        runs = ""
    yield from cause.advice.splitlines()


def _broken(error: LoadError, running: str) -> Iterable[str]:
    message, *more = error.message.splitlines() or [""]
    kind = f"{error.type}: " if error.type else ""  # none where the process ended
    yield f"{error.source}  {kind}{message}{_keeps(running)}".strip()
    yield from (f"    {line}" for line in more)
    yield from (f"    {line.number} | {line.text}" for line in error.lines if line.marked)
    yield from (f"    {frame}" for frame in error.frames[:-1])
    if error.hint:
        yield error.hint
    yield from (f"    {line}" for line in error.output)


def _keeps(running: str) -> str:
    return f"        {running} keeps running" if running else "        no code is running"


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def clean(text: str) -> str:
    """The text without what a terminal would obey."""
    return _CONTROL.sub("�", text.replace("\n", " ").encode("utf-8", "replace").decode())
