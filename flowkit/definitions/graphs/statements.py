"""The control flow of a workflow's code: which nodes lie in forks, cycles and handlers, and what names come to stand for."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flowkit.core.graph import Node
from flowkit.definitions.graphs.syntax import place, quoted
from flowkit.definitions.graphs.values import (
    UNKNOWN,
    Env,
    Items,
    Local,
    Table,
    Text,
    Value,
    add_to,
    element,
    is_callable,
    lifted,
    merged,
)

if TYPE_CHECKING:
    from flowkit.definitions.graphs.reading import Reader

__all__ = ["Statements"]


class Statements:
    """Reads statements in their order."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def block(self, body: Sequence[ast.stmt]) -> None:
        """A block, up to where its way ends."""
        for stmt in body:
            self.statement(stmt)
            if isinstance(stmt, ast.Return | ast.Raise):
                return

    def inside(self, body: Sequence[ast.stmt]) -> list[Node]:
        """What a block of its own notes."""
        return self.reader.aside(lambda reader: Statements(reader).block(body))

    def statement(self, stmt: ast.stmt) -> None:
        """One statement."""
        reader = self.reader
        match stmt:
            case ast.Expr(value=value):
                reader.value(value)
            case ast.Assign(targets=targets, value=value):
                found = reader.value(value)
                for target in targets:
                    self.bind(target, found)
            case ast.AnnAssign(target=target, value=value) | ast.AugAssign(target=target, value=value):
                self.bind(target, reader.value(value) if isinstance(stmt, ast.AnnAssign) else self._added(stmt))
            case ast.Return(value=value):
                reader.chart.returns(reader.value(value))
                reader.note("end", quoted(stmt), stmt)
            case ast.Raise(exc=exc, cause=cause):
                reader.value(exc)
                reader.value(cause)
                reader.note("end", quoted(stmt), stmt)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define(stmt)
            case ast.Import() | ast.ImportFrom():
                self._import(stmt)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    self.bind(item.optional_vars, reader.value(item.context_expr))
                self.block(body)
            case ast.ClassDef(name=name):
                reader.env.bind(name, UNKNOWN)
            case _:
                self._flow(stmt)

    def _flow(self, stmt: ast.stmt) -> None:
        reader = self.reader
        match stmt:
            case ast.If():
                self._if(stmt)
            case (
                ast.For(target=target, iter=items, body=body, orelse=orelse)
                | ast.AsyncFor(target=target, iter=items, body=body, orelse=orelse)
            ):
                self.each_of(target, items, reader.env)
                self._cycle(stmt, f"for {quoted(target)} in {quoted(items)}", self.inside(body))
                self.block(orelse)
            case ast.While(test=test, body=body, orelse=orelse):
                turn = reader.aside(lambda inner: inner.value(test)) + self.inside(body)
                self._cycle(stmt, f"while {quoted(test)}", turn)
                self.block(orelse)
            case ast.Try() | ast.TryStar():
                self._try(stmt)
            case ast.Match(subject=subject, cases=cases):
                reader.value(subject)
                reader.fork(stmt, self._cases(cases, quoted(subject)))
            case ast.Assert(test=test):
                reader.value(test)
            case _:
                return  # pass, break, continue, del, global: nothing is evaluated that could record

    def _added(self, stmt: ast.AugAssign | ast.AnnAssign) -> Value:
        self.reader.value(stmt.value)
        return UNKNOWN

    def _cycle(self, stmt: ast.stmt, label: str, turn: list[Node]) -> None:
        if turn:
            self.reader.note("cycle", label, stmt, turn)

    # --- names ------------------------------------------------------------------------------------------------------

    def bind(self, target: ast.expr | None, value: Value) -> None:
        """Assign to a target."""
        match target:
            case ast.Name(id=name):
                self.reader.env.bind(name, value)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                known = value.values if isinstance(value, Items) and len(value.values) == len(elements) else None
                for at, each in enumerate(elements):
                    self.bind(each, UNKNOWN if known is None else known[at])
            case ast.Starred(value=inner):
                self.bind(inner, UNKNOWN)
            case ast.Subscript(value=base, slice=key):
                table, given = self.reader.value(base), self.reader.value(key)
                if isinstance(table, Table):
                    add_to(table, given if isinstance(given, Text) else Text(("", "")), value)

    def each_of(self, target: ast.expr, items: ast.expr, env: Env) -> None:
        """Bind the names of a `for` to whatever the elements can be."""
        found = self.reader.value(items)
        choices = element(found, UNKNOWN) if not isinstance(found, Table) else UNKNOWN
        rows = [each for each in found.values if isinstance(each, Items)] if isinstance(found, Items) else []
        inner = Statements(self.reader)
        inner.reader = type(self.reader)(self.reader.chart, env, self.reader.file, self.reader.out)
        if rows and isinstance(target, ast.Tuple) and all(len(row.values) == len(target.elts) for row in rows):
            for at, each in enumerate(target.elts):
                column = merged([("", row.values[at]) for row in rows])
                inner.bind(each, column if len(rows) == 1 or is_callable(column) else UNKNOWN)
            return
        alone = isinstance(found, Items) and len(found.values) == 1
        inner.bind(target, choices if alone or is_callable(choices) else UNKNOWN)

    def _define(self, stmt: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A function that the workflow makes, with the decorators that make a step of it."""
        made: Value = Local(stmt, self.reader.env, self.reader.file)
        for mark in reversed(stmt.decorator_list):
            found = self.reader.decorated(mark, made)
            made = made if found is UNKNOWN else found
        self.reader.env.bind(stmt.name, made)

    def _import(self, stmt: ast.Import | ast.ImportFrom) -> None:
        """A name of a module that is loaded already; nothing is imported for it."""
        for each in stmt.names:
            if isinstance(stmt, ast.Import):
                name = each.name if each.asname else each.name.partition(".")[0]
                found = sys.modules.get(name)
            else:
                module = sys.modules.get(stmt.module or "") if not stmt.level else None
                found = vars(module).get(each.name) if module is not None else None
            value = UNKNOWN if found is None else lifted(found)
            self.reader.env.bind(each.asname or each.name.partition(".")[0], value)

    # --- forks ------------------------------------------------------------------------------------------------------

    def _if(self, stmt: ast.If) -> None:
        """With its `elif`s, whose tests are evaluated only if the ones before say no."""
        self.reader.value(stmt.test)
        arms = [(f"if {quoted(stmt.test)}", self.inside(stmt.body))]
        rest = stmt.orelse
        while len(rest) == 1 and isinstance(rest[0], ast.If):
            inner = rest[0]
            before = self.reader.aside(lambda reader, inner=inner: reader.value(inner.test))  # type: ignore[misc]
            if before:
                break
            arms.append((f"elif {quoted(inner.test)}", self.inside(inner.body)))
            rest = inner.orelse
        self.reader.fork(stmt, [*arms, ("else", self.inside(rest))])

    def _cases(self, cases: Sequence[ast.match_case], subject: str) -> list[tuple[str, list[Node]]]:
        arms = []
        for case in cases:
            guard = f" if {quoted(case.guard)}" if case.guard is not None else ""
            before = [] if case.guard is None else self.reader.aside(lambda reader, case=case: reader.value(case.guard))  # type: ignore[misc]
            arms.append((f"case {quoted(case.pattern)}{guard}", before + self.inside(case.body)))
        if not any(isinstance(c.pattern, ast.MatchAs) and c.pattern.pattern is None and c.guard is None for c in cases):
            arms.append((f"no case of {subject}", []))
        return arms

    def _try(self, stmt: ast.Try | ast.TryStar) -> None:
        arms = [("try", self.inside([*stmt.body, *stmt.orelse]))]
        for handler in stmt.handlers:
            if handler.name is not None:
                self.reader.env.bind(handler.name, UNKNOWN)
            label = f"except {quoted(handler.type)}" if handler.type is not None else "except"
            arms.append((label, self.inside(handler.body)))
        if stmt.finalbody:
            arms.append(("finally", self.inside(stmt.finalbody)))
        if any(body for _, body in arms):
            self.reader.note(
                "try", "", stmt,
                [Node("arm", label, place(self.reader.file, stmt), (), tuple(body)) for label, body in arms],
            )  # fmt: skip
