from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


@pytest.fixture
def lines(samples: dict[str, str]) -> list[str]:
    return samples["ecochemie.dfr"].split("\n")


def test_the_points_are_read_with_the_sign_of_the_imaginary_part(
    lines: list[str], spectrum: list[tuple[float, complex]]
) -> None:
    measurement = read_bytes("\n".join(lines).encode(), "a.dfr")
    assert measurement.table["frequency_hertz"].to_pylist() == [frequency for frequency, _ in spectrum]
    assert measurement.table["imaginary_impedance_ohm"].to_pylist() == [z.imag for _, z in spectrum]
    assert measurement.metadata.started_at is None


def test_another_version_is_read_with_a_warning(lines: list[str]) -> None:
    lines[0] = "VERSION4.9"
    warnings = read_bytes("\n".join(lines).encode(), "a.dfr").warnings
    assert warnings == ("The file is of version '4.9' and was read as version 8.0.",)


def test_the_content_counts_and_not_the_name(lines: list[str]) -> None:
    assert read_bytes("\n".join(lines).encode(), "renamed.txt").format == "ecochemie-dfr"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_does_not_matter(lines: list[str], encoding: str) -> None:
    assert read_bytes("\n".join(lines).encode(encoding), "a.dfr").format == "ecochemie-dfr"


@pytest.mark.parametrize("count", ["17", "2147483648", "9" * 5000])
def test_more_points_than_lines_are_refused(lines: list[str], count: str) -> None:
    lines[1] = count
    with pytest.raises(MeasurementError, match="line 1(54|48)"):
        read_bytes("\n".join(lines).encode(), "a.dfr")


@pytest.mark.parametrize("position", [5, 60, 146])
def test_a_missing_line_is_refused(lines: list[str], position: int) -> None:
    del lines[position]
    with pytest.raises(
        MeasurementError, match="line 150: expected a number, found '13.07.2022 22:32:00': lines are m"
    ):
        read_bytes("\n".join(lines).encode(), "a.dfr")


@pytest.mark.parametrize("position", [5, 60, 146])
def test_a_doubled_line_is_refused(lines: list[str], position: int) -> None:
    lines.insert(position, lines[position])
    with pytest.raises(MeasurementError, match="line 151: expected a date behind 16 points, found ' 1.0'"):
        read_bytes("\n".join(lines).encode(), "a.dfr")


def test_a_line_without_a_number_is_refused_with_its_place(lines: list[str]) -> None:
    lines[4] = "x"
    with pytest.raises(MeasurementError, match="line 5: expected a number, found 'x'"):
        read_bytes("\n".join(lines).encode(), "a.dfr")
