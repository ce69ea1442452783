from __future__ import annotations

import hashlib

import pytest

from battery_pilot.errors import InputError
from battery_pilot.lake import Lake, read_lines
from battery_pilot.pipeline.documents import keep_documents

CONTENT = b"%PDF-1.7 manual"


@pytest.fixture
def record(tmp_path):
    source = tmp_path / "landing" / "BP-1.pdf"
    source.parent.mkdir()
    source.write_bytes(CONTENT)
    return {
        "battery_id": "BP-1",
        "model_id": None,
        "source_path": str(source),
        "source_sha256": hashlib.sha256(CONTENT).hexdigest(),
        "format": "pdf",
        "byte_count": len(CONTENT),
    }


def test_one_content_is_kept_once_and_every_record_names_its_copy(tmp_path, record):
    lake = Lake(tmp_path / "lake")
    assert keep_documents([record, {**record, "battery_id": "BP-2"}], lake, tmp_path / "table") == 2
    records = list(read_lines(tmp_path / "table" / "documents.jsonl"))
    assert [one["battery_id"] for one in records] == ["BP-1", "BP-2"]
    (copy,) = {one["kept_as"] for one in records}
    assert (lake.root / copy).read_bytes() == CONTENT
    assert len([path for path in (lake.root / "documents").rglob("*") if path.is_file()]) == 1


def test_a_file_that_changed_since_it_was_looked_at_is_not_kept(tmp_path, record):
    with pytest.raises(InputError, match="changed while it was processed"):
        keep_documents([{**record, "byte_count": 3}], Lake(tmp_path / "lake"), tmp_path / "table")


def test_without_documents_there_is_an_empty_table(tmp_path):
    assert keep_documents([], Lake(tmp_path / "lake"), tmp_path / "table") == 0
    assert list(read_lines(tmp_path / "table" / "documents.jsonl")) == []
