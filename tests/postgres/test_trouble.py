"""What goes wrong with a server before any work begins: one clear line each, a typed error, exit code 4, and nothing written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from flowkit.cli import main
from flowkit.drivers import open_driver
from flowkit.errors import SchemaTooNew, StoreError
from tests.postgres.server import Server, new_database, owned
from tests.torture.proxy import Proxy

pytestmark = pytest.mark.timeout(60)

STORE = 4
SHOP = str(Path(__file__).parents[1] / "cli" / "shop.py")

Url = Callable[[Server], str]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with a user who needs a password, and one who may do nothing."""
    with owned() as made:
        access = made.data / "pg_hba.conf"
        access.write_text("host all guest 127.0.0.1/32 scram-sha-256\n" + access.read_text())
        made.ask("CREATE ROLE guest LOGIN PASSWORD 'right'")
        made.ask("CREATE ROLE nobody LOGIN")
        made.ask("SELECT pg_reload_conf()")
        yield made


@pytest.fixture
def down() -> str:
    """The URL of a server that has ended."""
    with owned() as made:
        return made.url()


def of(server: Server, user: str, database: str = "postgres") -> str:
    return f"postgresql://{user}@127.0.0.1:{server.port}/{database}"


def cli(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def refused(url: str) -> str:
    """What is said on opening it; the same by the command line, in one line and with the exit code of store trouble."""
    with pytest.raises(StoreError) as raised:
        open_driver(url).close()
    for command in (["list"], ["start", f"{SHOP}:greet", '"ada"']):
        told = cli(*command, "--db", url)
        assert told.exit_code == STORE, told.output
        assert told.stdout == ""
        assert len(told.stderr.strip().splitlines()) == 1, told.stderr
        assert "Traceback" not in told.stderr
    return str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user@host:notaport/x",
        "postgresql://[::1/x",
        "postgresql://u@h/d?nosuch=1",
        "postgresql://u@h/d?listen=2",
        "postgresql:/user@host/x",
    ],
)
def test_a_wrong_url_is_refused_with_what_is_wrong_about_it(url: str) -> None:
    assert "URL" in refused(url)


def test_a_wrong_password_is_named_and_never_shown(server: Server) -> None:
    said = refused(of(server, "guest:secret-1234"))

    assert "password" in said
    assert "secret-1234" not in said


def test_a_right_password_is_never_shown_either(server: Server) -> None:
    url = of(server, "guest:right", "nosuch")

    assert "right" not in refused(url).replace("rights", "")


def test_a_server_that_is_down_is_named(down: str) -> None:
    said = refused(down)

    assert down.split("@")[1].split("/")[0] in said
    assert "cannot be reached" in said


def test_the_doctor_finds_a_server_that_is_down_to_be_trouble(down: str) -> None:
    told = cli("doctor", "--db", down.replace("postgres@", "postgres:secret-1234@"))

    assert told.exit_code == STORE
    assert "cannot be reached" in told.stdout
    assert "secret-1234" not in told.stdout


def test_a_host_that_does_not_exist_is_named() -> None:
    assert "nosuch.invalid" in refused("postgresql://postgres@nosuch.invalid/orders")


def test_a_database_that_does_not_exist_is_named(server: Server) -> None:
    said = refused(of(server, "postgres", "nosuch"))

    assert '"nosuch" does not exist' in said
    assert "Create the database first" in said


def test_a_user_without_the_right_to_make_tables_is_told_so(server: Server) -> None:
    name = new_database(server).rsplit("/", 1)[1]

    said = refused(of(server, "nobody", name))

    assert "permission denied" in said
    assert "rights" in said


def test_a_user_without_the_right_to_read_the_tables_is_told_so(server: Server) -> None:
    name = new_database(server, tables=True).rsplit("/", 1)[1]

    said = refused(of(server, "nobody", name))

    assert "permission denied" in said


def test_a_server_that_is_too_old_is_named_with_what_is_needed(server: Server) -> None:
    ((version,),) = server.ask("SHOW server_version")
    with Proxy("127.0.0.1", server.port) as proxy:
        name = b"server_version\0"
        proxy.rewrites = (name + version.encode(), name + b"9.6".ljust(len(version), b"0"))

        said = refused(f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres")

    assert "PostgreSQL 9" in said
    assert "15 or newer" in said


def test_a_schema_that_is_too_new_is_refused_and_left_alone(server: Server) -> None:
    url = new_database(server, tables=True)
    name = url.rsplit("/", 1)[1]
    server.ask("UPDATE meta SET value = '999' WHERE key IN ('schema_version', 'min_writer')", database=name)
    before = server.ask("SELECT key, value FROM meta ORDER BY key", database=name)

    said = refused(url)

    assert "newer flowkit (schema 999" in said
    with pytest.raises(SchemaTooNew):
        open_driver(url)
    assert server.ask("SELECT key, value FROM meta ORDER BY key", database=name) == before


def test_tables_of_something_else_are_left_alone(server: Server) -> None:
    url = new_database(server)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("CREATE TABLE runs (miles int)")

    said = refused(url)

    assert "something else" in said


@pytest.mark.parametrize("command", [["list"], ["cancel", "o-1"], ["check", SHOP], ["tag", "o-1", "+vip"], ["doctor"]])
def test_a_database_without_tables_is_said_to_be_one_and_stays_so_unless_something_is_started(
    server: Server, command: list[str]
) -> None:
    url = new_database(server)

    told = cli(*command, "--db", url)

    assert told.exit_code == STORE
    assert "has no tables of flowkit, or none that this user may see" in told.output
    assert "0 bytes" not in told.output
    assert not server.ask("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", database=url.rsplit("/", 1)[1])


def test_a_database_that_takes_no_connections_is_not_said_to_be_missing(server: Server) -> None:
    url = new_database(server)
    name = url.rsplit("/", 1)[1]
    server.ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")

    said = refused(url)

    assert f'database "{name}" is not currently accepting connections' in said
    assert "Create the database" not in said


@pytest.mark.parametrize("url", ["postgresql:///orders?host=/nowhere", "postgresql:///orders?host=/nowhere&port=5"])
def test_a_url_without_a_host_names_the_socket_of_a_local_server(url: str) -> None:
    said = refused(url)

    assert "cannot be reached" in said
    assert "/nowhere/.s.PGSQL." in said


def test_a_server_without_a_free_connection_says_so_and_is_served_again_when_there_is_one(server: Server) -> None:
    url = new_database(server, tables=True)
    name = url.rsplit("/", 1)[1]
    server.ask(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    server.ask("ALTER ROLE nobody CONNECTION LIMIT 0")

    said = refused(of(server, "nobody", name))
    server.ask(f"ALTER DATABASE {name} CONNECTION LIMIT -1")

    assert "too many connections" in said
    open_driver(url).close()
