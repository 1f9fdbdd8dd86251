"""What the tests of exports share: a run recorded by a process of its own, exported, and the export run by pytest elsewhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

RECORD = """
from app import Order, checkout
from flowkit.testing import FakeClock, Lab

with Lab("runs.db", clock=FakeClock(1_763_000_000.0)) as lab:
    lab.start("order/1", checkout, Order("ada", 3))
    while not lab.run_once("order/1").waiting_for:
        lab.advance("10m")
    lab.advance("3h")
    lab.send("order/1", "go", {"token": "t-1", "by": "eve"})
    try:
        lab.run_to_end("order/1")
    except Exception as error:
        print(type(error).__name__)
"""


class Desk:
    """A folder where a run is recorded, and one, empty but for the app and the exported test, where that is run."""

    def __init__(self, here: Path) -> None:
        self.here = here

    def export(self, app: str, *options: str) -> str:
        """What `flowkit export` writes of a run that this code went through."""
        folder = self.here / hashlib.sha256(app.encode()).hexdigest()[:12]
        if not folder.exists():
            folder.mkdir()
            (folder / "app.py").write_text(app)
            self._python(folder, "-c", RECORD).check_returncode()
        found = self._python(folder, "-m", "flowkit", "export", "order/1", "--db", "runs.db", *options)
        found.check_returncode()
        return found.stdout

    def run_test(self, test: str, app: str) -> subprocess.CompletedProcess[str]:
        """What pytest says of the test beside this code."""
        folder = Path(tempfile.mkdtemp(dir=self.here))
        (folder / "test_exported.py").write_text(test)
        (folder / "app.py").write_text(app)
        return self._python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_exported.py")

    def _python(self, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "FLOWKIT"))}
        return subprocess.run(
            [sys.executable, "-B", *args],
            cwd=folder,
            env={**kept, "COLUMNS": "200", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The folders; each code is recorded once."""
    return Desk(tmp_path_factory.mktemp("exports"))
