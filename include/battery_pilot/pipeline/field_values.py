"""From the context broker back to the twins: values that applications have written there.

A value counts as an application's if it is not the one that was sent last (the same value with the same time); its time is
its ``dateObserved``, or that of the write where the application left ours beside it. Only attributes that the mapping calls
writable go back, only values later than the twin's, and with them goes the provenance of the value that they replace. What
is on the twin then is older than nothing in the broker, so it is neither applied nor sent a second time.

What the twin's server was sent and what it shows then differ on purpose: the submodels are noted as in doubt, so that the next
state of the battery is sent whole and a comparison of the present one does not take the application's value for a fault.
"""

from __future__ import annotations

import copy
import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

from battery_pilot.errors import InputError, NotFound
from battery_pilot.passport.identifiers import submodel_id
from battery_pilot.passport.lexical import to_xsd, utc_text
from battery_pilot.passport.mapping import part_of
from battery_pilot.passport.model import Status
from battery_pilot.pipeline.broker_sync import CHUNK, is_later, time_shown
from battery_pilot.pipeline.entities import moment_of
from battery_pilot.pipeline.entity_table import BATTERY, writable_rows
from battery_pilot.services.aas_pushed import PushedDocument
from battery_pilot.services.aas_twin import MOST_VALUES
from battery_pilot.services.aas_values import changed_properties, fingerprint
from battery_pilot.services.ngsi import attributes_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from battery_pilot.passport.lexical import Value
    from battery_pilot.pipeline.contracts import ContractJournal
    from battery_pilot.pipeline.entity_table import EntityRow
    from battery_pilot.pipeline.sent_entities import Sent, SentEntities
    from battery_pilot.services.aas_pushed import PushedStates
    from battery_pilot.services.aas_server import AasServer
    from battery_pilot.services.ngsi import Entity
    from battery_pilot.services.orion import Orion

log = logging.getLogger(__name__)

METHOD = "written by an application into the context broker"
CLOCK_TOLERANCE_SECOND = 86_400
"""How far an application's clock may be ahead of ours."""

STATE_TIME = "DppMetadata.lastUpdate"
"""Time of the values that have none of their own."""

STAGE = "BatteryNameplate.LifeCycleStage"

Document = dict[str, Any]


@dataclass(frozen=True)
class FieldValue:
    """A value that an application has written.

    :param row: the attribute.
    :param value: the value, in the attribute's unit.
    :param observed: when it was true.
    """

    row: EntityRow
    value: Value
    observed: datetime


def apply_field_values(
    journal: ContractJournal, broker: Orion, sent: SentEntities, server: AasServer, states: PushedStates
) -> dict[str, int]:
    """Write the values of applications to the twins; a second run changes nothing.

    :param journal: whose the twins are; entities of other shells are none of our business.
    :param broker: where applications write.
    :param sent: what we sent there.
    :param server: where the twins are.
    :param states: what that server was sent.
    :return: ``applied`` (values), ``refused`` (values that the passport cannot hold), ``twins``.
    """
    shells = journal.twins().keys()
    counts = {"applied": 0, "refused": 0, "twins": 0}
    for entity, known in _with_known(broker.entities(BATTERY, modified=True), sent):
        shell_id = str(entity.get("refAAS", {}).get("value", ""))
        found = list(field_values(entity, known))
        if found and shell_id in shells:
            applied, refused = _apply(server, states, shell_id, found)
            counts["applied"] += applied
            counts["refused"] += refused
            counts["twins"] += bool(applied)
    log.info("field values: %(applied)d applied to %(twins)d twins, %(refused)d refused", counts)
    return counts


def field_values(entity: Entity, known: Sent | None) -> Iterator[FieldValue]:
    """Yield what applications have written into an entity.

    :param entity: as the broker shows it, with ``dateModified``.
    :param known: what was sent of it; where that is not known, nothing is taken for an application's.
    """
    rows = writable_rows()
    for name, shown in attributes_of(entity).items():
        if known is None or name not in rows or (known.wrote(name, shown) and known.dated(name, shown)):
            continue
        observed, value = time_shown(name, shown, entity, known), value_of(shown)
        if observed is None or value is None or isinstance(value, datetime):
            continue
        if (observed - datetime.now(UTC)).total_seconds() > CLOCK_TOLERANCE_SECOND:
            log.warning("%s of %s is of %s, which is to come: not taken", name, entity["id"], observed.isoformat())
            continue
        yield FieldValue(rows[name], value, observed)


