"""Batteries and their models as entities of FIWARE Orion (NGSI-v2), by the table of :mod:`entity_table`."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.passport.identifiers import slug
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline.entity_table import BATTERY, BATTERY_MODEL, EntityRow, entity_rows
from battery_pilot.services.ngsi import FORBIDDEN_IN_VALUES, attribute, entity_id

if TYPE_CHECKING:
    from battery_pilot.passport.model import Prediction
    from battery_pilot.passport.reading import ReadPassport
    from battery_pilot.services.ngsi import Attribute, Entity, Value

log = logging.getLogger(__name__)

ENTITY_TYPE = BATTERY


def battery_entity(
    passport: ReadPassport,
    left_out: list[str] | None = None,
    *,
    tier: Tier = Tier.AUTHORITY,
    named_by_path: bool = False,
) -> Entity:
    """Return the entity of a battery: the values that change with its life, each with unit, time and provenance.

    :param left_out: is given the paths of the values that Orion would refuse and the entity goes without.
    :param tier: leave out what its readers may not see.
    :param named_by_path: name attributes by their path in the passport, as the FIWARE AAS Agent does.
    """
    identity = {"id": battery_entity_id(passport.battery_id), "type": BATTERY}
    return identity | _attributes(BATTERY, passport, left_out, tier, named_by_path)


def model_entity(
    passport: ReadPassport,
    left_out: list[str] | None = None,
    *,
    tier: Tier = Tier.AUTHORITY,
    named_by_path: bool = False,
) -> Entity | None:
    """Return the entity of a battery's model, or ``None`` if the passport names no model; arguments as above."""
    identifier = _model_id(passport)
    if identifier is None:
        return None
    identity = {"id": identifier, "type": BATTERY_MODEL}
    return identity | _attributes(BATTERY_MODEL, passport, left_out, tier, named_by_path)


def prediction_entity(battery_id: str, prediction: Prediction) -> Entity:
    """Return the part of a battery's entity that holds a prediction."""
    name = f"predicted__{prediction.metric}"
    values: dict[str, float | str | datetime] = {
        name: prediction.value,
        f"{name}__lower": prediction.lower,
        f"{name}__upper": prediction.upper,
        f"{name}__forTime": prediction.for_time,
        f"{name}__modelVersion": prediction.model_version,
    }
    return {
        "id": battery_entity_id(battery_id),
        "type": BATTERY,
        **{key: attribute(value) for key, value in values.items()},
    }


def battery_entity_id(battery_id: str) -> str:
    """Return the id of a battery's entity; no two batteries share one, and attribute ``batteryId`` is the way back."""
    return entity_id(slug(battery_id))


def model_entity_id(model_iri: str) -> str:
    """Return the id of a model's entity."""
    return entity_id(slug(model_iri), BATTERY_MODEL)


def _attributes(
    entity_type: str, passport: ReadPassport, left_out: list[str] | None, tier: Tier, named_by_path: bool
) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for row in entity_rows(entity_type):
        if not is_visible(row.tier, tier):
            continue
        try:
            written = _attribute(row, passport)
        except InputError as error:
            log.warning("battery %s goes without %s: %s", passport.battery_id, row.source, error)
            if left_out is not None:
                left_out.append(row.source)
            continue
        if written is not None:
            found[row.path_name if named_by_path else row.attribute] = written
    return found


def _attribute(row: EntityRow, passport: ReadPassport) -> Attribute | None:
    """Return a row's attribute for one passport, or ``None`` where it has no value."""
    value = _fact(row.source, passport) if row.source.startswith("@") else passport.values.get(row.source)
    if value is None:
        return None
    if row.type == "DateTime" and isinstance(value, str):
        value = moment_of(value, row.source)
    written = attribute(value, **_notes(row, passport))
    if row.type == "Relationship" and not FORBIDDEN_IN_VALUES.intersection(str(value)):
        written["type"] = row.type
    return written


def _fact(source: str, passport: ReadPassport) -> Value | None:
    facts: dict[str, Value | None] = {
        "@battery_id": passport.battery_id,
        "@shell_id": passport.shell["id"],
        "@model": _model_id(passport),
        "@model_iri": _model_iri(passport),
        "@as_of": passport.as_of,
        "@sha256": passport.sha256,
    }
    return facts[source]


def _notes(row: EntityRow, passport: ReadPassport) -> dict[str, Any]:
    """Return the metadata of a value: its unit, time, method and uncertainty, as far as the passport has them."""
    notes: dict[str, Any] = {}
    if row.unit_code:
        notes["unitCode"] = row.unit_code
    if row.source.startswith("@") or row.entity == BATTERY_MODEL:
        return notes
    observed = passport.values.get(row.observed)
    notes["as_of"] = moment_of(str(observed), row.observed) if observed is not None else passport.as_of
    for name in ("Method", "Uncertainty"):
        value = passport.values.get(f"{row.provenance}.{name}")
        if value is not None:
            notes[name.lower()] = value
    return notes


def moment_of(text: str, path: str) -> datetime:
    """Return the point in time that a date or time of a passport means; a day or a time without a zone is in UTC.

    :param path: where the text stands, for the message.
    :raises InputError: it is neither.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.combine(date.fromisoformat(text.rstrip("Z")), datetime.min.time())
        except ValueError as error:
            raise InputError(f"{path}: {text[:40]!r} is neither a date nor a time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _model_iri(passport: ReadPassport) -> str | None:
    iri = passport.shell["assetInformation"].get("assetType")
    return None if iri is None else str(iri)


def _model_id(passport: ReadPassport) -> str | None:
    iri = _model_iri(passport)
    return model_entity_id(iri) if iri else None
