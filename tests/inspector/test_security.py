"""Who may ask what: the table of requests and answers, over raw sockets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import pytest
from starlette.routing import Route

from flowkit.cli.serving import load_inspector
from tests.inspector.served import FORM, SAME_ORIGIN, Headers, Reply, Served, serving

ROUTES, SECURITY = (import_module(f"{load_inspector().__name__}.{name}") for name in ("routes", "security"))

PAGE, DATA = "page", "data"
STYLE = "/static/flowkit.css"
"""Stands for the address with its hash."""
READS = {
    "/": PAGE, "/runs": PAGE, "/runs/order-1": PAGE, "/runs/order-2/e/3": PAGE, "/runs/order-1/messages": PAGE,
    "/runs/order-2/recover": PAGE, "/workflows": PAGE, "/workflows/checkout/start": PAGE, "/migrate": PAGE, "/login": PAGE,
    "/runs/order-1/code": PAGE, "/workflows/checkout": PAGE, "/timers": PAGE, "/messages": PAGE, "/system": PAGE, "/help": PAGE,
    "/runs/order-1/code.json": DATA, "/workflows/checkout.json": DATA, "/timers.json": DATA, "/messages.json": DATA,
    "/system.json": DATA, "/help.json": DATA, "/runs/order-1/logs": PAGE, "/runs/order-1/logs.json": DATA,
    "/runs/order-2/e/3/resolve": PAGE, STYLE: PAGE,
    "/runs/order-2/e/3/resolve.json": DATA, "/home.json": DATA, "/runs.json": DATA, "/runs/order-1.json": DATA,
    "/runs/order-2/e/3.json": DATA,
    "/runs/order-1/messages.json": DATA, "/runs/order-2/recover.json": DATA, "/workflows.json": DATA,
    "/workflows/checkout/start.json": DATA, "/migrate.json": DATA, "/runs/order-1/input": DATA, "/runs/order-1/output": DATA,
    "/runs/order-2/error": DATA, "/runs/order-1/state": DATA, "/runs/order-2/e/3/input": DATA, "/runs/order-2/e/2/output": DATA,
    "/runs/order-2/e/3/error": DATA, "/events": DATA, "/metrics": DATA,
    "/runs/order-1/export": PAGE, "/runs/order-1/export.json": DATA, "/runs/order-1/export.ndjson": DATA,
    "/runs/order-1/export.py": DATA, "/runs/order-1/fork": PAGE, "/runs/order-1/fork.json": DATA,
    "/bulk": PAGE, "/bulk/1": PAGE, "/bulk/new": PAGE, "/bulk.json": DATA, "/bulk/1.json": DATA, "/bulk/new.json": DATA,
}  # fmt: skip
VERBS = {
    "/runs/order-2/recover": 303, "/runs/order-3/replay": 303, "/runs/order-4/cancel": 303, "/runs/fetch-1/wake": 303,
    "/runs/approval-1/pause": 303, "/runs/order-5/resume": 303, "/runs/order-1/evict": 409, "/runs/held-1/send": 303,
}  # fmt: skip
"""A run for each verb, and what its form is answered with: nothing is running to be evicted."""
START, LOGIN, RESOLVE = "/workflows/checkout/start", "/login", "/runs/order-2/e/3/resolve"
TAGS, FORK = "/runs/order-1/tags", "/runs/order-1/fork"
BULK = ("/bulk", "/bulk.json", "/bulk/1/stop", "/bulk/1/stop.json")
WRITES = (
    *VERBS, *(f"{verb}.json" for verb in VERBS), "/theme", "/kill", LOGIN, START, f"{START}.json", RESOLVE, f"{RESOLVE}.json",
    "/apply", "/apply.json", TAGS, f"{TAGS}.json", FORK, f"{FORK}.json",
    *BULK,
)  # fmt: skip
NAVIGATES: Headers = (("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
EVIL_HOSTS: tuple[list[str], ...] = (
    ["evil.example"], ["localhost.evil.example"], ["127.0.0.1.nip.io"], ["0.0.0.0:8733"], ["localhost@evil.example"], [""], [],
    ["localhost", "localhost"], ["localhost:x"], ["localhost, evil.example"], ["[::1].evil"],
)  # fmt: skip
SECRET = "s" * 43
BEARER: Headers = [("Authorization", f"Bearer {SECRET}")]
JSON = ("Content-Type", "application/json")


def site(name: str, *more: tuple[str, str]) -> Headers:
    return [("Sec-Fetch-Site", name), *more]


def get(served: Served, path: str, *, method: str = "GET", headers: Headers = (), hosts: Sequence[str] | None = None) -> Reply:
    path = path if path != STYLE else served.app.site.statics("flowkit.css")
    return served.ask(path, method=method, headers=headers, hosts=hosts)


def answer_to(served: Served, path: str) -> int:
    """What our own page is answered with: 200, or 404 where a run has no such value."""
    status = get(served, path, headers=SAME_ORIGIN).status
    assert status in (200, 404)
    return status


@pytest.fixture(scope="module")
def guarded(small_file: Path) -> Iterator[Served]:
    with serving(small_file, token=SECRET, session="c" * 43) as served:
        yield served


def test_the_tables_here_name_every_route(small: Served) -> None:
    """A route that is added must be added here, too."""
    routes = [route for route in ROUTES.routes(small.app.site) if isinstance(route, Route)]
    asked = {("GET", path) for path in READS} | {("POST", path) for path in WRITES}

    def taken(method: str, path: str) -> Route:
        return next(route for route in routes if method in (route.methods or ()) and route.path_regex.match(path))

    assert {taken(*each).path for each in asked} == {route.path for route in routes}
    assert len({id(taken(*each)) for each in asked}) == len(routes)


@pytest.mark.parametrize("path", READS)
def test_another_host_is_refused_everywhere(small: Served, path: str) -> None:
    for hosts in EVIL_HOSTS:
        reply = get(small, path, hosts=hosts)

        assert reply.status == 400, hosts
        assert b"evil" not in reply.body


@pytest.mark.parametrize("path", WRITES)
def test_another_host_may_write_nothing(small: Served, path: str) -> None:
    for hosts in EVIL_HOSTS:
        reply = small.ask(path, method="POST", headers=[FORM, *SAME_ORIGIN], hosts=hosts)

        assert reply.status == 400, hosts
        assert b"evil" not in reply.body


def test_another_host_in_the_request_line_is_no_address(small: Served) -> None:
    assert small.ask("http://evil.example/").status in (400, 404)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "orders.localhost", "LOCALHOST"])
def test_a_local_host_is_served(small: Served, host: str) -> None:
    assert small.ask("/", hosts=[f"{host}:{small.port}"]).status == 200


def test_an_allowed_host_is_served(small_file: Path) -> None:
    with serving(small_file, hosts=frozenset(["box.lan"])) as served:
        assert served.ask("/", hosts=["box.lan:80"]).status == 200
        assert served.ask("/", hosts=["other.lan:80"]).status == 400


@pytest.mark.parametrize(("path", "kind"), READS.items())
def test_reads_by_where_they_come_from(small: Served, path: str, kind: str) -> None:
    ours, foreign = f"http://localhost:{small.port}", f"http://localhost:{small.port + 1}"
    from_elsewhere = [site("cross-site", *NAVIGATES), site("same-site", *NAVIGATES)]
    expected = {
        answer_to(small, path): [
            site("same-origin"), site("none", *NAVIGATES), [("Origin", ours)], [], *(from_elsewhere if kind == PAGE else []),
        ],
        403: [
            *(from_elsewhere if kind == DATA else []),
            site("cross-site", ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")),
            site("same-site", ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")),
            site("cross-site", ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script")),
            site("cross-site", ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")),
            [("Origin", foreign)], [("Origin", "null")], [("Origin", "http://evil.example")],
        ],
    }  # fmt: skip

    answers = [(headers, get(small, path, headers=headers).status) for each in expected.values() for headers in each]

    assert answers == [(headers, status) for status, each in expected.items() for headers in each]


@pytest.mark.parametrize("path", WRITES)
def test_writes_from_elsewhere_are_refused(small: Served, path: str) -> None:
    ours, foreign = f"http://localhost:{small.port}", f"http://localhost:{small.port + 1}"
    refused: list[Headers] = [
        site("none", *NAVIGATES), site("cross-site", *NAVIGATES), site("same-site", *NAVIGATES), site("same-site"),
        [("Origin", foreign)], [("Origin", "null")], [], [("Authorization", "Bearer nonsense")],
        [("Sec-Fetch-Site", "cross-site"), ("Origin", ours)],
    ]  # fmt: skip

    assert {small.ask(path, method="POST", headers=[FORM, *headers]).status for headers in refused} == {403}


def test_our_own_origin_may_write(own: Served) -> None:
    origin = [("Origin", f"http://localhost:{own.port}")]

    assert own.post("/runs/order-4/wake", headers=origin, op="a" * 32).status == 303


def test_a_page_on_another_port_may_not_write(own: Served, small: Served) -> None:
    headers = [("Origin", f"http://localhost:{small.port}"), ("Sec-Fetch-Site", "same-site")]

    assert own.post("/runs/order-4/wake", headers=headers, op="a" * 32).status == 403


@pytest.mark.parametrize(("path", "status"), VERBS.items())
def test_every_verb_answers_our_own_pages(own: Served, path: str, status: int) -> None:
    reply = own.post(path, op="a" * 32, name="note")

    assert reply.status == status
    assert own.post(f"{path}.json", op="a" * 32, name="note").status == {303: 200}.get(status, status)


@pytest.mark.parametrize(
    ("path", "status"), [("/theme", 303), ("/kill", 303), (START, 409), (f"{START}.json", 409), (LOGIN, 401)]
)
def test_every_other_form_answers_our_own_pages(own: Served, path: str, status: int) -> None:
    assert own.post(path, id="x").status == status


@pytest.mark.parametrize("path", WRITES)
def test_other_content_types_are_refused(small: Served, path: str) -> None:
    for content_type in ("text/plain", "multipart/form-data; boundary=x", "application/xml", "nonsense", ""):
        kind = [("Content-Type", content_type)] if content_type else []

        assert small.ask(path, method="POST", headers=[*kind, *SAME_ORIGIN], body=b"x").status == 415, content_type


@pytest.mark.parametrize("path", WRITES)
def test_bodies_have_limits(small: Served, path: str) -> None:
    deep = b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"
    wide = b"{" + b",".join(b'"%d":1' % n for n in range(201)) + b"}"
    form, json = [FORM, *SAME_ORIGIN], [JSON, *SAME_ORIGIN]
    bodies = [
        (413, form, b"x" * 1_000_001), (400, form, b"&".join([b"a=1"] * 201)), (400, json, deep), (400, json, wide),
        (400, json, b"nonsense"), (400, json, b"[]"), (400, form, b"\xff="),
    ]  # fmt: skip

    answers = [small.ask(path, method="POST", headers=headers, body=body).status for _, headers, body in bodies]

    assert answers == [status for status, _, _ in bodies]


def test_a_body_may_be_as_large_as_its_limits(own: Served) -> None:
    deep = b'{"a":' + b"[" * 63 + b"]" * 63 + b"}"
    bodies = [(FORM, b"x" * 1_000_000), (FORM, b"&".join([b"a=1"] * 200)), (JSON, deep)]

    answers = [own.ask("/theme", method="POST", headers=[kind, *SAME_ORIGIN], body=body).status for kind, body in bodies]

    assert answers == [303, 303, 303]


@pytest.mark.parametrize("path", WRITES)
def test_a_body_that_does_not_say_its_length_has_the_same_limit(small: Served, path: str) -> None:
    chunks = b"".join([b"186a0\r\n" + b"x" * 100_000 + b"\r\n"] * 11) + b"0\r\n\r\n"

    assert small.ask(path, method="POST", headers=[FORM, *SAME_ORIGIN], body=chunks, chunked=True).status == 413


@pytest.mark.parametrize("path", [*READS, *WRITES])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_not_allowed(small: Served, path: str, method: str) -> None:
    reply = get(small, path, method=method)

    assert reply.status == 405
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def missing_there(path: str) -> bool:
    """Whether a read-only inspector has no such page, or this database nothing to show on it."""
    return any(word in path for word in ("recover", "resolve", "/bulk/", "/fork")) or path == "/runs/order-1/state"


def test_a_read_only_inspector_has_no_post(small_file: Path) -> None:
    with serving(small_file, read_only=True) as served:
        writes = {served.post(path, op="a" * 32).status for path in WRITES if path != LOGIN}
        reads = {path: get(served, path).status for path in READS if not missing_there(path)}
        page = served.ask("/runs/order-2").text

    assert writes == {405}
    assert set(reads.values()) == {200}
    assert 'method="post"' not in page


def test_every_response_carries_the_headers(small: Served) -> None:
    replies = [small.ask("/nope"), *(get(small, path) for path in READS if path != STYLE)]
    replies += [small.ask("/", hosts=["evil.example"]), small.post("/theme", headers=site("cross-site"))]

    for reply in replies:
        assert reply.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        assert reply.headers["cache-control"] == "no-store"
        assert "server" not in reply.headers
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def test_a_static_file_may_be_kept_but_not_by_other_sites(small: Served) -> None:
    reply = get(small, STYLE)

    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert reply.headers["content-security-policy"]


# --- token mode


@pytest.mark.parametrize("path", [path for path in READS if path not in ("/login", STYLE)])
def test_token_mode_shows_nobody_anything_without_it(small_file: Path, path: str) -> None:
    with serving(small_file, token=SECRET, session="c" * 43) as served:
        assert get(served, path).status == 401
        assert get(served, path, headers=[("Cookie", f"flowkit_{served.port}={'d' * 43}")]).status == 401
        assert get(served, path, headers=[("Authorization", "Bearer nonsense")]).status == 401
        assert get(served, f"{path}?token=nonsense").status == 401


@pytest.mark.parametrize("path", [path for path in WRITES if path != LOGIN])
def test_token_mode_lets_nobody_write_without_it(small_file: Path, path: str) -> None:
    with serving(small_file, token=SECRET, session="c" * 43) as served:
        assert served.post(path).status == 401
        assert served.post(path, headers=[*SAME_ORIGIN, ("Authorization", "Bearer nonsense")]).status == 401
        assert served.post(path, headers=[("Authorization", "Bearer nonsense")]).status == 401
        assert served.post(path, headers=[("Authorization", "Bearer nonsense"), ("Cookie", "a=b")]).status == 403
        assert served.post(path, headers=[]).status == 403


def test_a_wrong_bearer_is_not_mended_by_the_right_cookie(guarded: Served) -> None:
    """A browser adds the cookie to whatever another site makes it send, so beside one a bearer proves nothing."""
    cookie = ("Cookie", f"flowkit_{guarded.port}={'c' * 43}")

    for bearer in ("nonsense", SECRET):
        assert guarded.post("/theme", headers=[("Authorization", f"Bearer {bearer}"), cookie]).status == 403
    assert guarded.post("/theme", headers=[*SAME_ORIGIN, cookie]).status == 303


def test_what_a_former_start_gave_out_opens_nothing(small_file: Path) -> None:
    with serving(small_file, token=SECRET) as before:
        cookie = before.ask(f"/?token={SECRET}").headers["set-cookie"].partition(";")[0]
        assert before.ask("/", headers=[("Cookie", cookie)]).status == 200

    with serving(small_file, token="t" * 43, port=before.port) as after:
        assert after.ask("/", headers=[("Cookie", cookie)]).status == 401
        assert after.ask(f"/?token={SECRET}").status == 401
        assert after.ask("/events", headers=[("Authorization", f"Bearer {SECRET}")]).status == 401
        assert after.post("/theme", headers=[*SAME_ORIGIN, ("Cookie", cookie)]).status == 401


def test_the_token_is_exchanged_for_a_cookie(guarded: Served) -> None:
    reply = guarded.ask(f"/runs?status=failed&token={SECRET}")

    cookie = reply.headers["set-cookie"]
    assert (reply.status, reply.headers["location"]) == (303, "/runs?status=failed")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert SECRET not in cookie
    assert guarded.ask("/runs", headers=[("Cookie", cookie.partition(";")[0])]).status == 200


def test_the_token_opens_as_a_bearer_too(guarded: Served) -> None:
    bearer = [("Authorization", f"Bearer {SECRET}")]

    assert guarded.ask("/home.json", headers=bearer).status == 200
    assert guarded.post("/theme", headers=bearer).status == 303
    assert guarded.post("/theme", headers=[*bearer, ("Cookie", "a=b")]).status == 403


def test_the_login_form_opens(guarded: Served) -> None:
    reply = guarded.post("/login", token=SECRET, back="/runs")

    assert (reply.status, reply.headers["location"]) == (303, "/runs")
    assert guarded.post("/login", token=SECRET, back="//evil.example").headers["location"] == "/"


def test_ten_wrong_tokens_a_minute_are_enough(small_file: Path) -> None:
    with serving(small_file, token=SECRET, session="c" * 43) as served:
        wrong = [served.ask("/", headers=[("Authorization", f"Bearer {n}")]).status for n in range(11)]
        right = [
            served.ask(f"/?token={SECRET}"), served.ask("/home.json", headers=BEARER), served.ask("/events", headers=BEARER),
            served.post("/theme", headers=BEARER), served.post("/theme", headers=[*SAME_ORIGIN, *BEARER]),
            served.post("/login", token=SECRET),
        ]  # fmt: skip
        inside = served.ask("/", headers=[("Cookie", f"flowkit_{served.port}={'c' * 43}")]).status

    assert wrong == [401] * 10 + [429]
    assert [reply.status for reply in right] == [429] * 6
    assert inside == 200


def test_tries_at_the_form_and_by_post_count_too(small_file: Path) -> None:
    with serving(small_file, token=SECRET) as served:
        for n in range(5):
            served.post("/login", token=str(n))
            served.post("/theme", headers=[("Authorization", f"Bearer {n}")])

        assert served.ask(f"/?token={SECRET}").status == 429


def test_after_a_minute_there_are_new_tries() -> None:
    now = [1_000.0]
    tokens = SECURITY.Tokens(SECURITY.Settings(token=SECRET), lambda: now[0])
    for _ in range(10):
        tokens.accepts("nonsense")
    assert tokens.exhausted

    now[0] += 60.0

    assert not tokens.exhausted
    assert tokens.accepts(SECRET)
