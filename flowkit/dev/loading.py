"""Importing the user's APP in a child, and saying what is wrong with it when that fails.

Importing runs the user's file, so anything may come of it: any exception, an exit, a workflow that exists twice.
"""

from __future__ import annotations

import linecache
import os
import sys
import traceback
from types import ModuleType, TracebackType

from flowkit import registry
from flowkit.client.livecode import LoadError, SourceLine
from flowkit.engine.source import PACKAGE, place_of, shown_path

__all__ = ["Decorated", "Sources", "files_to_watch", "hides_files", "import_user_app", "load_error", "store_error"]

_AROUND = 2
_MACHINERY = ("<frozen ", os.path.dirname(os.path.abspath(linecache.__file__)) + os.sep)


class Decorated:
    """Hears of every workflow that is decorated while the APP is imported."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}
        registry.hear(self._heard)

    def _heard(self, workflow: registry.Definition) -> None:
        places = self._places.setdefault(workflow.name, [])
        place = place_of(workflow.function)
        if place not in places:
            places.append(place)

    def twice(self) -> LoadError | None:
        """What to say if one name stands for two workflows; the same line run twice is one workflow."""
        for name, places in self._places.items():
            if len(places) > 1:
                file, _, line = places[-1].rpartition(":")
                return LoadError(
                    type="DuplicateName", message=f"two workflows are named {name!r}, at {' and '.join(places)}",
                    source=places[-1], lines=_lines(os.path.abspath(file), int(line) if line.isdigit() else 0),
                    frames=tuple(places), hint="Give one of them another name=.",
                )  # fmt: skip
        return None


class Sources:
    """The digest of the files that this process has loaded, as they were then: by the time its runs are marked with it, the
    next save may have changed them, and its code would pass for this one. Made once the APP is imported.
    """

    def __init__(self) -> None:
        self.loaded = registry.project_sources()
        self._files = set(registry.project_files())

    def now(self) -> str:
        """With the files that have been imported since."""
        late = [module for module in list(sys.modules.values()) if not self._files.issuperset(registry.project_files([module]))]
        return self.loaded + registry.project_sources(late) if late else self.loaded


def hides_files(folder: str) -> bool:
    """Whether modules that this process has loaded would be taken for modules of the folder, which stands first on `sys.path`:
    one that was there when they were loaded, and may have been saved since, or one that came later.
    """
    names = os.listdir(folder)
    modules = {name.removesuffix(".py") for name in names if name.endswith(".py")}
    packages = {name for name in names if name in sys.modules and os.path.isfile(os.path.join(folder, name, "__init__.py"))}
    return not ((modules | packages) - {__name__.partition(".")[0]}).isdisjoint(sys.modules)


def import_user_app(app: str) -> ModuleType | BaseException:
    """The module, or what importing it raised."""
    try:
        return registry.import_app(app)
    except BaseException as error:  # the user's file runs: SystemExit and KeyboardInterrupt end the import, not the child
        return error


def load_error(app: str, error: BaseException) -> LoadError:
    """What to show of an error at import: the place in the user's code, five lines around it, and the user's frames."""
    frames = [(frame.filename, frame.lineno or 0, frame.name) for frame in traceback.extract_tb(error.__traceback__)]
    yours = [frame for frame in frames if not frame[0].startswith((PACKAGE, *_MACHINERY))]
    ours = [frame for frame in yours if f"{os.sep}site-packages{os.sep}" not in frame[0]] or yours
    filename, number = ours[-1][:2] if ours else ("", 0)
    if isinstance(error, SyntaxError) and error.filename:
        filename, number = error.filename, error.lineno or 0
    return LoadError(
        type=type(error).__name__, message=_message(error), source=f"{shown_path(filename)}:{number}" if filename else app,
        lines=_lines(filename, number), frames=tuple(f"{shown_path(file)}:{line} in {name}" for file, line, name in ours),
        hint=_hint(error),
    )  # fmt: skip


def store_error(error: Exception) -> LoadError:
    """What to show if the database cannot be opened."""
    return LoadError(type=type(error).__name__, message=str(error))


def files_to_watch(trace: TracebackType | None, error: BaseException | None = None) -> tuple[str, ...]:
    """The project's own files that are loaded or stand in a traceback: saving one of them may change what happened."""
    named = [frame.filename for frame in traceback.extract_tb(trace)]
    if isinstance(error, SyntaxError) and error.filename:
        named.append(error.filename)
    own = [os.path.realpath(name) for name in named if name.endswith(".py") and not name.startswith((PACKAGE, *_MACHINERY))]
    return tuple(sorted({*registry.project_files(), *own}))


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return error.msg or "invalid syntax"
    if isinstance(error, SystemExit):
        return f"the file ended the process with {error.code!r}"
    return str(error)


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"Is {error.name.partition('.')[0]} installed in {sys.prefix}, or its file misnamed?"
    if isinstance(error, ImportError) and "partially initialized" in str(error):
        return "Two files import each other: move what both need into a third, or import inside the function."
    if isinstance(error, SystemExit):
        return 'Put what should only run as a script under: if __name__ == "__main__":'
    return ""


def _lines(filename: str, number: int) -> tuple[SourceLine, ...]:
    """The line and two on each side, as the file is now: this process has just read it."""
    linecache.checkcache(filename)
    lines = linecache.getlines(filename)
    first, last = max(1, number - _AROUND), min(len(lines), number + _AROUND)
    return tuple(
        SourceLine(number=each, text=lines[each - 1].rstrip("\n")[:500], marked=each == number)
        for each in range(first, last + 1)
        if number
    )
