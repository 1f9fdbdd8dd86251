"""Whether new code fits the runs that are open, before it touches them, and the line that would make each fit.

Each open run makes a *frozen* pass under the new code: what is recorded is recalled, every strand ends where it would have to
perform, no step's body runs and nothing is written. The engine's own rules decide what fits; nothing here knows them twice.
Workflow code itself does run, so it should have no effects of its own, as ever.
"""

from flowkit.check.report import Cause, Frontier, Line, Misfit, Report, Unchecked, WorkflowReport
from flowkit.check.runs import SECONDS_PER_RUN, check_runs

__all__ = ["SECONDS_PER_RUN", "Cause", "Frontier", "Line", "Misfit", "Report", "Unchecked", "WorkflowReport", "check_runs"]
