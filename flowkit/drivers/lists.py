"""The run list as SQL: one page, newest first, in a time that does not grow with the number of runs.

Every filter has an access path of its own, and whatever else is asked is checked on the few rows found there. Several
statuses are one limited query each, joined by UNION ALL: an IN would make the database sort all of them. No OFFSET: a
page begins below the last row of the page before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from flowkit.drivers.base import RunQuery
from flowkit.drivers.sql import ROW_COLUMNS

__all__ = ["MAX_PREFIX", "MAX_TAGGED", "cut_query", "page_query"]

MAX_TAGGED = 20_000
"""How many runs of a tag are looked at when other filters must be met too."""

MAX_PREFIX = 1_001
"""How many ids of a prefix are looked at."""

_WITH_ERRORS = ("failed", "blocked")
_LAST = "\U0010ffff"
_NO_SEQ = 1 << 62
"""Above every seq."""

Parameters = list[Any]


def page_query(query: RunQuery, first: int | None, end: int | None) -> tuple[str, Parameters]:
    """The statement of a page and its parameters; `first` and `end` bound the seq (half-open), None: no bound."""
    statuses = _statuses(query)
    if query.tag is not None:
        return _tagged(query, statuses, first, end)
    if query.id_prefix is not None:
        return _prefixed(query, statuses, first, end)
    if query.owner is not None:
        return _owned(query, statuses, first, end)
    one_each: Sequence[str | None] = statuses or [None]
    parts, parameters = [], Parameters()
    for status in one_each:
        tests, values = _tests(query, first, end)
        if status is not None:
            tests, values = [*tests, "status = ?"], [*values, status]
        if query.workflow is not None:
            tests, values = [*tests, "workflow = ?"], [*values, query.workflow]
        parts.append(_limited("runs", tests))
        parameters += [*values, query.limit]
    if len(parts) == 1:
        return parts[0], parameters
    union = " UNION ALL ".join(f"SELECT * FROM ({part}) AS part" for part in parts)
    return f"{union} ORDER BY seq DESC LIMIT ?", [*parameters, query.limit]


def cut_query(query: RunQuery, first: int | None, end: int | None) -> tuple[str, Parameters, int] | None:
    """The statement that finds something where `page_query` does not look at all that might be in its list, its parameters, and
    how many runs it looks at; None for a query that leaves nothing out.
    """
    if query.tag is not None:
        checks, _ = _tests(replace(query, after=None), None, None)
        if not checks and not _also(query, _statuses(query))[0]:
            return None
        below = min(bound for bound in (query.after, end, _NO_SEQ) if bound is not None)
        beyond = "SELECT run FROM run_tags WHERE tag = ? AND run < ? AND run >= ? ORDER BY run DESC LIMIT 1 OFFSET ?"
        return beyond, [query.tag, below, first or 0, MAX_TAGGED], MAX_TAGGED
    if query.id_prefix is not None:
        beyond = "SELECT seq FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT 1 OFFSET ?"
        return beyond, [query.id_prefix, query.id_prefix + _LAST, MAX_PREFIX], MAX_PREFIX
    return None


def _statuses(query: RunQuery) -> list[str]:
    asked = list(dict.fromkeys(query.statuses))
    if query.error is None:
        return asked
    return [status for status in asked or _WITH_ERRORS if status in _WITH_ERRORS] or ["(none)"]


def _tests(query: RunQuery, first: int | None, end: int | None) -> tuple[list[str], Parameters]:
    """What every access path checks."""
    tests, values = [], Parameters()
    bounds = [bound for bound in (query.after, end) if bound is not None]
    if bounds:
        tests.append("seq < ?")
        values.append(min(bounds))
    for test, value in (
        ("seq >= ?", first),
        ("created_at >= ?", query.since),
        ("created_at < ?", query.until),
        ("error_line LIKE ? ESCAPE '\\'", None if query.error is None else f"%{_escaped(query.error)}%"),
    ):
        if value is not None:
            tests.append(test)
            values.append(value)
    return tests, values


def _limited(table: str, tests: Sequence[str]) -> str:
    where = " WHERE " + " AND ".join(tests) if tests else ""
    return f"SELECT {ROW_COLUMNS} FROM {table}{where} ORDER BY seq DESC LIMIT ?"


def _also(query: RunQuery, statuses: Sequence[str]) -> tuple[list[str], Parameters]:
    """Filters that are no access path here; the leading + keeps the database from choosing their index."""
    tests, values = [], Parameters()
    if statuses:
        tests.append(f"+status IN ({', '.join('?' * len(statuses))})")
        values += statuses
    for column, value in (("workflow", query.workflow), ("owner", query.owner)):
        if value is not None:
            tests.append(f"+{column} = ?")
            values.append(value)
    if query.id_prefix is not None:
        tests.append("+id >= ? AND +id < ?")
        values += [query.id_prefix, query.id_prefix + _LAST]
    return tests, values


def _tagged(query: RunQuery, statuses: Sequence[str], first: int | None, end: int | None) -> tuple[str, Parameters]:
    """The tag's own runs, newest first, looked up one by one until the page is full.

    A lower bound instead of a limited subquery: the order of the index is then the order of the answer, so nothing is sorted.
    """
    below = min(bound for bound in (query.after, end, _NO_SEQ) if bound is not None)
    checks, values = _tests(replace(query, after=None), None, None)
    more, more_values = _also(query, statuses)
    above, lower = "?", Parameters([first or 0])
    if checks or more:
        oldest = f"SELECT run FROM run_tags WHERE tag = ? AND run < ? ORDER BY run DESC LIMIT 1 OFFSET {MAX_TAGGED - 1}"
        above, lower = f"max(?, coalesce(({oldest}), 0))", [*lower, query.tag, below]
    tests = ["tag = ? AND run < ?", f"run >= {above}", *checks, *more]
    sql = f"SELECT {ROW_COLUMNS} FROM run_tags CROSS JOIN runs ON seq = run WHERE {' AND '.join(tests)} ORDER BY run DESC LIMIT ?"
    return sql, [query.tag, below, *lower, *values, *more_values, query.limit]


def _prefixed(query: RunQuery, statuses: Sequence[str], first: int | None, end: int | None) -> tuple[str, Parameters]:
    prefix = query.id_prefix or ""
    candidates = f"SELECT {ROW_COLUMNS} FROM runs WHERE id >= ? AND id < ? ORDER BY id LIMIT {MAX_PREFIX}"
    tests, values = _tests(query, first, end)
    more, more_values = _also(query, statuses)
    sql = _limited(f"({candidates}) AS found", [*tests, *more])
    return sql, [prefix, prefix + _LAST, *values, *more_values, query.limit]


def _owned(query: RunQuery, statuses: Sequence[str], first: int | None, end: int | None) -> tuple[str, Parameters]:
    owned = f"SELECT {ROW_COLUMNS} FROM runs WHERE owner = ?"
    tests, values = _tests(query, first, end)
    more, more_values = _also(query, statuses)
    return _limited(f"({owned}) AS found", [*tests, *more]), [query.owner, *values, *more_values, query.limit]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
