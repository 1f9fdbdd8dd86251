"""The terminal block, and what it is made from."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec

from flowkit.check import Line
from flowkit.client.livecode import Cause, LoadError, SourceLine
from flowkit.dev import loading
from flowkit.dev.changes import changes_between, stack_frames
from flowkit.dev.protocol import Fit, Held, Loaded
from flowkit.dev.report import Failed, NowLoaded, Output, Report, Saved
from flowkit.testing import FakeClock

NOW = datetime(2026, 11, 20, 14, 2, 11, tzinfo=UTC).timestamp()
AT = f"{datetime.fromtimestamp(NOW, UTC).astimezone():%H:%M:%S}"

HELD = Held(
    cause=Cause(workflow="checkout", runs=3, recorded="step `validate`", made="", location="validate"),
    lines=(Line('removed("validate", "step")', "before", "app.py:27", "charge(order)"),),
)
LOADED = NowLoaded(
    code="8c10de", former="3f2a91", seconds=0.142, pid=1, workflows=2, steps=9,
    changes={"checkout": ("~ charge (body)", "+ notify", "- validate")},
    fits=(Fit(workflow="checkout", fits=38, held=3, unchecked=0),), held=(HELD,), url="http://localhost:8733/migrate",
)  # fmt: skip


def told(*news: NowLoaded | Failed | Saved | Output, colour: bool = False, as_json: bool = False) -> str:
    lines: list[str] = []
    report = Report(lines.append, FakeClock(NOW), colour=colour, as_json=as_json)
    for each in news:
        report.tell(each)
    return "\n".join(lines)


def code(**bodies: dict[str, str]) -> Loaded:
    return Loaded(code="c", seconds=0.0, workflows=(), bodies=bodies, files=())


def test_a_reload_is_one_block_in_columns() -> None:
    assert (
        told(Saved(files=("app.py",)), LOADED)
        == f"""\
{AT}  saved   app.py
{AT}  loaded  3f2a91 → 8c10de in 142 ms   2 workflows, 9 steps
                  checkout  ~ charge (body)   + notify   - validate
                  checkout  41 open runs: 38 fit, 3 held by code
{AT}  HELD    3 runs of checkout. In app.py:27, before charge(order), add
                      removed("validate", "step")
                  http://localhost:8733/migrate"""
    )


def test_held_runs_that_are_freed_are_told_in_one_line() -> None:
    fits = (Fit(workflow="checkout", fits=41, held=0, unchecked=0),)
    news = NowLoaded(code="b7710c", former="8c10de", seconds=0.12, pid=1, workflows=2, steps=9, fits=fits, freed=3, url="u")

    assert told(news) == f"{AT}  loaded  8c10de → b7710c in 120 ms   3 held runs fit and go on"


def test_the_page_is_named_once_however_many_causes_there_are() -> None:
    other = Held(cause=Cause(workflow="refund", runs=1, recorded="", made="", location="", advice="mend it"), lines=())

    said = told(msgspec.structs.replace(LOADED, held=(HELD, other))).splitlines()

    assert [line for line in said if "http" in line] == ["                  http://localhost:8733/migrate"]
    assert said[-1] == "                  http://localhost:8733/migrate"


def test_broken_code_is_told_with_its_line_and_what_keeps_running() -> None:
    line = SourceLine(number=31, text="    receipt = charge(order", marked=True)
    error = LoadError(type="SyntaxError", message="'(' was never closed", source="app.py:31", lines=(line,))

    assert (
        told(Failed(error=error, running="8c10de"))
        == f"""\
{AT}  BROKEN  app.py:31  SyntaxError: '(' was never closed        8c10de keeps running
                      31 |     receipt = charge(order"""
    )


def test_a_process_that_ended_has_no_type_of_error() -> None:
    error = LoadError(type="", message="the process was killed by signal 9 while it loaded", source="app.py")

    said = told(Failed(error=error, running="8c10de"))

    assert said == f"{AT}  BROKEN  app.py  the process was killed by signal 9 while it loaded        8c10de keeps running"


def test_colour_is_on_the_word_only() -> None:
    assert told(LOADED, colour=True).startswith(f"{AT}  \x1b[32mloaded  \x1b[0m3f2a91")


def test_what_a_terminal_would_obey_is_taken_out() -> None:
    error = LoadError(type="ValueError", message="\x1b[2Jgone", source="app.py:1")

    assert "\x1b" not in told(Failed(error=error, running=""))


def test_output_carries_its_generation() -> None:
    assert told(Output(code="8c10de", stream="stdout", line="hello")) == "8c10de │ hello"


def test_tools_get_one_json_line_each() -> None:
    events = [json.loads(line) for line in told(Saved(files=("a.py",)), LOADED, as_json=True).splitlines()]

    assert [(event["event"], event["at"]) for event in events] == [("saved", NOW), ("loaded", NOW)]
    assert events[1]["held"][0]["lines"][0]["text"] == 'removed("validate", "step")'


def test_changes_are_told_by_workflow() -> None:
    old = code(kept={"": "1", "a": "1", "b": "1"}, gone={"": "1"}, same={"": "1", "a": "1"})
    new = code(kept={"": "2", "a": "2", "c": "1"}, fresh={"": "1"}, same={"": "2", "a": "1"})

    assert changes_between(old, new) == {
        "fresh": ("+ the workflow",),
        "kept": ("~ a (body)", "+ c", "- b"),
        "gone": ("- the workflow",),
    }


def test_the_stack_of_a_slow_import_is_the_users_part_of_the_importing_thread() -> None:
    stack = f"""Timeout (0:00:10)!
Thread 0x01 (most recent call first):
  File "/elsewhere/pool.py", line 3 in wait

Thread 0x02 (most recent call first):
  File "/shop/app.py", line 9 in dial
  File "/shop/app.py", line 12 in <module>
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "{loading.__file__}", line 50 in import_user_app
"""

    assert stack_frames(stack) == ("shop/app.py:12 in <module>", "shop/app.py:9 in dial")
