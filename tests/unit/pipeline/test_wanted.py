"""What a battery of a window becomes, with and without measurements."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from battery_pilot.electrochemistry.aggregates import AGGREGATE_COLUMNS, TOTALS
from battery_pilot.electrochemistry.condition import Condition
from battery_pilot.passport.evidence import Evidence
from battery_pilot.passport.facts import ModelFacts
from battery_pilot.pipeline.wanted import WANTED_COLUMNS, Shared, Wanted, subject_of, subjects_in

AS_OF = datetime(2026, 1, 20, tzinfo=UTC)


@pytest.fixture
def shared(model):
    return Shared({model.model_id: model}, {model.model_id: ModelFacts()}, {})


@pytest.fixture
def row():
    return dict.fromkeys(AGGREGATE_COLUMNS) | dict.fromkeys(TOTALS, 12.0) | {
        "battery_id": "BP-1", "as_of": AS_OF, "cycles_as_of": AS_OF, "source_sha256": ["b" * 64], "capacity_ah": 4.5,
        "capacity_wh": 16.0, "capacity_measurements": 1, "capacity_as_of": AS_OF, "capacity_source_sha256": ["b" * 64],
        "spectra": 0, "series_counted": 3,
    }  # fmt: skip


def test_a_measured_battery_has_the_condition_and_the_evidence_of_its_row(item_of, shared, row):
    subject = subject_of(Wanted(item=item_of("BP-1")), row, shared)
    assert subject.condition.values["remaining_capacity_ah"].value == 4.5
    assert subject.evidence.time_series_count == 3
    assert subject.facts is shared.facts[subject.model.model_id]


def test_a_battery_that_was_not_measured_keeps_its_condition_whatever_the_row_says(item_of, shared, row):
    before = Condition(battery_id="BP-1", as_of=AS_OF, values={})
    wanted = Wanted(item=item_of("BP-1"), condition=before, evidence=Evidence(time_series_count=1))
    subject = subject_of(wanted, row, shared)
    assert subject.condition == before
    assert subject.evidence.time_series_count == 1


def test_a_table_gives_the_same_subjects_as_its_rows(item_of, shared, row):
    wanted = [Wanted(item=item_of(f"BP-{number}")) for number in range(250)]
    rows = [row | {"battery_id": one.item.battery_id} for one in wanted]
    cells = [one | {WANTED_COLUMNS[1]: w.model_dump_json()} for one, w in zip(rows, wanted, strict=True)]
    found = list(subjects_in(pa.RecordBatch.from_pylist(cells), shared))
    assert found == [subject_of(one, of, shared) for one, of in zip(wanted, rows, strict=True)]