def _with_known(entities: Iterable[Entity], sent: SentEntities) -> Iterator[tuple[Entity, Sent | None]]:
    iterator = iter(entities)
    while chunk := list(islice(iterator, CHUNK)):
        known = sent.of(one["id"] for one in chunk)
        for one in chunk:
            yield one, known.get(one["id"])


def _apply(server: AasServer, states: PushedStates, shell_id: str, values: list[FieldValue]) -> tuple[int, int]:
    """Write values to the submodels of one twin and return how many were applied and refused."""
    by_submodel: dict[str, list[FieldValue]] = defaultdict(list)
    for one in values:
        for path in filter(None, (one.row.source, one.row.observed or STATE_TIME, one.row.provenance)):
            if one not in by_submodel[path.partition(".")[0]]:
                by_submodel[path.partition(".")[0]].append(one)
    submodels: dict[str, Document] = {}
    for name in by_submodel:
        identifier = submodel_id(shell_id.removesuffix("/aas"), part_of(name).segment)
        try:
            submodels[name] = server.get_submodel(identifier)
        except NotFound:
            log.debug("twin %s has no %s", shell_id, name)
    before = copy.deepcopy(submodels)
    applied = refused = 0
    for one in values:
        try:
            applied += _set(submodels, one)
        except InputError as error:
            refused += 1
            log.warning("twin %s: %s", shell_id, error)
    changed = [name for name, submodel in submodels.items() if submodel != before[name]]
    states.doubt([], [PushedDocument(submodels[name]["id"], shell_id, "", None) for name in changed])
    for name in changed:
        _send(server, before[name], submodels[name])
    return applied, refused


def _send(server: AasServer, before: Document, after: Document) -> None:
    """Send what has changed of a submodel: single values where they are few, else all of it."""
    changes = changed_properties(fingerprint(before), after)
    if changes is None or len(changes) > MOST_VALUES:
        server.put_submodel(after)
        return
    for path, element in changes:
        server.put_property(after["id"], path, element)


def _set(submodels: dict[str, Document], value: FieldValue) -> bool:
    """Set a value with its time in the submodels, unless they have a later one; tell whether they changed.

    :raises InputError: the twin has no such element, or the element cannot hold the value.
    """
    row = value.row
    element = _element(submodels, row.source)
    if element is None:
        raise InputError(f"{row.source} is not in the twin: a field value replaces one that the passport has")
    text = _text(value, str(element["valueType"]))
    time = _element(submodels, row.observed or STATE_TIME)
    if time is not None and not is_later(value.observed, moment_of(str(time["value"]), row.observed)):
        return False
    if not row.observed and element.get("value") == text:
        return False
    if time is not None and row.observed:
        time["value"] = utc_text(value.observed)
    element["value"] = text
    provenance = _element(submodels, row.provenance) if row.provenance else None
    if provenance is not None:
        _renew(provenance, value)
    return True


def _renew(provenance: Document, value: FieldValue) -> None:
    """Let the provenance tell of the new value: uncertainty and files were of the old one."""
    provenance["value"] = [one for one in provenance["value"] if one["idShort"] not in ("Uncertainty", "SourceFiles")]
    for one in provenance["value"]:
        if one["idShort"] == "AsOf":
            one["value"] = utc_text(value.observed)
        elif one["idShort"] == "Method":
            one["value"] = METHOD


def _text(value: FieldValue, value_type: str) -> str:
    """Return a value in the lexical form of its element.

    :raises InputError: the element cannot hold it.
    """
    row = value.row
    source = part_of(row.source.partition(".")[0]).by_path[row.source]
    is_number = isinstance(value.value, int | float) and not isinstance(value.value, bool)
    if is_number != (row.type == "Number"):
        raise InputError(f"{row.attribute} is {value.value!r}: expected a {row.type}")
    if is_number:
        number = float(value.value)
        fault = source.fault(number)
        if fault is not None:
            raise InputError(f"{row.attribute}: {fault}")
        exact: Value = int(number) if value_type.startswith("xs:unsigned") else number
        return to_xsd(exact, value_type)
    if row.source == STAGE and value.value not in get_args(Status):
        raise InputError(f"{row.attribute} is {value.value!r}: expected one of {', '.join(get_args(Status))}")
    return str(value.value)


def _element(submodels: dict[str, Document], path: str) -> Document | None:
    name, *steps = path.split(".")
    found: Document | None = submodels.get(name)
    for step in steps:
        if found is None:
            return None
        children = found.get("submodelElements") or found.get("value") or []
        found = next((one for one in children if one.get("idShort") == step), None)
    return found
