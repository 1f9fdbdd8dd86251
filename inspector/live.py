"""Live updates: one task watches the database for all open pages and wakes their streams.

Events carry a name and a token, never HTML: the page then fetches what changed. A browser has six connections to a host,
so a fifth stream of one browser ends its oldest (that page polls instead), or a sixth window could load nothing at all.
"""

from __future__ import annotations

import asyncio
import secrets
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from flowkit.client.livecode import CodeInfo
from flowkit.client.reader import Reader, RunRow
from flowkit.errors import FlowkitError
from flowkit.settings import Settings

from .present.crew import NOBODY, UNATTENDED_SECONDS, Crew, crew_of, outlook, unattended

__all__ = ["Pulse", "Watching", "run_token"]

_BULKS = 20


def run_token(row: RunRow, crew: Crew, now: float) -> str:
    """A text that differs when anything that a run's page shows has changed, be it only who looks after the run."""
    facts = (row.epoch, row.head, row.inbox, row.status, row.request, row.wake_at, row.owner, row.attempts, row.updated_at)
    looked_after = outlook(row, crew, now), unattended(row, crew, now), crew.health(row.workflow).reports if crew.reports else ()
    return f"{row.head}-{zlib.crc32(repr((facts, looked_after)).encode()):08x}"


@dataclass(frozen=True, slots=True)
class Watching:
    """What a page was rendered from: a run (or None: all of them) at `since`, and the code (None: it shows nothing of it).

    With `bulk`, the number of one or ``all``, it shows bulks and not runs.
    """

    run: str | None
    since: str
    code: str | None
    bulk: str | None = None

    @property
    def event(self) -> str:
        """What the page is told when it is out of date."""
        return "bulk" if self.bulk is not None else "runs" if self.run is None else "run"


@dataclass(eq=False)
class _Stream:
    browser: tuple[str, str]
    watching: Watching
    token: str
    code: str | None
    waiting: list[tuple[str, str]] = field(default_factory=list)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def tell(self, name: str, token: str) -> None:
        """Queue an event; one of the same name that still waits is replaced."""
        self.waiting = [event for event in self.waiting if event[0] != name] + [(name, token)]
        self.woken.set()


class Pulse:
    """The open streams, and the task that wakes them. Belongs to one event loop."""

    def __init__(self, reader: Reader, code: CodeInfo | None, settings: Settings) -> None:
        self._settings = settings
        self._reader = reader
        self._code = code
        # What a database and a supervisor number begins anew with each process, so the same number may mean something else
        # to a page that has outlived a server.
        self._life = secrets.token_hex(3)
        self._streams: list[_Stream] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._streams)

    def token(self) -> str:
        """A text that differs when anything in the database may have changed, and in every other server; where no worker
        lives it also differs every ten seconds, for runs fall due and nobody takes them.
        """
        alive = sorted(worker.id for worker in self._reader.workers() if worker.alive)
        crew = ".".join(map(str, alive)) or f"none.{int(self._reader.now() / UNATTENDED_SECONDS)}"
        return f"{self._life}-{self._reader.token()}-{crew}"

    def bulk_token(self, which: str) -> str:
        """A text that differs when this bulk has moved on, or when nobody carries it on any more; of ``all`` the newest ones."""
        if which == "all":
            found = self._reader.bulks(_BULKS)
        else:
            one = self._reader.bulk(int(which)) if which.isascii() and which.isdigit() and len(which) < 19 else None
            found = (one,) if one is not None else ()
        now = self._reader.now()
        told = ".".join(f"{bulk.seq}-{bulk.version}{'h' if bulk.is_open and bulk.held_until > now else ''}" for bulk in found)
        return f"{self._life}-{zlib.crc32(told.encode()):08x}"

    def code_token(self) -> str:
        """A text that differs when the code has changed, and in every other server."""
        return f"{self._life}-{0 if self._code is None else self._code.state().version}"

    async def listen(self, watching: Watching, browser: tuple[str, str]) -> AsyncIterator[str]:
        """The text of an event stream. Ends when the page goes, is demoted, or the server stops."""
        stream = _Stream(browser, watching, watching.since, watching.code)
        self._make_room(browser)
        self._streams.append(stream)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._beat())
        try:
            yield "retry: 500\n: open\n\n"
            await self._look([stream])
            async for text in self._events(stream):
                yield text
        finally:
            if stream in self._streams:
                self._streams.remove(stream)

    async def _events(self, stream: _Stream) -> AsyncIterator[str]:
        while not self._closed:
            try:
                await asyncio.wait_for(stream.woken.wait(), self._settings.live_comment)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            stream.woken.clear()
            events, stream.waiting = stream.waiting, []
            for name, token in events:
                number = "" if name == "code" else f"id: {token}\n"  # the id is what a page sends when it connects again
                yield f"event: {name}\n{number}data: {token}\n\n"
            if stream.ended:
                return

    def _make_room(self, browser: tuple[str, str]) -> None:
        same = [stream for stream in self._streams if stream.browser == browser]
        for stream in _surplus(same, self._settings.live_per_browser) or _surplus(self._streams, self._settings.live_streams):
            self._streams.remove(stream)
            stream.tell("demote", "0")
            stream.ended = True

    def close(self) -> None:
        """End all streams. Call it before the server waits for its connections, in the server's loop."""
        self._closed = True
        for stream in self._streams:
            stream.woken.set()
        if self._task is not None:
            self._task.cancel()

    # --- watching ---------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        seen: tuple[int, str] | None = None
        looked, clock = 0.0, asyncio.get_running_loop()
        while self._streams and not self._closed:
            await asyncio.sleep(self._settings.live_poll)
            try:
                now = await run_in_threadpool(self._reader.token)
            except FlowkitError:
                continue  # a database that is locked or gone: pages say so when they ask, and this goes on trying
            current = now, self.code_token()
            # A worker that is killed writes nothing, and a run falls due without a write.
            if current != seen or clock.time() - looked > self._settings.live_crew:
                seen, looked = current, clock.time()
                await self._look(list(self._streams))

    async def _look(self, streams: list[_Stream]) -> None:
        """Tell each stream what differs from what its page shows; a run is read once for all its pages."""
        ids = {stream.watching.run for stream in streams if stream.watching.run is not None}
        try:
            tokens = await run_in_threadpool(self._tokens, ids)
            everything = await run_in_threadpool(self.token)
            whose = {stream.watching.bulk for stream in streams if stream.watching.bulk is not None}
            bulks = {which: await run_in_threadpool(self.bulk_token, which) for which in whose}
        except FlowkitError:
            return
        loaded = self.code_token()
        for stream in streams:
            watching = stream.watching
            token = everything if watching.run is None else tokens.get(watching.run, "")
            token = token if watching.bulk is None else bulks[watching.bulk]
            if token != stream.token:
                stream.token = token
                stream.tell(watching.event, token)
            if stream.code not in (None, loaded):
                stream.code = loaded
                stream.tell("code", loaded)

    def _tokens(self, ids: set[str]) -> dict[str, str]:
        rows = {id: self._reader.run(id) for id in ids}
        now = self._reader.now()
        crew = crew_of(self._reader.workers(), self._reader.reports(), now) if ids else NOBODY
        return {id: run_token(row, crew, now) for id, row in rows.items() if row is not None}


def _surplus(streams: list[_Stream], most: int) -> list[_Stream]:
    """The oldest, which must go so that one more is at most so many."""
    return streams[: max(0, len(streams) - most + 1)]
