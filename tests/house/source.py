"""The repository as data: its Python modules, parsed once, and the text of its documents.

The house tests ask here and never walk the disk themselves. Nothing is imported, so a module that cannot be imported is
still judged.
"""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = [
    "ROOT",
    "Import",
    "Module",
    "code_in_documents",
    "comments",
    "documents",
    "functions",
    "imports",
    "modules",
    "text_files",
]

ROOT = Path(__file__).resolve().parents[2]

_NOT_OURS = {".git", ".venv", ".venv-bench", "__pycache__", "node_modules", "vendor", "build", "dist"}


@dataclass(frozen=True)
class Module:
    """One Python file. `name` is dotted as seen from the repository's root, `where` its path from there."""

    path: Path
    name: str
    text: str
    tree: ast.Module

    @property
    def where(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


@dataclass(frozen=True)
class Import:
    """`target` is the absolute dotted name; of `from a.b import c` that is ``a.b.c`` and `source` is ``a.b``."""

    line: int
    target: str
    source: str


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Every Python file below these folders, in order of path. A folder that is not there has none."""
    paths = sorted(path for folder in folders for path in _files(ROOT / folder) if path.suffix == ".py")
    return tuple(_parse(path) for path in paths)


def imports(module: Module) -> Iterator[Import]:
    """Every import of the file, those inside functions and under TYPE_CHECKING too, relative ones made absolute."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, alias.name)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(module, node)
            for alias in node.names:
                yield Import(node.lineno, f"{source}.{alias.name}", source)


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def comments(module: Module) -> dict[int, str]:
    """The lines that hold a comment, alone or after code. A `#` inside a string does not count."""
    tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
    return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}


@cache
def documents() -> tuple[Path, ...]:
    """README.md and the guide."""
    return (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


@cache
def code_in_documents() -> str:
    """What the documents set as code: fenced blocks and `spans`."""
    text = "\n".join(path.read_text("utf-8") for path in documents())
    fenced = re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return "\n".join([*fenced, *spans])


def text_files() -> Iterator[tuple[str, str]]:
    """Path and text of every file of the repository that is text; what git ignores or others wrote is left out."""
    for path in _files(ROOT):
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
        except UnicodeDecodeError:
            continue


def _files(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _NOT_OURS and not name.endswith(("_cache", ".egg-info")))
        if ".hypothesis" in folders:
            folders.remove(".hypothesis")
        yield from (Path(here, name) for name in sorted(names) if Path(here, name).is_file())


def _parse(path: Path) -> Module:
    text = path.read_text("utf-8")
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(path, name, text, ast.parse(text, str(path)))


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = module.package.split(".")
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)
