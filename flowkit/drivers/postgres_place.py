"""What a PostgreSQL URL says: where the database is, how to name it without its password, and flowkit's own options."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from flowkit.errors import StoreError

__all__ = ["Place", "place_of"]

_TRUE, _FALSE = ("1", "true", "on", "yes"), ("0", "false", "off", "no")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """`conninfo` is what the client library wants; `name` is fit for messages; `listen`: tell others of each commit."""

    conninfo: str
    name: str
    listen: bool = False


def place_of(url: str, connect_seconds: float) -> Place:
    """Read a URL; unless it says otherwise, connecting may take `connect_seconds`.

    Raises:
        StoreError: it is no URL of a PostgreSQL database.
    """
    try:
        parts = urlsplit(url)
        if "," not in parts.netloc:  # several hosts are the client library's to read
            _ = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        listen = options.pop("listen", "0").lower()
        rest = urlencode(options, quote_via=quote)  # put together by hand: a URL without a host names the local socket
        known = conninfo_to_dict(f"postgresql://{parts.netloc}{parts.path}{'?' + rest if rest else ''}")
    except (psycopg.ProgrammingError, ValueError) as error:
        raise StoreError(
            f"this is no URL of a PostgreSQL database ({_first_line(error)}). Write postgresql://user@host/name."
        ) from error
    if listen not in _TRUE + _FALSE:
        raise StoreError(f"listen={listen} in the URL of the database: write listen=1 or listen=0.")
    known.setdefault("connect_timeout", round(connect_seconds))
    known.setdefault("application_name", "flowkit")
    known.setdefault("client_encoding", "utf8")
    where = parts.netloc.rpartition("@")[2] or f"{known.get('host') or ''}{':' + str(known['port']) if 'port' in known else ''}"
    name = f"postgresql://{where}/{known.get('dbname') or ''}"
    return Place(conninfo=make_conninfo("", **known), name=name, listen=listen in _TRUE)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
