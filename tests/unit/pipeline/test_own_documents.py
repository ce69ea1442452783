"""A battery with documents of its own has the documents' part for itself; all others share that of the model."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.errors import PassportError
from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.documents import Attachment, Document
from battery_pilot.passport.evidence import Evidence
from battery_pilot.passport.facts import ModelFacts
from battery_pilot.passport.reading import read_passport
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.owners import Owners, is_shared
from battery_pilot.pipeline.subjects import passport_of

AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
FILE = Attachment(name="x.pdf", content_type="application/pdf", sha256="a" * 64, byte_count=3)


def document(**owner: str) -> Document:
    name = next(iter(owner.values()))
    return Document(**owner, document_id=f"D-{name}", purpose="other_manual", title=name, attachment=FILE)


@pytest.fixture
def read(subject_of, base):
    """Return the passport of a battery as a consumer reads it."""
    facts = ModelFacts(documents=(document(model_id="INR-21/50"),))

    def build(battery_id, *own):
        subject = subject_of(battery_id, AS_OF).model_copy(
            update={"facts": facts, "evidence": Evidence(documents=own)}
        )
        return read_passport(canonical_json(passport_of(subject, base)))

    return build


def documents_of(passport):
    return next(one for one in passport.submodels if one["idShort"] == "HandoverDocumentation")


def test_a_consumer_takes_both_kinds_of_batteries_of_one_model(lake, read):
    owners = Owners(journal_of(lake))
    passports = [read("BP-1"), read("BP-2", document(battery_id="BP-2")), read("BP-3")]
    for passport in passports:
        owners.claim(passport, "provider")
    assert [is_shared(documents_of(passport), passport) for passport in passports] == [True, False, True]
    assert documents_of(passports[0]) == documents_of(passports[2])
    identifiers = [value for path, value in passports[1].values.items() if path.endswith("DocumentIdentifier")]
    assert identifiers == ["D-BP-2", "D-INR-21/50"]


def test_a_battery_cannot_bring_the_documents_of_another(lake, read):
    owners = Owners(journal_of(lake))
    owners.claim(read("BP-2", document(battery_id="BP-2")), "provider")
    foreign = read("BP-1", document(battery_id="BP-1"))
    taken = documents_of(read("BP-2", document(battery_id="BP-2")))["id"]
    documents_of(foreign)["id"] = taken
    with pytest.raises(PassportError, match="is part of one battery"):
        owners.claim(foreign, "stranger")
