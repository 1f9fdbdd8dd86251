"""Hostile requests and command lines, each decided by chance: close enough to good ones to get far into the program."""

from __future__ import annotations

import json
import random
from urllib.parse import quote_from_bytes, urlencode

__all__ = ["TEXTS", "command_line", "request", "text"]

TEXTS = (
    "", " ", "\0", "a\0b", "\ud800", "é", "e\u0301", "../../etc/passwd", "/etc/passwd", "~0", "~/", "%00", "%ZZ", "a/b#c?d=e",
    "<script>alert(1)</script>", "{{7*7}}", "'; DROP TABLE runs; --", "\r\nX-Evil: 1", "\u202egnp.exe", "🏴‍☠️", "-1", "--", "-",
    "-h", "--db", "0", "1e999", "NaN", "Infinity", "9" * 400, str(2**63), "0x10", "1_000", "²", "٣", "1970-01-01", "9999-12-31",
    "P1D", "3d", "-3d", "1e30d", "{", "[]", "{}", "null", "true", '"', '{"$":{"$tuple":[1]}}', '{"id":1,"id":2}', "[" * 100_000,
    '{"a":' * 70 + "1" + "}" * 70, '"\\ud800"', "x" * 201, "x" * 70_000, "order-1", "charge", "*", "shop.py", "a:b:c", "::", ".",
)  # fmt: skip

PATHS = (
    "/", "/home.json", "/runs", "/runs.json", "/runs/{}", "/runs/{}.json", "/runs/{}/messages", "/runs/{}/messages.json",
    "/runs/{}/e/{}", "/runs/{}/e/{}.json", "/runs/{}/e/{}/output", "/runs/{}/input", "/runs/{}/output", "/runs/{}/error",
    "/runs/{}/state", "/runs/{}/{}", "/workflows", "/workflows.json", "/workflows/{}/start", "/migrate", "/migrate.json",
    "/login", "/static/{}", "/static/flowkit.js", "/{}", "/{}/{}", "/theme",
)  # fmt: skip
VERBS = ("cancel", "pause", "resume", "wake", "evict", "recover", "replay", "send", "start", "kill", "messages")
FIELDS = ("name", "data", "key", "from", "op", "head", "rollback", "args", "id", "tags", "delay", "theme", "token", "next", "run")
QUERIES = (
    "after",
    "before",
    "limit",
    "status",
    "workflow",
    "tag",
    "q",
    "since",
    "until",
    "name",
    "token",
    "page",
    "seq",
    "rewind",
)
TYPES = ("application/x-www-form-urlencoded", "application/json", "text/plain", "multipart/form-data; boundary=x", "", "a/b;c=d")


def text(chance: random.Random) -> str:
    """A text that somebody should have checked."""
    kind = chance.random()
    if kind < 0.75:
        return chance.choice(TEXTS)
    if kind < 0.9:
        return "".join(chr(chance.choice((chance.randrange(256), chance.randrange(0x11_0000)))) for _ in range(6))
    return chance.choice(TEXTS) + chance.choice(TEXTS)


# --- HTTP -----------------------------------------------------------------------------------------------------------


