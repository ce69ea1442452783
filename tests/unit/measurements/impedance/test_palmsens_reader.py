from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


@pytest.fixture
def session(samples: dict[str, str]) -> dict[str, Any]:
    return json.loads(samples["palmsens.pssession"])


def encoded(session: dict[str, Any]) -> bytes:
    """As PSTrace writes it: UTF-16 with a byte order mark at the beginning and another at the end."""
    return (json.dumps(session) + "\ufeff").encode("utf-16")


def in_small_letters(node: Any) -> Any:
    if isinstance(node, dict):
        return {key.lower(): in_small_letters(value) for key, value in node.items()}
    return [in_small_letters(item) for item in node] if isinstance(node, list) else node


def arrays(measurement: dict[str, Any]) -> list[dict[str, Any]]:
    return measurement["DataSet"]["Values"]


def shifted(data_set: dict[str, Any], offset: float) -> dict[str, Any]:
    """A copy whose direct voltage and real part are higher."""
    copy = json.loads(json.dumps(data_set))
    for array in copy["Values"]:
        if array["ArrayType"] in (1, 7):
            for value in array["DataValues"]:
                value["V"] += offset
    return copy


def test_a_spectrum_is_read_with_the_sign_of_its_imaginary_part(
    session: dict[str, Any], spectrum: list[tuple[float, complex]]
) -> None:
    table = read_bytes(encoded(session), "a.pssession").table
    assert table["frequency_hertz"].to_pylist() == [frequency for frequency, _ in spectrum]
    assert table["imaginary_impedance_ohm"].to_pylist() == [z.imag for _, z in spectrum]


def test_the_facts_of_the_session_are_read(session: dict[str, Any]) -> None:
    measurement = read_bytes(encoded(session), "a.pssession")
    assert measurement.instrument == "PalmSens EmStat4HR"
    assert measurement.metadata.known() == {
        "battery_id": "CELL-13",
        "channel": "7",
        "instrument_software": "PSTrace 5.11.1006.19013",
        "technique": "eis",
        "started_at": "2025-07-31T13:54:28.922140+00:00",
        "dc_bias_volt": 3.7,
    }
    assert measurement.warnings == ()


def test_older_sessions_have_keys_in_small_letters(session: dict[str, Any]) -> None:
    older = read_bytes(encoded(in_small_letters(session)), "a.pssession")
    newer = read_bytes(encoded(session), "a.pssession")
    assert older.table.drop(["source_sha256"]) == newer.table.drop(["source_sha256"])
    assert older.metadata == newer.metadata


def test_a_time_without_zone_is_taken_as_utc_with_a_warning(session: dict[str, Any]) -> None:
    del session["Measurements"][0]["UTCTimeStamp"]
    measurement = read_bytes(encoded(session), "a.pssession")
    assert measurement.metadata.started_at == "2025-07-31T15:54:28.922140+00:00"
    assert measurement.metadata.time_zone == "assumed UTC"
    assert measurement.warnings == ("Times without a zone were taken as UTC.",)


@pytest.mark.parametrize("ticks", [None, "later", -1, 0, 10**30])
def test_an_impossible_time_is_no_time(session: dict[str, Any], ticks: Any) -> None:
    session["Measurements"][0].update(UTCTimeStamp=ticks, TimeStamp=ticks)
    measurement = read_bytes(encoded(session), "a.pssession")
    assert measurement.metadata.started_at is None
    assert measurement.table["measured_at"].null_count == measurement.table.num_rows


def test_scans_and_channels_are_spectra_of_their_own(session: dict[str, Any]) -> None:
    measurement = session["Measurements"][0]
    own = measurement["DataSet"]
    measurement["EISDataList"] = [
        {"Title": f"CH {channel}: scan", "SubScans": [{"DataSet": shifted(own, step)} for step in (0, 0.5)]}
        for channel in (3, 5)
    ]
    found = read_bytes(encoded(session), "a.pssession")
    assert found.table["spectrum_index"].to_pylist() == [index for index in range(4) for _ in range(16)]
    assert found.warnings == (
        "The spectra are of the channels 3, 5, one after another.",
        "The direct voltage was between 3.7 V and 4.2 V; the table does not tell it.",
    )


