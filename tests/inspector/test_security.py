"""Who may ask what: the table of requests and answers, over raw sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inspector.served import FORM, SAME_ORIGIN, Headers, Served, serving

PAGE, DATA = "page", "data"
READS = {
    "/": PAGE, "/runs": PAGE, "/runs/order-1": PAGE, "/runs/order-2/e/3": PAGE, "/runs/order-1/messages": PAGE,
    "/runs/order-2/recover": PAGE, "/workflows": PAGE, "/workflows/checkout/start": PAGE, "/migrate": PAGE, "/login": PAGE,
    "/home.json": DATA, "/runs.json": DATA, "/runs/order-1.json": DATA, "/runs/order-1/output": DATA,
    "/runs/order-2/e/3/input": DATA, "/events": DATA,
}  # fmt: skip
WRITES = ("/runs/order-4/wake", "/runs/order-2/recover", "/theme", "/workflows/checkout/start", "/login", "/kill")
NAVIGATES: Headers = (("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
EVIL_HOSTS = (
    ["evil.example"], ["localhost.evil.example"], ["127.0.0.1.nip.io"], ["0.0.0.0:8733"], ["localhost@evil.example"], [""], [],
    ["localhost", "localhost"], ["localhost:x"], ["localhost, evil.example"], ["[::1].evil"],
)  # fmt: skip
SECRET = "s" * 43


def site(name: str, *more: tuple[str, str]) -> Headers:
    return [("Sec-Fetch-Site", name), *more]


@pytest.fixture(scope="module")
def guarded(small_file: Path) -> Iterator[Served]:
    with serving(small_file, token=SECRET, session="c" * 43) as served:
        yield served


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("hosts", EVIL_HOSTS, ids=str)
def test_another_host_is_refused_everywhere(small: Served, path: str, hosts: list[str]) -> None:
    reply = small.ask(path, hosts=hosts)

    assert reply.status == 400
    assert b"evil" not in reply.body


@pytest.mark.parametrize("path", WRITES)
@pytest.mark.parametrize("hosts", EVIL_HOSTS, ids=str)
def test_another_host_may_write_nothing(small: Served, path: str, hosts: list[str]) -> None:
    reply = small.ask(path, method="POST", headers=[FORM, *SAME_ORIGIN], hosts=hosts)

    assert reply.status == 400


def test_another_host_gets_no_static_file(small: Served) -> None:
    assert {small.ask(url, hosts=["evil.example"]).status for url in small.app.site.statics.urls} == {400}


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
        200: [site("same-origin"), site("none", *NAVIGATES), [("Origin", ours)], [], *(from_elsewhere if kind == PAGE else [])],
        403: [
            *(from_elsewhere if kind == DATA else []),
            site("cross-site", ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")),
            site("same-site", ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Dest", "empty")),
            site("cross-site", ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script")),
            site("cross-site", ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")),
            [("Origin", foreign)], [("Origin", "null")], [("Origin", "http://evil.example")],
        ],
    }  # fmt: skip

    answers = [(headers, small.ask(path, headers=headers).status) for each in expected.values() for headers in each]

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


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "application/xml", ""])
def test_other_content_types_are_refused(small: Served, content_type: str) -> None:
    kind = [("Content-Type", content_type)] if content_type else []

    assert small.ask("/theme", method="POST", headers=[*kind, *SAME_ORIGIN], body=b"x").status == 415


def test_bodies_have_limits(small: Served) -> None:
    json = [("Content-Type", "application/json"), *SAME_ORIGIN]
    deep = b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"

    assert small.ask("/theme", method="POST", headers=[FORM, *SAME_ORIGIN], body=b"x" * 1_000_001).status == 413
    assert small.ask("/theme", method="POST", headers=[FORM, *SAME_ORIGIN], body=b"&".join([b"a=1"] * 201)).status == 400
    assert small.ask("/runs/order-4/send", method="POST", headers=json, body=deep).status == 400
    assert small.ask("/runs/order-4/send", method="POST", headers=json, body=b"nonsense").status == 400


def test_a_body_that_does_not_say_its_length_has_the_same_limit(small: Served) -> None:
    chunks = b"".join([b"186a0\r\n" + b"x" * 100_000 + b"\r\n"] * 11) + b"0\r\n\r\n"

    assert small.ask("/theme", method="POST", headers=[FORM, *SAME_ORIGIN], body=chunks, chunked=True).status == 413


@pytest.mark.parametrize("path", [*READS, *WRITES])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_not_allowed(small: Served, path: str, method: str) -> None:
    reply = small.ask(path, method=method)

    assert reply.status == 405
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def test_a_read_only_inspector_has_no_post(small_file: Path) -> None:
    with serving(small_file, read_only=True) as served:
        writes = {served.post(path, op="a" * 32).status for path in WRITES if path != "/login"}
        reads = {path: served.ask(path).status for path in READS if "recover" not in path and path != "/events"}
        page = served.ask("/runs/order-2").text

    assert writes == {405}
    assert set(reads.values()) == {200}
    assert 'method="post"' not in page


def test_every_response_carries_the_headers(small: Served) -> None:
    replies = [small.ask(path) for path in ("/", "/nope", "/runs.json", "/runs/order-1/output")]
    replies += [small.ask("/", hosts=["evil.example"]), small.post("/theme", headers=site("cross-site"))]

    for reply in replies:
        assert reply.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        assert reply.headers["cache-control"] == "no-store"
        assert "server" not in reply.headers


# --- token mode


@pytest.mark.parametrize("path", [path for path in READS if path != "/login"])
def test_token_mode_answers_nobody_without_it(guarded: Served, path: str) -> None:
    assert guarded.ask(path).status == 401
    assert guarded.ask(path, headers=[("Cookie", f"flowkit_{guarded.port}={'d' * 43}")]).status == 401
    assert guarded.post("/runs/order-4/wake", op="a" * 32).status == 401


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
        right = served.ask(f"/?token={SECRET}").status
        inside = served.ask("/", headers=[("Cookie", f"flowkit_{served.port}={'c' * 43}")]).status

    assert wrong == [401] * 10 + [429]
    assert right == 429
    assert inside == 200
