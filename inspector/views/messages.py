"""A run's messages: those it took, those that wait and why, and the form to send one."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.client.facts import taken_messages
from flowkit.client.reader import Body, RunRow
from flowkit.core.entry import Entry

from ..live import run_token
from ..present.runs import command_line
from ..present.times import Stamp, stamp
from ..present.values import one_line, shown
from ..site import Asked, Page
from ..urls import entry_url, run_url, with_query
from .errors import no_run
from .run import Head, head_of

__all__ = ["MessagesPage", "messages"]

_ENTRIES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenView:
    """A message that an entry consumed."""

    number: int
    name: str
    line: str
    sent: Stamp | None
    location: str
    href: str
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptView:
    """A message that waits in the inbox, and why."""

    number: int
    name: str
    line: str
    sent: Stamp | None
    sender: str
    key: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesPage:
    """All messages of a run."""

    head: Head
    taken: tuple[TakenView, ...]
    kept: tuple[KeptView, ...]
    open: tuple[TakenView, ...]
    waits_for: tuple[str, ...]
    can_send: bool
    command: str
    part_href: str


def messages(asked: Asked) -> Page:
    """GET /runs/{id}/messages."""
    id = asked.text("id")
    row = asked.reader.run(id)
    if row is None:
        return no_run(asked, id)
    token = run_token(row, asked.site.crew(), asked.now)
    if asked.is_current(token):
        return Page(same=True)
    head = head_of(asked, row, "messages")
    awaited = [name for name in row.waiting or () if name != "*"]
    inbox = asked.reader.inbox(row.seq)
    numbers = {message.seq for message in inbox}
    takers = (entry for entry in asked.reader.last(row.seq, _ENTRIES) if entry.kind == "message")
    taken = [view for entry in takers for view in _taken(row, entry, numbers, asked.now)]
    held = {message.number for entry in asked.reader.last(row.seq, _ENTRIES) for message in taken_messages(entry)} & numbers
    model = MessagesPage(
        head=head, taken=tuple(taken), open=tuple(view for view in taken if view.is_open),
        kept=tuple(
            KeptView(
                number=m.seq, name=shown(m.name), line=one_line(Body(m.body).plain(), 400), sent=stamp(m.sent_at, asked.now),
                sender=shown(m.sender), key=shown(m.key or ""), why=_why(row, m.name),
            )
            for m in inbox if m.seq not in held
        ),
        waits_for=tuple(shown(name) for name in awaited),
        can_send=any(verb.verb == "send" for verb in head.verbs),
        command=command_line(asked.site.settings.database, "send", id, awaited[0] if awaited else "NAME", "{…}"),
        part_href=with_query(run_url(id, "messages"), part="messages", as_of=token),
    )  # fmt: skip
    title = f"messages · {head.item.label}"
    parts = {"now": "_run_now.html", "messages": "_messages.html"}
    return Page(template="messages.html", title=title, model=model, here="runs", run=id, token=token, parts=parts)


def _taken(row: RunRow, entry: Entry, inbox: set[int], now: float) -> list[TakenView]:
    return [
        TakenView(
            number=message.number, name=shown(message.name), line=one_line(message.data, 400), sent=stamp(message.sent_at, now),
            location=shown(entry.location), href=entry_url(row.id, entry.seq),
            is_open=message.completable and message.number in inbox,
        )
        for message in taken_messages(entry)
    ]  # fmt: skip


def _why(row: RunRow, name: str) -> str:
    if row.status == "paused":
        return "the run is paused"
    if row.waiting is None:
        return "nobody waits for a message now"
    return "about to be taken" if name in row.waiting or "*" in row.waiting else f"nobody waits for {shown(name)}"
