"""What is closed leaves no trace: passports that differ in closed things alone have the same views, byte by byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.electrochemistry.condition import METRICS
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.compiled import canonical_json
from battery_pilot.passport.completeness import completeness_of
from battery_pilot.passport.documents import Attachment, Document
from battery_pilot.passport.evidence import Evidence
from battery_pilot.passport.exports import FORMS, export_view
from battery_pilot.passport.facts import Marking
from battery_pilot.passport.life import Life, LifeEvent
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from battery_pilot.passport.building import Passport

BASE = "https://example.com/dbp"
PURPOSES = st.sampled_from(
    ["test_report", "dismantling_manual", "waste_prevention", "company_logo", "product_image", "accident_report",
     "declaration_of_conformity", "carbon_footprint_study", "marking", "other"]
)  # fmt: skip


def documents_of(tiers: list[Tier], names: str) -> st.SearchStrategy[list[Document]]:
    """Documents of the model or of the battery, whose tier is one of these or what their purpose demands."""
    drawn = st.lists(st.tuples(PURPOSES, st.sampled_from(tiers), st.booleans()), max_size=3)
    return drawn.map(lambda some: [document(f"{names}-{number}", *one) for number, one in enumerate(some)])


def document(name: str, purpose: Any, tier: Tier, is_own: bool) -> Document:
    whose = {"battery_id": "Cell_7"} if is_own else {"model_id": "INR-21/50"}
    digest = name.encode().hex().rjust(64, "0")
    attachment = Attachment(name=name, content_type="image/png", sha256=digest, byte_count=len(name))
    made = Document(document_id=name, purpose=purpose, title=f"Title {name}", attachment=attachment, **whose)
    tier = tier if is_visible(made.lowest_tier, tier) else made.lowest_tier
    return made.model_copy(update={"tier": tier})


@st.composite
def closed_to_the_public(draw: Any) -> dict[str, Any]:
    accident = LifeEvent(battery_id="Cell_7", event="accident", occurred_on="2025-01-01", document_id="SECRET-4")
    return {
        "item": {
            "put_into_service_on": draw(st.sampled_from([None, "2024-05-01"])),
            "status": draw(st.sampled_from(["Original", "Reused"])),
        },
        "parts": draw(st.integers(0, 2)),
        "materials": draw(st.booleans()),
        "metrics": draw(st.sets(st.sampled_from(sorted(METRICS)))),
        "life": draw(st.sampled_from([Life(), Life(events=(accident,))])),
        "evidence": draw(st.booleans()),
    }


def forms(view: Passport, folder: Path) -> Iterator[tuple[str, bytes]]:
    """All that leaves the house of a view."""
    yield "json", canonical_json(view)
    yield "absent", repr(view.absent).encode()
    yield "completeness", repr(completeness_of(view)).encode()
    for form in FORMS:
        written = export_view(view, form)
        yield form, json.dumps([written.content, [str(one) for one in written.missing]]).encode()
    without_content = view.attachments  # what the package would hold
    yield "files", repr(without_content).encode()
    if not without_content:
        write_aasx(view, folder / "p.aasx")
        yield "aasx", (folder / "p.aasx").read_bytes()


@pytest.mark.parametrize("tier", [Tier.PUBLIC, Tier.LEGITIMATE_INTEREST])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_closed_changes_nothing_in_a_more_open_view(
    battery_model, battery_item, facts, evidence, condition, operator, tmp_path, tier, data
):
    closed = [one for one in Tier if not is_visible(one, tier)]
    shown = data.draw(documents_of(list(Tier), "open"))

    def drawn_view() -> dict[str, bytes]:
        # Identifiers before and after the open ones, because lists are sorted by them.
        hidden = [*data.draw(documents_of(closed, "a-secret")), *data.draw(documents_of(closed, "z-secret"))]
        hidden = [one for one in hidden if not is_visible(one.effective_tier, tier)]
        model_documents = tuple(one for one in (*shown, *hidden) if one.model_id)
        picture = next((one.document_id for one in model_documents if one.purpose == "marking"), None)
        report = data.draw(st.sampled_from([(), ("SECRET-1",), ("SECRET-1", "SECRET-2")]))
        item = battery_item.model_copy(update={"test_report_ids": report})
        own_facts, own_evidence, own_condition, life = facts, evidence, condition, Life()
        if tier is Tier.PUBLIC:
            choice = data.draw(closed_to_the_public())
            item = item.model_copy(update=choice["item"])
            life = choice["life"]
            own_evidence = evidence if choice["evidence"] else Evidence()
            values = {name: value for name, value in condition.values.items() if name in choice["metrics"]}
            own_condition = condition.model_copy(update={"values": values})
            materials = [one for one in facts.materials if one.is_critical or choice["materials"]]
            changes = {"spare_parts": facts.spare_parts[: choice["parts"]], "materials": tuple(materials)}
            own_facts = facts.model_copy(update=changes)
        markings = (*facts.markings, Marking(model_id="INR-21/50", name="X", document_id=picture))
        own_facts = own_facts.model_copy(update={"documents": model_documents, "markings": markings})
        own_evidence = own_evidence.model_copy(
            update={"documents": tuple(one for one in (*shown, *hidden) if one.battery_id)}
        )
        passport = build_passport(
            battery_model, item, own_condition, base=BASE, facts=own_facts, evidence=own_evidence,
            operator=operator, life=life,
        )  # fmt: skip
        return dict(forms(passport.view(tier), tmp_path))

    first, second = drawn_view(), drawn_view()
    assert first == second


def test_a_closed_document_of_a_battery_does_not_show_in_the_id_of_an_open_part(
    battery_model, battery_item, condition, facts
):
    accident = document("ACC-1", "accident_report", Tier.LEGITIMATE_INTEREST, is_own=True)
    passport = build_passport(
        battery_model, battery_item, condition, base=BASE, facts=facts, evidence=Evidence(documents=(accident,))
    )
    of_model = f"{BASE}/EX%2001/models/INR-21%2F50/sm/handover-documentation"
    assert passport.view(Tier.PUBLIC).identifiers.submodels["HandoverDocumentation"] == of_model
    assert of_model not in passport.view(Tier.LEGITIMATE_INTEREST).identifiers.submodels.values()


def test_a_closed_logo_does_not_take_the_place_of_an_open_one(battery_model, battery_item, condition, facts):
    logos = (
        document("A", "company_logo", Tier.AUTHORITY, is_own=False),
        document("B", "company_logo", Tier.PUBLIC, is_own=False),
    )
    passport = build_passport(
        battery_model, battery_item, condition, base=BASE, facts=facts.model_copy(update={"documents": logos})
    )
    shown = {one.path for one in passport.view(Tier.PUBLIC).elements}
    assert "TechnicalData.GeneralInformation.CompanyLogo" in shown
