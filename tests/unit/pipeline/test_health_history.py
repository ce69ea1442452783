from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from battery_pilot.learning.features import HISTORY_COLUMNS
from battery_pilot.passport.mapping import parts
from battery_pilot.pipeline import health_history
from battery_pilot.pipeline.health_history import (
    history_folder,
    models_folder,
    value_paths,
    write_conditions,
    write_states,
)

JANUARY_20 = datetime(2026, 1, 20, tzinfo=UTC)
FEBRUARY_20 = datetime(2026, 2, 20, tzinfo=UTC)
MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


def rows_of(lake):
    return pq.read_table(history_folder(lake)).to_pylist()


def states(battery_id, *known, known_until=None):
    """A verified bundle, as far as the table looks at it."""
    paths = {"rated_capacity_ah": 5.0}
    found = [
        (
            SimpleNamespace(as_of=as_of, known_until=end),
            {value_paths()[name]: value for name, value in (paths | values).items()},
        )
        for (as_of, values), end in zip(known, known_until or [MARCH] * len(known), strict=True)
    ]
    return SimpleNamespace(passport=SimpleNamespace(battery_id=battery_id), states=lambda: iter(found))


def test_each_battery_and_time_stands_once_and_the_later_window_wins(
    lake, january, february, stage_subjects, subject_of
):
    stage_subjects(
        lake, january, subject_of("BP-1", JANUARY_20, dc_resistance_ohm=0.02), subject_of("BP-2", JANUARY_20)
    )
    # February brought BP-2 a late file of the old days: the same point in time, but more is known of it.
    stage_subjects(
        lake,
        february,
        subject_of("BP-1", FEBRUARY_20, remaining_capacity_ah=4.4),
        subject_of("BP-2", JANUARY_20, remaining_capacity_ah=4.6),
    )
    assert write_conditions(lake) == 3
    rows = rows_of(lake)
    assert sorted((row["battery_id"], row["as_of"], row["remaining_capacity_ah"]) for row in rows) == [
        ("BP-1", JANUARY_20, 4.5),
        ("BP-1", FEBRUARY_20, 4.4),
        ("BP-2", JANUARY_20, 4.6),
    ]
    assert {row["rated_capacity_ah"] for row in rows} == {5.0}


def test_a_window_that_overlaps_does_not_repeat_a_time(lake, january, stage_subjects, subject_of):
    longer = type(january)(january.start, january.end + timedelta(days=1))
    for window in (january, longer):
        stage_subjects(lake, window, subject_of("BP-1", JANUARY_20))
    assert write_conditions(lake) == 1


def test_the_table_has_the_columns_and_types_that_learning_expects(lake, january, stage_subjects, subject_of):
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20))
    write_conditions(lake)
    schema = pq.read_schema(history_folder(lake) / "part-0.parquet")
    assert schema.names == list(HISTORY_COLUMNS)
    assert schema.field("as_of").type == pa.timestamp("us", tz="UTC")
    assert {schema.field(name).type for name in schema.names[2:]} == {pa.float64()}


def test_a_battery_without_a_capacity_is_no_check_up(lake, january, stage_subjects, subject_of):
    subject = subject_of("BP-1", JANUARY_20)
    empty = subject.model_copy(update={"condition": subject.condition.model_copy(update={"values": {}})})
    stage_subjects(lake, january, empty)
    assert write_conditions(lake) == 0
    assert rows_of(lake) == []


def test_a_new_table_replaces_the_old_one(lake, january, stage_subjects, subject_of):
    for _ in range(2):
        stage_subjects(lake, january, subject_of("BP-1", JANUARY_20))
        assert write_conditions(lake) == 1
    assert len(rows_of(lake)) == 1
    assert [path.name for path in history_folder(lake).iterdir()] == ["part-0.parquet"]


def test_a_lake_without_passports_gives_an_empty_table(lake):
    assert write_conditions(lake) == 0
    assert rows_of(lake) == []


