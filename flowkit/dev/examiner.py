"""The process that tries all runs under the code that was just loaded, beside the generation that works.

Run as ``python -B -u -X faulthandler -m flowkit.dev.examiner SPEC``. It imports the APP for itself and never claims: whatever
workflow code does in a frozen pass, looping for ever or ending the process, hurts no worker. It says which run it is at, so
that whoever hears no more knows why; it ends when it is done, when it is killed, or when the supervisor is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from flowkit.check import Progress, replay_runs
from flowkit.core.verdict import Replay
from flowkit.definitions import Workflow, known_workflows
from flowkit.dev.lifeline import die_with, guard_forks
from flowkit.dev.loading import Sources, import_user_app
from flowkit.dev.protocol import Replayed, Said, Spec, Trying, encode
from flowkit.dev.settings import IN_FORCE
from flowkit.drivers import open_driver
from flowkit.errors import FlowkitError

__all__ = ["main"]

SECONDS_PER_RUN = IN_FORCE.dev_replay_run
SECONDS = IN_FORCE.dev_replay_runs
"""How long all runs together may take; what is left then is not checked."""

_NICE = 10


def main() -> None:
    """Be the process that the command line asks for."""
    spec = msgspec.json.decode(sys.argv[1], type=Spec)
    for descriptor in (spec.listens, spec.tells, spec.stacks):
        os.set_inheritable(descriptor, False)
    die_with(spec.parent)
    guard_forks(spec.listens)
    os.nice(_NICE)  # the runs come first
    sys.argv = [spec.app]
    threading.Thread(target=_end_with, args=(spec.listens,), name="flowkit-supervisor", daemon=True).start()
    with os.fdopen(spec.tells, "wb", buffering=0) as tells:
        _examine(spec, _Words(tells).tell)
    os._exit(0)  # threads of user code may run for ever, and an orderly exit would wait for them


class _Words:
    """Whole lines to the supervisor, from this process alone."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._pid = os.getpid()

    def tell(self, word: Said) -> None:
        if os.getpid() != self._pid:
            os._exit(0)  # user code has forked, and its copy of this process has come back here
        line = encode(word) + b"\n"
        while line:
            line = line[self._pipe.write(line) or 0 :]


def _examine(spec: Spec, tell: Any) -> None:
    module = import_user_app(spec.app)
    if isinstance(module, BaseException):
        why = f"the check imports {spec.app} for itself, and that failed: {type(module).__name__}: {module}"
        tell(Replayed(code="", replay=Replay(why=why)))
        return
    code = Sources().loaded
    try:
        replay = _replay(spec, known_workflows(), code, tell)
    except FlowkitError as error:
        replay = Replay(why=f"the database did not answer: {error}")
    tell(Replayed(code=code, replay=replay))


def _replay(spec: Spec, workflows: Mapping[str, Workflow[..., Any]], code: str, tell: Any) -> Replay:
    def heard(progress: Progress) -> None:
        if progress.found is not None:
            tell(Replayed(code=code, replay=progress.found))
        tell(Trying(run=progress.run, workflow=progress.workflow))

    driver = open_driver(spec.db)
    try:
        return replay_runs(driver, workflows, seconds_per_run=SECONDS_PER_RUN, seconds=SECONDS, tell=heard)
    finally:
        driver.close()


def _end_with(pipe: int) -> None:
    """The supervisor says nothing to this process; the end of its pipe is its own end."""
    while os.read(pipe, 1024):
        continue
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