def request(chance: random.Random, host: str, ids: tuple[str, ...]) -> bytes:
    """A request as it goes over the wire. `ids` are segments that lead to runs."""
    if chance.random() < 0.05:
        return chance.randbytes(chance.randint(1, 300)) + b"\r\n\r\n"
    method = chance.choice(
        ("GET",) * 6 + ("POST",) * 6 + ("HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "G\xe4T")
    )
    body = _body(chance) if method == "POST" or chance.random() < 0.05 else b""
    lines = [f"{method} {_target(chance, ids)} HTTP/{chance.choice(('1.1',) * 9 + ('1.0', '9.9'))}".encode("latin-1", "replace")]
    lines += [b"Connection: close", b"Host: " + (host.encode() if chance.random() < 0.9 else _header(chance))]
    lines += _length(chance, body)
    lines += _headers(chance, host, method)
    if chance.random() < 0.02:
        lines += [b"X-%d: y" % number for number in range(3_000)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _segment(chance: random.Random, ids: tuple[str, ...]) -> str:
    kind = chance.random()
    if kind < 0.5:
        return chance.choice(ids)
    if kind < 0.6:
        return chance.choice(VERBS)
    if kind < 0.7:
        return str(chance.choice((0, 1, 2, 10**6, 2**63, 2**64, -1)))
    raw = text(chance).encode("utf-8", "surrogatepass")[:20_000]
    return quote_from_bytes(raw, safe="" if kind < 0.9 else "/?#&=") if kind < 0.97 else raw.decode("latin-1").replace(" ", "+")


def _target(chance: random.Random, ids: tuple[str, ...]) -> str:
    path = chance.choice(PATHS)
    while "{}" in path:
        path = path.replace("{}", _segment(chance, ids), 1)
    if chance.random() < 0.4:
        names = [chance.choice(QUERIES) for _ in range(chance.randint(1, 3))]
        values = [text(chance).encode("utf-8", "surrogatepass")[:5_000] for _ in names]
        path += "?" + "&".join(f"{name}={quote_from_bytes(value)}" for name, value in zip(names, values, strict=True))
    return "".join(char for char in path if char > " ") or "/"


def _header(chance: random.Random) -> bytes:
    return text(chance).encode("utf-8", "surrogatepass")[:20_000].replace(b"\n", b"").replace(b"\r", b"")


def _headers(chance: random.Random, host: str, method: str) -> list[bytes]:
    made = [b"Content-Type: " + chance.choice(TYPES[:2] * 4 + TYPES).encode()]
    if chance.random() < 0.8:
        made.append(b"Sec-Fetch-Site: same-origin")
    names = (b"Cookie", b"Origin", b"Accept", b"HX-Request", b"If-None-Match", b"Range", b"Authorization", b"Last-Event-ID", b"X")
    made += [chance.choice(names) + b": " + _header(chance) for _ in range(chance.choice((0, 0, 1, 3)))]
    return made


def _length(chance: random.Random, body: bytes) -> list[bytes]:
    if chance.random() < 0.9:
        return [b"Content-Length: %d" % len(body)]
    odd = (b"-1", b"1e3", b"0x10", b"99999999999999999999", b"5, 5", str(len(body) // 2).encode(), b"\xb2", b"")
    return [b"Content-Length: " + chance.choice(odd)] * chance.choice((1, 1, 2))


def _body(chance: random.Random) -> bytes:
    kind = chance.random()
    fields = {chance.choice(FIELDS): text(chance) for _ in range(chance.randint(0, 5))}
    if kind < 0.45:
        return urlencode({name: value.encode("utf-8", "surrogatepass") for name, value in fields.items()}).encode()
    if kind < 0.75:
        return json.dumps(fields | {"data": chance.choice((1, None, [], {}, 1e308, float("nan"), "\ud800", 10**400))}).encode()
    if kind < 0.85:
        return chance.randbytes(chance.randint(0, 500))
    if kind < 0.95:
        return chance.choice(TEXTS).encode("utf-8", "surrogatepass")
    return b"x=1&" * 1_000 if kind < 0.98 else b"[" * 900_000


# --- the command line -----------------------------------------------------------------------------------------------

_OPTIONS: dict[str, tuple[str, ...]] = {
    "cancel": ("--rollback", "--json"), "check": ("--limit", "--seconds", "--json", "--traceback"),
    "doctor": ("--full", "--json"),
    "evict": ("--json",), "history": ("--archived", "--json"), "pause": ("--json",), "recover": ("--json",),
    "list": ("--status", "--workflow", "--tag", "--since", "--until", "--limit", "--after", "--json"), "resume": ("--json",),
    "replay": ("--from", "--json"), "run": ("--arg", "--id", "--tag", "--json", "--traceback"), "send": ("--key", "--json"),
    "show": ("--json",), "start": ("--arg", "--id", "--tag", "--delay", "--reject", "--json", "--traceback"), "wake": ("--json",),
}  # fmt: skip
_FLAGS = {"--rollback", "--json", "--traceback", "--full", "--archived", "--reject"}
_ARGUMENTS = {"send": 3, "doctor": 0, "list": 0, "check": 1, "run": 2, "start": 2}
_ENDING = ("greet", "greet_async", "echo", "kinds", "anything", "fail")


def command_line(chance: random.Random, app: str, ids: tuple[str, ...]) -> list[str]:
    """Words after `flowkit`. None of them waits for anything but a run that ends by itself."""
    command = chance.choice(list(_OPTIONS))
    words = [command]
    places = range(_ARGUMENTS.get(command, 1) + chance.choice((0, 0, 0, -1, 1)))
    words += [_argument(chance, command, place, app, ids) for place in places]
    for option in chance.sample(_OPTIONS[command], chance.randint(0, min(3, len(_OPTIONS[command])))):
        words.append(option)
        if option not in _FLAGS:
            words.append(text(chance))
    if chance.random() < 0.1:
        words += ["--db", text(chance)]
    if chance.random() < 0.05:
        chance.shuffle(words)
    return words


def _argument(chance: random.Random, command: str, place: int, app: str, ids: tuple[str, ...]) -> str:
    if chance.random() < 0.3:
        return text(chance)
    if command in ("run", "start", "check") and place == 0:
        return f"{app}:{chance.choice(_ENDING)}" if command != "check" else app
    if command in ("run", "start"):
        return chance.choice(('"x"', "{}", "[1,2]", '{"id":1}', "NaN", "1e400", '"\\ud800"', text(chance)))
    return chance.choice(ids) if place == 0 else text(chance)