def test_a_long_table_is_written_in_groups(lake, monkeypatch):
    monkeypatch.setattr(health_history, "ROWS_A_GROUP", 2)
    bundle = states("BP-1", *((JANUARY_20 + timedelta(days=day), {"remaining_capacity_ah": 4.5}) for day in range(5)))
    assert write_states(lake, [bundle]) == 5
    assert pq.ParquetFile(history_folder(lake) / "part-0.parquet").num_row_groups == 3


def test_a_corrected_state_comes_instead_of_the_one_that_it_corrects(lake):
    bundle = states(
        "BP-1",
        (JANUARY_20, {"remaining_capacity_ah": 4.5}),
        (FEBRUARY_20, {"remaining_capacity_ah": 4.4}),
        (JANUARY_20, {"remaining_capacity_ah": 4.6}),
    )
    assert write_states(lake, [bundle]) == 2
    assert {(row["as_of"], row["remaining_capacity_ah"]) for row in rows_of(lake)} == {
        (JANUARY_20, 4.6),
        (FEBRUARY_20, 4.4),
    }


def test_a_state_that_knew_less_does_not_replace_the_better_informed_one(lake):
    bundle = states(
        "BP-1",
        (JANUARY_20, {"remaining_capacity_ah": 4.6}),
        (JANUARY_20, {"remaining_capacity_ah": 4.5}),
        known_until=(APRIL, MARCH),
    )
    assert write_states(lake, [bundle]) == 1
    assert rows_of(lake)[0]["remaining_capacity_ah"] == 4.6


def test_a_run_that_dies_leaves_the_former_table(lake, january, stage_subjects, subject_of):
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20))
    write_conditions(lake)

    def die():
        yield states("BP-2", (JANUARY_20, {"remaining_capacity_ah": 4.5}))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_states(lake, die())
    assert [row["battery_id"] for row in rows_of(lake)] == ["BP-1"]
    write_conditions(lake)
    assert [path.name for path in history_folder(lake).iterdir()] == ["part-0.parquet"]


def test_there_is_a_table_at_every_moment_of_a_replacement(lake, january, stage_subjects, subject_of, monkeypatch):
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20))
    write_conditions(lake)
    monkeypatch.setattr(Path, "rename", None)
    monkeypatch.setattr(Path, "replace", lambda staged, table: seen.append((staged.exists(), len(rows_of(lake)))))
    seen = []
    write_conditions(lake)
    assert seen == [(True, 1)]


def test_whole_numbers_of_a_passport_become_numbers_of_the_table(lake):
    write_states(lake, [states("BP-1", (JANUARY_20, {"remaining_capacity_ah": 4}))])
    assert rows_of(lake)[0]["remaining_capacity_ah"] == 4.0


@pytest.mark.parametrize("text", ["4.5", "unknown", ""])
def test_a_text_in_place_of_a_number_costs_that_value_and_no_other_battery(lake, text):
    bad = states("BP-1", (JANUARY_20, {"remaining_capacity_ah": 4.5, "dc_resistance_ohm": text}))
    worse = states("BP-2", (JANUARY_20, {"remaining_capacity_ah": text}))
    good = states("BP-3", (JANUARY_20, {"remaining_capacity_ah": 4.5}))
    assert write_states(lake, [bad, worse, good]) == 2
    assert [(row["battery_id"], row["dc_resistance_ohm"]) for row in rows_of(lake)] == [
        ("BP-1", None),
        ("BP-3", None),
    ]


def test_every_column_that_the_mapping_tables_have_is_found_in_a_passport():
    sources = {row.source for part in parts() for row in part.rows if row.kind == "Property" and not row.conversion}
    expected = {name for name in HISTORY_COLUMNS if {f"condition.{name}", f"model.{name}"} & sources}
    assert value_paths().keys() == expected
    # The state of health is no element of the passport: learning derives it from the two capacities.
    assert set(HISTORY_COLUMNS) - expected == {"battery_id", "as_of", "state_of_health_percent"}


def test_models_lie_in_the_lake_of_the_installation(monkeypatch, tmp_path):
    monkeypatch.setenv("BATTERY_PILOT_LAKE", str(tmp_path))
    assert models_folder() == tmp_path / "models"
