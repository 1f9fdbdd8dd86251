"""The messages in the inboxes of all open runs, oldest first, and who waits for what."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.client.reader import RunRow
from flowkit.core.run import TERMINAL

from ..present.kept import KeptView, WaitView, kept_view, waits_of
from ..site import Asked, Page
from ..urls import with_query

__all__ = ["InboxesPage", "inboxes"]

PAGE = 40
_LOOKED_AT = 2_000
_WINDOW = 500
_WAITING = 400
_LEAST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxesPage:
    """Messages kept and waited for. `told`: whether this store can tell of messages over all runs at all."""

    told: bool
    kept: tuple[KeptView, ...]
    ended: bool
    looked_at: int
    next_href: str
    first_href: str
    ended_href: str
    waits: tuple[WaitView, ...]
    each: int
    part_href: str


def inboxes(asked: Asked) -> Page:
    """GET /messages."""
    token = asked.site.pulse.token()
    if asked.is_current(token):
        return Page(same=True)
    ended, after = asked.query.get("ended") == "1", asked.number("after") or 0
    views, looked_at, place, told = _kept(asked, after, ended)
    names = asked.reader.workflows()
    each = max(_LEAST, _WAITING // max(1, len(names)))
    waiting = [row for name in names for row in asked.site.across.waiting(name, each)] if not after else []
    model = InboxesPage(
        told=told, kept=views, ended=ended, looked_at=looked_at, next_href=_href(ended, after=place) if place else "",
        first_href=_href(ended) if after else "", ended_href=_href(not ended), waits=waits_of(waiting, asked.now), each=each,
        part_href=_href(ended, after=after or None, part="now", as_of=token),
    )  # fmt: skip
    title = f"{len(views)}{'+' if place else ''} messages kept"
    return Page(template="inboxes.html", title=title, model=model, here="messages", token=token, parts={"now": "_inboxes.html"})


def _kept(asked: Asked, after: int, ended: bool) -> tuple[tuple[KeptView, ...], int, int, bool]:
    """The views, how many messages were looked at, the place after which the next page begins (0: there is none), and whether
    this store can tell.
    """
    found: list[KeptView] = []
    rows: dict[int, RunRow | None] = {}
    looked_at = 0
    while looked_at < _LOOKED_AT:
        page = asked.site.across.kept(_WINDOW, after=after)
        if page is None:
            return (), 0, 0, False
        for message in page:
            if len(found) == PAGE:
                return tuple(found), looked_at, after, True
            after, looked_at = message.place, looked_at + 1
            if message.run not in rows:
                rows[message.run] = asked.site.across.row(message.run)
            row = rows[message.run]
            if row is not None and (ended or row.status not in TERMINAL):
                found.append(kept_view(message, row, asked.now))
        if len(page) < _WINDOW:
            return tuple(found), looked_at, 0, True
    return tuple(found), looked_at, after, True


def _href(ended: bool, **more: object) -> str:
    return with_query("/messages", ended="1" if ended else None, **more)
