"""Every command of the command line is documented and has a test of its own."""

from __future__ import annotations

import ast
import re

import click

from flowkit.cli import main
from tests.house.source import code_in_documents, modules


def test_every_command_is_documented() -> None:
    code = code_in_documents()

    unknown = {name for name in main.commands if not re.search(rf"\bflowkit (?:.* )?{re.escape(name)}\b", code)}

    assert not unknown


def test_every_option_of_a_command_is_documented() -> None:
    code = code_in_documents()

    unknown = {
        f"{name} {spelling}"
        for name, command in main.commands.items()
        for option in command.params
        if isinstance(option, click.Option)
        for spelling in (*option.opts, *option.secondary_opts)
        if spelling.startswith("--") and not re.search(rf"(?<![\w-]){re.escape(spelling)}(?![\w-])", code)
    }

    assert not unknown


def test_every_command_says_what_it_does() -> None:
    silent = {name for name, command in main.commands.items() if not command.get_short_help_str()}

    assert not silent


def test_every_option_and_argument_of_a_command_is_explained() -> None:
    unexplained = {
        f"{name} --{option.name}"
        for name, command in main.commands.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    }

    assert not unexplained


def test_every_command_has_a_test() -> None:
    called = {
        text.value
        for module in modules("tests/cli")
        for call in ast.walk(module.tree)
        if isinstance(call, ast.Call)
        for text in ast.walk(call)
        if isinstance(text, ast.Constant)
    }

    untested = main.commands.keys() - called

    assert not untested
