"""What a worker tells of itself in the store: which workflows it serves, under which code, and what that code consists of.

Those who look at runs see by it whether anybody will go on with one, and a check knows a step again that has got another
name. Nothing here decides which runs a worker may claim.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from flowkit.definitions import Workflow
from flowkit.definitions.manifest import manifest_of, read_manifest
from flowkit.drivers.base import Driver, WorkerInfo
from flowkit.errors import FlowkitError
from flowkit.registry import project_code

__all__ = ["UNVERSIONED", "Announcer", "Rollout", "Serving", "read_serving", "worker_info"]


def worker_info(kind: str = "worker", info: str = "{}") -> WorkerInfo:
    """Who this process is; `info` is what it serves."""
    return WorkerInfo(
        name=f"{socket.gethostname()}-{os.getpid()}",
        host=socket.gethostname(),
        pid=os.getpid(),
        kind="worker" if kind == "worker" else "client",
        info=info,
    )


class Rollout(msgspec.Struct, frozen=True):
    """Under which `version` a worker serves, and whether those of another one that joined before it are to leave."""

    version: str = ""
    drains_older: bool = False


UNVERSIONED = Rollout()


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """`workflows` are names, None where a worker has not said; `generation` counts reloads and is 0 outside `flowkit dev`.

    `drains_older`: workers of another version that joined before are to leave. `leaving`: this one does. `first` is the number
    under which it joined first, 0 if it never had to join anew.
    """

    code: str = ""
    generation: int = 0
    workflows: tuple[str, ...] | None = None
    version: str = ""
    drains_older: bool = False
    leaving: bool = False
    first: int = 0


def read_serving(info: str) -> Serving:
    """What a worker has told; nothing, if another program wrote it otherwise."""
    try:
        return msgspec.json.decode(info, type=Serving)
    except msgspec.MsgspecError:
        return Serving()


class Announcer:
    """Tells it for one worker, and again when it has come to serve more. `sources` is the digest of the code's files."""

    def __init__(self, driver: Driver, sources: str, generation: int = 0, rollout: Rollout = UNVERSIONED) -> None:
        self._driver = driver
        self._code = project_code(sources)
        self._mine = Serving(code=self._code, generation=generation, version=rollout.version, drains_older=rollout.drains_older)
        self._told = ""

    def serving(self, workflows: Iterable[str]) -> Serving:
        """What is told while these are served."""
        return msgspec.structs.replace(self._mine, workflows=tuple(sorted(workflows)))

    def leaves(self) -> None:
        """From here on it is told that this worker leaves."""
        self._mine = msgspec.structs.replace(self._mine, leaving=True)

    def joins_anew(self, before: int) -> None:
        """From here on it is told that this worker had the number `before`."""
        self._mine = msgspec.structs.replace(self._mine, first=self._mine.first or before)
        self._told = ""

    def info(self, workflows: Iterable[str]) -> str:
        """What stands in the worker's row."""
        return msgspec.json.encode(self.serving(workflows)).decode()

    def tell(self, worker: int, workflows: Mapping[str, Workflow[..., Any]], now: float) -> None:
        """Bring the store up to date, if anything is new.

        Raises:
            Fenced: the worker was declared dead. StoreError: it is to be told again. What the user's functions raise when they
            are looked at passes through once; they are left alone then.
        """
        info = self.info(workflows)
        if info == self._told:
            return
        self._driver.beat(worker, now, info)
        try:
            self._publish(workflows, now)
        except FlowkitError:
            raise
        except Exception:  # a callable of the user's, whose repr may do anything: it would do so every time
            self._told = info
            raise
        self._told = info

    def _publish(self, workflows: Mapping[str, Workflow[..., Any]], now: float) -> None:
        """Once per code: whoever comes second finds it there."""
        known = read_manifest(self._driver.manifest(self._code))
        new = [workflow for name, workflow in workflows.items() if name not in known.workflows]
        if new:
            self._driver.publish(self._code, known.also(manifest_of(new)).encode(), now)
