from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import formats, read, read_bytes, registry
from battery_pilot.measurements.model import IMPEDANCE_COLUMNS
from battery_pilot.measurements.source import Source
from battery_pilot.measurements.text import binary_position

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_OF = {
    "gamry.dta": "gamry-dta",
    "biologic.mpt": "biologic-mpt",
    "biologic_log.mpt": "biologic-mpt",
    "zplot.z": "zplot",
    "versastudio.par": "versastudio-par",
    "chi.txt": "chi-txt",
    "relaxis.txt": "relaxis-txt",
    "parstat.txt": "parstat-txt",
    "powersuite.txt": "powersuite-txt",
    "plain.csv": "impedance-csv",
    "bare.csv": "impedance-csv",
    "log.bdf.csv": "bdf-csv",
    "spectrum.bdf.csv": "bdf-csv",
    "arbin.csv": "arbin-csv",
    "maccor.001": "maccor-text",
    "nasa.csv": "nasa-pcoe",
}


@pytest.mark.parametrize(("file_name", "format_name"), FORMAT_OF.items())
def test_the_content_decides_the_format_whatever_the_name(
    samples: dict[str, str], file_name: str, format_name: str
) -> None:
    assert read_bytes(samples[file_name].encode(), "measurement.DTA").format == format_name


@pytest.mark.parametrize("file_name", FORMAT_OF)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_every_encoding_gives_the_same_table(samples: dict[str, str], file_name: str, encoding: str) -> None:
    expected = read_bytes(samples[file_name].encode(), file_name).table
    found = read_bytes(samples[file_name].encode(encoding), file_name).table
    assert found.drop_columns("source_sha256") == expected.drop_columns("source_sha256")


@pytest.mark.parametrize("file_name", FORMAT_OF)
def test_windows_line_ends_give_the_same_table(samples: dict[str, str], file_name: str) -> None:
    expected = read_bytes(samples[file_name].encode(), file_name).table
    found = read_bytes(samples[file_name].replace("\n", "\r\n").encode(), file_name).table
    assert found.drop_columns("source_sha256") == expected.drop_columns("source_sha256")


def test_a_file_is_read_with_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "sample.z"
    path.write_bytes(b"frequency/Hz,re/ohm,im/ohm\n1,2,-3\n")
    measurement = read(path)
    assert measurement.source_sha256 == "16e1bc893207f285a0f0f176d34152f88fc01acadfc03c787d660096ca311450"
    assert set(measurement.table["source_sha256"].to_pylist()) == {measurement.source_sha256}


@pytest.mark.parametrize("data", [b"", b" \r\n\t\n"])
def test_an_empty_file_is_reported(data: bytes) -> None:
    with pytest.raises(MeasurementError, match="empty file") as caught:
        read_bytes(data, "cell.csv")
    assert caught.value.path == "cell.csv"


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="cannot be opened"):
        read(tmp_path / "none.csv")


def test_a_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="cannot be opened"):
        read(tmp_path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    with pytest.raises(MeasurementError, match="a pipe or a device"):
        read(pipe)


def test_a_file_too_large_to_be_read_at_once_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_LARGEST_FILE_BYTES", 3)
    (tmp_path / "a.csv").write_bytes(b"1234")
    with pytest.raises(MeasurementError, match="4 bytes are more than the 3 that can be read at once"):
        read(tmp_path / "a.csv")


def test_binary_content_under_a_text_name_is_reported_with_what_was_expected() -> None:
    with pytest.raises(MeasurementError, match="byte 2: binary content, expected Gamry EXPLAIN text"):
        read_bytes(b"\x89P\x00\x01", "cell.DTA")


def test_binary_content_behind_a_good_beginning_is_reported_with_its_byte() -> None:
    with pytest.raises(MeasurementError, match="byte 20008: binary content, expected Gamry EXPLAIN text"):
        read_bytes(b"EXPLAIN\n" + b"x" * 20000 + b"\x00", "cell.DTA")


def test_an_unknown_format_says_how_many_were_tried() -> None:
    with pytest.raises(MeasurementError, match="unknown format") as caught:
        read_bytes(b"hello world\n", "cell.xyz")
    assert f"none of the {len(formats())} known formats" in caught.value.problem


def test_an_unknown_format_names_what_its_file_name_promises() -> None:
    with pytest.raises(MeasurementError, match="expected EC-Lab ASCII text"):
        read_bytes(b"hello world\n", "cell.mpt")


def test_two_readers_with_the_same_score_are_reported_as_ambiguous() -> None:
    class Eager:
        kinds = ("cycling",)
        suffixes: tuple[str, ...] = ()
        expects = "anything"

        def __init__(self, name: str) -> None:
            self.name = name

        def sniff(self, source: Source) -> int:
            return 50

        def read(self, source: Source) -> None:
            raise NotImplementedError

    with pytest.raises(MeasurementError, match="ambiguous content, it fits first, second equally well"):
        registry._choose(Source(b"x", "cell.csv"), [Eager("first"), Eager("second")])


def test_formats_name_only_what_can_be_read() -> None:
    assert formats()["bdf-csv"].kinds == ("cycling", "impedance")
    assert "nasa-pcoe-impedance" not in formats()


@pytest.mark.parametrize("blank", ["\n", "\r\n\r\n"])
def test_blank_lines_before_the_first_change_nothing_but_line_numbers(samples: dict[str, str], blank: str) -> None:
    for name, text in samples.items():
        expected = read_bytes(text.encode(), name)
        found = read_bytes((blank + text).encode(), name)
        assert found.format == expected.format
        assert found.table.drop(["source_sha256"]) == expected.table.drop(["source_sha256"])
        assert found.source_sha256 == hashlib.sha256((blank + text).encode()).hexdigest()
    with pytest.raises(MeasurementError) as caught:
        read_bytes(f"{blank}Test Time / s,Voltage / V,Current / A\n0,3.6,1\n1,3.\n2,3.6,1\n".encode(), "log.csv")
    assert caught.value.place == f"line {3 + blank.count(chr(10))}"


@pytest.mark.parametrize("file_name", FORMAT_OF)
def test_the_spectra_of_a_measurement_are_the_points_of_its_table(samples: dict[str, str], file_name: str) -> None:
    measurement = read_bytes(samples[file_name].encode(), file_name)
    points = [
        (number, frequency, ohm.real, ohm.imag)
        for number, spectrum in enumerate(measurement.spectra)
        for frequency, ohm in zip(*spectrum, strict=True)
    ]
    assert bool(points) == (measurement.kind == "impedance")
    if points:
        rows = measurement.table.to_pydict()
        assert points == list(zip(*(rows[name] for name in IMPEDANCE_COLUMNS), strict=True))


def test_what_a_measurement_tells_does_not_depend_on_the_order_of_the_questions(samples: dict[str, str]) -> None:
    data = samples["gamry.dta"].encode()
    first, second = read_bytes(data, "a.dta"), read_bytes(data, "a.dta")
    warnings = first.warnings
    assert second.table == first.table
    assert (second.warnings, second.metadata, second.instrument) == (warnings, first.metadata, first.instrument)
    assert second.source_sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("control", [0, 8, 14, 26, 28, 31])
@pytest.mark.parametrize("place", [0, 4095, 4096, (1 << 17) - 1, 1 << 17, 300_000])
def test_a_byte_that_no_text_has_is_found_wherever_it_stands(control: int, place: int) -> None:
    content = bytearray(b"1.5\t\r\n" * 60_000)
    assert binary_position(bytes(content)) is None
    content[place] = control
    assert binary_position(bytes(content)) == place
    assert binary_position(bytes(content[: place + 1])) == place
