from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from battery_pilot.errors import InputError
from battery_pilot.learning.feature_table import read_table

if TYPE_CHECKING:
    from pathlib import Path

GRID = (1000.0, 10.0, 0.1)


def long(spectra: int = 3, **names: str) -> pd.DataFrame:
    """Spectra of two batteries, one row a frequency."""
    rows = [
        {
            "battery_id": "A" if number < 2 else "B",
            "cycle": number,
            "frequency_hertz": hertz * (1 + 1e-5 * number),
            "real_ohm": number + hertz,
            "imaginary_ohm": -hertz,
            "temperature_celsius": 20 + number,
            "soh": 1 - 0.1 * number,
        }
        for number in range(spectra)
        for hertz in GRID
    ]
    return pd.DataFrame(rows).rename(columns=names)


def read(folder: Path, table: pd.DataFrame):
    table.to_parquet(folder / "t.parquet", index=False)
    return read_table(folder / "t.parquet", "soh")


def test_long_table_is_one_row_a_spectrum_whatever_the_order_of_its_rows(tmp_path: Path) -> None:
    found = read(tmp_path, long().sample(frac=1, random_state=1).sort_values("cycle", kind="stable"))
    assert found.battery.tolist() == ["A", "A", "B"]
    assert found.target == pytest.approx([1, 0.9, 0.8])
    assert set(found.plain) == {"cycle", "temperature_celsius"}
    assert {name: values.tolist() for name, values in found.impedance.items()} == {
        "0.1": [0.1 - 0.1j, 1.1 - 0.1j, 2.1 - 0.1j],
        "10": [10 - 10j, 11 - 10j, 12 - 10j],
        "1e+03": [1000 - 1000j, 1001 - 1000j, 1002 - 1000j],
    }
    assert found.warnings == ()


@pytest.mark.parametrize("name", ["freq", "Frequency (Hz)", "frequency/Hz", "f_hz"])
def test_usual_names_of_the_frequency_are_known(tmp_path: Path, name: str) -> None:
    assert len(read(tmp_path, long(frequency_hertz=name)).impedance) == len(GRID)


def test_id_of_the_spectrum_counts_before_the_time_of_each_point(tmp_path: Path) -> None:
    table = long(cycle="spectrum_id").assign(time=range(9))
    found = read(tmp_path, table)
    assert len(found.target) == 3
    assert "vary within a spectrum: time" in found.warnings[0]


def test_rare_frequency_is_left_out_with_a_warning(tmp_path: Path) -> None:
    table = long()
    table.loc[0, "frequency_hertz"] = 777
    found = read(tmp_path, table)
    assert set(found.impedance) == {"0.1", "10", "1e+03"}
    assert found.impedance["1e+03"].real[1:].tolist() == [1001, 1002]
    assert "1 of 4 frequencies are rare" in found.warnings[0]


def test_spectra_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 rows repeat a frequency of the same battery_id; expected .* spectrum_id"):
        read(tmp_path, long().drop(columns="cycle"))


def test_target_that_varies_within_a_spectrum_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="soh differs within a spectrum"):
        read(tmp_path, long().assign(soh=range(9)))


def test_one_row_a_spectrum_with_a_frequency_is_no_long_table(tmp_path: Path) -> None:
    found = read(tmp_path, long().query("frequency_hertz > 500"))
    assert set(found.plain) == {"cycle", "temperature_celsius", "frequency_hertz"}
