"""Putting the inspector together: templates, routes, error pages, and the guard around all of it."""

from __future__ import annotations

import secrets
import sys
import time
from dataclasses import replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flowkit.client import Flowkit
from flowkit.client.across import AcrossReader
from flowkit.client.bulk import Bulks
from flowkit.client.livecode import CodeInfo
from flowkit.client.reader import Reader
from flowkit.client.veil import veil_code
from flowkit.client.verbs import Verbs
from flowkit.errors import FlowkitError, StoreError

from .carrier import Carrier
from .live import Pulse
from .routes import routes
from .security import Guard, Settings, Tokens
from .site import Page, Site, asked_of, render
from .statics import Statics
from .urls import encode, entry_url, run_url, start_url, with_query
from .views.errors import store_page, wrong_page
from .views.login import login_page

__all__ = ["Inspector", "create_app"]

_HERE = Path(__file__).resolve().parent


class Inspector:
    """The ASGI application. `close_streams` ends open event streams, which would keep a stopping server waiting."""

    def __init__(self, app: Guard, site: Site) -> None:
        self._app = app
        self.site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def close_streams(self) -> None:
        """End every event stream, and leave bulks to others; call it in the server's loop before the server waits for its
        connections.
        """
        self.site.pulse.close()
        self.site.carrier.close()


def create_app(client: Flowkit, *, code: CodeInfo | None = None, settings: Settings | None = None) -> Inspector:
    """The inspector of an open database. `code` tells of live code, for pages that need it; without it they say so.

    `client` should have no worker: the inspector only looks, and writes verbs.
    """
    given = settings or Settings()
    if given.token is not None and not given.session:
        given = replace(given, session=secrets.token_urlsafe(32))
    tokens = Tokens(given, time.monotonic)
    hides = not given.expose_errors
    reader = Reader(client, hides=hides)
    code = veil_code(code) if hides and code is not None else code
    statics = Statics(_HERE / "static")
    site = Site(
        reader=reader, across=AcrossReader(client, hides=hides), bulks=Bulks(client, "inspector", hides=hides),
        carrier=Carrier(client), verbs=Verbs(client, "inspector"), code=code, settings=given, tokens=tokens,
        pulse=Pulse(reader, code, client.settings), metrics=client.metrics, templates=environment(statics), statics=statics,
    )  # fmt: skip
    app = Starlette(
        routes=routes(site),
        middleware=[Middleware(GZipMiddleware, minimum_size=2_000, compresslevel=4)],
        exception_handlers={HTTPException: _http_error, FlowkitError: _trouble, Exception: _defect},
    )
    site.across.time_reads()
    app.state.site = site
    if not given.read_only:
        site.carrier.start()

    async def login(request: Request, status: int) -> Response:
        request.scope["app"] = app  # the guard stands outside the application, which would have set it
        return await run_in_threadpool(_answer, request, login_page(request, status))

    return Inspector(Guard(app, settings=given, tokens=tokens, login=login), site)


def environment(statics: Statics) -> Environment:
    """The templates, which escape everything and know no undefined name."""
    folders = (_HERE / "templates", _HERE.parent / "templates")
    folder = next((folder for folder in folders if (folder / "base.html").is_file()), folders[0])
    # The sprite stands in each page: a row then names an icon in six letters instead of an address.
    env = Environment(
        loader=FileSystemLoader([folder, _HERE / "static"]),
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        auto_reload=False,
    )  # fmt: skip
    env.globals |= {
        "static": statics, "run_url": run_url, "entry_url": entry_url, "start_url": start_url, "with_query": with_query,
    }  # fmt: skip
    env.filters["key"] = encode
    return env


def _answer(request: Request, page: Page) -> Response:
    return render(request, asked_of(request), page)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await run_in_threadpool(_answer, request, wrong_page(error.status_code, error.detail))


async def _trouble(request: Request, error: Exception) -> Response:
    if isinstance(error, StoreError):
        return await run_in_threadpool(_answer, request, store_page(error, request.app.state.site.settings.database))
    exposes = request.app.state.site.settings.expose_errors
    return await run_in_threadpool(_answer, request, wrong_page(500, str(error) if exposes else type(error).__name__))


async def _defect(request: Request, error: Exception) -> Response:
    """A defect of ours: the page says that there was one, and the terminal shows the traceback."""
    sys.stderr.flush()
    return await run_in_threadpool(_answer, request, wrong_page(500, f"{type(error).__name__}; the terminal shows more"))
