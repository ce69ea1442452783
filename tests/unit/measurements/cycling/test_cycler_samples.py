"""What is true of every cycler's export that the sample files stand for."""

from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

FORMATS = {
    "neware.csv": "neware-csv",
    "neware_nested.csv": "neware-csv",
    "novonix.csv": "novonix-csv",
    "basytec.txt": "basytec-text",
    "landt.csv": "landt",
    "pec.csv": "pec-csv",
    "digatron.csv": "digatron-csv",
}


@pytest.mark.parametrize(("file_name", "format_name"), FORMATS.items())
def test_records_are_read_with_signed_current_in_si_units(
    samples: dict[str, str], cycler_log: list[tuple[float, float, float]], file_name: str, format_name: str
) -> None:
    measurement = read_bytes(samples[file_name].encode(), "a")
    columns = [measurement.table[name].to_pylist() for name in ("test_time_second", "voltage_volt", "current_ampere")]
    assert measurement.format == format_name
    assert list(zip(*columns, strict=True)) == [pytest.approx(row) for row in cycler_log]


@pytest.mark.parametrize("file_name", FORMATS)
def test_rows_have_their_times_in_utc(samples: dict[str, str], file_name: str) -> None:
    moments = read_bytes(samples[file_name].encode(), "a").table["measured_at"].to_pylist()
    assert moments[0].isoformat() == "2026-03-31T16:00:00+00:00"
    assert (moments[-1] - moments[0]).total_seconds() == 150


@pytest.mark.parametrize("file_name", FORMATS)
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "utf-16"])
def test_any_encoding_and_line_end_gives_the_same_table(
    samples: dict[str, str], file_name: str, encoding: str
) -> None:
    text = samples[file_name].replace("\n", "\r\n")
    names = ["test_time_second", "voltage_volt", "current_ampere", "measured_at"]
    expected = read_bytes(samples[file_name].encode(), "a").table.select(names)
    assert read_bytes(text.encode(encoding), "a").table.select(names) == expected


@pytest.mark.parametrize("file_name", ["basytec.txt", "landt.csv", "pec.csv", "digatron.csv", "neware.csv"])
def test_semicolons_with_decimal_commas_give_the_same_table(samples: dict[str, str], file_name: str) -> None:
    text = samples[file_name]
    text = text.replace("\t", ";").replace(".", ",") if "\t" in text else text.replace(",", ";").replace(".", ",")
    for dotted in ("Cyc,", "Chg, Cap,", "31,03,2026"):
        text = text.replace(dotted, dotted.replace(",", "."))
    names = ["test_time_second", "voltage_volt", "current_ampere"]
    expected = read_bytes(samples[file_name].encode(), "a").table.select(names)
    assert read_bytes(text.encode(), "a").table.select(names) == expected


@pytest.mark.parametrize("file_name", FORMATS)
def test_a_row_that_breaks_off_in_the_middle_is_refused_with_its_line(
    samples: dict[str, str], file_name: str
) -> None:
    lines = samples[file_name].split("\n")
    number = len(lines) - 4
    lines[number - 1] = lines[number - 1][: len(lines[number - 1]) // 2].rstrip(",\t")
    with pytest.raises(MeasurementError, match=f"line {number}:"):
        read_bytes("\n".join(lines).encode(), "a")


@pytest.mark.parametrize("file_name", FORMATS)
def test_a_file_that_ends_with_its_headings_is_refused(samples: dict[str, str], file_name: str) -> None:
    lines = samples[file_name].split("\n")
    with pytest.raises(MeasurementError, match="no data rows"):
        read_bytes("\n".join([*lines[: -18 if file_name == "neware_nested.csv" else -17], ""]).encode(), "a")
