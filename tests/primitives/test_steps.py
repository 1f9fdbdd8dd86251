"""What a step is: a body whose outcome is recorded once and answers for the body from then on."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import CriticalError, PayloadError, PayloadTooLarge, StepExhausted, sleep, workflow
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.primitives.colours import Colour, every_colour, native_colours


def noting(log: list[str], name: str, value: Any = None) -> Any:
    """A body that notes its name and returns a value."""

    def body() -> Any:
        log.append(name)
        return value

    body.__name__ = name
    return body


@every_colour
def test_steps_run_in_the_order_of_the_code_and_are_recalled_later(colour: Colour) -> None:
    """ST1: a body runs, its result is recorded, later passes answer from the record."""
    log: list[str] = []
    steps = [colour.step(noting(log, name, name.upper())) for name in ("pick", "pack", "ship")]
    with Lab() as lab:
        lab.start("r", colour.all_of(*steps))
        lab.crash_at(3, "after")
        with pytest.raises(BaseException, match="after a durable write"):
            lab.run_once("r")

        output = lab.run_to_end("r")

        assert output == ["PICK", "PACK", "SHIP"]
        assert log == ["pick", "pack", "ship"]
        assert [(e.location, e.kind, e.status) for e in lab.history("r")] == [
            ("pick", "step", "completed"),
            ("pack", "step", "completed"),
            ("ship", "step", "completed"),
        ]


@every_colour
def test_nothing_differs_after_a_crash_at_any_commit(colour: Colour) -> None:
    """ST1, LB7: each side of each commit of three steps."""
    flow = colour.all_of(*[colour.step(noting([], name, name)) for name in ("pick", "pack", "ship")])

    told = crash_everywhere(Script("r", (lambda lab: lab.start("r", flow), lambda lab: lab.run_to_end("r"))))

    assert told.output == ["pick", "pack", "ship"]


@every_colour
def test_a_step_that_returned_none_is_recalled(colour: Colour) -> None:
    """ST2: recalled by its status, not by having an output."""
    log: list[str] = []
    seen: list[Any] = []
    with Lab() as lab:
        lab.start("r", colour.kept(colour.step(noting(log, "void")), seen))

        lab.run_to_end("r")

        assert (log, seen) == (["void"], [None, None])


@every_colour
def test_the_workflow_gets_the_decoded_copy_on_the_first_pass_too(colour: Colour) -> None:
    """ST3: equal on every pass, and never the live object."""
    live = {"when": (1, 2), "tags": {"a"}}
    seen: list[Any] = []

    def look() -> Any:
        return live

    with Lab() as lab:
        lab.start("r", colour.kept(colour.step(look), seen))
        lab.run_once("r")
        seen[0]["tags"].add("b")
        live["when"] = (3,)

        lab.run_to_end("r")

        assert seen[0] is not live
        assert seen[1] == {"when": (1, 2), "tags": {"a"}}
        assert type(seen[1]["when"]) is tuple


@native_colours
def test_the_annotation_decides_what_is_decoded(colour: Colour) -> None:
    """ST3: the first pass sees what a replay sees, for subclasses and ints in float positions as well."""
    seen: list[Any] = []

    def look() -> list[float]:
        return [1, 2.5]

    with Lab() as lab:
        lab.start("r", colour.kept(colour.step(look), seen))

        lab.run_to_end("r")

        assert [list(map(type, each)) for each in seen] == [list(map(type, seen[0]))] * 2


@native_colours
def test_the_workflow_gets_decoded_copies_of_its_arguments(colour: Colour) -> None:
    """ST3: the same holds for the workflow's arguments."""
    order = {"lines": [1]}
    seen: list[Any] = []

    def plain(order: Any) -> None:
        seen.append(list(order["lines"]))
        order["lines"].append(2)
        sleep(60)

    async def awaiting(order: Any) -> None:
        seen.append(list(order["lines"]))
        order["lines"].append(2)
        await aio.sleep(60)

    with Lab() as lab:
        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain), order)

        lab.run_to_end("r")

        assert (order, seen) == ({"lines": [1]}, [[1], [1]])


