"""The inspector in a wheel: it works in a folder where another `inspector.py` lies, and every page and file is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.inspector.stories import build_small
from tests.inspector.test_pages import PAGES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PROBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, ".")
from flowkit.cli.serving import load_inspector
from flowkit.client import Flowkit
from flowkit.drivers import open_driver
import asyncio

inspector = load_inspector()
assert inspector.__name__ == "flowkit.inspector", inspector.__name__
client = Flowkit(open_driver(sys.argv[2], readonly=True), worker=False, workflows=())
app = inspector.create_app(client)

async def status(path):
    path, _, query = path.partition("?")
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
             "headers": [(b"host", b"localhost")], "scheme": "http", "server": ("localhost", 80), "http_version": "1.1"}
    said = []
    async def receive():
        await asyncio.sleep(60)
    async def send(message):
        said.append(message)
    await app(scope, receive, send)
    return said[0]["status"]

async def all_of_them(paths):
    return {path: await status(path) for path in paths}

print(json.dumps(asyncio.run(all_of_them([*json.loads(sys.argv[3]), *app.site.statics.urls]))))
client.close()
"""


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_page_and_file_answers_from_the_wheel(tmp_path: Path) -> None:
    built, place, here = tmp_path / "built", tmp_path / "place", tmp_path / "here"
    here.mkdir()
    (here / "inspector.py").write_text("raise RuntimeError('the inspector of somebody else')", "utf-8")
    build_small(tmp_path / "small.db")
    run("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(built), str(ROOT), cwd=tmp_path)
    run("-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), str(next(built.glob("*.whl"))), cwd=tmp_path)

    answers = run("-c", PROBE, str(place), str(tmp_path / "small.db"), json.dumps(list(PAGES)), cwd=here)

    found = json.loads(answers)
    assert len(found) > len(PAGES)
    assert {path for path, status in found.items() if status != 200} == set()
