"""Whether new code fits the runs that are open, before it touches them, and the line that would make each fit.

`check_runs` is quick and comes before the code may touch a run; `replay_runs` goes on with all of them and with the newest
finished ones. Each run makes a *frozen* pass under the new code: what is recorded is recalled, every strand ends where it would
have to perform, no step's body runs and nothing is written. The engine's own rules decide what fits; nothing here knows them
twice. Workflow code itself does run, so it should have no effects of its own, as ever.
"""

from flowkit.check.replaying import FINISHED, Progress, replay_runs
from flowkit.check.report import Cause, Frontier, Line, Misfit, Report, Unchecked, WorkflowReport
from flowkit.check.runs import check_runs

__all__ = [
    "FINISHED", "Cause", "Frontier", "Line", "Misfit", "Progress", "Report", "Unchecked", "WorkflowReport",
    "check_runs", "replay_runs",
]  # fmt: skip
