"""Who may ask what. Any web page that the developer has open can send requests here, and the inspector starts code.

Everything is decided from headers, before a route is looked for: the Host (a rebound name would make a stranger's page
"same origin"), the browser's own word on where a request comes from, the token if one is needed, the kind of body. No
form carries a token: the Fetch Metadata and Origin headers cannot be forged by a page. `same-site` is not trusted, since
a page on another local port sends exactly that.
"""

from __future__ import annotations

import hmac
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CSP", "MAX_BODY", "Guard", "Settings", "Tokens", "is_data", "is_same_origin"]

MAX_BODY = 1_000_000
_TRIES, _MINUTE = 10, 60.0
_LOCAL = frozenset(("localhost", "127.0.0.1", "[::1]"))
_HOST = re.compile(r"(\[[0-9a-f:]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?)(?::(\d{1,5}))?", re.ASCII)
_RAW = re.compile(r"/runs/[^/]+/(?:e/\d+/)?(?:input|output|error|args|state)")
_FORMS = ("application/x-www-form-urlencoded", "application/json")

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an inspector is served. `hosts` are names besides the local ones; with a `token` every page needs it."""

    database: str = ""
    read_only: bool = False
    why_read_only: str = ""
    hosts: frozenset[str] = frozenset()
    port: int = 0
    expose_errors: bool = True
    """Whether readers see what errors say and what values are; else of both only types and places."""
    editor: str = ""
    """An address that opens a line in the reader's editor, with ``{file}`` and ``{line}``; empty: places are no links."""
    token: str | None = field(default=None, repr=False)
    session: str = field(default="", repr=False)
    """What the cookie holds; made anew at each start, so that a former start's cookie opens nothing."""

    @property
    def cookie(self) -> str:
        """Cookies are shared by all ports of a host, so the name tells the port."""
        return f"flowkit_{self.port}"


class Tokens:
    """Compares tokens in constant time, ten wrong ones a minute."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._wrong: deque[float] = deque(maxlen=_TRIES)

    @property
    def exhausted(self) -> bool:
        """Whether ten tries of the last minute were wrong, so that nothing is compared any more."""
        return len(self._wrong) == _TRIES and self._clock() - self._wrong[0] < _MINUTE

    def knows(self, cookie: str) -> bool:
        """Whether this is the cookie of this start."""
        return bool(self._settings.session) and hmac.compare_digest(cookie.encode(), self._settings.session.encode())

    def accepts(self, token: str) -> bool:
        """Whether this is the token; a wrong one counts."""
        right = self._settings.token is not None and hmac.compare_digest(token.encode(), self._settings.token.encode())
        if not right:
            self._wrong.append(self._clock())
        return right


class Guard:
    """The outermost layer: refuses what must not be, and puts the security headers on all that leaves."""

    def __init__(
        self, app: ASGIApp, *, settings: Settings, tokens: Tokens, login: Callable[[Request, int], Awaitable[Response]]
    ) -> None:
        self._app = app
        self._settings = settings
        self._tokens = tokens
        self._login = login
        self._hosts = _LOCAL | {host.lower() for host in settings.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        refused = self._refusal(request) or await self._unknown(request) or self._bad_body(request)
        await (refused or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        if not self._is_ours(request.headers.getlist("host")):
            return PlainTextResponse("unknown host\n", 400)
        if request.method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("method not allowed\n", 405, {"Allow": "GET, HEAD, POST"})
        if request.method == "POST" and self._settings.read_only and request.url.path != "/login":
            return PlainTextResponse("this inspector is read-only\n", 405, {"Allow": "GET, HEAD"})
        allowed = self._may_write(request) if request.method == "POST" else _may_read(request)
        return None if allowed else PlainTextResponse("cross-origin request refused\n", 403)

    def _is_ours(self, hosts: list[str]) -> bool:
        found = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        return found is not None and (found[1] in self._hosts or found[1].endswith(".localhost"))

    def _may_write(self, request: Request) -> bool:
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site is not None:
            return site == "same-origin"
        if origin is not None:
            return is_same_origin(request)
        # No browser: those send one of the two. Whether the bearer is the right one is asked next, where tries are counted.
        return self._settings.token is not None and _bearer(request.headers) is not None and "cookie" not in request.headers

    async def _unknown(self, request: Request) -> Response | None:
        """In token mode: the answer to who does not show the token."""
        path = request.url.path
        if self._settings.token is None or path == "/login" or path.startswith("/static/"):
            return None
        if self._tokens.knows(request.cookies.get(self._settings.cookie, "")):
            return None
        given, bearer = request.query_params.get("token"), _bearer(request.headers)
        token = given if given is not None else bearer
        if self._tokens.exhausted:
            return await self._login(request, 429)
        if token is None or not self._tokens.accepts(token):
            return await self._login(request, 401)
        if given is None or request.method == "POST":
            return None
        return self.welcome(_without_token(request))

    def welcome(self, path: str) -> Response:
        """A redirect that leaves the session's cookie."""
        response = RedirectResponse(path, 303)
        response.set_cookie(self._settings.cookie, self._settings.session, httponly=True, samesite="strict", path="/")
        return response

    def _bad_body(self, request: Request) -> Response | None:
        if request.method != "POST":
            return None
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _FORMS:
            return PlainTextResponse("send a form or JSON\n", 415)
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return PlainTextResponse("the body is larger than 1 MB\n", 413)
        return None


def is_same_origin(request: Request) -> bool:
    """Whether the Origin header names this very server, as the (already checked) Host header names it."""
    return request.headers.get("origin") == f"{request.url.scheme}://{request.headers['host']}"


def is_data(path: str) -> bool:
    """Whether a path gives data rather than a page: no other site may even navigate there."""
    return path in ("/events", "/metrics") or path.endswith((".json", ".ndjson", ".py")) or _RAW.fullmatch(path) is not None


def _may_read(request: Request) -> bool:
    headers = request.headers
    match headers.get("sec-fetch-site"):
        case "same-origin" | "none":
            return True
        case None:
            return "origin" not in headers or is_same_origin(request)
        case _:
            navigates = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
            return navigates and not is_data(request.url.path)


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token else None


def _without_token(request: Request) -> str:
    pairs = [pair for pair in parse_qsl(request.url.query, keep_blank_values=True) if pair[0] != "token"]
    path = request.url.path if not request.url.path.startswith("//") else "/"
    return f"{path}?{urlencode(pairs)}" if pairs else path


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            if message["status"] == 413:  # else the rest of the body is waited for, as long as its sender likes
                headers["Connection"] = "close"
        await send(message)

    return send_with_headers
