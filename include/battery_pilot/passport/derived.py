"""Values that follow from several facts: what the sources ``derived.…`` of the mapping tables stand for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.passport.documents import Tiered
from battery_pilot.passport.mapping import OWN_IDS, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from battery_pilot.electrochemistry.condition import Condition
    from battery_pilot.passport.facts import ModelFacts
    from battery_pilot.passport.model import BatteryModel


@dataclass(frozen=True)
class PowerAt:
    """A power capability at a state of charge."""

    state_of_charge_percent: int
    power_watt: float


@dataclass(frozen=True)
class RemainingPower:
    """The power capability of today at the highest state of charge that there is one for.

    :param state_of_charge_percent: 80 or 20.
    :param power_watt: the power.
    :param as_of: when the battery was in that state.
    """

    state_of_charge_percent: int
    power_watt: float
    as_of: datetime


@dataclass(frozen=True)
class StatedMarking:
    """A marking as the nameplate states it: a row of the table ``markings``, or just a name of the battery's row."""

    name: str
    certificate: str | None = None
    issued_on: str | None = None
    expires_on: str | None = None
    additional_text: str | None = None
    picture: Tiered | None = None


def stated_markings(facts: ModelFacts, names: Iterable[str]) -> tuple[StatedMarking, ...]:
    """Return the markings of a battery, each name once, in the order of the master data.

    :param facts: the model's markings and documents.
    :param names: markings that the battery's own row names.
    """
    pictures = {
        one.document_id: Tiered(one.attachment, one.effective_tier) for one in facts.documents if one.attachment
    }
    stated = [
        StatedMarking(
            one.name,
            one.certificate,
            one.issued_on,
            one.expires_on,
            one.additional_text,
            pictures.get(one.document_id or ""),
        )
        for one in facts.markings
    ]
    described = {one.name for one in stated}
    return tuple(stated + [StatedMarking(name) for name in names if name not in described])


def remaining_power(condition: Condition) -> RemainingPower | None:
    """Return the remaining power capability; the template has room for one state of charge."""
    for percent in (80, 20):
        measured = condition.values.get(f"power_at_{percent}_percent_charge_watt")
        if measured is not None:
            return RemainingPower(percent, measured.value, measured.as_of)
    return None


def _original_power_capability(roots: Mapping[str, Any]) -> list[PowerAt]:
    model: BatteryModel = roots["model"]
    known = ((80, model.original_power_watt_at_80_percent_soc), (20, model.original_power_watt_at_20_percent_soc))
    return [PowerAt(soc, power) for soc, power in known if power is not None]


def _temperature_as_of(roots: Mapping[str, Any]) -> datetime | None:
    return max(
        (
            measured.as_of
            for metric, measured in roots["condition"].values.items()
            if metric == "mean_temperature_celsius" or metric.endswith("_idle_range_minute")
        ),
        default=None,
    )


def _content_specification_ids(roots: Mapping[str, Any]) -> tuple[Tiered, ...]:
    """Return the semantic ids of the published parts that passports are made of; who may not see a part is not told."""
    del roots
    published = [part.submodel for part in parts() if not part.submodel.semantic_id.startswith(OWN_IDS)]
    return tuple(Tiered(row.semantic_id, row.tier) for row in published)


DERIVED: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "as_of": lambda roots: roots["identity"].as_of,
    "content_specification_ids": _content_specification_ids,
    "economic_operator_id": lambda roots: roots["item"].operator_id or roots["model"].manufacturer_id,
    "one": lambda roots: 1.0,  # noqa: ARG005
    "original_power_capability": _original_power_capability,
    "temperature_as_of": _temperature_as_of,
}
