"""Building a passport from a battery's facts, and the views of it that may leave the house."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from battery_pilot.errors import PassportError
from battery_pilot.passport.filling import Absent, Element, Sources, checked_text, fill
from battery_pilot.passport.identifiers import Identifiers, derive_identifiers
from battery_pilot.passport.mapping import is_visible, parent_path, parts
from battery_pilot.passport.model import BatteryItem, BatteryModel, Prediction, Tier
from battery_pilot.passport.predictions import in_order

if TYPE_CHECKING:
    from datetime import datetime

    from battery_pilot.electrochemistry.condition import Condition

MAXIMUM_CAPACITY_RATIO = 1.2
"""A remaining capacity above this multiple of the rated one is taken for a mistake: a wrong cell or a wrong unit."""


@dataclass(frozen=True)
class Passport:
    """A passport, or a view of one.

    :param battery_id: name of the battery in the source data.
    :param as_of: the point in time whose state it describes.
    :param tier: the tier whose view it is; a whole passport is the authority's view.
    :param identifiers: its ids.
    :param elements: filled rows in the tables' order, every container before its content.
    :param absent: mandatory elements without data.
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
            if not element.row.is_container and is_visible(element.row.tier, tier):
                path = element.path
                while path and path not in kept:
                    kept.add(path)
                    path = parent_path(path)
        return replace(
            self,
            tier=tier if is_visible(tier, self.tier) else self.tier,
            elements=tuple(element for element in self.elements if element.path in kept),
            absent=tuple(absent for absent in self.absent if is_visible(absent.tier, tier)),
        )


@dataclass(frozen=True)
class _Identity:
    product_uri: str
    passport_id: str


def build_passport(
    model: BatteryModel,
    item: BatteryItem,
    condition: Condition,
    *,
    base: str,
    predictions: tuple[Prediction, ...] = (),
) -> Passport:
    """Build the whole passport of one battery at one point in time.

    The same input gives the same passport on every machine; nothing depends on the clock. A measured value that cannot
    be true (a state of charge of 300 %) stays out, with what depends on it, and is listed as absent.

    :param model: facts of the battery's model.
    :param item: facts of the battery.
    :param condition: its state.
    :param base: absolute IRI below which the ids live, such as ``https://example.com/dbp``.
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
    identifiers = derive_identifiers(base, model, item)
    sources = Sources(
        category=model.category,
        roots={
            "model": model,
            "item": item,
            "condition": _plausible(condition, model),
            "identity": _Identity(identifiers.asset, identifiers.shell),
            "predictions": in_order(predictions),
        },
    )
    filled = [fill(part, sources) for part in parts()]
    return Passport(
        battery_id=item.battery_id,
        as_of=condition.as_of,
        tier=Tier.AUTHORITY,
        identifiers=identifiers,
        elements=tuple(element for one in filled for element in one.elements),
        absent=tuple(absent for one in filled for absent in one.absent),
    )


def _plausible(condition: Condition, model: BatteryModel) -> Condition:
    """Move the values that cannot be true from the values to the absent ones."""
    faults: dict[str, str] = {}
    for row in (row for part in parts() for row in part.rows):
        head, _, metric = row.source.partition(".")
        measured = condition.values.get(metric) if head == "condition" else None
        fault = row.fault(measured.value) if measured else None
        if fault:
            faults.setdefault(metric, fault)
    capacity = condition.values.get("remaining_capacity_ah")
    if capacity and capacity.value > MAXIMUM_CAPACITY_RATIO * model.rated_capacity_ah:
        faults.setdefault(
            "remaining_capacity_ah",
            f"{capacity.value:g} Ah is implausible: above {MAXIMUM_CAPACITY_RATIO:g} times the rated "
            f"{model.rated_capacity_ah:g} Ah",
        )
    if not faults:
        return condition
    values = {metric: value for metric, value in condition.values.items() if metric not in faults}
    return condition.model_copy(update={"values": values, "absent": {**condition.absent, **faults}})
