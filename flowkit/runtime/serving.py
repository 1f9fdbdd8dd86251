"""What a worker tells of itself in the store: which workflows it serves, under which code, and what that code consists of.

Those who look at runs see by it whether anybody will go on with one, and a check knows a step again that has got another
name. Nothing here decides which runs a worker may claim.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from flowkit.codec import snapshot
from flowkit.core.location import MAX_NAME, check_version
from flowkit.definitions import Workflow
from flowkit.definitions.manifest import Manifest, manifest_of, read_manifest
from flowkit.drivers.base import Driver, WorkerInfo
from flowkit.errors import ErrorInfo, InvalidName
from flowkit.registry import project_code

__all__ = ["UNVERSIONED", "Announcer", "Rollout", "Serving", "read_serving", "version_given", "worker_info"]


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


def version_given(version: str | None, source: str, environ: Mapping[str, str]) -> str | None:
    """The version that `source` gave, else ``$FLOWKIT_VERSION``; None if neither does.

    Raises:
        InvalidName: it is empty, too long, or holds control characters; the text names where it came from.
    """
    if version is None:
        version, source = environ.get("FLOWKIT_VERSION"), "environment FLOWKIT_VERSION"
    try:
        return None if version is None else check_version(version)
    except InvalidName as error:
        raise InvalidName(f"{error} ({source}); it is text of 1 to {MAX_NAME} characters, such as 2.4") from None


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
        self._left_out: set[str] = set()

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

    def tell(self, worker: int, workflows: Mapping[str, Workflow[..., Any]], now: float) -> dict[str, ErrorInfo]:
        """Bring the store up to date, if anything is new; the workflows whose code could not be described, and why, each once.

        Raises:
            Fenced: the worker was declared dead. StoreError: it is to be told again.
        """
        info = self.info(workflows)
        if info == self._told:
            return {}
        self._driver.beat(worker, now, info)
        failed = self._publish(workflows, now)
        self._told = info
        return failed

    def _publish(self, workflows: Mapping[str, Workflow[..., Any]], now: float) -> dict[str, ErrorInfo]:
        """Once per code: whoever comes second finds it there."""
        known = read_manifest(self._driver.manifest(self._code))
        new = [workflow for name, workflow in workflows.items() if name not in known.workflows and name not in self._left_out]
        described, failed = _described(new)
        self._left_out |= failed.keys()
        if described.workflows:
            self._driver.publish(self._code, known.also(described).encode(), now)
        return failed


_MADE: WeakKeyDictionary[Workflow[..., Any], Manifest] = WeakKeyDictionary()
"""Code stays as it was imported, so a process that opens many stores reads it once."""


def _described(workflows: Iterable[Workflow[..., Any]]) -> tuple[Manifest, dict[str, ErrorInfo]]:
    """What these workflows consist of, without those that cannot be looked at: the user's objects may do anything then."""
    described, failed = Manifest(), dict[str, ErrorInfo]()
    for workflow in workflows:
        try:
            made = _MADE.get(workflow)
            if made is None:
                made = _MADE[workflow] = manifest_of([workflow])
            described = described.also(made)
        except Exception as error:  # of the user's, such as a property of a body
            failed[workflow.name] = snapshot(error)
    return described, failed
