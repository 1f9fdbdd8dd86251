"""A run written out as a pytest file: its record as a literal, and a test that goes through it again.

The file needs flowkit, pytest and the module of the workflow, nothing else. It is written in two goes, since what the docstring
counts is known only when all has been seen; neither keeps more than a piece. Whatever a run holds becomes a Python literal, which
`repr` escapes, or a comment or docstring, which `_quoted` does: no text of a run can become code.
"""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from flowkit.client.export import Export, Piece
from flowkit.client.masking import MASK
from flowkit.client.record import FORMAT
from flowkit.codec import describe
from flowkit.errors import RunConflict

__all__ = ["exported_test", "file_stem", "no_test"]

_LONG = 200
_WIDTH = 100
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)


def file_stem(run_id: str) -> str:
    """What files made from a run are called: its id as far as a Python name allows."""
    return re.sub(r"[^a-z0-9]+", "_", run_id.lower()).strip("_")[:60] or "run"


def no_test(status: str) -> str:
    """Why no test can be made of a run with this status; empty if one can."""
    match status:
        case "completed" | "failed":
            return ""
        case "cancelled":
            return (
                "it was cancelled, from outside and at an instant that its code knows nothing of, so its code would go on "
                "where the record ends, with effects that nobody asked for. What it did is in the export as JSON"
            )
        case _:
            return f"it is {status}, and only a completed or failed run has an end that a test can reach"


def exported_test(export: Export, place: str = "") -> Iterator[bytes]:
    """The test, in chunks. `place` is ``module:function``, by default where the run's code was last imported from.

    Raises:
        RunConflict: the run has not ended, or was cancelled: there is no end to test.
    """
    if why := no_test(export.row.status):
        raise RunConflict(f"run {export.row.id!r} cannot be exported as a test: {why}")
    return (text.encode("utf-8", "backslashreplace") for text in _file(export, place))


def _file(export: Export, place: str) -> Iterator[str]:
    heads = {piece.kind: piece.data for piece in export.pieces() if piece.kind in ("run", "code", "end")}
    code = heads["code"]
    module, function, guessed = _imported(export, place or code["place"])
    yield _docstring(export, heads)
    yield "\nfrom __future__ import annotations\n\n"
    if guessed:
        yield "# Where the workflow is imported from is a guess: the worker that ran it has not told.\n"
    yield f"from {module} import {function.partition('.')[0]}\n\nfrom flowkit.testing import Lab\n\n"
    yield from _record(export)
    yield _test(export, function)


def _record(export: Export) -> Iterator[str]:
    """The literal. A run that moves on while it is written would be half of one and half of another."""
    run: Mapping[str, Any] = {}
    for piece in export.pieces():
        if piece.kind == "run":
            run = piece.data
            yield f'RUN = {{\n    "format": {FORMAT!r},\n    "run": {dict(run)!r},\n    "messages": ['
        elif piece.kind == "message":
            yield f"\n        {dict(piece.data)!r},"
        elif piece.kind == "entry":
            yield _opened_entries(run) + f"\n        {dict(piece.data)!r},"
            run = {}
        elif piece.kind == "end":
            yield _opened_entries(run) + "\n    ],\n}\n"
            yield _unmoved(piece)


def _opened_entries(run: Mapping[str, Any]) -> str:
    return '\n    ],\n    "entries": [' if run else ""


def _unmoved(end: Piece) -> str:
    return 'raise AssertionError("the run moved on while it was exported: export it again")\n' if end.data["moved"] else ""


def _imported(export: Export, place: str) -> tuple[str, str, bool]:
    """Module, function and whether that is a guess, made from the file of the run's first call."""
    module, _, function = place.partition(":")
    if _importable(module) and _importable(function) and module != "__main__":
        return module, function, False
    first = export.driver.history(export.row.seq, limit=1)
    stem = re.sub(r"\.py$", "", first[0].source.rpartition(":")[0].replace("\\", "/").rpartition("/")[2]) if first else ""
    name = function if _importable(function) else export.row.workflow
    return stem if _importable(stem) else "app", name if _importable(name) else "workflow", True


def _importable(name: str) -> bool:
    return _ATTRIBUTE.fullmatch(name) is not None and not any(keyword.iskeyword(part) for part in name.split("."))


def _docstring(export: Export, heads: Mapping[str, Mapping[str, Any]]) -> str:
    row, masked = export.row, heads["end"]["masked"]
    ended = f"run {row.id} of {row.workflow}: {row.status}{_why(heads['run'])}, {_date(row.finished_at or row.updated_at)}."
    lines = [
        f"{ended[:1].upper()}{_short(ended[1:])}",
        "",
        f"Exported {_date(export.made_at)}; its code was {heads['code']['last'][:6] or 'not told'}. {_meaning(row.status)}",
    ]
    if masked:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(masked.items()))
        total = sum(masked.values())
        lines += [
            "",
            f"{total} {'value is' if total == 1 else 'values are'} masked and reach the code as {MASK!r} or 0: {names}.",
        ]
    else:
        lines += ["", "Nothing is masked: secrets stand here as they were." if export.reveals else "No values are masked."]
    wrapped = ["\n".join(textwrap.wrap(_quoted(line), _WIDTH, break_on_hyphens=False)) for line in lines]
    return '"""' + "\n".join(wrapped) + '\n"""\n'


def _meaning(status: str) -> str:
    answered = "Steps, sleeps, messages and versions are answered from the record below at their recorded instants"
    if status == "completed":
        return f"{answered}; no body and no rollback is called. The workflow must come to the same output by the same entries."
    return (
        f"{answered}, but for what ended the run, which really runs, and what comes after it. The test fails as the run did "
        "until the code is mended."
    )


def _why(run: Mapping[str, Any]) -> str:
    error = run.get("error")
    if not isinstance(error, dict):
        return ""
    shown = describe(msgspec.json.encode(error))
    found = shown if isinstance(shown, dict) else {}
    line = f"{found.get('type', '')}: {found.get('message', '')}".partition("\n")[0]
    return f" with {_short(line)}"


def _date(instant: float) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def _quoted(text: str) -> str:
    """`text` as it may stand in a docstring: no quote, backslash, control or unseen character means anything there."""
    return "".join(each if each.isprintable() and each not in '"\\' else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return f"\\{character}" if character in '"\\' else repr(character)[1:-1]


def _test(export: Export, function: str) -> str:
    name = f"test_{file_stem(export.row.id)}"
    load = f"    with Lab() as lab:\n        run = lab.load(RUN, {function})\n\n"
    if export.row.status == "completed":
        return (
            f"\n\ndef {name}_comes_to_the_recorded_end():\n{load}"
            "        output = lab.run_to_end(run.id)\n\n"
            "        assert output == run.recorded_output()\n"
            "        assert run.order() == run.recorded_order()\n"
        )
    return (
        f"\n\ndef {name}_completes():\n{load}"
        "        lab.run_to_end(run.id)  # raises what the run failed with, as long as the code does\n\n"
        '        assert run.status() == "completed"\n'
    )
