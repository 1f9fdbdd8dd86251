"""The type checkers find nothing, and infer what tests/typing says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.house.source import ROOT
from tests.support import require


def check(*command: str, **environment: str) -> None:
    """Run a type checker over the repository; what it finds is the failure's text."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, env=os.environ | environment
    )
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_mypy_infers_the_pinned_types() -> None:
    check("mypy", "tests/typing")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_pyright_finds_nothing_and_infers_the_pinned_types() -> None:
    require(shutil.which("node"), "pyright runs on node, and this machine has none")

    check("pyright", "--pythonpath", sys.executable, PYRIGHT_PYTHON_IGNORE_WARNINGS="1")
