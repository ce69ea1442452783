from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.errors import InputError
from battery_pilot.lake import Window
from battery_pilot_airflow.common import RETRY_POLICY, run_window, timetable

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 1, tzinfo=UTC)


def context(*, start=None, end=None, **interval):
    return {"params": {"window_start": start, "window_end": end}, **interval}


def test_a_run_works_on_its_data_interval():
    found = run_window(context(data_interval_start=JANUARY, data_interval_end=FEBRUARY))
    assert found == Window(JANUARY, FEBRUARY)


def test_parameters_come_before_the_data_interval():
    given = context(
        start="2025-01-01T01:00:00.000+01:00",
        end="2025-03-01T00:00",
        data_interval_start=JANUARY,
        data_interval_end=FEBRUARY,
    )
    assert run_window(given).key == "20250101T000000Z_20250301T000000Z"


@pytest.mark.parametrize(
    "given",
    [
        context(),
        context(data_interval_start=None, data_interval_end=None),
        context(data_interval_start=JANUARY, data_interval_end=JANUARY),
    ],
)
def test_a_run_without_any_window_fails_loudly(given):
    with pytest.raises(InputError, match="this run has no window"):
        run_window(given)


def test_half_a_window_is_refused():
    with pytest.raises(InputError, match="belong together"):
        run_window(context(start="2025-01-01T00:00:00Z"))


def test_a_schedule_may_be_never():
    assert timetable("never") is None
    assert type(timetable("0 0 1 * *")).__name__ == "CronDataIntervalTimetable"


def test_terminal_errors_are_not_retried_and_transient_ones_are():
    from battery_pilot.errors import ServerRefused, ServerUnavailable

    refused = RETRY_POLICY.evaluate(ServerRefused("PUT", "http://x", 400, "no"), 1, 3)
    silent = RETRY_POLICY.evaluate(ServerUnavailable("PUT", "http://x", None, "timeout"), 1, 3)
    unknown = RETRY_POLICY.evaluate(RuntimeError(), 1, 3)
    assert [decision.action.value for decision in (refused, silent, unknown)] == ["fail", "retry", "default"]
