from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

FIRST = "~Resultfile from Basytec Battery Test System\n~Start of Test: 14.11.2022 10:40:01\n~\n"


def test_the_header_becomes_metadata(samples: dict[str, str]) -> None:
    measurement = read_bytes(samples["basytec.txt"].encode("latin-1"), "a.txt")
    assert measurement.metadata.known() == {
        "cell_id": "CELL-15",
        "channel": "3",
        "columns_left_out": ["DataSet", "Ah[Ah]", "State"],
        "started_at": "2026-03-31T16:00:00+00:00",
        "time_zone": "assumed UTC",
    }
    assert measurement.table["temperature_t1_celsius"].to_pylist() == [25.5] * 16


def test_blanks_divide_cells_and_the_clock_from_its_date() -> None:
    text = (
        "~Time[h] DataSet DateTime Line Command U[V] I[A] Cyc-Count\n"
        "0      1 05.05.2025 14:36:06  1 Pause  3,40 0    1\n"
        "0,5    2 05.05.2025 15:06:06 12 Charge 3,50 0,25 1\n"
    )
    table = read_bytes((FIRST + text).encode(), "a.txt").table
    assert table["test_time_second"].to_pylist() == [0.0, 1800.0]
    assert table["current_ampere"].to_pylist() == [0.0, 0.25]
    assert table["measured_at"][1].as_py().isoformat() == "2025-05-05T15:06:06+00:00"


def test_time_may_be_a_clock_time() -> None:
    text = "~Time[h:min:s]\tU[V]\tI[A]\n0:00:00.000\t3.4\t0\n26:00:01.500\t3.4\t0\n"
    assert read_bytes((FIRST + text).encode(), "a.txt").table["test_time_second"].to_pylist() == [0.0, 93601.5]


def test_counters_of_discharge_count_up() -> None:
    text = "~Time[s]\tU[V]\tI[A]\tAh-Cyc-Charge\tAh-Cyc-Discharge\n0\t3.4\t-1\t0\t-0.5\n"
    table = read_bytes((FIRST + text).encode(), "a.txt").table
    assert table["discharging_capacity_ah"].to_pylist() == [0.5]


def test_a_current_for_each_kilogram_is_refused() -> None:
    with pytest.raises(MeasurementError, match="columns are missing for current_ampere"):
        read_bytes((FIRST + "~Time[s]\tU[V]\tI[A/kg]\n0\t3.4\t-1\n").encode(), "a.txt")


def test_a_file_that_ends_in_its_header_is_refused() -> None:
    with pytest.raises(MeasurementError, match="expected headings that begin with ~Time"):
        read_bytes(FIRST.encode(), "a.txt")
