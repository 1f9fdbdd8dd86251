"""The store that the guide to drivers writes passes the suite that every driver passes."""

from __future__ import annotations

import itertools
import re
import tempfile
from pathlib import Path
from typing import Any

from flowkit.drivers.kv import KVDriver, KVStore
from flowkit.testing import driver_suite

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/driver.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)

_folder = tempfile.TemporaryDirectory(prefix="flowkit-guide-")
_numbers = itertools.count()
_names: dict[str, Any] = {}
exec(compile(BLOCKS[0], "docs/driver.md", "exec"), _names)


def new_store() -> KVDriver:
    store: KVStore = _names["TableKV"](f"{_folder.name}/{next(_numbers)}.db")
    return KVDriver(store)


TestTheStoreOfTheGuide = driver_suite(new_store)


def test_the_store_is_as_short_as_the_guide_says() -> None:
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 60
