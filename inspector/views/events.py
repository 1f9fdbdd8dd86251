"""The event stream of a page, and the toggle of the theme."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..forms import read_form
from ..live import Watching
from ..site import THEME, Site
from ..urls import safe_href

__all__ = ["events", "set_theme"]

_YEAR = 31_536_000


async def events(request: Request) -> Response:
    """GET /events."""
    site: Site = request.app.state.site
    query = request.query_params
    since = request.headers.get("last-event-id") or query.get("since", "")
    watching = Watching(query.get("run"), since[:100], query.get("code"), query.get("bulk"))
    browser = (request.client.host if request.client else "", request.headers.get("user-agent", ""))
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(site.pulse.listen(watching, browser), media_type="text/event-stream", headers=headers)


async def set_theme(request: Request) -> Response:
    """POST /theme: light, dark, or what the system says."""
    form = await read_form(request)
    response = Response(status_code=303, headers={"Location": safe_href(form.get("back", "/"))})
    theme = form.get("theme")
    if theme in ("light", "dark"):
        response.set_cookie(THEME, theme, max_age=_YEAR, samesite="strict", path="/")
    else:
        response.delete_cookie(THEME, path="/", samesite="strict")
    return response
