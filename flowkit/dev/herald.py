"""Telling: each thing that happened goes to the terminal, and what it means for the loaded code to the inspector."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flowkit.client.livecode import CodeStatus, LoadError, Pending
from flowkit.dev.board import Board
from flowkit.dev.changes import changes_between, how_it_ended, stack_frames, step_count
from flowkit.dev.generation import Generation
from flowkit.dev.live import Live
from flowkit.dev.report import Asking, Died, Failed, NowLoaded, Remark, Report, Saved, Stopped, Stuck, Waiting
from flowkit.engine.source import shown_path

__all__ = ["Herald"]


class Herald:
    """Speaks for the supervisor. `url` is the inspector's, empty without one; `db` is told of what does not load, if it is
    given; `running` is the code that goes on.
    """

    def __init__(self, report: Report, live: Live, *, app: str, url: str, db: str = "") -> None:
        self._report = report
        self._live = live
        self._app = app
        self._url = url
        self._board = Board(app, db) if db else None
        self._notes: tuple[str, ...] = ()
        self._waits: dict[Generation, tuple[tuple[str, ...], str]] = {}

    def stopped(self) -> None:
        """It is over, and no child is left."""
        if self._board is not None:
            self._board.close()
        self._report.tell(Stopped())

    def saved(self, files: Iterable[str]) -> None:
        """What these files make is about to be loaded."""
        self._report.tell(Saved(files=tuple(shown_path(file) for file in files)))

    def loading(self) -> None:
        """A candidate has begun."""
        self._live.update(status="loading", error=None, can_kill=False, pending=None)

    def checking(self, runs: int) -> None:
        """A candidate tries the open runs."""
        self._live.update(checking=runs)

    def loaded(self, child: Generation, former: Generation | None) -> None:
        """A generation has taken over."""
        if self._board is not None:
            self._board.well()
        loaded, checked = child.loaded, child.checked
        assert loaded is not None
        assert checked is not None
        changes = changes_between(None if former is None else former.loaded, loaded)
        self._report.tell(
            NowLoaded(
                code=child.code, former="" if former is None else former.code, seconds=loaded.seconds, pid=child.pid,
                workflows=len(loaded.workflows), steps=step_count(loaded), changes=changes, fits=checked.fits,
                held=checked.held, freed=checked.freed, unattended=checked.unattended, notes=checked.notes,
                url=f"{self._url}/migrate" if self._url else "",
            )
        )  # fmt: skip
        self._notes = (*(f"{runs} open runs of {name}: no code" for name, runs in checked.unattended.items()), *checked.notes)
        self._live.update(
            status="loaded", pending=None, code=child.code, running=child.code, seconds=loaded.seconds, checking=0, error=None,
            can_kill=False,
            changes=tuple(change for each in changes.values() for change in each), workflows=loaded.workflows,
            fits=sum(fit.fits for fit in checked.fits), held=sum(fit.held for fit in checked.fits),
            unchecked=sum(fit.unchecked for fit in checked.fits), causes=tuple(held.cause for held in checked.held),
            found=loaded.found, notes=self._all_notes(),
        )  # fmt: skip

    def broken(self, child: Generation, error: LoadError, running: str, status: CodeStatus = "broken") -> None:
        """A candidate came to nothing."""
        if self._board is not None:
            self._board.broken("start" if status == "dead" else "import", error)
        self._report.tell(Failed(error=error, running=running))
        self._live.update(status=status, error=error, running=running, checking=0, can_kill=False, code=child.code, pending=None)

    def asks(self, child: Generation, serving: Generation | None) -> None:
        """A candidate is good and waits for a person's word."""
        loaded, checked = child.loaded, child.checked
        assert loaded is not None
        assert checked is not None
        changes = changes_between(None if serving is None else serving.loaded, loaded)
        running = "" if serving is None else serving.code
        self._report.tell(
            Asking(
                code=child.code, running=running, changes=changes, fits=checked.fits, held=checked.held, freed=checked.freed,
                unattended=checked.unattended, notes=checked.notes, url=f"{self._url}/migrate" if self._url else "",
            )
        )  # fmt: skip
        gone = tuple(f"{runs} open runs of {name}: no code" for name, runs in checked.unattended.items())
        pending = Pending(
            code=loaded.code, changes=tuple(change for each in changes.values() for change in each),
            notes=(*gone, *checked.notes), fits=sum(fit.fits for fit in checked.fits), held=sum(fit.held for fit in checked.fits),
            unchecked=sum(fit.unchecked for fit in checked.fits), causes=tuple(held.cause for held in checked.held),
        )  # fmt: skip
        status: CodeStatus = "dead" if serving is None else "loaded"
        self._live.update(status=status, code=running, running=running, checking=0, can_kill=False, pending=pending)

    def held_back(self) -> None:
        """The code that waits has been seen, and goes on waiting."""
        pending = self._live.state().pending
        if pending is not None:
            self._live.update(pending=replace(pending, held_back=True))

    def discarded(self, child: Generation, running: str) -> None:
        """The code that waited is thrown away."""
        then = f"{running} keeps running until the next save" if running else "no code is running until the next save"
        self._report.tell(Remark(text=f"{child.code} was discarded; {then}"))
        self._live.update(pending=None, notes=(f"{child.code} was discarded; {then}", *self._all_notes()))

    def died_loading(self, child: Generation, code: int, running: str) -> None:
        """A candidate's process ended before it could work."""
        message = f"the process {how_it_ended(code)} while it loaded"
        error = LoadError(type="", message=message, source=self._app, output=tuple(child.tail))
        self.broken(child, error, running, "dead")

    def stalled(self, stack: str, running: str) -> None:
        """A candidate's import takes long."""
        frames = stack_frames(stack)
        source = frames[-1].partition(" in ")[0] if frames else self._app
        self._report.tell(Stuck(source=source, frames=frames[:-1], running=running))
        error = LoadError(type="", message=f"the import is still running at {source}", source=source, frames=frames)
        self._live.update(status="stuck", error=error, running=running, can_kill=True)

    def died(self, child: Generation, code: int, then: str, running: str) -> None:
        """The generation that worked is gone."""
        how = how_it_ended(code)
        self._report.tell(Died(code=child.code, how=how, output=tuple(child.tail), next=then))
        error = LoadError(type="", message=f"{child.code} {how}; {then}", output=tuple(child.tail))
        if self._board is not None and not running:
            self._board.broken("start", error)
        self._live.update(status="dead", error=error, running=running, can_kill=False)

    def waits(self, child: Generation, bodies: tuple[str, ...], why: str) -> None:
        """A generation cannot leave yet; the same is told once."""
        if self._waits.get(child) == (bodies, why):
            return
        self._waits[child] = bodies, why
        self._report.tell(Waiting(code=child.code, bodies=bodies, why=why))
        self._live.update(notes=self._all_notes())

    def waits_no_more(self, child: Generation) -> None:
        """A generation can leave, or has left."""
        if self._waits.pop(child, None) is not None:
            self._live.update(notes=self._all_notes())

    def _all_notes(self) -> tuple[str, ...]:
        waits = (f"{child.code} {why}: {', '.join(bodies)}" for child, (bodies, why) in self._waits.items())
        return (*self._notes, *waits)
