"""Durations, instants and sizes as people write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flowkit.durations import epoch, format_seconds, seconds, size_bytes, utc_text


@pytest.mark.parametrize(
    ("written", "length"),
    [
        (0, 0.0),
        (90, 90.0),
        (1.5, 1.5),
        (timedelta(minutes=5), 300.0),
        ("90s", 90.0),
        ("5m", 300.0),
        ("3d 4h", 273_600.0),
        ("3d4h", 273_600.0),
        ("1.5h", 5400.0),
        ("250ms", 0.25),
        ("2w", 1_209_600.0),
        (" 1H 30 m ", 5400.0),
    ],
)
def test_a_duration_is_seconds_a_timedelta_or_text(written: Any, length: float) -> None:
    assert seconds(written) == length


@pytest.mark.parametrize(
    "written",
    [
        -1,
        timedelta(seconds=-1),
        math.nan,
        math.inf,
        10**400,
        "",
        " ",
        "5",
        "m",
        "5 parsecs",
        "5m!",
        "-5m",
        "1e3s",
        "٣s",
    ],
)
def test_what_is_no_length_of_time_is_a_value_error_that_says_what_is(written: Any) -> None:
    with pytest.raises(ValueError, match=r'pause .*give seconds as a number, a timedelta, or text such as "250ms"'):
        seconds(written, "pause")


@pytest.mark.parametrize("written", [True, None, b"5m", [5]])
def test_a_duration_of_another_type_is_a_type_error(written: Any) -> None:
    with pytest.raises(TypeError, match="duration is a"):
        seconds(written)


def test_an_aware_datetime_is_an_instant_in_any_zone() -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)

    assert epoch(noon) == epoch(noon.astimezone(ZoneInfo("Asia/Tokyo"))) == epoch(1_893_499_200) == 1_893_499_200.0


def test_a_naive_datetime_is_refused_with_the_way_to_make_it_aware() -> None:
    with pytest.raises(ValueError, match=r"until 2030-01-01T00:00:00 has no time zone.*replace\(tzinfo=timezone.utc\)"):
        epoch(datetime(2030, 1, 1), "until")  # noqa: DTZ001  # that is the point


@pytest.mark.parametrize("instant", [math.nan, math.inf, 10**400])
def test_a_number_that_is_no_instant_is_refused(instant: Any) -> None:
    with pytest.raises(ValueError, match="not an instant"):
        epoch(instant)


@pytest.mark.parametrize("instant", [True, "2030-01-01", None])
def test_an_instant_of_another_type_is_a_type_error(instant: Any) -> None:
    with pytest.raises(TypeError, match="give an aware datetime"):
        epoch(instant)


@pytest.mark.parametrize(
    ("written", "size"), [(0, 0), (1024, 1024), ("8MB", 8_000_000), ("8 mib", 8_388_608), ("1.5KB", 1500), ("7b", 7)]
)
def test_a_size_is_bytes_or_text(written: Any, size: int) -> None:
    assert size_bytes(written) == size


@pytest.mark.parametrize("written", [-1, "", "8", "8 parsecs", "-8MB"])
def test_what_is_no_size_is_a_value_error(written: Any) -> None:
    with pytest.raises(ValueError, match="give bytes"):
        size_bytes(written)


@pytest.mark.parametrize("written", [True, 1.5, None])
def test_a_size_of_another_type_is_a_type_error(written: Any) -> None:
    with pytest.raises(TypeError, match="give bytes"):
        size_bytes(written)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0ms"),
        (0.25, "250ms"),
        (0.9999, "1s"),
        (1.5, "1.5s"),
        (59.99, "1m"),
        (60, "1m"),
        (7500, "2h 5m"),
        (3605, "1h"),
        (273_600, "3d 4h"),
        (-90, "-1m 30s"),
    ],
)
def test_a_length_of_time_is_shown_in_at_most_two_units(length: float, text: str) -> None:
    assert format_seconds(length) == text


@pytest.mark.parametrize("instant", [1e20, -1e20, 1e300])
def test_an_instant_beyond_the_calendar_is_shown_in_seconds(instant: float) -> None:
    assert utc_text(instant) == f"{instant:g} s"
