"""Whatever the bytes are, a reader returns finite numbers or a MeasurementError."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes
from battery_pilot.measurements.model import CYCLING_COLUMNS, IMPEDANCE_COLUMNS, Measurement

FILES = [
    "gamry.dta",
    "biologic.mpt",
    "biologic_log.mpt",
    "zplot.z",
    "versastudio.par",
    "chi.txt",
    "relaxis.txt",
    "parstat.txt",
    "powersuite.txt",
    "plain.csv",
    "bare.csv",
    "layouts.csv",
    "log.bdf.csv",
    "log.bdf.json",
    "log.bdf.ndjson",
    "spectrum.bdf.csv",
    "arbin.csv",
    "battery_archive.csv",
    "log.csv",
    "maccor.001",
    "nasa.csv",
    "field.csv",
    "neware.csv",
    "neware_nested.csv",
    "novonix.csv",
    "basytec.txt",
    "landt.csv",
    "pec.csv",
    "digatron.csv",
    "ivium.ids",
    "ecochemie.dfr",
    "elchemea.i2b",
    "palmsens.pssession",
]


def read_or_refuse(data: bytes, file_name: str) -> Measurement | None:
    try:
        measurement = read_bytes(data, file_name)
    except MeasurementError:
        return None
    for name in IMPEDANCE_COLUMNS if measurement.kind == "impedance" else CYCLING_COLUMNS:
        assert np.isfinite(measurement.table[name].to_numpy()).all()
    return measurement


@given(data=st.binary(max_size=400), file_name=st.sampled_from(FILES))
@settings(deadline=None)
def test_random_bytes_are_refused_or_give_finite_numbers(data: bytes, file_name: str) -> None:
    read_or_refuse(data, file_name)


@pytest.mark.parametrize("file_name", FILES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_random_bytes_after_a_good_beginning_are_refused_or_give_finite_numbers(
    samples: dict[str, str], file_name: str, data: st.DataObject
) -> None:
    whole = samples[file_name].encode()
    cut = data.draw(st.integers(0, len(whole)))
    read_or_refuse(whole[:cut] + data.draw(st.binary(max_size=60)), file_name)


@pytest.mark.parametrize("file_name", FILES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_changed_cells_are_refused_or_give_finite_numbers(
    samples: dict[str, str], file_name: str, data: st.DataObject
) -> None:
    text = samples[file_name]
    position = data.draw(st.integers(0, len(text) - 1))
    inserted = data.draw(st.sampled_from(["nan", "1e400", "-", '"', "\t", ",", ";", "\n", "9" * 400, "é", "#", "'"]))
    read_or_refuse((text[:position] + inserted + text[position + 1 :]).encode(), file_name)


@pytest.mark.parametrize("file_name", FILES)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_truncated_file_is_refused_or_gives_the_rows_before_the_cut(
    samples: dict[str, str], file_name: str, data: st.DataObject
) -> None:
    whole = samples[file_name].encode()
    expected = read_bytes(whole, file_name).table
    found = read_or_refuse(whole[: data.draw(st.integers(0, len(whole) - 1))], file_name)
    if found is None:
        return
    names = IMPEDANCE_COLUMNS if found.kind == "impedance" else CYCLING_COLUMNS
    certain = found.table.num_rows - any("may be cut" in warning for warning in found.warnings)
    assert found.table.select(names).slice(0, certain) == expected.select(names).slice(0, certain)


@pytest.mark.parametrize("long", ["1" * 200_000, '"' * 200_000, "((((" * 50_000, "a=" * 100_000, "/" * 200_000])
@pytest.mark.parametrize("file_name", FILES)
def test_very_long_lines_are_answered_at_once(samples: dict[str, str], file_name: str, long: str) -> None:
    start = time.process_time()
    read_or_refuse((long + samples[file_name]).encode(), file_name)
    read_or_refuse((samples[file_name] + long).encode(), file_name)
    assert time.process_time() - start < 1.0
