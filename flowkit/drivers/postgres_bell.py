"""Telling other processes that something was committed: seldom, and never inside the commit.

A thread of the handle moves the sequence `changes`, at which those who wait look, at most a hundred times a second however many
commits there were. With `listen=1` it also holds a connection on which it sends and receives notifications; sent within the
transactions, they would make all commits of the server queue up. Whatever is lost with a process or a connection is found at
the next look: nothing depends on being told.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from flowkit.drivers.forks import this_process
from flowkit.drivers.postgres_connections import Connections
from flowkit.drivers.postgres_link import Link
from flowkit.errors import StoreError

__all__ = ["Bell"]

_MOVE = b"SELECT nextval('changes')"
_LISTEN = b"LISTEN flowkit"
_NOTIFY = b"NOTIFY flowkit"


class Bell:
    """Rings for this handle's commits, and hears those of others through `heard` if the URL says `listen=1`.

    `commits` counts what this handle has committed, `moves` how often it has moved the sequence.
    """

    def __init__(self, connections: Connections, heard: Callable[[], None]) -> None:
        self._settings = connections.settings
        self._connections = connections
        self._heard = heard
        self._listens = connections.place.listen
        self._silent = connections.readonly
        self._pid = this_process()
        self.commits = 0
        self.moves = 0
        self.still = threading.Lock()
        """Held while the sequence moves but `moves` does not yet say so."""
        self._closed = False
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._rings = False
        self._link: Link | None = None
        self._thread = threading.Thread(target=self._run, name="flowkit-postgres-bell", daemon=True)
        self._thread.start()

    def ring(self) -> None:
        """Something was committed. Costs next to nothing, and never blocks."""
        self.commits += 1
        if not self._rings:
            self._rings = True
            self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # full: the thread is about to look anyway
            self._waker.send(b".")

    def close(self) -> None:
        """Tell what is to be told, and end. Not in a forked child."""
        if self._pid != this_process():
            return
        self._closed = True
        self._wake()
        self._thread.join(self._settings.join_threads)
        self._waker.close()
        self._woken.close()

    def _run(self) -> None:
        while True:
            try:
                self._wait()
                if self._rings:
                    self._move()
            except (StoreError, psycopg.Error, OSError):
                self._hang_up()
                if not self._closed:
                    time.sleep(self._settings.pg_again)
                    self._heard()  # what was told meanwhile went unheard
            if self._closed:
                self._hang_up()
                return
            time.sleep(self._settings.pg_notify)

    def _wait(self) -> None:
        """Until there is something to tell, or something is told."""
        if self._rings or self._closed:
            return
        ears = [self._woken.fileno()]
        if self._listens:
            ears.append(self._listening().connection.fileno())
        poll = select.poll()
        for ear in ears:
            poll.register(ear, select.POLLIN)
        ready = {found for found, _ in poll.poll()}
        with suppress(BlockingIOError):
            self._woken.recv(4_096)
        if ready - {ears[0]}:
            self._receive()

    def _listening(self) -> Link:
        if self._link is None:
            link = self._link = self._connections.connected()
            link.hand.own(_LISTEN)
            link.rest()
            self._heard()
        return self._link

    def _receive(self) -> None:
        assert self._link is not None
        server = self._link.connection.pgconn
        server.consume_input()
        heard = False
        while (note := server.notifies()) is not None:
            heard = heard or note.be_pid != server.backend_pid
        if heard:
            self._heard()

    def _move(self) -> None:
        self._rings = False
        if self._silent:
            return
        try:
            with self.still:
                self._connections.commit_one(lambda hand: hand.own(_MOVE), self._connections.pulse)
                self.moves += 1
            if self._link is not None:
                self._link.hand.own(_NOTIFY)
                self._link.rest()
                self._receive()
        except (StoreError, psycopg.Error):
            self._rings = True
            raise

    def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._connections.drop(link)
