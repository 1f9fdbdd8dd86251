"""Pages for what cannot be shown: nothing there, a wrong request, a database in trouble."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.errors import SchemaTooNew, StoreBusy, StoreError

from ..present.runs import command_line
from ..present.values import shown
from ..site import Asked, Page
from ..urls import run_url

__all__ = ["ErrorPage", "no_run", "store_page", "wrong_page"]

_TITLES = {
    400: "Bad request", 401: "Token needed", 403: "Refused", 404: "Not found", 405: "Not allowed", 409: "Conflict",
    413: "Too large", 415: "Unsupported content", 422: "Cannot be done", 429: "Too many tries", 500: "Something went wrong",
}  # fmt: skip

_ANY = {"*": "_error.html"}
"""A failed fragment is answered with a whole fragment: htmx puts it where the good one would stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage:
    """What went wrong, and where to go from there."""

    status: int
    title: str
    detail: str
    path: str = ""
    command: str = ""
    near: tuple[tuple[str, str], ...] = ()


def wrong_page(status: int, detail: str) -> Page:
    """A request that cannot be answered."""
    title = _TITLES.get(status, f"Error {status}")
    text = "" if detail.lower() in (title.lower(), "not found", "method not allowed") else detail
    return Page(
        template="error.html", title=title, status=status, model=ErrorPage(status=status, title=title, detail=text), live=False
    )


def no_run(asked: Asked, id: str) -> Page:
    """A run that is not there, with the nearest that are."""
    near = tuple((shown(each), run_url(each)) for each in asked.reader.near(id))
    model = ErrorPage(status=404, title="No such run", detail=f"There is no run {shown(id)!r}.", near=near)
    return Page(template="error.html", title="not found", status=404, model=model, here="runs", parts=_ANY)


def store_page(error: StoreError, database: str) -> Page:
    """A database that is locked, damaged, newer or gone."""
    title = "The database is busy" if isinstance(error, StoreBusy) else "The database cannot be read"
    if isinstance(error, SchemaTooNew):
        title = "The database is newer than this flowkit"
    model = ErrorPage(status=503, title=title, detail=str(error), path=database, command=command_line(database, "doctor"))
    return Page(template="error.html", title=title, status=503, model=model, live=False, parts=_ANY)
