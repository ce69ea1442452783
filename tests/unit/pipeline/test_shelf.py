from __future__ import annotations

import hashlib
import logging
from pathlib import PurePosixPath

import pytest

from battery_pilot.errors import InputError
from battery_pilot.lake import write_lines
from battery_pilot.passport.documents import DocumentEntry
from battery_pilot.passport.master import MasterData
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline import shelf as module
from battery_pilot.pipeline.documents import kept_file
from battery_pilot.pipeline.shelf import Shelf, content_of, purpose_in

MODEL = "INR-21/50"
PDF = b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\n%%EOF\n"


@pytest.fixture
def land(lake):
    """Leave in the lake what the process stage leaves of documents."""

    def write(window, *records):
        staged = lake.staging()
        write_lines(staged / "documents.jsonl", records)
        lake.publish("documents", window, staged)

    return write


def landed(path: str, content: bytes = PDF, model_id: str | None = MODEL, battery_id: str | None = None):
    return {
        "model_id": model_id,
        "battery_id": battery_id,
        "source_path": path,
        "source_sha256": hashlib.sha256(content).hexdigest(),
        "format": "pdf",
        "content_type": "application/pdf",
        "title": None,
        "byte_count": len(content),
    }


def row(**changes: object) -> DocumentEntry:
    known = {"document_id": "D-1", "model_id": MODEL, "purpose": "dismantling_manual", "title": "How to dismantle"}
    return DocumentEntry(**{**known, **changes})


def master_of(model, *entries: DocumentEntry) -> MasterData:
    return MasterData({model.model_id: model}, {}, documents=entries)


def test_row_finds_the_file_that_landed_for_its_model(lake, january, land, model, tmp_path):
    land(january, landed(f"landing/2026-01-05/{MODEL}/steps.pdf"), landed("x/steps.pdf", b"other", None, "BP-1"))
    shelf = Shelf(lake, january, master_of(model, row(file="steps.pdf")), tmp_path)
    (document,) = shelf.facts_of(MODEL).documents
    assert (document.document_id, document.attachment.sha256) == ("D-1", hashlib.sha256(PDF).hexdigest())
    assert document.effective_tier is Tier.LEGITIMATE_INTEREST


def test_row_finds_a_file_in_the_folder_of_the_master_data_and_keeps_it_in_the_lake(lake, january, model, tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "steps.pdf").write_bytes(PDF)
    shelf = Shelf(lake, january, master_of(model, row(file="documents/steps.pdf")), tmp_path)
    (document,) = shelf.facts_of(MODEL).documents
    assert content_of(lake, document.attachment).read_bytes() == PDF
    assert content_of(lake, document.attachment) == kept_file(lake, hashlib.sha256(PDF).hexdigest(), "pdf")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [("../secret.pdf", PDF, "lies outside of"), ("table.pdf", b"a,b\n1,2\n", "carries nothing else")],
)
def test_file_that_must_not_be_taken_is_one_sentence(lake, january, model, tmp_path, name, content, words):
    folder = tmp_path / "master"
    folder.mkdir()
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        Shelf(lake, january, master_of(model, row(file=name)), folder)


def test_file_that_has_not_arrived_is_named_without_contents(lake, january, model, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        shelf = Shelf(lake, january, master_of(model, row(file="later.pdf")), tmp_path)
    assert shelf.facts_of(MODEL).documents[0].attachment is None
    assert "later.pdf has neither landed" in caplog.text


def test_address_is_linked(lake, january, model, tmp_path):
    shelf = Shelf(lake, january, master_of(model, row(url="https://example.com/a/steps.pdf")), tmp_path)
    (document,) = shelf.facts_of(MODEL).documents
    assert (document.attachment.location, document.attachment.content_type) == (
        "https://example.com/a/steps.pdf",
        "application/pdf",
    )


def test_document_without_a_row_takes_its_purpose_from_its_place_and_is_closed_otherwise(
    lake, january, land, model, tmp_path
):
    land(
        january,
        landed("landing/2026-01-05/BP-1/accident_report/x.pdf", b"1", None, "BP-1"),
        landed("landing/2026-01-05/BP-1_notes.pdf", b"2", None, "BP-1"),
        landed("landing/2026-01-06/BP-1_notes again.pdf", b"2", None, "BP-1"),
    )
    found = {one.purpose: one for one in Shelf(lake, january, master_of(model), tmp_path).of_battery("BP-1")}
    assert found.keys() == {"accident_report", "other"}
    assert found["other"].effective_tier is Tier.AUTHORITY
    assert found["other"].languages == ("und",)
    assert found["other"].document_id == f"sha256-{hashlib.sha256(b'2').hexdigest()[:16]}"


def test_later_landings_are_not_known_yet_and_newer_contents_replace_older_ones(
    lake, january, february, land, model, tmp_path
):
    land(january, landed("landing/manual/steps.pdf", b"old"))
    land(february, landed("landing/manual/steps.pdf", b"new"))
    master = master_of(model, row(file="steps.pdf"))
    digests = [
        Shelf(lake, window, master, tmp_path).facts_of(MODEL).documents[0].attachment.sha256
        for window in (january, february)
    ]
    assert digests == [hashlib.sha256(content).hexdigest() for content in (b"old", b"new")]


def test_too_many_files_are_named_and_not_carried(lake, january, land, model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAXIMUM_FILES_EACH", 2)
    land(january, *(landed(f"landing/{number}.pdf", bytes([number])) for number in range(5)))
    documents = Shelf(lake, january, master_of(model), tmp_path).facts_of(MODEL).documents
    assert [one.attachment is not None for one in documents] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("path", "purpose"),
    [
        ("NMC/dismantling_manual/steps.pdf", "dismantling_manual"),
        ("NMC/Dismantling Manual v2.pdf", "dismantling_manual"),
        ("test_report/safety-instructions.pdf", "safety_instructions"),
        ("NMC/predrawings.pdf", "other"),
        ("NMC/model 3D.step", "model_3d"),
    ],
)
def test_purpose_is_what_the_name_or_a_folder_says(path, purpose):
    assert purpose_in(PurePosixPath(path)) == purpose
