from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.measurements.row_times import clock_seconds, counted_moments, row_moments


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("9:00:10", 32410.0),
        ("26:03:10.5", 93790.5),
        ("  2d 02:52:51.57", 183171.57),
        ("2-02:52:51", 183171.0),
        ("  0d 00:00:5", 5.0),
        ("0:00:05,25", 5.25),
        ("", np.nan),
        ("1:2", np.nan),
        ("1:61:00", np.nan),
        ("1:00:75", np.nan),
        ("-1:00:00", np.nan),
        ("1:00:x", np.nan),
    ],
)
def test_clock_times_become_seconds(text: str, second: float) -> None:
    found = clock_seconds(pa.array([text, "0:00:01"]))
    assert found[0] == pytest.approx(second, nan_ok=True)
    assert found[1] == 1.0


@given(second=st.integers(0, 10**9))
def test_days_and_clock_of_any_length_are_read(second: int) -> None:
    rest, tick = divmod(second, 60)
    hours, minute = divmod(rest, 60)
    day, hour = divmod(hours, 24)
    texts = pa.array([f"{day}d {hour:02d}:{minute:02d}:{tick:02d}.00", f"{hours}:{minute}:{tick}"])
    assert list(clock_seconds(texts)) == [second, second]


def moments(*texts: str | None) -> tuple[list[datetime | None] | None, dict[str, Any], list[str]]:
    facts: dict[str, Any] = {}
    warnings: list[str] = []
    found = row_moments(texts, facts, warnings)
    return None if found is None else found.to_pylist(), facts, warnings


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("03/31/2026 16:05:01", datetime(2026, 3, 31, 16, 5, 1, tzinfo=UTC)),
        ("3/31/2026 4:05:01 PM", datetime(2026, 3, 31, 16, 5, 1, tzinfo=UTC)),
        ("3/31/2026 12:05:01 am", datetime(2026, 3, 31, 0, 5, 1, tzinfo=UTC)),
        ("\t09/20/2024 08:32:34.558", datetime(2024, 9, 20, 8, 32, 34, 558000, tzinfo=UTC)),
        ("23-Nov-23 3:56:11 PM", datetime(2023, 11, 23, 15, 56, 11, tzinfo=UTC)),
        ("30.01.2024 08:32:34,5", datetime(2024, 1, 30, 8, 32, 34, 500000, tzinfo=UTC)),
        ("10/22/2019", datetime(2019, 10, 22, tzinfo=UTC)),
        ("2024-01-02 03:04:05.5", datetime(2024, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)),
        ("2024-01-02 03:04:05,5", datetime(2024, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)),
    ],
)
def test_dates_of_instruments_are_read_as_utc_with_a_warning(text: str, moment: datetime) -> None:
    found, facts, warnings = moments(text, "", None)
    assert found == [moment, None, None]
    assert facts == {"started_at": moment.isoformat(), "time_zone": "assumed UTC"}
    assert warnings == ["Times without a zone were taken as UTC."]


def test_dates_with_a_zone_need_no_warning() -> None:
    found, facts, warnings = moments("2024-01-02T03:04:05+01:00")
    assert found == [datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)]
    assert ("time_zone" in facts, warnings) == (False, [])


def test_the_order_of_day_and_month_is_the_one_that_fits_all_rows() -> None:
    found, _, warnings = moments("12/05/2021 23:59:59", "13/05/2021 00:00:01")
    assert found == [datetime(2021, 5, 12, 23, 59, 59, tzinfo=UTC), datetime(2021, 5, 13, 0, 0, 1, tzinfo=UTC)]
    assert not any("month, day" in warning for warning in warnings)


@pytest.mark.parametrize("day", ["06/05/2021", "06-05-2021"])
def test_an_order_of_day_and_month_that_nothing_tells_is_warned_about(day: str) -> None:
    found, _, warnings = moments(f"{day} 11:23:46")
    assert found == [datetime(2021, 6, 5, 11, 23, 46, tzinfo=UTC)]
    assert f"The dates of the rows, '{day}', were read as month, day, year." in warnings


def test_cells_that_are_no_dates_are_counted() -> None:
    found, _, warnings = moments("03/31/2026 16:05:01", "soon", "03/31/2026 25:00:00")
    assert found is not None
    assert found[1:] == [None, None]
    assert "2 times of rows cannot be read and were left out." in warnings


def test_a_column_without_dates_is_left_out() -> None:
    assert moments("soon")[0] is None
    assert moments("", None) == (None, {}, [])


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (1499006353.5, datetime(2017, 7, 2, 14, 39, 13, 500000, tzinfo=UTC)),
        (1499006353500.0, datetime(2017, 7, 2, 14, 39, 13, 500000, tzinfo=UTC)),
        (42867.5, datetime(2017, 5, 12, 12, tzinfo=UTC)),
        (736827.5, datetime(2017, 5, 12, 12, tzinfo=UTC)),
    ],
)
def test_numbers_that_count_time_are_read(number: float, moment: datetime) -> None:
    facts: dict[str, Any] = {}
    warnings: list[str] = []
    found = counted_moments(np.array([number, np.nan]), facts, warnings)
    assert found is not None
    assert found.to_pylist() == [moment, None]
    assert any("days since" in warning for warning in warnings) == (number < 1e6)


def test_numbers_that_count_nothing_known_are_left_out() -> None:
    warnings: list[str] = []
    assert counted_moments(np.array([12.5]), {}, warnings) is None
    assert "not seconds since 1970" in warnings[0]


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["03/25/21 10:00:00"], "2021-03-25T10:00:00+00:00"),
        (["25.03.21 23:59:59", "26.03.21 00:00:01"], "2021-03-25T23:59:59+00:00"),
        (["11/03/21 23:59:59", "12/03/21 00:00:01"], "2021-03-11T23:59:59+00:00"),
        (["03/11/21 23:59:59", "03/12/21 00:00:01"], "2021-03-11T23:59:59+00:00"),
        (["21-03-11 23:59:59", "21-03-12 00:00:01"], "2021-03-11T23:59:59+00:00"),
    ],
)
def test_years_of_two_digits_are_read_where_the_rows_make_them_clear(texts: list[str], first: str) -> None:
    facts: dict[str, str] = {}
    warnings: list[str] = []
    moments = row_moments(texts, facts, warnings)
    assert moments is not None
    assert facts["started_at"] == first
    assert any("were read as" in warning for warning in warnings)


@pytest.mark.parametrize("texts", [["25.03.21 10:00:00"], ["03/04/21 10:00:00", "03/04/21 10:00:01"]])
def test_years_of_two_digits_that_may_be_days_are_left_out(texts: list[str]) -> None:
    facts: dict[str, str] = {}
    warnings: list[str] = []
    assert row_moments(texts, facts, warnings) is None
    assert not facts
    assert any("cannot be read and were left out" in warning for warning in warnings)
