"""H: A and B again where every fsync takes a millisecond longer, as on a laptop's disk.

The delay is a preloaded library of ten lines, so the whole bench runs once more in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.raw import Raw
from tests.bench.table import Row

__all__ = ["measure_slow_disk"]

_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static int slowly(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    usleep(1000);
    return real(fd);
}
int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
"""
_AIMS = {"A": 0.9, "B": 20.0}


def measure_slow_disk(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        yield Row("H a slow disk", "not measured: it takes Linux and a C compiler")
        return
    source, library = folder / "slowly.c", folder / "slowly.so"
    source.write_text(_SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    (folder / "slow").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.bench", "A", "B", "--json", "--no-peers", "--rounds", str(rounds)]
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run([*command, "--dir", folder / "slow"], check=True, capture_output=True, text=True, env=environment)
    for line in done.stdout.splitlines():
        told = json.loads(line)
        if told["name"][0] in _AIMS:
            aim = _AIMS[told["name"][0]]
            met = None if told["ratio"] is None else told["ratio"] >= aim
            yield Row(f"H {told['name']}", told["measured"], told["spread"], f"≥ {aim:g} R", met, told["ratio"])
        else:
            yield Row("H R with 1 ms more a sync", told["measured"], told["spread"])
