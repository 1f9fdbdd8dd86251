"""Several hosts on one machine: network namespaces with their own addresses, whose links can be cut and healed.

The middle one is for the server. Each of the others has a link to it, and so has this process. Needs root and `ip`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from tests.support import require

__all__ = ["Host", "Network", "network"]

_numbers = count(os.getpid() % 60)


@dataclass(frozen=True)
class Host:
    """A namespace. `link` is its end of the link to the server, `server` the server's address on that link."""

    name: str
    link: str
    server: str

    @property
    def inside(self) -> tuple[str, ...]:
        """What stands before a command that runs on this host."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """The link goes down: nothing arrives, and nobody is told."""
        _ip("-n", self.name, "link", "set", self.link, "down")

    def heal(self) -> None:
        """The link comes up again."""
        _ip("-n", self.name, "link", "set", self.link, "up")


@dataclass(frozen=True)
class Network:
    """The server's host, those of workers, and the server's address as this process sees it."""

    server: tuple[str, ...]
    address: str
    hosts: Sequence[Host]


@contextmanager
def network(hosts: int) -> Iterator[Network]:
    """A server's host and `hosts` others, gone afterwards with all that runs in them."""
    require(hasattr(os, "geteuid") and os.geteuid() == 0, "network namespaces need root")
    require(shutil.which("ip"), "network namespaces need `ip` (iproute2)")
    middle = f"fk{os.getpid()}s"
    made = subprocess.run(["ip", "netns", "add", middle], capture_output=True, text=True, check=False)
    require(made.returncode == 0, f"no network namespaces here: {made.stderr.strip()}")
    names = [f"fk{os.getpid()}h{number}" for number in range(hosts)]
    try:
        _ip("-n", middle, "link", "set", "lo", "up")
        ours = _linked(middle, None)
        found = [_hosted(middle, name) for name in names]
        yield Network(("ip", "netns", "exec", middle), ours.server, found)
    finally:
        for name in (*names, middle):  # a link goes with either of its ends
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _hosted(middle: str, name: str) -> Host:
    _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")
    return _linked(middle, name)


def _linked(middle: str, name: str | None) -> Host:
    """A link between the middle and a host; None is this process's own."""
    number = next(_numbers)
    here, there = f"fk{os.getpid()}a{number}", f"fk{os.getpid()}b{number}"
    where = ["-n", name] if name is not None else []
    _ip(*where, "link", "add", here, "type", "veth", "peer", "name", there, "netns", middle)
    for side, link, host in ((where, here, 2), (["-n", middle], there, 1)):
        _ip(*side, "addr", "add", f"10.77.{number}.{host}/24", "dev", link)
        _ip(*side, "link", "set", link, "up")
    return Host(name or "", here, f"10.77.{number}.1")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
