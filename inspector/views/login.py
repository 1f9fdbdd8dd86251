"""Token mode: the form for the token, and what follows it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ..forms import read_form
from ..site import Page, Site, asked_of, render
from ..urls import safe_href

__all__ = ["LoginPage", "log_in", "login_page", "show_login"]


@dataclass(frozen=True, slots=True)
class LoginPage:
    """The form. `back` is where it leads."""

    back: str
    message: str


def login_page(request: Request, status: int = 200) -> Page:
    """The form, with what was wrong so far."""
    messages = {401: "This inspector needs its token: the terminal shows it.", 429: "Too many wrong tokens. Wait a minute."}
    given = "token" in request.query_params or request.method == "POST"
    message = "That is not the token of this start." if status == 401 and given else messages.get(status, "")
    back = request.url.path if request.url.path != "/login" else request.query_params.get("back", "/")
    model = LoginPage(safe_href(back), message)
    return Page(template="login.html", title="token needed", status=status, model=model, live=False)


async def show_login(request: Request) -> Response:
    """GET /login."""
    return await run_in_threadpool(render, request, asked_of(request), login_page(request))


async def log_in(request: Request) -> Response:
    """POST /login: the token for a cookie."""
    site: Site = request.app.state.site
    form = await read_form(request)
    status = 429 if site.tokens.exhausted else 303 if site.tokens.accepts(form.get("token")) else 401
    if status == 303:
        response = Response(status_code=303, headers={"Location": safe_href(form.get("back", "/"))})
        response.set_cookie(site.settings.cookie, site.settings.session, httponly=True, samesite="strict", path="/")
        return response
    return await run_in_threadpool(render, request, asked_of(request), login_page(request, status))
