"""A network that can fail: a TCP proxy between a program and its server.

    python -m tests.torture.proxy HOST PORT

serves until its input ends, prints the port that it listens on, and falls silent under SIGSTOP: the system goes on
acknowledging what it is sent. `Proxy` is the same in a thread of this process, where a connection can be cut after so many
bytes of either direction, delayed, or held: what is held arrives at the server when it is released, even if its sender has
gone away in the meantime.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

__all__ = ["Proxy", "Way"]

Way = Literal["up", "down"]
"""Up is from the client to the server."""

_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)


@dataclass
class _Plan:
    """What is to happen to the bytes from now on, of all connections together."""

    cut: Way | None = None
    left: int = 0
    delay: float = 0.0


class _Cut(Exception):
    """A connection has come to the byte that was not to pass."""


@dataclass(eq=False)
class _Link:
    """One connection: the two ends that are written to, and whether bytes may go up."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    free: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        for writer in (self.client, self.server):
            connection = writer.get_extra_info("socket")
            with suppress(OSError, AttributeError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class Proxy:
    """Forwards to `host:port` from a port of its own, in a thread of its own. All methods are for other threads."""

    def __init__(self, host: str, port: int) -> None:
        self.passed: dict[str, int] = {"up": 0, "down": 0}
        self.cuts = 0
        self._target = (host, port)
        self.rewrites: tuple[bytes, bytes] | None = None
        """What the server says, and what the client hears instead; of the same length, and within one packet."""
        self._plan = _Plan()
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._ask(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def cut_after(self, count: int, way: Way) -> None:
        """Reset the connection that passes the byte after the next `count` of this direction, before that byte."""
        self._tell(lambda: setattr(self, "_plan", _Plan(cut=way, left=count)))

    def delay(self, seconds: float) -> None:
        """From now on every answer of the server takes so much longer."""
        self._tell(lambda: setattr(self, "_plan", _Plan(delay=seconds)))

    def behave(self) -> None:
        """No more faults are planned, and nothing is held."""
        self._tell(self._behave)

    def hold(self) -> None:
        """Keep what the present connections send up. New ones are not affected."""
        self._tell(self._hold)

    def cut_all(self) -> None:
        """Reset all connections."""
        self._tell(self._cut_all)

    def close(self) -> None:
        """Reset everything and end."""
        self._tell(self._behave)
        self._tell(self._server.close)
        self._tell(self._cut_all)
        self._ask(self._ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # --- in the loop

    def _ask(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _tell(self, act: Callable[[], object]) -> None:
        async def done() -> None:
            act()

        self._ask(done())

    async def _ended(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _behave(self) -> None:
        self._plan = _Plan()
        for link in self._links:
            link.free.set()

    def _hold(self) -> None:
        for link in self._links:
            link.free.clear()

    def _cut_all(self) -> None:
        for link in self._links:
            link.reset()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, forth = await asyncio.open_connection(*self._target)
        except OSError:  # the server is down, which is what the client is to notice
            writer.transport.abort()
            return
        link = _Link(writer, forth)
        link.free.set()
        self._links.add(link)
        pumps = [asyncio.ensure_future(self._pump("up", reader, link)), asyncio.ensure_future(self._pump("down", back, link))]
        try:
            await asyncio.gather(*pumps)
        except (_Cut, asyncio.CancelledError):
            for pump in pumps:
                pump.cancel()
            link.reset()
        finally:
            self._links.discard(link)
            writer.close()
            forth.close()

    async def _pump(self, way: Way, source: asyncio.StreamReader, link: _Link) -> None:
        """Until either end goes away; then the other end is told. What is held is brought all the same."""
        sink = link.server if way == "up" else link.client
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                if way == "up":
                    await link.free.wait()
                elif self._plan.delay:
                    await asyncio.sleep(self._plan.delay)
                await self._pass(way, data, sink)
        with suppress(OSError, RuntimeError):
            sink.write_eof() if way == "up" else sink.close()

    async def _pass(self, way: Way, data: bytes, sink: asyncio.StreamWriter) -> None:
        plan = self._plan
        if self.rewrites is not None and way == "down":
            data = data.replace(*self.rewrites)
        if plan.cut == way and len(data) > plan.left:
            self._plan = _Plan()
            self.cuts += 1
            sink.write(data[: plan.left])
            await sink.drain()
            raise _Cut
        if plan.cut == way:
            plan.left -= len(data)
        self.passed[way] += len(data)
        sink.write(data)
        await sink.drain()


def main(host: str, port: str) -> None:
    """Forward until the input ends."""
    with Proxy(host, int(port)) as proxy:
        print(proxy.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
