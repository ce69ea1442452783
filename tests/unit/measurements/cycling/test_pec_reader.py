from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


def test_the_labels_become_metadata(samples: dict[str, str]) -> None:
    assert read_bytes(samples["pec.csv"].encode(), "a.csv").metadata.known() == {
        "cell_id": "CELL-16",
        "channel": "ACT4-014-1",
        "columns_left_out": ["Test", "ReasonCode"],
        "nominal_capacity_ah": 64.0,
        "started_at": "2026-03-31T16:00:00+00:00",
        "time_zone": "assumed UTC",
    }


def test_capacities_in_milliwatt_hours_are_energies(samples: dict[str, str]) -> None:
    text = samples["pec.csv"].replace("0.0,0.0,0.0,0.0,30", "100,200,300,400,30")
    table = read_bytes(text.encode(), "a.csv").table
    names = ["charging_capacity_ah", "discharging_capacity_ah", "charging_energy_wh", "discharging_energy_wh"]
    assert [table[name][0].as_py() for name in names] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_total_time_may_be_a_clock_time(samples: dict[str, str]) -> None:
    text = samples["pec.csv"].replace("Total Time (Seconds)", "Total Time (Hours in hh:mm:ss.xxx)")
    lines = [line.replace(",0,150.0,", ",0,48:02:30.000,") for line in text.split("\n")]
    lines[6:-2] = [
        line.replace(f",0,{10.0 * row!r},", f",0,00:00:{row:02}.5,") for row, line in enumerate(lines[6:-2])
    ]
    time = read_bytes("\n".join(lines).encode(), "a.csv").table["test_time_second"].to_pylist()
    assert (time[1], time[-1]) == (1.5, 172950.0)


def test_several_cells_in_a_file_are_refused_by_name(samples: dict[str, str]) -> None:
    head, _, last = samples["pec.csv"].rstrip().rpartition("\n")
    with pytest.raises(MeasurementError, match="one cellid in a file expected, found 2: 'CELL-16', 'CELL-99'"):
        read_bytes(f"{head}\n{last.replace('CELL-16', 'CELL-99')}\n".encode(), "a.csv")
