"""Building a passport from a battery's facts, and the views of it that may leave the house."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import PassportError
from battery_pilot.passport.derived import remaining_power, stated_markings
from battery_pilot.passport.documents import Attachment, DocumentLists
from battery_pilot.passport.evidence import Evidence
from battery_pilot.passport.facts import ModelFacts, Operator
from battery_pilot.passport.filling import Absent, Element, Filled, Sources, checked_text, fill
from battery_pilot.passport.identifiers import Identifiers, derive_identifiers
from battery_pilot.passport.life import NO_LIFE, Life
from battery_pilot.passport.mapping import RANKS, is_visible, parent_path, parts
from battery_pilot.passport.model import BatteryItem, BatteryModel, Prediction, Tier
from battery_pilot.passport.plausible import plausible
from battery_pilot.passport.predictions import in_order

if TYPE_CHECKING:
    from datetime import datetime

    from battery_pilot.electrochemistry.condition import Condition

_DOCUMENTS = "handover-documentation"

NO_FACTS = ModelFacts()
NO_EVIDENCE = Evidence()


@dataclass(frozen=True)
class Passport:
    """A passport, or a view of one.

    :param battery_id: name of the battery in the source data.
    :param as_of: the point in time whose state it describes.
    :param tier: the tier whose view it is; a whole passport is the authority's view.
    :param identifiers: its ids.
    :param elements: filled rows in the tables' order, every container before its content.
    :param absent: mandatory elements without data; a view tells none, because why an element is not in the view (there is
        none, or it is for others) is not for its readers.
    """

    battery_id: str
    as_of: datetime
    tier: Tier
    identifiers: Identifiers
    elements: tuple[Element, ...]
    absent: tuple[Absent, ...]

    def view(self, tier: Tier) -> Passport:
        """Return what a reader of the tier may see; containers that would be empty vanish.

        :param tier: the reader's tier; a view can be narrowed but never widened.
        """
        kept: set[str] = set()
        for element in self.elements:
            if not element.row.is_container and is_visible(element.tier, tier):
                path = element.path
                while path and path not in kept:
                    kept.add(path)
                    path = parent_path(path)
        return replace(
            self,
            tier=tier if is_visible(tier, self.tier) else self.tier,
            identifiers=self.identifiers.seen_by(tier),
            elements=tuple(element for element in self.elements if element.path in kept),
            absent=self.absent if is_visible(self.tier, tier) else (),
        )

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The files that travel in the package, each content once, by location."""
        found = {one.file.location: one.file for one in self.elements if one.file and one.file.is_packaged}
        return tuple(found[location] for location in sorted(found))


@dataclass(frozen=True)
class _Identity:
    product_uri: str
    passport_id: str
    as_of: datetime


def build_passport(
    model: BatteryModel,
    item: BatteryItem,
    condition: Condition,
    *,
    base: str,
    facts: ModelFacts = NO_FACTS,
    operator: Operator | None = None,
    evidence: Evidence = NO_EVIDENCE,
    life: Life = NO_LIFE,
    predictions: tuple[Prediction, ...] = (),
) -> Passport:
    """Build the whole passport of one battery at one point in time.

    The same input gives the same passport on every machine; nothing depends on the clock. A measured value that cannot
    be true (a state of charge of 300 %) stays out, with what depends on it, and is listed as absent.

    :param model: facts of the battery's model.
    :param item: facts of the battery.
    :param condition: its state.
    :param base: absolute IRI below which the ids live, such as ``https://example.com/dbp``.
    :param facts: further facts of the model: materials, suppliers, footprints, documents.
    :param operator: who answers for the battery, where the master data describe that.
    :param evidence: documents of this battery alone, and the measurement files behind its condition.
    :param life: what happened to it besides measurements.
    :param predictions: predicted values, in any order.
    :raises PassportError: the facts are not about the same battery, or a text of them cannot be written.
    :raises InputError: no ids can be derived from base, manufacturer, serial number or model.
    """
    if item.battery_id != condition.battery_id:
        raise PassportError(
            f"battery {item.battery_id}: the condition handed in is of battery {condition.battery_id}"
        )
    if item.model_id != model.model_id:
        raise PassportError(f"battery {item.battery_id}: it is of model {item.model_id}, not of {model.model_id}")
    checked_text(item.battery_id, "battery id")
    item = life.applied_to(item)
    as_of = life.as_of(condition.as_of)
    own_documents = min((one.effective_tier for one in evidence.documents), key=RANKS.__getitem__, default=None)
    identifiers = derive_identifiers(base, model, item, own_documents=own_documents)
    condition = plausible(condition, model)
    sources = Sources(
        category=model.category,
        roots={
            **_model_roots(model, facts),
            "item": item,
            "condition": condition,
            "remaining_power": remaining_power(condition),
            "identity": _Identity(identifiers.asset, identifiers.shell, as_of),
            "operator": operator,
            "evidence": evidence,
            "predictions": in_order(predictions),
            "life": life,
            "markings": stated_markings(facts, item.marking_names),
            "documents": _documents(model, item, facts, evidence, life),
        },
    )
    shared = _model_parts(model, _Same(facts))
    if evidence.documents:
        shared = {segment: filled for segment, filled in shared.items() if segment != _DOCUMENTS}
    filled = [shared.get(part.segment) or fill(part, sources) for part in parts()]
    return Passport(
        battery_id=item.battery_id,
        as_of=as_of,
        tier=Tier.AUTHORITY,
        identifiers=identifiers,
        elements=tuple(element for one in filled for element in one.elements),
        absent=tuple(absent for one in filled for absent in one.absent),
    )


def _documents(
    model: BatteryModel, item: BatteryItem, facts: ModelFacts, evidence: Evidence, life: Life
) -> DocumentLists:
    """Return the documents of a battery: those of its model, its own, and those that its row names."""
    named = {
        "declaration_of_conformity": item.declaration_of_conformity_ids,
        "test_report": item.test_report_ids,
        "accident_report": life.accident_document_ids,
    }
    return DocumentLists((*facts.documents, *evidence.documents), model.manufacturer_id, named)


def _model_roots(model: BatteryModel, facts: ModelFacts) -> dict[str, Any]:
    """Return the roots of what all batteries of a model share; no document of one battery is among them."""
    documents = DocumentLists(facts.documents, model.manufacturer_id, {})
    return {
        "model": model,
        "facts": facts,
        "documents": documents,
        "model_documents": documents,
        "files": documents,
        # There is room for one; a closed one must not take the place of an open one.
        "logo": min(documents.files("company_logo"), key=lambda one: RANKS[one.tier], default=None),
    }


class _Same:
    """Facts as a key: equal where they are the same object, because comparing contents costs as much as filling.

    :param facts: the facts.
    """

    def __init__(self, facts: ModelFacts) -> None:
        self.facts = facts

    def __hash__(self) -> int:
        return id(self.facts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.facts is self.facts


@lru_cache(maxsize=64)
def _model_parts(model: BatteryModel, same: _Same) -> dict[str, Filled]:
    """Fill the parts that all batteries of a model share, once for all of them."""
    sources = Sources(category=model.category, roots=_model_roots(model, same.facts))
    return {part.segment: fill(part, sources) for part in parts() if part.is_of_model}
