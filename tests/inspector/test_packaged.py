"""`flowkit dev` as installed from the wheel and from the sdist, in a folder with nothing but an app: every page and file
answers, although the user has an `inspector` of his own.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dev.harness import APP, Dev, until
from tests.house.source import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PAGES = (
    "/", "/runs", "/runs?status=sleeping&workflow=checkout", "/runs/r-1", "/runs/r-1/e/1", "/runs/r-1/messages", "/workflows",
    "/workflows/checkout/start?from=r-1", "/migrate", "/runs/r-1/cancel", "/runs/r-1/replay", "/runs/r-1/send", "/runs/r-1/wake",
)  # fmt: skip
SERVED = (".css", ".js", ".svg")


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wheel_of(source: Path, folder: Path) -> Path:
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with flowkit from a wheel, made from the checkout or from the sdist of it.

    What flowkit needs is lent from the environment of the tests, by its path alone: the checkout that is installed there is
    found through a file of that folder, which nobody reads here.
    """
    place = tmp_path_factory.mktemp(request.param)
    source = ROOT
    if request.param == "sdist":
        run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", place, cwd=ROOT)
        (source,) = place.glob("*.tar.gz")
    wheel = wheel_of(source, place)
    run(sys.executable, "-m", "venv", "--without-pip", place / "env", cwd=place)
    found = place / "env/bin/python"
    run(sys.executable, "-m", "pip", "--python", found, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=place)
    (site,) = (place / "env").glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    return found


@pytest.fixture
def dev(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dev]:
    """``flowkit dev app.py`` in a folder of its own."""
    (tmp_path / "app.py").write_text(APP, "utf-8")
    (tmp_path / "inspector.py").write_text("raise RuntimeError('the inspector of somebody else')", "utf-8")
    monkeypatch.delenv("FLOWKIT_DB", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    made = Dev(tmp_path, "app.py", python=python)
    yield made
    made.end()


def ask(url: str, form: dict[str, str] | None = None) -> tuple[int, bytes]:
    data = None if form is None else urllib.parse.urlencode(form).encode()
    headers = {} if form is None else {"Sec-Fetch-Site": "same-origin"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def twin(page: str) -> str:
    path, _, query = page.partition("?")
    return f"{'/home' if path == '/' else path}.json{'?' + query if query else ''}"


def test_every_page_and_file_answers_under_dev(dev: Dev, python: Path, tmp_path: Path) -> None:
    base = str(dev.wait("ready")["url"]).rstrip("/")
    dev.wait("loaded")
    assert ask(f"{base}/workflows/checkout/start", {"a.n": "7", "id": "r-1"})[0] == 200
    until(lambda: b"<title>sleeping" in ask(f"{base}/runs/r-1")[1], "it waits for its message")

    answers = {path: ask(base + path) for page in PAGES for path in (page, twin(page))}
    package = Path(run(python, "-c", "import flowkit; print(flowkit.__path__[0])", cwd=tmp_path).strip())
    files = [path for path in (package / "inspector/static").rglob("*") if path.suffix in SERVED]
    names = {
        f"/static/{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}/{path.relative_to(package / 'inspector/static')}": path
        for path in files
    }
    linked = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', answers["/"][1].decode()))

    assert package.is_relative_to(python.parents[1])
    assert {path: status for path, (status, _) in answers.items() if status != 200} == {}
    assert len(linked) == 5
    assert linked <= names.keys()
    assert [name for name, path in names.items() if ask(base + name) != (200, path.read_bytes())] == []
