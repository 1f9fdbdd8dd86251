"""`--editor`: which addresses places in the source may lead to."""

from __future__ import annotations

import pytest

from flowkit.cli.editor import EDITORS, editor_address
from flowkit.cli.serving import Posture, make_inspector
from flowkit.client import Flowkit
from flowkit.drivers import open_driver
from tests.cli.conftest import Cli


@pytest.mark.parametrize("name", EDITORS)
def test_a_known_editor_has_an_address(name: str) -> None:
    address = editor_address(name)

    assert "{file}" in address
    assert "{line}" in address


def test_an_address_may_be_given_in_full() -> None:
    assert editor_address("my+editor://open?file={file}") == "my+editor://open?file={file}"
    assert editor_address("") == ""


@pytest.mark.parametrize(
    "text",
    [
        "emacs", "vim {file}", "javascript:alert('{file}')", "JavaScript:{file}", "data:text/html,{file}", "file://{file}",
        "vscode://file", '://{file}', 'x://"{file}', "x://<{file}", "vbscript:{file}",
    ],
)  # fmt: skip
def test_what_is_no_address_of_an_editor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is none of vscode"):
        editor_address(text)


def test_a_wrong_editor_is_a_wrong_use(cli: Cli) -> None:
    for command in (["inspect"], ["dev", "app.py"]):
        result = cli(*command, "--editor", "javascript:x")

        assert result.exit_code == 2
        assert "none of vscode" in result.stderr


def test_the_inspector_is_given_the_editor() -> None:
    client = Flowkit(open_driver(":memory:"), worker=False)

    app, _ = make_inspector(client, Posture(editor=editor_address("zed")), 1, database="x.db")

    assert app.site.settings.editor == EDITORS["zed"]
    client.close()
