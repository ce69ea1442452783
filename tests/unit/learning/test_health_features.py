"""The SQL of the features, read as text: what it may look at. What it computes is tested on Spark."""

from __future__ import annotations

import re

from battery_pilot.learning import features


def test_no_feature_looks_ahead() -> None:
    query = features.features_sql("history").upper()
    frames = set(re.findall(r"(?:ROWS|RANGE)\s+BETWEEN\s+(.*?)\)", query))

    assert "LEAD(" not in query
    assert "FOLLOWING" not in query
    assert " DESC" not in query
    assert frames == {"UNBOUNDED PRECEDING AND CURRENT ROW"}


def test_first_values_are_taken_over_the_past_and_lags_in_time_order() -> None:
    query = features.features_sql("history")
    windows = re.findall(r"(first_value|lag)\(\w+\)(?: IGNORE NULLS)? OVER \((\w+)\)", query)

    assert len(windows) == query.count(" OVER (")
    assert set(windows) == {("first_value", "so_far"), ("lag", "in_order")}
    assert query.count("in_order AS (PARTITION BY battery_id ORDER BY as_of)") == 2


def test_every_feature_is_a_column_of_the_query() -> None:
    last_select = features.features_sql("history").rpartition("SELECT battery_id")[2]
    assert [name for name in features.FEATURES if not re.search(rf"\b{name}\b", last_select)] == []


def test_absolute_resistances_are_no_features() -> None:
    assert not any(name.endswith("_ohm") for name in features.FEATURES)


def test_missing_values_are_counted_under_the_condition() -> None:
    assert features.missing_sql(("a", "b"), "x OR y") == (
        "map('a', count_if((x OR y) AND a IS NULL), 'b', count_if((x OR y) AND b IS NULL))"
    )
