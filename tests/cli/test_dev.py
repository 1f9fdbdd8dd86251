"""`flowkit dev`: what it refuses before anything starts. What it does then is shown by tests/dev."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.py"], 3, "there is no file 'nowhere.py'"),
        (["{shop}:counting"], 2, "dev serves a whole APP"),
        (["{shop}", "--db", ":memory:"], 2, "cannot be shared by two processes"),
        (["{shop}", "--grace", "soon"], 2, "--grace"),
        (["{shop}", "--host", "999.0.0.1"], 2, "cannot listen"),
    ],
)
def test_dev_refuses_what_can_never_work(cli: Cli, shop: str, arguments: list[str], code: int, said: str) -> None:
    result = cli("dev", *(each.format(shop=shop) for each in arguments))

    assert result.exit_code == code
    assert said in result.stderr
