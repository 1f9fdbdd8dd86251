"""Finding definitions: those of this process by name, and those of a file or module given as ``app.py:checkout``."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Protocol

from flowkit.engine.source import PACKAGE

__all__ = [
    "Definition",
    "fingerprint",
    "hear",
    "import_app",
    "is_yours",
    "known",
    "project_code",
    "project_files",
    "project_sources",
    "remember",
    "split_app",
]


class Definition(Protocol):
    """What is asked of a workflow here."""

    name: str
    function: Callable[..., Any]


_known: dict[str, Definition] = {}
_listeners: list[Callable[[Definition], None]] = []


def remember(workflow: Definition) -> None:
    """Make a workflow findable by its name; of two with one name, the newer."""
    _known[workflow.name] = workflow  # one dictionary store: no lock that a fork could leave held
    for listener in _listeners:
        listener(workflow)


def hear(listener: Callable[[Definition], None]) -> None:
    """Have `listener` told of every workflow that is decorated from here on, those of one name included."""
    _listeners.append(listener)


def known() -> Mapping[str, Definition]:
    """All workflows that this process has decorated."""
    return dict(_known)


def split_app(app: str) -> tuple[str, str | None]:
    """``app.py:checkout`` as the file or module, and the workflow's name if one is given."""
    path, colon, name = app.rpartition(":")
    if not colon or os.sep in name or "\\" in name or (len(path) == 1 and path.isalpha()):
        return app, None
    return path, name


def import_app(app: str) -> ModuleType:
    """Import a file (its folder goes first on `sys.path`, its stem is the module's name) or a module (the working folder does).

    Raises:
        ValueError: there is no such file or module. Whatever the import itself raises passes through.
    """
    path = Path(app)
    is_file = app.endswith(".py") or (path.exists() and not path.is_dir())
    if not is_file:
        return _import_module(app)
    if not path.is_file():
        raise ValueError(f"there is no file {app!r}. Give a Python file or an importable module, e.g. app.py or app.py:checkout")
    _first_on_path(str(path.resolve().parent))
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) != str(path.resolve()):
        raise ValueError(f"{app!r} would be imported as {path.stem!r}, which is another module already. Rename the file.")
    return importlib.import_module(path.stem)


def _import_module(name: str) -> ModuleType:
    _first_on_path(os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ValueError(f"there is no file or module {name!r}. Give e.g. app.py, app.py:checkout or package.app") from error
        raise


def _first_on_path(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


# --- fingerprints ---------------------------------------------------------------------------------------------------


CODE_DIGITS = 16
"""How much of a digest is kept: 64 bits tell versions of one program apart, and every run keeps them."""


def project_code(known: str) -> str:
    """The project's code in a `fingerprint`, or of `project_sources`: one number for all workflows that were loaded together."""
    return known.partition("-")[0][:CODE_DIGITS]


def fingerprint(workflow: Definition, sources: str = "") -> str:
    """What the code of a workflow is known by: its function and the project's own loaded source files (`sources`).

    It begins with the project's code, so that whoever reads a run can tell under which code it ran.
    """
    digest = hashlib.sha256(sources.encode())
    function = workflow.function
    digest.update(getattr(function, "__qualname__", "").encode())
    code = getattr(function, "__code__", None)
    if code is not None:
        _hash_code(digest, code)
    return f"{project_code(sources)}-{digest.hexdigest()[:CODE_DIGITS]}"


def project_sources(modules: Iterable[ModuleType] | None = None) -> str:
    """A digest of the project's own loaded source files: not the standard library's, not installed packages', not flowkit's."""
    digest = hashlib.sha256()
    for filename in project_files(modules):
        try:
            body = Path(filename).read_bytes()
        except OSError:  # gone since it was loaded
            continue
        digest.update(os.path.basename(filename).encode() + b"\0" + hashlib.sha256(body).digest())
    return digest.hexdigest()


def project_files(modules: Iterable[ModuleType] | None = None) -> list[str]:
    """The project's own source files among those that are loaded, links resolved, in order."""
    files = set()
    for module in list(sys.modules.values()) if modules is None else modules:
        filename = getattr(module, "__file__", None)
        if isinstance(filename, str) and filename.endswith(".py") and not _installed(filename):
            files.add(os.path.realpath(filename))
    return sorted(files)


def is_yours(filename: str) -> bool:
    """Whether a file is the project's own, or at least none of Python's, flowkit's or an installed package's."""
    return not filename.startswith("<") and not _installed(filename)


def _installed(filename: str) -> bool:
    return filename.startswith((PACKAGE, _STDLIB)) or f"{os.sep}site-packages{os.sep}" in filename


_STDLIB = sysconfig.get_path("stdlib") + os.sep


def _hash_code(digest: Any, code: CodeType) -> None:
    digest.update(code.co_code)
    digest.update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _hash_code(digest, constant)
        else:
            constant = sorted(constant, key=repr) if isinstance(constant, frozenset) else constant  # sets have no fixed order
            digest.update(repr(constant).encode("utf-8", "surrogatepass"))
