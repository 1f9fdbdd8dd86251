"""What people get wrong: each is one clear line on stderr, an exit code, and nothing written."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli

USAGE, NOT_FOUND, STORE = 2, 3, 4


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["nosuch"], USAGE, "No such command"),
        (["list", "--nosuch"], USAGE, "No such option"),
        (["run"], USAGE, "Missing argument"),
        (["run", "nofile.py:x"], NOT_FOUND, "no file 'nofile.py'"),
        (["run", "no.module:x"], NOT_FOUND, "no file or module 'no.module'"),
        (["run", ".odd:x"], NOT_FOUND, "no file or module '.odd'"),
        (["run", ""], USAGE, "is no APP"),
        (["run", "SHOP"], USAGE, "Name one, as"),
        (["run", "SHOP:great"], NOT_FOUND, "Did you mean greet?"),
        (["run", "SHOP:zzz"], NOT_FOUND, "It has: anything, counting"),
        (["worker", "SHOP:zzz"], NOT_FOUND, "It has:"),
        (["run", "SHOP:greet"], USAGE, "missing a required argument: 'name'"),
        (["run", "SHOP:greet", '"a"', "1", "2"], USAGE, "too many positional arguments"),
        (["run", "SHOP:greet", "--arg", 'nome="a"'], USAGE, "missing a required argument"),
        (["run", "SHOP:greet", '"a"', "--arg", 'name="b"'], USAGE, "multiple values for argument 'name'"),
        (["run", "SHOP:greet", "--arg", "name"], USAGE, "is not name=JSON"),
        (["run", "SHOP:greet", "--arg", "name=1", "--arg", "name=2"], USAGE, "given twice"),
        (["run", "SHOP:greet", "ada"], USAGE, """'"ada"'"""),
        (["run", "SHOP:greet", '{"a":\n 1,}'], USAGE, "line 2 column"),
        (["run", "SHOP:greet", ""], USAGE, "it is empty"),
        (["run", "SHOP:anything", "NaN"], USAGE, "NaN is not JSON"),
        (["run", "SHOP:anything", "[" * 100_000], USAGE, "nests too deep"),
        (["run", "SHOP:anything", "[" * 250 + "]" * 250], USAGE, "nests deeper than 200"),
        (["run", "SHOP:anything", "9" * 5000], USAGE, "argument 1"),
        (["run", "SHOP:greet", "7"], USAGE, "argument 'name' of greet is no str: at name: Expected `str`, got `int`"),
        (["run", "SHOP:echo", '{"id": "7"}'], USAGE, "at order.id: Expected `int`, got `str`"),
        (["run", "SHOP:echo", '{"cents": 7}'], USAGE, "missing required field `id`"),
        (["start", "SHOP:anything", '"' + "x" * 8_000_001 + '"'], USAGE, "over the limit of 8,000,000"),
        (["start", "SHOP:greet", '"a"', "--id", ""], USAGE, "cannot be empty"),
        (["start", "SHOP:greet", '"a"', "--id", "a\nb"], USAGE, "control characters"),
        (["start", "SHOP:greet", '"a"', "--id", "~a"], USAGE, "begins with '~'"),
        (["start", "SHOP:greet", '"a"', "--id", "x" * 201], USAGE, "200 are allowed"),
        (["start", "SHOP:greet", '"a"', "--tag", "a/b"], USAGE, "tag"),
        (["start", "SHOP:greet", '"a"', "--delay", "-5s"], USAGE, "is not a length of time"),
        (["start", "SHOP:greet", '"a"', "--delay", "soon"], USAGE, "is not a length of time"),
        (["worker", "SHOP", "--grace", "-1s"], USAGE, "--grace"),
        (["worker", "SHOP", "--concurrency", "0"], USAGE, "x>=1"),
        (["worker", "SHOP", "--concurrency", "1000000"], USAGE, "setting concurrency: 1000000 is out of range; it is 1"),
        (["run", "SHOP:greet", '"a"', "--db", "no/x.db"], STORE, "the folder no does not exist"),
        (["run", "SHOP:greet", '"a"', "--db", "."], STORE, "is a folder"),
        (["run", "SHOP:greet", '"a"', "--db", "mysql://x"], STORE, "knows no database mysql://"),
        (["start", "SHOP:greet", '"a"', "--db", "/proc/x.db"], STORE, "cannot be written"),
        (["list"], STORE, "there is no database 'flowkit.db'"),
        (["doctor"], STORE, "there is no database 'flowkit.db'"),
        (["doctor", "--db", "."], STORE, "is a folder"),
        (["send", "x", "go"], STORE, "there is no database 'flowkit.db'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line_and_writes_nothing(cli: Cli, shop: str, args: list[str], code: int, says: str) -> None:
    result = cli(*(arg.replace("SHOP", shop) for arg in args))

    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert result.stderr.count("\n") <= 2
    assert len(result.stderr) < 1000
    assert not list(Path().iterdir())


@pytest.fixture
def known(cli: Cli, shop: str) -> None:
    """A database with a run that has ended and one that has not."""
    cli("run", f"{shop}:greet", '"ada"', "--id", "order-7")
    cli("start", f"{shop}:wait", "--id", "w-1")


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["show", "order-8"], NOT_FOUND, "there is no run 'order-8'. Did you mean order-7?"),
        (["show", "order"], NOT_FOUND, "Did you mean order-7?"),
        (["show", "zzz"], NOT_FOUND, "`flowkit list` shows the newest"),
        (["show", "order-\udcff"], NOT_FOUND, "there is no run 'order-\\udcff'. Did you mean order-7?"),
        (["list", "--db", "x" * 300], STORE, "cannot be the name of a file"),
        (["cancel", "order-8"], NOT_FOUND, "Did you mean order-7?"),
        (["send", "order-8", "go"], NOT_FOUND, "Did you mean order-7?"),
        (["send", "order-7", "go"], USAGE, "has ended, it is completed"),
        (["send", "w-1", "go", "{"], USAGE, "the message is not JSON"),
        (["send", "w-1", "a/b"], USAGE, "message name 'a/b'"),
        (["send", "w-1", "go", '"' + "x" * 8_000_001 + '"'], USAGE, "over the limit"),
        (["list", "--status", "done"], USAGE, "statuses are pending"),
        (["list", "--limit", "0"], USAGE, "at least 1"),
        (["list", "--limit", "x"], USAGE, "not a valid integer"),
        (["list", "--limit", "9" * 19], USAGE, "limit is at most 4611686018427387904"),
        (["list", "--after", "9" * 19], USAGE, "after is at most 4611686018427387904"),
        (["check", "shop.py", "--limit", "9" * 19], USAGE, "is not in the range"),
        (["check", "shop.py", "--finished", "9" * 19], USAGE, "is not in the range"),
        (["check", "shop.py", "--seconds", "9" * 19], USAGE, "is not in the range"),
        (["check", "shop.py", "--seconds", "nan"], USAGE, "nan is not a number of seconds"),
        (["list", "--since", "2026-01-01"], USAGE, "has no time zone. Write 2026-01-01T00:00:00Z"),
        (["list", "--since", "yesterday"], USAGE, "is no instant"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_about_a_run_is_one_clear_line(cli: Cli, args: list[str], code: int, says: str) -> None:
    result = cli(*args)

    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import json\njson.loads('{')\n", "JSONDecodeError: "),
        ("def broken(:\n", "SyntaxError: invalid syntax (broken_app.py, line 1)"),
        ("import surely_not_there\n", "ModuleNotFoundError: No module named 'surely_not_there'"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("raise ValueError('odd')\n", "ValueError: odd"),
    ],
)
def test_a_file_that_does_not_import_is_told_with_its_line(cli: Cli, source: str, says: str) -> None:
    Path("broken_app.py").write_text(source)

    result = cli("run", "broken_app.py:x")

    assert (result.exit_code, result.stdout) == (USAGE, "")
    assert says in result.stderr
    assert "broken_app.py" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_does_not_import_shows_its_traceback_on_request(cli: Cli) -> None:
    Path("broken_app.py").write_text("def inner():\n    1 / 0\ninner()\n")

    result = cli("start", "broken_app.py:x", "--traceback")

    assert "in inner" in result.stderr
    assert "flowkit/cli" not in result.stderr


def test_an_app_without_a_workflow_is_not_found(cli: Cli) -> None:
    Path("plain_app.py").write_text("x = 1\n")

    result = cli("worker", "plain_app.py")

    assert result.exit_code == NOT_FOUND
    assert "has no workflow" in result.stderr


def test_two_workflows_of_one_name_are_refused(cli: Cli, shop: str) -> None:
    Path("other_shop.py").write_text("from flowkit import workflow\n@workflow\ndef greet(): ...\n")

    result = cli("worker", shop, "other_shop.py")

    assert result.exit_code == USAGE
    assert "two workflows are named 'greet'" in result.stderr


# --- databases ------------------------------------------------------------------------------------------------------

COMMANDS = [["list"], ["show", "w-1"], ["history", "w-1"], ["cancel", "w-1"], ["send", "w-1", "go"], ["start", "SHOP:wait"]]


@pytest.mark.parametrize("args", COMMANDS, ids=lambda args: args[0])
def test_a_file_that_is_no_database_is_refused_and_left_alone(cli: Cli, shop: str, args: list[str]) -> None:
    Path("flowkit.db").write_text("dear diary")

    result = cli(*(arg.replace("SHOP", shop) for arg in args))

    assert (result.exit_code, result.stdout) == (STORE, "")
    assert "is not a SQLite database" in result.stderr
    assert [path.name for path in Path().iterdir()] == ["flowkit.db"]
    assert Path("flowkit.db").read_text() == "dear diary"


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("args", [*COMMANDS, ["doctor"]], ids=lambda args: args[0])
def test_a_newer_database_is_refused(cli: Cli, shop: str, args: list[str]) -> None:
    execute("UPDATE meta SET value = '99' WHERE key IN ('schema_version', 'min_writer')")

    result = cli(*(arg.replace("SHOP", shop) for arg in args))

    assert result.exit_code == STORE
    assert "newer flowkit (schema 99" in result.output


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("args", [["cancel", "w-1"], ["send", "w-1", "go"], ["start", "SHOP:wait", "--id", "w-2"]])
def test_a_locked_database_is_told_after_some_seconds(
    cli: Cli, data: Callable[..., Any], shop: str, args: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWKIT_CLI_PATIENCE", "200ms")
    with Path("flowkit.db-locks/gate").open("r+") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)

        result = cli(*(arg.replace("SHOP", shop) for arg in args))

    assert (result.exit_code, result.stdout) == (STORE, "")
    assert "nothing was written" in result.stderr
    assert [run["id"] for run in data("list")["runs"]] == ["w-1", "order-7"]


@pytest.mark.usefixtures("known")
def test_a_database_that_another_program_has_locked_can_still_be_read(cli: Cli) -> None:
    other = sqlite3.connect("flowkit.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    result = cli("list")

    other.close()
    assert result.exit_code == 0


@pytest.mark.usefixtures("known")
def test_a_damaged_database_is_told(cli: Cli) -> None:
    body = bytearray(Path("flowkit.db").read_bytes())
    body[4096:] = b"\x07" * (len(body) - 4096)
    Path("flowkit.db").write_bytes(body)

    listed, examined = cli("list"), cli("doctor")

    assert (listed.exit_code, examined.exit_code) == (STORE, STORE)
    assert "damaged" in listed.stderr
    assert "Traceback" not in listed.output + examined.output


def execute(sql: str) -> None:
    db = sqlite3.connect("flowkit.db")
    with db:
        db.execute(sql)
    db.close()
