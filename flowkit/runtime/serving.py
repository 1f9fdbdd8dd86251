"""What a worker tells of itself in the store: which workflows it serves, under which code, and what that code consists of.

Those who look at runs see by it whether anybody will go on with one, and a check knows a step again that has got another
name. Nothing here decides which runs a worker may claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from flowkit.definitions import Workflow
from flowkit.definitions.manifest import manifest_of, read_manifest
from flowkit.drivers.base import Driver
from flowkit.errors import FlowkitError
from flowkit.registry import project_code

__all__ = ["Announcer", "Serving", "read_serving"]


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """`workflows` are names, None where a worker has not said; `generation` counts reloads and is 0 outside `flowkit dev`."""

    code: str = ""
    generation: int = 0
    workflows: tuple[str, ...] | None = None


def read_serving(info: str) -> Serving:
    """What a worker has told; nothing, if another program wrote it otherwise."""
    try:
        return msgspec.json.decode(info, type=Serving)
    except msgspec.MsgspecError:
        return Serving()


class Announcer:
    """Tells it for one worker, and again when it has come to serve more. `sources` is the digest of the code's files."""

    def __init__(self, driver: Driver, sources: str, generation: int = 0) -> None:
        self._driver = driver
        self._code = project_code(sources)
        self._generation = generation
        self._told = ""

    def info(self, workflows: Mapping[str, Workflow[..., Any]]) -> str:
        """What stands in the worker's row."""
        serving = Serving(code=self._code, generation=self._generation, workflows=tuple(sorted(workflows)))
        return msgspec.json.encode(serving).decode()

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
