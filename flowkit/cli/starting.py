"""What `run` and `start` ask for, checked whole before a database is opened: a mistake must leave nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flowkit.cli.arguments import arguments_of
from flowkit.cli.failure import Failure, refusing

if TYPE_CHECKING:
    from flowkit.client import Flowkit, Run
    from flowkit.definitions import Workflow

__all__ = ["Wish", "wish"]


@dataclass(frozen=True, slots=True)
class Wish:
    """A run to be started. `lacks` says why it can only go on: no arguments were given, and its workflow needs some."""

    workflow: Workflow[..., Any]
    id: str | None
    values: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    bare: bool = False
    lacks: Failure | None = None

    def begin(self, flowkit: Flowkit) -> Run[Any]:
        """Start the run; one that is named without arguments and exists goes on with those it has."""
        if self.bare and self.id is not None:
            row = flowkit.driver.get(self.id)
            if row is not None and row.workflow == self.workflow.name:
                return flowkit.get(self.id)
        if self.lacks is not None:
            raise self.lacks
        return flowkit.start(self.id, self.workflow, *self.values, **self.keywords)


def wish(
    workflow: Workflow[..., Any], id: str | None, args: Sequence[str], named: Sequence[str], tags: Sequence[str],
    *, resumes: bool = False,
) -> Wish:  # fmt: skip
    """Check everything that was asked; with `resumes` the arguments of a run that exists may be left out."""
    from flowkit.core.location import check_run_id
    from flowkit.settings import in_force

    with refusing(ValueError, TypeError):
        if id is not None:
            check_run_id(id)
        if tags:
            workflow = workflow.options(tags=(*workflow.launch.tags, *tags))
        bare = resumes and id is not None and not args and not named
        try:
            values, keywords = arguments_of(workflow, args, named)
        except Failure as failure:
            if not bare:
                raise
            return Wish(workflow, id, bare=True, lacks=failure)
        workflow.input.encode(values, keywords, limit=in_force().max_payload)
    return Wish(workflow, id, values, keywords, bare)
