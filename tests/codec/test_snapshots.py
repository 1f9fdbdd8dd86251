"""Errors as data, and back."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from flowkit.codec import decode_error, encode_error, rebuild, snapshot
from flowkit.codec.tree import tag_items
from flowkit.errors import (
    ErrorInfo,
    JoinError,
    Parked,
    PayloadError,
    PayloadTooLarge,
    RecordedError,
    StepExhausted,
)


class Strict(Exception):
    """Cannot be made without arguments that nobody records."""

    def __init__(self, *, code: int, handle: Any = None) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.handle = handle

    def __str__(self) -> str:
        return f"<{self.code}>"


class Slotted(ValueError):
    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code = code


class Closed(OSError):
    def __init__(self, *, name: str) -> None:
        super().__init__(5, "closed", name)
        self.extra = (1, 2)


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError


class Eager(Exception):
    def __new__(cls, *args: Any) -> Eager:
        if len(args) != 2:
            raise TypeError
        return super().__new__(cls, *args)


def raised(exc: BaseException) -> BaseException:
    try:
        raise exc
    except BaseException as caught:
        return caught


def recorded(exc: BaseException) -> ErrorInfo:
    return decode_error(encode_error(snapshot(exc)))


ERRORS: list[BaseException] = [
    ValueError("boom"),
    ValueError(),
    ValueError("a", 1, (2,)),
    KeyError("key"),
    FileNotFoundError(2, "No such file", "a.txt"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    SyntaxError("bad", ("a.py", 3, 1, "x y", 3, 2)),
    StopIteration(5),
    SystemExit(3),
    asyncio.CancelledError("stop"),
    Strict(code=7),
    Slotted(7),
    Closed(name="x"),
    Eager(1, 2),
    PayloadTooLarge("big", path="$.a", size=5, limit=3),
    ValueError("\ud800\0"),
]


@pytest.mark.parametrize("exc", ERRORS, ids=repr)
def test_a_rebuilt_error_is_like_the_first(exc: BaseException) -> None:
    again = rebuild(recorded(raised(exc)))

    assert type(again) is type(exc)
    assert str(again) == str(exc)
    assert again.args == exc.args
    for name in (
        "errno",
        "strerror",
        "filename",
        "reason",
        "object",
        "lineno",
        "value",
        "code",
        "extra",
        "size",
        "path",
    ):
        assert getattr(again, name, None) == getattr(exc, name, None)


@pytest.mark.parametrize("exc", [*ERRORS, Wordless(), KeyboardInterrupt(), Parked()], ids=lambda exc: type(exc).__name__)
def test_a_snapshot_of_a_rebuilt_error_is_the_same_data(exc: BaseException) -> None:
    info = recorded(raised(exc))

    again = raised(rebuild(info))

    assert snapshot(again) == info == snapshot(exc)
    assert encode_error(snapshot(again)) == encode_error(info)


def test_an_error_is_stored_readably() -> None:
    assert encode_error(snapshot(ValueError("boom"))) == (
        b'{"type":"ValueError","message":"boom","traceback":"ValueError: boom\\n"}'
    )


def test_the_traceback_is_that_of_user_code_alone() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("gone")

    with pytest.raises(LookupError) as caught:
        tag_items(broken(), 0)
    text = snapshot(caught.value).traceback

    assert "in broken" in text
    assert "tree.py" not in text
    assert text.endswith("LookupError: gone\n")


def test_causes_are_in_the_text_even_in_a_circle() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first

    text = snapshot(first).traceback

    assert "second" in text
    assert "direct cause" in text


def test_a_long_traceback_keeps_both_ends() -> None:
    info = snapshot(ValueError("x" * 100_000 + "end"), limit=4000)

    assert len(info.traceback) < 1100
    assert info.message.endswith("end")
    assert "characters left out" in info.message


def test_printing_a_rebuilt_error_shows_the_recorded_traceback_once() -> None:
    info = recorded(raised(ValueError("boom")))

    again = rebuild(snapshot(raised(rebuild(snapshot(raised(rebuild(info)))))))

    printed = "".join(traceback.format_exception(again))
    assert printed.count("recorded when this was raised first") == 1
    assert printed.count("in raised") == 1


def test_notes_of_the_user_are_kept() -> None:
    exc = ValueError("boom")
    exc.add_note("see the log")

    again = rebuild(recorded(exc))

    assert again.__notes__[0] == "see the log"
    assert recorded(exc).attributes == {"__notes__": ["see the log"]}


def test_attributes_that_cannot_be_stored_are_left_out() -> None:
    exc = Strict(code=1, handle=open)

    assert recorded(exc).attributes == {"args": ("code 1",), "code": 1}


def test_attributes_over_the_limit_are_left_out() -> None:
    exc = Strict(code=1, handle="x" * 5000)

    assert snapshot(exc, limit=1000).attributes == {"args": ("code 1",), "code": 1}


def test_errors_in_an_error_come_back_as_exceptions() -> None:
    error = JoinError("two failed", name="pack", errors={"a": raised(ValueError("x")), "b": Strict(code=2)})

    again = rebuild(recorded(error))

    assert isinstance(again, JoinError)
    assert {name: repr(one) for name, one in again.errors.items()} == {"a": "ValueError('x')", "b": "Strict('code 2')"}
    assert "in raised" in again.errors["a"].__notes__[0]


def test_an_error_info_in_an_error_stays_one() -> None:
    error = StepExhausted("no more", name="charge", attempts=3, error=ErrorInfo("ValueError", "boom", "text", {"a": (1,)}))

    again = rebuild(recorded(error))

    assert isinstance(again, StepExhausted)
    assert again.error == error.error
    assert type(again.error) is ErrorInfo


def test_an_exception_group_comes_back_with_its_exceptions() -> None:
    group = ExceptionGroup("two", [ValueError("x"), ExceptionGroup("inner", [KeyError("k")])])

    again = rebuild(recorded(raised(group)))

    assert repr(again) == repr(group)
    assert snapshot(again) == recorded(group) or "in raised" in snapshot(again).traceback


def test_an_error_that_contains_itself_is_recorded_without_that() -> None:
    error = JoinError("odd", errors={"good": ValueError("x")})
    error.errors["self"] = error

    assert recorded(error).attributes == {"name": ""}


@pytest.mark.parametrize(
    "name", ["gone.module.Lost", "builtins.Lost", "Lost", "os.getcwd", "int", "a.<locals>.B", "", "KeyboardInterrupt"]
)
def test_a_type_that_is_gone_is_a_recorded_error_that_keeps_its_name(name: str) -> None:
    info = ErrorInfo(name, "boom", "text", {"a": 1})

    again = rebuild(info)

    assert isinstance(again, RecordedError)
    assert (again.type_name, str(again), snapshot(again)) == (name, "boom", info)


def test_what_suspends_a_pass_is_never_rebuilt() -> None:
    assert isinstance(rebuild(snapshot(Parked())), RecordedError)


def test_two_rebuilt_errors_share_nothing() -> None:
    info = snapshot(Strict(code=1, handle=[1]))

    first, second = rebuild(info), rebuild(info)
    first.handle.append(2)  # type: ignore[attr-defined]  # it is a Strict

    assert second.handle == [1]  # type: ignore[attr-defined]  # it is a Strict
    assert info.attributes["handle"] == [1]


@pytest.mark.parametrize(
    "body", [b"", b"1", b"{}", b'{"type":1}', b'{"type":"X","message":1}', b'{"type":"X","attributes":[]}', b'{"$":{}}']
)
def test_what_is_no_recorded_error_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_error(body)
