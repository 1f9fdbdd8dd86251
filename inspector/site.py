"""What every view shares: the reader, the verbs, the templates, and how a page becomes a response.

A view is a plain function from what was asked to a `Page`; it runs in a thread, since reading blocks, and so does the
rendering. The same `Page` answers as a whole document, as one part of it for htmx, and as JSON.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath

import msgspec
from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from flowkit.client.across import AcrossReader
from flowkit.client.bulk import Bulks
from flowkit.client.livecode import CodeInfo, CodeState
from flowkit.client.reader import Reader
from flowkit.client.verbs import Verbs
from flowkit.errors import FlowkitError

from .carrier import Carrier
from .live import Pulse
from .present.banner import Banner, banner_of
from .present.crew import Crew, crew_of
from .security import Settings, Tokens
from .statics import Statics
from .urls import safe_href, with_query

__all__ = ["THEME", "Asked", "Frame", "Notice", "Page", "Site", "View", "endpoint", "json_response", "new_op"]

THEME = "flowkit_theme"
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Notice:
    """What a page says first: what became of a verb (`good`), or why not."""

    text: str
    good: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What stands around every page."""

    title: str
    here: str
    theme: str
    back: str
    database: str
    read_only: bool
    why_read_only: str
    workers: int
    live: str
    banner: Banner | None
    notice: Notice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The answer of a view. `parts` are the fragments that htmx may ask for by name, `token` what they were made from.

    With `same` nothing has changed since the token that was sent along.
    """

    template: str = ""
    title: str = ""
    model: object = None
    here: str = ""
    status: int = 200
    run: str | None = None
    bulk: str = ""
    token: str = ""
    live: bool = True
    parts: Mapping[str, str] = field(default_factory=dict)
    notice: Notice | None = None
    same: bool = False
    to: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """What the views ask."""

    reader: Reader
    across: AcrossReader
    bulks: Bulks
    carrier: Carrier
    verbs: Verbs
    code: CodeInfo | None
    settings: Settings
    tokens: Tokens
    pulse: Pulse
    metrics: Callable[[], bytes]
    templates: Environment
    statics: Statics

    def code_state(self) -> CodeState | None:
        """The code that is loaded; None if this inspector stands alone."""
        return None if self.code is None else self.code.state()

    def crew(self) -> Crew:
        """The workers that live, what they serve, and what keeps some from it."""
        return crew_of(self.reader.workers(), self.reader.reports(), self.reader.now())


@dataclass(frozen=True, slots=True)
class Asked:
    """A GET, as a view sees it."""

    site: Site
    path: str
    params: Mapping[str, object]
    query: Mapping[str, str]
    now: float

    @property
    def reader(self) -> Reader:
        """The database."""
        return self.site.reader

    def text(self, name: str) -> str:
        """A path parameter that is an id or a name."""
        return str(self.params[name])

    def number(self, name: str) -> int | None:
        """A query parameter that is a whole number; None if it is not there, or something else."""
        text = self.query.get(name, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def numbers(self, name: str) -> tuple[int, ...]:
        """A query parameter of whole numbers with commas between, at most fifty."""
        parts = self.query.get(name, "").split(",")[:50]
        return tuple(int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 19)

    def is_current(self, token: str) -> bool:
        """Whether a part was asked for by a page that shows it as it is."""
        return "part" in self.query and self.query.get("as_of") == token


View = Callable[[Asked], Page]


def new_op() -> str:
    """A name for one wish, to stand hidden in a form."""
    return uuid.uuid4().hex


def asked_of(request: Request) -> Asked:
    """What a request asks."""
    site: Site = request.app.state.site
    return Asked(site, request.url.path, dict(request.path_params), dict(request.query_params), site.reader.now())


def endpoint(view: View) -> Callable[[Request], object]:
    """A route's endpoint that answers with what `view` makes."""

    async def answer(request: Request) -> Response:
        return await run_in_threadpool(partial(respond, request, view))

    return answer


def respond(request: Request, view: View) -> Response:
    """Ask the view and render its page."""
    asked = asked_of(request)
    return render(request, asked, view(asked))


def render(request: Request, asked: Asked, page: Page) -> Response:
    """A page as the kind of response that was asked for."""
    if page.to:
        return Response(status_code=303, headers={"Location": safe_href(page.to)})
    if page.same:
        return Response(status_code=204)
    if asked.path.endswith(".json"):
        return json_response(page.model, page.status)
    part = page.parts.get(asked.query["part"], page.parts.get("*")) if "part" in asked.query else None
    template = asked.site.templates.get_template(part or page.template)
    frame = frame_of(request, asked, page)
    return HTMLResponse(template.render(page=page.model, frame=frame, now=asked.now), page.status)


def json_response(model: object, status: int = 200) -> Response:
    """`model` as JSON; lone surrogates are escaped, which plain UTF-8 could not hold."""
    try:
        body = _ENCODER.encode(model)
    except UnicodeEncodeError:
        body = msgspec.json.encode(_without_surrogates(msgspec.to_builtins(model)))
    return Response(body, status, media_type="application/json")


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def frame_of(request: Request, asked: Asked, page: Page) -> Frame:
    """What stands around a page."""
    site = asked.site
    theme = request.cookies.get(THEME, "")
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    token = page.token or _token(site)
    return Frame(
        title=page.title, here=page.here, theme=theme if theme in ("light", "dark") else "", back=safe_href(back),
        database=PurePath(site.settings.database).name, read_only=site.settings.read_only,
        why_read_only=site.settings.why_read_only,
        workers=_workers(site), banner=banner_of(site.code_state()), notice=page.notice,
        live=with_query("/events", run=page.run, bulk=page.bulk, since=token, code=site.pulse.code_token()) if page.live else "",
    )  # fmt: skip


def _workers(site: Site) -> int:
    try:
        return len(site.crew().alive)
    except FlowkitError:  # the page that says what is wrong with the database has a frame, too
        return 0


def _token(site: Site) -> str:
    try:
        return site.pulse.token()
    except FlowkitError:
        return ""
