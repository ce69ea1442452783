from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest


@pytest.fixture
def laboratory(tmp_path, impedance_file, cycling_file):
    folder = tmp_path / "laboratory"
    folder.mkdir()
    for source in (impedance_file, cycling_file):
        (folder / source.name).write_bytes(source.read_bytes())
    (folder / "manual.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")
    (folder / "prose.txt").write_text("Dear diary, today nothing happened.\n")
    return folder


def test_a_folder_is_counted_by_format_with_its_rejects(run, laboratory):
    answer = run("read", laboratory, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["files"] == 4
    counts = {name: one["files"] for name, one in answer.json["formats"].items()}
    assert counts == {"impedance-csv (impedance)": 1, "bdf-csv (cycling)": 1, "pdf (document)": 1}
    assert all(type(count) is int for one in answer.json["formats"].values() for count in one.values())
    (reject,) = answer.json["rejects"]
    assert reject["file"].endswith("prose.txt")
    assert "unknown format" in reject["reason"]


def test_a_folder_is_printed_as_a_table_with_the_reasons_of_rejects(run, laboratory):
    answer = run("read", laboratory)
    assert answer.code == 0
    assert "bdf-csv (cycling)" in answer.out
    assert "rejected" in answer.out
    assert f"{laboratory / 'prose.txt'}: line 1: unknown format" in answer.out


def test_the_table_of_a_file_is_written_as_parquet(run, tmp_path, cycling_file):
    answer = run("read", cycling_file, "--out", tmp_path / "table.parquet", "--json")
    assert answer.code == 0
    assert pq.read_table(tmp_path / "table.parquet").num_rows == answer.json["rows"]


def test_the_tables_of_a_folder_are_written_and_never_over_others(run, tmp_path, laboratory):
    out = tmp_path / "tables"
    assert run("read", laboratory, "--out", out).code == 0
    assert set(pq.read_table(out)["kind"].to_pylist()) == {"impedance", "cycling"}
    answer = run("read", laboratory, "--out", out)
    assert answer.code == 1
    assert "exists already" in answer.err


def test_a_folder_without_anything_to_read_fails(run, tmp_path):
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "prose.txt").write_text("Dear diary\n")
    assert run("read", tmp_path / "only", "--json").code == 1


def test_a_document_tells_its_type_and_has_no_table(run, laboratory, tmp_path):
    answer = run("read", laboratory / "manual.pdf", "--json")
    assert answer.code == 0
    assert list(answer.json) == ["kind", "format", "instrument", "metadata", "warnings"]
    assert (answer.json["kind"], answer.json["metadata"]["content_type"]) == ("document", "application/pdf")
    answer = run("read", laboratory / "manual.pdf", "--out", tmp_path / "table.parquet")
    assert answer.code == 1
    assert "has no table" in answer.err


def test_formats_lists_every_format_with_its_kinds(run):
    answer = run("formats", "--json")
    assert answer.code == 0
    kinds = {row["format"]: row["kinds"] for row in json.loads(answer.out)}
    assert kinds["gamry-dta"]
    assert kinds["biologic-mpr"] == ["impedance", "cycling"]
    assert "gamry-dta" in run("formats").out
