"""An inspector in a process of its own, as `flowkit inspect` starts it, and what that process costs."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Alone", "alone"]


@dataclass(frozen=True)
class Alone:
    """The process, and requests to it."""

    pid: int
    port: int

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a page."""
        connection = http.client.HTTPConnection("localhost", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @contextmanager
    def stream(self, path: str, agent: str = "window") -> Iterator[Any]:
        """An open event stream, to be read line by line; in HTTP 1.0 it comes without chunk sizes."""
        with socket.create_connection(("localhost", self.port), timeout=10) as connection:
            head = f"GET {path} HTTP/1.0\r\nHost: localhost:{self.port}\r\nUser-Agent: {agent}\r\n\r\n"
            connection.sendall(head.encode())
            with connection.makefile("rb") as file:
                while file.readline().strip():
                    pass
                yield file

    def cpu_seconds(self) -> float:
        """What all threads of the process have used so far, by the scheduler's own clock."""
        spent = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            spent += int((task / "schedstat").read_text().split()[0])
        return spent / 1e9


@contextmanager
def alone(file: Path) -> Iterator[Alone]:
    """`flowkit inspect` over the database in `file`."""
    command = [sys.executable, "-m", "flowkit", "inspect", "--db", str(file), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield Alone(process.pid, json.loads(process.stdout.readline())["port"])
        finally:
            process.terminate()