@every_colour
def test_a_handled_failure_is_recalled_and_the_body_does_not_run_again(colour: Colour) -> None:
    """ST17: a terminal failure is a recorded outcome."""
    log: list[str] = []
    seen: list[BaseException] = []

    def charge() -> None:
        log.append("charge")
        raise CriticalError("declined")

    with Lab() as lab:
        lab.start("r", colour.caught(colour.step(charge), seen))

        output = lab.run_to_end("r")

        assert (output, log, len(seen)) == ("handled", ["charge"], 2)


class Refused(Exception):
    """An error with fields and a constructor of its own."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason
        self.lock = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """An error that refuses new attributes."""

    code: int


@every_colour
@pytest.mark.parametrize("error", [Refused(7, reason="limit"), Frozen(7), KeyError("sku"), OSError(2, "gone", "a.txt")], ids=repr)
def test_a_recalled_failure_equals_the_first(colour: Colour, error: Any) -> None:
    """ST18: type, message, encodable attributes and traceback text, on the first pass as well."""
    seen: list[Any] = []

    def charge() -> None:
        raise error

    with Lab() as lab:
        lab.start("r", colour.caught(colour.step(charge, retry_on=TimeoutError), seen))

        assert lab.run_to_end("r") == "handled"

        first, second = seen
        assert type(first) is type(second)
        assert str(first) == str(second)
        assert first is not error
        assert first.__notes__ == second.__notes__
        assert "in charge" in "".join(first.__notes__)
        assert [getattr(first, "code", None), getattr(first, "errno", None)] == [
            getattr(second, "code", None),
            getattr(second, "errno", None),
        ]


@native_colours
def test_a_raised_error_keeps_its_attributes(colour: Colour) -> None:
    """ST18: those that can be encoded, and no others."""
    seen: list[Any] = []

    def charge() -> None:
        raise Refused(7, reason="limit")

    with Lab() as lab:
        lab.start("r", colour.caught(colour.step(charge, retry_on=OSError), seen))

        lab.run_to_end("r")

        assert [(e.code, e.reason, hasattr(e, "lock"), str(e)) for e in seen] == [(7, "limit", False, "limit (7)")] * 2


@native_colours
def test_a_handled_failure_that_is_raised_again_fails_the_run_as_itself(colour: Colour) -> None:
    """ST18: nothing grows or wears off on the way."""

    def charge() -> None:
        raise Refused(7, reason="limit")

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(charge, retry_on=OSError)))

        with pytest.raises(Refused, match="limit") as caught:
            lab.run_to_end("r")

        assert caught.value.code == 7
        assert str(lab.get("r").error()) == "Refused: limit (7)"


@every_colour
def test_an_output_that_cannot_be_encoded_is_terminal(colour: Colour) -> None:
    """ST20: PayloadError, not retried, since the effect has happened."""
    log: list[str] = []
    seen: list[Any] = []
    with Lab() as lab:
        lab.start("r", colour.caught(colour.step(noting(log, "odd", {"items": [threading.Lock()]})), seen))

        lab.run_to_end("r")

        assert log == ["odd"]
        assert [(type(e), e.path) for e in seen] == [(PayloadError, "$.items[0]")] * 2
        assert lab.history("r")[0].status == "failed"


@every_colour
def test_an_output_that_is_too_large_is_terminal(colour: Colour) -> None:
    """ST20: too large, or cannot be encoded."""
    log: list[str] = []
    with Lab(max_payload=1000) as lab:
        lab.start("r", colour.one(colour.step(noting(log, "big", "x" * 2000))))

        with pytest.raises(PayloadTooLarge):
            lab.run_to_end("r")

        assert log == ["big"]


@pytest.mark.parametrize("retries", [0, 1])
@every_colour
def test_an_error_text_that_utf8_cannot_hold_is_recorded_like_any_other(colour: Colour, retries: int) -> None:
    """ST10 I21: as the name of a file that is no UTF-8; the store refused such a text, and the run hung."""
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(failing_on("caf\udce9.txt"), retries=retries)))

        with pytest.raises(StepExhausted, match="caf"):
            lab.run_to_end("r")

        assert [(e.status, e.error and e.error.attributes["error"].message) for e in lab.history("r")] == [
            ("exhausted", "caf\udce9.txt")
        ]


def failing_on(text: str) -> Any:
    """A body that fails with this text."""

    def read() -> None:
        raise ValueError(text)

    return read
