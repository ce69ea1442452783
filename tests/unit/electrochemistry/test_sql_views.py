"""What can be said of the SQL without a Spark session; the integration tests run it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.electrochemistry.aggregates_sql import aggregate_cycles_sql
from battery_pilot.electrochemistry.cycles_sql import cycle_summary_sql
from battery_pilot.errors import AnalysisError, InputError

MOMENT = datetime(2025, 3, 10, tzinfo=UTC)


@pytest.mark.parametrize("name", ["rows; DROP TABLE x", "a b", "", "1a", "a.", "`a`"])
def test_names_that_are_more_than_a_name_are_refused(name):
    with pytest.raises(InputError, match="expected letters, digits and underscores"):
        cycle_summary_sql(name, "ratings")
    with pytest.raises(InputError, match="expected letters, digits and underscores"):
        aggregate_cycles_sql("cycles", name, MOMENT, MOMENT)


def test_qualified_names_are_accepted():
    assert "FROM lake.rows r" in cycle_summary_sql("lake.rows", "ratings")


def test_interval_without_time_zone_is_refused():
    with pytest.raises(AnalysisError, match="has no time zone"):
        aggregate_cycles_sql("cycles", "spectra", MOMENT.replace(tzinfo=None), MOMENT)
