"""Telling: each thing that happened goes to the terminal, and what it means for the loaded code to the inspector."""

from __future__ import annotations

from flowkit.client.livecode import CodeStatus, LoadError
from flowkit.dev.changes import changes_between, how_it_ended, stack_frames, step_count
from flowkit.dev.generation import Generation
from flowkit.dev.live import Live
from flowkit.dev.report import Died, Failed, NowLoaded, Report, Stuck, Waiting

__all__ = ["Herald"]


class Herald:
    """Speaks for the supervisor. `url` is the inspector's, empty without one; `running` is the code that goes on."""

    def __init__(self, report: Report, live: Live, *, app: str, url: str) -> None:
        self._report = report
        self._live = live
        self._app = app
        self._url = url
        self._notes: tuple[str, ...] = ()
        self._waits: dict[Generation, tuple[tuple[str, ...], str]] = {}

    def loading(self) -> None:
        """A candidate has begun."""
        self._live.update(status="loading", error=None, can_kill=False)

    def checking(self, runs: int) -> None:
        """A candidate tries the open runs."""
        self._live.update(checking=runs)

    def loaded(self, child: Generation, former: Generation | None) -> None:
        """A generation has taken over."""
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
            status="loaded", code=child.code, running=child.code, seconds=loaded.seconds, checking=0, error=None, can_kill=False,
            changes=tuple(change for each in changes.values() for change in each), workflows=loaded.workflows,
            fits=sum(fit.fits for fit in checked.fits), held=sum(fit.held for fit in checked.fits),
            unchecked=sum(fit.unchecked for fit in checked.fits), causes=tuple(held.cause for held in checked.held),
            found=loaded.found, notes=self._all_notes(),
        )  # fmt: skip

    def broken(self, child: Generation, error: LoadError, running: str, status: CodeStatus = "broken") -> None:
        """A candidate came to nothing."""
        self._report.tell(Failed(error=error, running=running))
        self._live.update(status=status, error=error, running=running, checking=0, can_kill=False, code=child.code)

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
