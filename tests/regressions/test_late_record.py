"""A body of a quarter of a second may end just when the watchdog writes down that it began.

Found by a worker that was stopped in a body and came back: both happened at once, the beginning was staged after the end, and the
store refused what followed, so that the run was blocked.
"""

from collections.abc import Callable

from flowkit import step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.memory import MemoryDriver


def test_a_beginning_that_is_noted_after_the_end_changes_nothing() -> None:
    notes: list[Callable[[], None]] = []

    @step
    def first() -> str:
        (body,) = fk.house.watchdog._live.values()
        assert body.record is not None
        notes.append(body.record)
        return "one"

    @step
    def second() -> str:
        notes[0]()
        return "two"

    @workflow(name="late-record")
    def both() -> str:
        return first() + second()

    with Flowkit(MemoryDriver()) as fk:
        assert fk.run("r", both) == "onetwo"
        assert [entry.status for entry in fk.get("r").history()] == ["completed", "completed"]