def test_each_measurement_has_its_own_time(session: dict[str, Any]) -> None:
    later = json.loads(json.dumps(session["Measurements"][0]))
    later["UTCTimeStamp"] += 10_000_000 * 3600
    session["Measurements"].append(later)
    times = read_bytes(encoded(session), "a.pssession").table["measured_at"].to_pylist()
    first = datetime(2025, 7, 31, 13, 54, 28, 922140, tzinfo=UTC)
    assert times == [first] * 16 + [first.replace(hour=14)] * 16


def test_what_was_recorded_wins_over_what_was_plotted(session: dict[str, Any]) -> None:
    measurement = session["Measurements"][0]
    measurement["EISDataList"][0]["DataSet"] = shifted(measurement["DataSet"], 1.0)
    found = read_bytes(encoded(session), "a.pssession")
    assert found.table["real_impedance_ohm"][0].as_py() < 1
    assert found.warnings == ("Measurement 1 plots other points than it recorded; the recorded ones were read.",)


def test_other_techniques_are_left_out_with_a_warning(session: dict[str, Any]) -> None:
    session["Measurements"].append({"Title": "Cyclic Voltammetry", "Method": "METHOD_ID=cv", "EISDataList": []})
    warnings = read_bytes(encoded(session), "a.pssession").warnings
    assert warnings == ("1 measurements that are no impedance (Cyclic Voltammetry (cv)) were left out.",)


def test_a_session_of_other_techniques_is_refused_by_their_names(session: dict[str, Any]) -> None:
    session["Measurements"] = [{"Title": "Cyclic Voltammetry", "Method": "METHOD_ID=cv"}]
    with pytest.raises(MeasurementError, match=r"no impedance in the session, which holds Cyclic Voltammetry \(cv\)"):
        read_bytes(encoded(session), "a.pssession")


@pytest.mark.parametrize("value", [None, "1.0", True, [], 10**400])
def test_a_value_that_is_no_number_is_refused(session: dict[str, Any], value: Any) -> None:
    arrays(session["Measurements"][0])[2]["DataValues"][3] = {"V": value}
    with pytest.raises(MeasurementError, match="measurement 1: .*expected numbers"):
        read_bytes(encoded(session), "a.pssession")


def test_columns_of_unequal_length_are_refused(session: dict[str, Any]) -> None:
    del arrays(session["Measurements"][0])[1]["DataValues"][0]
    with pytest.raises(MeasurementError, match="15 frequencies, 16 real and 16 imaginary parts"):
        read_bytes(encoded(session), "a.pssession")


def test_another_unit_is_a_warning(session: dict[str, Any]) -> None:
    arrays(session["Measurements"][0])[1]["Unit"]["Type"] = "PalmSens.Units.KiloHertz"
    assert (
        "Values in the unit 'KiloHertz' were taken as those of Hertz."
        in read_bytes(encoded(session), "a.pssession").warnings
    )


@pytest.mark.parametrize(
    ("end", "problem"),
    [
        ("[" * 5000 + '"' + "x" * 50_000 + '"', "nested deeper"),
        ("[" + "{}," * 100_000 + "0]}", "more brackets"),
        ("9" * 5000 + "}", "a number longer"),
        ('{"a', "character .*truncated or damaged JSON"),
    ],
)
def test_hostile_json_is_refused(end: str, problem: str) -> None:
    with pytest.raises(MeasurementError, match=problem):
        read_bytes(('{"Type":"PalmSens.DataFiles.SessionFile","Measurements":' + end).encode(), "a.pssession")


@pytest.mark.parametrize("content", ["[]", "{}", "0", "null", '"x"', '[{"EISDataList":{"SubScans":3}}]', "[[], 1]"])
def test_json_of_another_shape_is_refused(content: str) -> None:
    text = '{"Type":"PalmSens.DataFiles.SessionFile","Measurements":' + content + "}"
    with pytest.raises(MeasurementError, match="no impedance in the session"):
        read_bytes(text.encode(), "a.pssession")


def test_a_huge_session_is_refused_unread(monkeypatch: pytest.MonkeyPatch, session: dict[str, Any]) -> None:
    monkeypatch.setattr("battery_pilot.measurements.impedance.palmsens._LARGEST_BYTES", 1 << 10)
    with pytest.raises(MeasurementError, match="export its impedance measurements alone"):
        read_bytes(encoded(session), "a.pssession")
