"""The process of one generation: imports the APP, tells what is in it, tries the open runs, and works, each when told to.

Run as ``python -B -u -X faulthandler -m flowkit.dev.child SPEC``. Orders and words travel on pipes of their own, since stdout
is the user's. It may wait long for the first order: a spare, which has imported flowkit and nothing of the user's. The main
thread imports, as in any program, and then reads orders; whatever takes time has a thread. It ends when it is told, when the
supervisor is gone, or when it is killed, and in no other way.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue
from types import ModuleType
from typing import Any

import msgspec

from flowkit.check import Misfit
from flowkit.check.marking import block_misfits
from flowkit.client import Flowkit
from flowkit.client.livecode import ResolveWish
from flowkit.client.verbs import Verbs
from flowkit.core.events import RunError
from flowkit.definitions import Workflow, known_workflows
from flowkit.definitions.manifest import bodies_of
from flowkit.dev.checking import check_open_runs
from flowkit.dev.debugger import Breakpoints
from flowkit.dev.lifeline import die_with, guard_forks
from flowkit.dev.loading import Decorated, Sources, files_to_watch, hides_files, import_user_app, load_error, store_error
from flowkit.dev.manifest import describe_workflow
from flowkit.dev.protocol import (
    Broken,
    Checking,
    Claim,
    Claiming,
    Debug,
    Debugging,
    Drained,
    Leave,
    Load,
    Loaded,
    Loading,
    Order,
    Quiet,
    Resolve,
    Resolved,
    Said,
    Spec,
    Start,
    Started,
    TryUndoing,
    Undoable,
    Waits,
    Yield,
    decode_order,
    encode,
)
from flowkit.dev.settings import IN_FORCE
from flowkit.dev.starting import start_as_wished
from flowkit.dev.undoing import try_as_wished
from flowkit.drivers import memory as memory  # as the next: so that a spare need not import it when it is to load
from flowkit.drivers import open_driver
from flowkit.drivers import sqlite as sqlite
from flowkit.errors import FlowkitError, StoreError
from flowkit.observe.wanted import observers_of
from flowkit.runtime.capture import let_info_through
from flowkit.runtime.execution import Execution
from flowkit.runtime.reporter import origin_of
from flowkit.runtime.worker import Worker

__all__ = ["Child", "main"]

_WAITS_EVERY = IN_FORCE.dev_waits
_HELD_EVERY = IN_FORCE.dev_held


class Child:
    """One generation, from the inside."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._pid = os.getpid()
        self._tells = os.fdopen(spec.tells, "wb", buffering=0)
        self._telling = threading.Lock()
        self._orders: SimpleQueue[Order] = SimpleQueue()
        self._flowkit: Flowkit | None = None
        self._worker: Worker | None = None
        self._workflows: dict[str, Workflow[..., Any]] = {}
        self._misfits: list[Misfit] = []
        self._hurry = threading.Event()
        self._breakpoints = Breakpoints(
            terminal=spec.terminal,
            ask=lambda: self._tell(Debugging()),
            done=lambda: self._tell(Debugging(over=True)),
        )

    def run(self) -> None:
        """Load, check, and do as ordered; returns when there is nothing left to do but to end."""
        threading.Thread(target=self._listen, name="flowkit-orders", daemon=True).start()
        order = self._orders.get()
        if not isinstance(order, Load) or (order.waited and hides_files(os.getcwd())):
            return
        self._tell(Loading())
        if not self._load() or not self._check():
            self._wait_for_end()
            return
        for order in self._ordered():
            match order:
                case Claim(gentle=seconds):
                    self._claim(seconds)
                case Yield(grace=grace, patient=patient, drain=drain):
                    self._hurry.set()  # what was to be finished in peace is not, from here on
                    self._hurry = threading.Event()
                    threading.Thread(target=self._give_back, args=(grace, patient, drain, self._hurry), daemon=True).start()
                case Start(number=number, wish=wish):
                    threading.Thread(target=self._start, args=(number, wish), daemon=True).start()
                case Resolve(number=number, wish=resolution):
                    threading.Thread(target=self._resolve, args=(number, resolution), daemon=True).start()
                case TryUndoing(number=number, run=run):
                    threading.Thread(target=self._try_undoing, args=(number, run), daemon=True).start()
        if self._worker is not None:
            self._worker.stop(0.0)

    # --- the pipes --------------------------------------------------------------------------------------------------

    def _tell(self, word: Said) -> None:
        if os.getpid() != self._pid:
            os._exit(0)  # user code has forked, and its copy of this process has come back here
        line = encode(word) + b"\n"
        with self._telling:
            while line:
                line = line[self._tells.write(line) or 0 :]

    def _listen(self) -> None:
        with os.fdopen(self._spec.listens, "rb") as pipe:
            for line in pipe:
                order = decode_order(line)
                if isinstance(order, Debug):
                    self._breakpoints.lend()  # here and now: at import the main thread is the one that waits
                else:
                    self._orders.put(order)
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)  # the supervisor is gone: so goes this process, and what it has forked
        os._exit(1)

    def _ordered(self) -> Iterator[Order]:
        while not isinstance(order := self._orders.get(), Leave):
            yield order

    def _wait_for_end(self) -> None:
        for _ in self._ordered():
            continue

    # --- loading ----------------------------------------------------------------------------------------------------

    def _load(self) -> bool:
        decorated = Decorated()
        importlib.invalidate_caches()  # a spare has looked into the folder before the newest files were there
        started = time.monotonic()
        stacks = os.fdopen(self._spec.stacks, "wb", buffering=0)
        faulthandler.dump_traceback_later(self._spec.import_seconds, file=stacks)
        module = import_user_app(self._spec.app)
        faulthandler.cancel_dump_traceback_later()
        seconds = time.monotonic() - started
        if isinstance(module, BaseException):
            error = load_error(self._spec.app, module)
            self._tell(Broken(error=error, seconds=seconds, files=files_to_watch(module.__traceback__, module)))
            return False
        if (twice := decorated.twice()) is not None:
            self._tell(Broken(error=twice, seconds=seconds, files=files_to_watch(None)))
            return False
        self._workflows = known_workflows()
        self._sources = Sources()
        self._tell(self._manifest(module, seconds))
        return True

    def _manifest(self, module: ModuleType, seconds: float) -> Loaded:
        made = [self._workflows[name] for name in sorted(self._workflows)]
        return Loaded(
            code=self._sources.loaded, seconds=seconds, workflows=tuple(describe_workflow(workflow) for workflow in made),
            bodies={workflow.name: bodies_of(workflow) for workflow in made},
            files=files_to_watch(None), found=tuple(name for name in vars(module) if not name.startswith("_")),
        )  # fmt: skip

    def _check(self) -> bool:
        try:
            driver = open_driver(self._spec.db, settings=IN_FORCE)
            checked, self._misfits = check_open_runs(driver, self._workflows, lambda runs: self._tell(Checking(runs=runs)))
        except StoreError as error:
            self._tell(Broken(error=store_error(error), seconds=0.0, files=files_to_watch(None)))
            return False
        looking_on = observers_of(None, os.environ)
        self._flowkit = Flowkit(driver, worker=False, workflows=self._workflows.values(), observers=looking_on, settings=IN_FORCE)
        self._tell(checked)
        return True

    # --- working ----------------------------------------------------------------------------------------------------

    def _claim(self, gentle: float) -> None:
        assert self._flowkit is not None
        let_info_through()
        house, sources = self._flowkit.house, self._sources.now()
        misfits, self._misfits = self._misfits, []
        blocked = block_misfits(house.driver, misfits, self._workflows, sources, house.clock.now())
        self._worker = Worker(house, lambda: self._workflows, origin=origin_of(self._spec.app))
        self._worker.on_fatal = self._interrupted
        self._worker.start(sources=sources, gentle=gentle, generation=self._spec.number)
        self._worker.reporter.misfits(blocked)
        self._flowkit.worker = self._worker
        self._tell(Claiming())
        if blocked:
            threading.Thread(target=self._report_blocked, args=(blocked,), name="flowkit-hooks", daemon=True).start()

    def _report_blocked(self, blocked: list[RunError]) -> None:
        """A hook is the user's: it may take its time."""
        assert self._flowkit is not None
        for event in blocked:
            self._flowkit.house.report(self._workflows[event.workflow], event)

    def _interrupted(self, error: BaseException) -> None:
        """A body raised KeyboardInterrupt: the worker gives all runs back, and then this process is of no use."""
        worker = self._worker
        assert worker is not None

        def leave() -> None:
            worker.stop()
            sys.stderr.write(f"flowkit: workflow code raised {type(error).__name__}\n")
            os._exit(1)

        threading.Thread(target=leave, daemon=True).start()

    def _give_back(self, grace: float, patient: bool, drain: bool, hurry: threading.Event) -> None:
        worker = self._worker
        if worker is None:
            self._tell(Quiet())
            self._tell(Drained(given_up=0))
            return
        worker.stop_claiming()
        self._tell(Quiet())
        drained = threading.Event()
        threading.Thread(target=self._say_what_waits, args=(worker, drained), daemon=True).start()
        while drain and worker.held() and not hurry.wait(_HELD_EVERY):
            pass
        if hurry.is_set():
            drained.set()
            return  # the order after this one gives the runs back
        spare = Execution.at_most_once if patient else _never
        given_up = worker.stop(grace, spare=spare)
        drained.set()
        self._tell(Drained(given_up=given_up))

    def _say_what_waits(self, worker: Worker, drained: threading.Event) -> None:
        while not drained.wait(_WAITS_EVERY):
            holding = worker.holding()
            bodies = tuple(f"{execution.claim.id} {body.location}" for execution in holding for body in execution.bodies())
            once = any(execution.at_most_once() for execution in holding)
            if bodies:
                self._tell(Waits(bodies=bodies, at_most_once=once))

    def _start(self, number: int, wish: Any) -> None:
        assert self._flowkit is not None
        answer = start_as_wished(self._flowkit, self._workflows.get(wish.workflow), wish)
        self._tell(Started(number=number, answer=answer))

    def _resolve(self, number: int, wish: ResolveWish) -> None:
        assert self._flowkit is not None
        self._tell(Resolved(number=number, answer=Verbs(self._flowkit, wish.who).resolve(wish)))

    def _try_undoing(self, number: int, run: str) -> None:
        assert self._flowkit is not None
        self._tell(Undoable(number=number, answer=try_as_wished(self._flowkit, self._workflows, run)))


def _never(execution: Execution) -> bool:
    return False


def main() -> None:
    """Be the child that the command line asks for."""
    spec = msgspec.json.decode(sys.argv[1], type=Spec)
    for descriptor in (spec.listens, spec.tells, spec.stacks):
        os.set_inheritable(descriptor, False)  # programs that user code starts have no business with them
    die_with(spec.parent)
    guard_forks(spec.listens)
    sys.argv = [spec.app]
    try:
        Child(spec).run()
    except FlowkitError as error:
        sys.stderr.write(f"flowkit: {error}\n")
        os._exit(1)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed by user code, or nobody reads any more
            stream.flush()
    os._exit(0)  # threads of user code may run for ever, and an orderly exit would wait for them


if __name__ == "__main__":
    main()
