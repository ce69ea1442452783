from __future__ import annotations

import math
import os
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot import measurements
from battery_pilot.electrochemistry.condition import Ratings
from battery_pilot.pipeline.parse import CHUNK_ROWS, Known, latest_time, parse, rejected, schema

ARRIVED = datetime(2026, 1, 31, tzinfo=UTC)
KNOWN = Known(frozenset({"BP-0001", "BP-0002", "Zelle-ä"}), frozenset({"M-50"}))
LOG = "Test Time / s,Voltage / V,Current / A,Cycle Count / 1\n0,3.6,1.5,1\n10,3.7,1.5,1\n20,3.8,-1.5,2\n"
SPECTRUM_HEAD = "frequency / Hz,Z' / ohm,Z'' / ohm\n"


def spectrum(real_ohm=0.02):
    """A resistance in series with 30 mohm and 0.5 F in parallel."""
    rows = []
    for step in range(16):
        frequency = 10.0 ** (4 - step / 3)
        impedance = real_ohm + 0.03 / (1 + 2j * math.pi * frequency * 0.03 * 0.5)
        rows.append(f"{frequency!r},{impedance.real!r},{impedance.imag!r}")
    return rows


@pytest.fixture
def parsed(tmp_path, january):
    """Write a file, parse it and return all records; every batch has the schema of the lake."""

    def run(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return records_of(path, january)

    return run


def records_of(path, window):
    batches = list(parse(path, ARRIVED, KNOWN, latest_time(window)))
    assert all(batch.schema == schema() for batch in batches)
    return [record for batch in batches for record in batch.to_pylist()]


def only_reject(records):
    (record,) = records
    assert record["kind"] == "file"
    assert record["battery_id"] is None
    assert record["reason"]
    return record["reason"]


def test_an_accepted_file_gives_one_file_record_and_all_its_rows_with_the_battery(parsed):
    first, *rows = parsed("BP-0002_log.csv", f"# started_at=2026-01-10T06:00:00Z\n{LOG}")
    assert (first["kind"], first["reason"], first["format"], first["battery_id"]) == (
        "file", None, "bdf-csv", "BP-0002",
    )  # fmt: skip
    assert first["warnings"] == []
    assert [row["kind"] for row in rows] == ["cycling"] * 3
    assert {row["battery_id"] for row in rows} == {"BP-0002"}
    assert {row["source_sha256"] for row in rows} == {first["source_sha256"]}
    assert [row["current_ampere"] for row in rows] == [1.5, 1.5, -1.5]
    assert [row["measured_at"] for row in rows] == [datetime(2026, 1, 10, 6, 0, s, tzinfo=UTC) for s in (0, 10, 20)]


def test_a_check_up_is_a_record_with_its_pulses(tmp_path, january):
    program = [(0.0, 4.2)] * 10 + [(-0.1, 4.19 - 0.00165 * row) for row in range(720)] + [(0.0, 3.1)] * 5
    program += [(-1.0, 3.0), (0.0, 3.1), (-1.0, 3.0), (0.0, 3.1)]
    seconds = [60 * row for row in range(735)] + [44041, 44100, 44101, 44160]
    rows = "\n".join(f"{second},{volt},{ampere}" for second, (ampere, volt) in zip(seconds, program, strict=True))
    path = tmp_path / "BP-0001.csv"
    path.write_text(f"# started_at=2026-01-10T06:00:00Z\nTest Time / s,Voltage / V,Current / A\n{rows}\n")
    ratings = {"BP-0001": Ratings(rated_capacity_ah=2, minimum_voltage_volt=3, maximum_voltage_volt=4.2)}
    known = Known(KNOWN.batteries, ratings=ratings)
    records = [row for batch in parse(path, ARRIVED, known, latest_time(january)) for row in batch.to_pylist()]
    (check_up,) = [one for one in records if one["kind"] == "checkup"]
    pulses = [one for one in records if one["kind"] == "pulse"]
    assert check_up["discharge_test_ah"] == pytest.approx(1.2, rel=0.01)
    assert (check_up["discharge_test_c_rate"], check_up["charge_test_ah"]) == (pytest.approx(0.05), None)
    assert check_up["started_at"] == datetime(2026, 1, 10, 6, 9, tzinfo=UTC)
    assert (check_up["pulse_count"], len(pulses)) == (2, 2)
    assert [one["immediate_resistance_ohm"] for one in pulses] == pytest.approx([0.1, 0.1])
    assert {one["battery_id"] for one in (check_up, *pulses)} == {"BP-0001"}


def test_the_battery_that_the_file_states_stands_on_every_row(parsed):
    records = parsed("some.csv", f"# battery_id=BP-0001\n{LOG}")
    assert {record["battery_id"] for record in records} == {"BP-0001"}


def test_without_a_time_the_landing_day_is_taken_and_said_so(parsed):
    first, *rows = parsed("BP-0001.csv", LOG)
    assert first["warnings"] == ["no time of measurement in the file: the landing day 2026-01-31 is taken"]
    assert [row["measured_at"] for row in rows] == [datetime(2026, 1, 31, 0, 0, s, tzinfo=UTC) for s in (0, 10, 20)]


def test_a_spectrum_without_a_time_gets_the_landing_day_too(parsed):
    first, *rows = parsed("BP-0001.csv", SPECTRUM_HEAD + "\n".join(spectrum()) + "\n")
    assert "the landing day 2026-01-31 is taken" in first["warnings"][0]
    assert {row["measured_at"] for row in rows} == {ARRIVED}


def test_a_file_measured_after_the_end_of_its_window_is_rejected(parsed):
    reason = only_reject(parsed("BP-0001.csv", f"# started_at=2026-03-01T00:00:00Z\n{LOG}"))
    assert reason.startswith("measured at 2026-03-01T00:00:20")
    assert "after the end of its landing window" in reason


def test_a_file_measured_late_on_the_other_side_of_the_world_is_accepted(parsed):
    assert parsed("BP-0001.csv", f"# started_at=2026-02-01T13:59:00Z\n{LOG}")[0]["reason"] is None
    assert "after the end" in only_reject(parsed("BP-0001.csv", f"# started_at=2026-02-01T14:00:00Z\n{LOG}"))


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00Z", "1904-01-01T00:00:00Z"])
def test_a_file_measured_before_there_were_instruments_is_rejected(parsed, start):
    assert "before 1970: check the instrument's clock" in only_reject(
        parsed("BP-0001.csv", f"# started_at={start}\n{LOG}")
    )


@pytest.mark.parametrize("second", ["1e12", "-1e12", "1e300"])
def test_a_test_time_of_centuries_is_a_wrong_number_and_no_fault_of_the_reader(parsed, second):
    log = LOG.replace("\n20,", f"\n{second},")
    for head in ("", "# started_at=2026-01-10T06:00:00Z\n"):
        assert "is more than a hundred years: check the unit" in only_reject(parsed("BP-0001.csv", head + log))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("foreign.csv", LOG, "unknown battery: no battery of the master data is named in it"),
        ("foreign.csv", f"# battery_id=XX-9\n{LOG}", "unknown battery: battery 'XX-9' is not in the master data"),
        ("BP-0001.csv", "", "file: empty file, expected a measurement"),
        ("BP-0001.csv", " \n\n", "file: empty file, expected a measurement"),
        ("BP-0001.csv", LOG.replace("10,3.7,1.5,1", "10,3."), "line 3: "),
        ("BP-0001.csv", LOG.partition("\n")[0] + "\n", "table: no data rows; the file is truncated or empty"),
        ("BP-0001.csv", b"\x7fELF\x02\x01\x00\x00\x00", "byte 4: binary content"),
        ("BP-0001.csv", "Dear diary, today nothing happened.\n", "line 1: unknown format"),
        ("BP-0001_BP-0002.csv", LOG, "ambiguous name 'BP-0001_BP-0002': it holds the ids BP-0001 and BP-0002"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_record_with_the_reason(parsed, tmp_path, name, content, reason):
    found = only_reject(parsed(name, content))
    assert reason in found
    assert not found.startswith(str(tmp_path))


def test_a_file_that_vanished_is_one_record_with_the_reason(tmp_path, january):
    assert "cannot be opened" in only_reject(records_of(tmp_path / "BP-0001.csv", january))


def test_a_file_that_may_not_be_read_is_one_record_with_the_reason(tmp_path, january, monkeypatch):
    def refuse(path, flags):
        raise PermissionError(13, "Permission denied", str(path))

    path = tmp_path / "BP-0001.csv"
    path.write_text(LOG)
    monkeypatch.setattr(os, "open", refuse)
    assert "Permission denied" in only_reject(records_of(path, january))


def test_a_folder_in_place_of_a_file_is_one_record_with_the_reason(tmp_path, january):
    (tmp_path / "BP-0001.csv").mkdir()
    assert "cannot be opened" in only_reject(records_of(tmp_path / "BP-0001.csv", january))


@pytest.mark.parametrize("error", [TypeError("unexpected"), MemoryError(), RecursionError("too deep")])
def test_a_crash_of_a_reader_costs_one_file_and_is_told(parsed, monkeypatch, error):
    def crash(data, name):
        raise error

    monkeypatch.setattr(measurements, "read_bytes", crash)
    reason = only_reject(parsed("BP-0001.csv", LOG))
    assert reason == f"the reader failed ({type(error).__name__}: {error}): please report the file"


def test_a_half_written_file_is_not_counted_because_the_whole_one_will_come(parsed):
    reason = only_reject(parsed("BP-0001.csv", LOG[:-12]))
    assert reason.startswith("Half-written file: it ends inside a row")
    assert "Deliver the whole file" in reason


PDF = b"%PDF-1.7\n1 0 obj <</Title (Manual)>> endobj\n%%EOF\n"


@pytest.mark.parametrize(
    ("name", "owner"),
    [("BP-0001_manual.pdf", ("BP-0001", None)), ("M-50 drawing.pdf", (None, "M-50"))],
)
def test_a_document_belongs_to_the_battery_or_else_the_model_that_its_path_names(parsed, name, owner):
    file, document = parsed(name, PDF)
    assert (file["kind"], file["reason"], document["kind"]) == ("file", None, "document")
    assert (document["battery_id"], document["model_id"]) == owner
    assert (document["content_type"], document["title"]) == ("application/pdf", "Manual")
    assert document["byte_count"] == len(PDF)


def test_a_document_that_names_no_owner_is_rejected_with_the_remedy(parsed):
    assert "put the id into the file's name or folder" in only_reject(parsed("manual.pdf", PDF))


def test_a_file_name_that_is_no_text_can_be_told(tmp_path, january):
    path = tmp_path / os.fsdecode(b"BP-0001_\xff.csv")
    try:
        path.write_text(LOG)
    except OSError:
        pytest.skip("this file system takes only names that are UTF-8")
    records = records_of(path, january)
    assert records[0]["source_path"] == f"{tmp_path}/BP-0001_\\udcff.csv"
    assert len(records) == 4
    assert rejected(path, f"{path} is bad").to_pylist()[0]["reason"].endswith("_\\udcff.csv is bad")


def test_every_spectrum_of_a_file_is_analysed(parsed):
    heading = "freq/Hz\tRe(Z)/Ohm\t-Im(Z)/Ohm\tcycle number"
    rows = [
        "\t".join([*row.split(",")[:2], repr(-float(row.split(",")[2])), str(cycle)])
        for cycle, real_ohm in ((1, 0.02), (2, 0.025), (3, 0.03))
        for row in spectrum(real_ohm)
    ]
    head = "EC-Lab ASCII FILE\nNb header lines : 4\nTechnique started on : 01/14/2026 10:02:46\n"
    records = parsed("BP-0001.mpt", head + "\n".join([heading, *rows]) + "\n")
    assert [record["kind"] for record in records].count("impedance") == 48
    found = [record for record in records if record["kind"] == "spectrum"]
    assert [one["spectrum_index"] for one in found] == [0, 1, 2]
    assert all(one["kramers_kronig_valid"] for one in found)
    assert all(one["measured_at"] == datetime(2026, 1, 14, 10, 2, 46, tzinfo=UTC) for one in found)
    ohmic = [one["ohmic_resistance_ohm"] for one in found]
    assert ohmic == pytest.approx([0.02, 0.025, 0.03], rel=0.01)
    assert {one["battery_id"] for one in found} == {"BP-0001"}


def test_a_spectrum_that_cannot_be_analysed_keeps_its_points_and_is_a_warning(parsed):
    first, *rows = parsed("BP-0001.csv", SPECTRUM_HEAD + "\n".join(spectrum()[:5]) + "\n")
    assert [row["kind"] for row in rows] == ["impedance"] * 5
    assert any(warning.startswith("spectrum 0 was not analysed: ") for warning in first["warnings"])


def test_a_long_file_comes_in_batches_of_bounded_size(tmp_path, january):
    path = tmp_path / "BP-0001.csv"
    count = 2 * CHUNK_ROWS + 1
    rows = "".join(f"{second},3.6,1.5,1\n" for second in range(count))
    path.write_text(LOG.partition("\n")[0] + "\n" + rows)
    first, *batches = parse(path, ARRIVED, KNOWN, latest_time(january))
    assert first.num_rows == 1
    assert [batch.num_rows for batch in batches] == [CHUNK_ROWS, CHUNK_ROWS, 1]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.text(max_size=100).map(lambda text: (LOG + text).encode("utf-8", "surrogatepass")),
        st.integers(0, len(LOG)).map(lambda size: LOG[:size].encode()),
        st.tuples(st.integers(0, len(LOG) - 1), st.binary(min_size=1, max_size=3)).map(
            lambda change: LOG.encode()[: change[0]] + change[1] + LOG.encode()[change[0] + 1 :]
        ),
    )
)
def test_any_bytes_give_exactly_one_file_record(tmp_path, january, content):
    path = tmp_path / "BP-0001.csv"
    path.write_bytes(content)
    batches = list(parse(path, ARRIVED, KNOWN, latest_time(january)))
    kinds = [kind for batch in batches for kind in batch["kind"].to_pylist()]
    assert kinds[0] == "file"
    assert kinds.count("file") == 1
    assert len(kinds) == 1 or batches[0]["reason"][0].as_py() is None
