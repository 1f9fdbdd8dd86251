"""The table of all addresses. Every page has a ``.json`` twin; `/home.json` is that of `/`."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .commands import confirm, do_verb
from .forms import read_form
from .site import Site, View, endpoint
from .views.bulk import begin_bulk, bulk, bulks, new_bulk, stop_bulk
from .views.code import decide, migrate, workflows
from .views.entry import entry, raw_value
from .views.events import events, set_theme
from .views.export import download, export
from .views.fork import do_fork, fork
from .views.help import help_page
from .views.home import home
from .views.inboxes import inboxes
from .views.login import log_in, show_login
from .views.logs import logs
from .views.messages import messages
from .views.metrics import metrics
from .views.resolve import do_resolve, resolve
from .views.run_code import run_code
from .views.runs import runs
from .views.start import do_start, start
from .views.system import system
from .views.tags import do_tags
from .views.timers import timers
from .views.ways import run_page
from .views.workflow import workflow

__all__ = ["routes"]

_RUN = "/runs/{id:key}"
_ENTRY = f"{_RUN}/e/{{seq:int}}"
_START = "/workflows/{name:key}/start"
_VERB = f"{_RUN}/{{verb:key}}"
_BULK = "/bulk/{seq:int}"
_RESOLVE = f"{_ENTRY}/resolve"


def routes(site: Site) -> list[BaseRoute]:
    """All routes; those that write are left out of a read-only inspector."""
    found: list[BaseRoute] = [
        *_page("/", home, twin="/home.json"),
        *_page("/runs", runs),
        *_page(_RUN, run_page),
        *_page(f"{_RUN}/messages", messages),
        *_page(f"{_RUN}/code", run_code),
        *_page(f"{_RUN}/logs", logs),
        *_page(f"{_RUN}/fork", fork),
        *_page(_ENTRY, entry),
        *(Route(f"{place}/{field}", raw_value) for place in (_RUN, _ENTRY) for field in ("input", "output", "error")),
        Route(f"{_RUN}/state", raw_value),
        *(Route(f"{_RUN}/export.{format}", download) for format in ("json", "ndjson", "py")),
        Route(f"{_RUN}/export", endpoint(export)),
        *_page("/workflows", workflows),
        *_page("/workflows/{name:key}", workflow),
        *_page(_START, start),
        *_page("/migrate", migrate),
        *_page("/bulk", bulks),
        *_page(_BULK, bulk),
        *_page("/timers", timers),
        *_page("/messages", inboxes),
        *_page("/system", system),
        *_page("/help", help_page),
        Route("/events", events),
        Route("/metrics", metrics),
        Route("/login", show_login),
        Route("/login", log_in, methods=["POST"]),
        Route("/static/{path:path}", site.statics.serve),
    ]
    if site.settings.read_only:
        return found
    posts = [(_START, do_start), (_RESOLVE, do_resolve), (f"{_RUN}/tags", do_tags), (f"{_RUN}/fork", do_fork), (_VERB, do_verb)]
    posts += [("/bulk", begin_bulk), (f"{_BULK}/stop", stop_bulk), ("/apply", decide)]
    writing = [Route(place + ending, act, methods=["POST"]) for place, act in posts for ending in ("", ".json")]
    more = [Route("/theme", set_theme, methods=["POST"]), Route("/kill", _kill, methods=["POST"])]
    return [*found, *_page(_RESOLVE, resolve), *_page("/bulk/new", new_bulk), *_page(_VERB, confirm), *writing, *more]


def _page(path: str, view: View, *, twin: str = "") -> list[BaseRoute]:
    answer = endpoint(view)
    return [Route(twin or f"{path}.json", answer), Route(path, answer)]


async def _kill(request: Request) -> Response:
    """POST /kill: end an import that hangs."""
    await read_form(request)  # which refuses what is no form, as everywhere
    site: Site = request.app.state.site
    if site.code is not None:
        await run_in_threadpool(site.code.kill)
    return Response(status_code=303, headers={"Location": "/migrate"})
