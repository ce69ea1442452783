"""Client of the FIWARE AAS Agent (iotagent-aas): entities as devices, their values as measures.

The agent's own way, reading the AAS server once at its start, does not keep a fleet up to date: it sees the first page of
shells, makes its attributes lazy, whose changes never notify anybody, and loses what is written to them. Here every entity
is provisioned as a device with active attributes, and its values are sent to the HTTP south port, so that Orion shows the
same as after :meth:`Orion.upsert`: the unit as a constant, the time, method and uncertainty of a value by expressions.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from battery_pilot.errors import Conflict, InputError, NotFound, ServerRefused
from battery_pilot.services.http import HttpClient
from battery_pilot.services.ngsi import attributes_of, write_entity
from battery_pilot.services.orion import EntityRefused, tenant_headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from battery_pilot.services.ngsi import Attribute, Entity
    from battery_pilot.services.orion import Orion

log = logging.getLogger(__name__)

RESOURCE = "/iot/aas"
CONSTANT_NOTES = frozenset({"unitCode"})
"""Metadata that belong to the attribute and not to a value of it."""

RESERVED = "TimeInstant"


class AasAgent:
    """One tenant and service path of an agent, and the Orion behind it: entities are written through it and read there.

    :param orion: the broker behind the agent, the same tenant and path.
    :param north_url: where devices are provisioned, port 4041.
    :param south_url: where measures go, port 7896.
    :param api_key: key of the devices; of one tenant and path only, because the south port knows no tenants.
    :param service: tenant (``Fiware-Service``).
    :param service_path: ``Fiware-ServicePath``.
    :raises InputError: the tenant or service path has characters that Orion refuses.
    """

    def __init__(
        self, orion: Orion, north_url: str, south_url: str, *, api_key: str, service: str, service_path: str = "/"
    ) -> None:
        self._orion = orion
        self._north = HttpClient(north_url, headers=tenant_headers(service, service_path))
        self._south = HttpClient(south_url)
        self._api_key = api_key
        self._has_group = False

    @property
    def place(self) -> str:
        """Which tenant and path of which server this is."""
        return self._orion.place

    def count(self, entity_type: str) -> int:
        """Return how many entities of a type there are."""
        return self._orion.count(entity_type)

    def read(self, entities: Sequence[Entity]) -> dict[str, Entity]:
        """Read entities; see :meth:`Orion.read`."""
        return self._orion.read(entities)

    def delete_attributes(self, entities: Iterable[Entity]) -> None:
        """Delete attributes; see :meth:`Orion.delete_attributes`."""
        self._orion.delete_attributes(entities)

    def upsert(self, entities: Iterable[Entity], *, refused: list[ServerRefused] | None = None) -> int:
        """Bring attributes of entities to the values given, each entity by two requests or a few more.

        :param refused: is given the refusal of each entity that is not taken, and the others go on; without it the
            first is raised.
        :return: how many entities were stored.
        :raises ServerRefused: the agent, or Orion behind it, refused.
        :raises InputError: an attribute has a name that the agent uses for itself.
        """
        count = 0
        for entity in entities:
            self._provide_group(entity["type"])
            try:
                self._send(self._provide_device(entity))
            except ServerRefused as refusal:
                if refused is None:
                    raise
                refused.append(EntityRefused(refusal, entity["id"]))
                log.warning("left an entity out: %s", refused[-1])
            else:
                count += 1
        return count

    def delete(self, identifiers: Iterable[str]) -> None:
        """Delete devices, and with them their entities; that one does not exist is no error."""
        for identifier in identifiers:
            try:
                self._north.request("DELETE", _device_path(identifier))
            except NotFound:
                log.debug("device %s is gone already", identifier)

    def _send(self, entity: Entity) -> None:
        self._south.request(
            "POST",
            RESOURCE,
            params={"k": self._api_key, "i": entity["id"]},
            json=measures(entity),
            idempotent=True,
        )

    def _provide_group(self, entity_type: str) -> None:
        """Make the group of the key known, which the south port asks for."""
        if self._has_group:
            return
        group = {"apikey": self._api_key, "resource": RESOURCE, "entity_type": entity_type}
        try:
            self._north.request("POST", "/iot/services", json={"services": [group]}, idempotent=True)
        except Conflict:
            log.debug("the agent has the group of the key already")
        self._has_group = True

    def _provide_device(self, entity: Entity) -> Entity:
        """Create the device of an entity, or make a new one where it lacks an attribute: such measures would be dropped.

        Changing a device (PUT) makes the agent send the definitions, expressions and all, to Orion, which refuses them.
        Deleting it deletes the entity too, so that all of its attributes have to be sent again.

        :return: the entity with the attributes to send.
        """
        wanted = device(entity, self._api_key)
        path = _device_path(entity["id"])
        try:
            known = self._north.get_json(path).get("attributes", [])
        except NotFound:
            self._north.request("POST", "/iot/devices", json={"devices": [wanted]})
            return entity
        if all(one in known for one in wanted["attributes"]):
            return entity
        whole = {**_as_sent(self.read([entity]).get(entity["id"], {})), **entity}
        self.delete([entity["id"]])
        self._north.request("POST", "/iot/devices", json={"devices": [device(whole, self._api_key)]})
        return whole


def device(entity: Entity, api_key: str) -> dict[str, Any]:
    """Return the device that stands for an entity: all of its attributes active, and no other attribute taken.

    :raises InputError: an attribute has a name that the agent uses for itself.
    """
    return {
        "device_id": entity["id"],
        "entity_name": entity["id"],
        "entity_type": entity["type"],
        "apikey": api_key,
        "transport": "HTTP",
        "attributes": [_definition(name, one) for name, one in attributes_of(entity).items()],
        "lazy": [],
        "commands": [],
        # The agent would write its own clock's time into everything.
        "timestamp": False,
        "explicitAttrs": True,
    }


def measures(entity: Entity) -> dict[str, Any]:
    """Return the measures of an entity: its values, and their times, methods and uncertainties under names of their own."""
    sent: dict[str, Any] = {}
    for name, one in attributes_of(entity).items():
        sent[name] = one["value"]
        for note, content in one.get("metadata", {}).items():
            if note not in CONSTANT_NOTES:
                sent[_note_name(name, note)] = content["value"]
    write_entity(entity)  # refuses what is not JSON, such as NaN
    return sent


def _definition(name: str, attribute: Attribute) -> dict[str, Any]:
    if name == RESERVED:
        raise InputError(f"the AAS Agent uses the attribute {RESERVED} for itself: send it the direct way")
    written: dict[str, Any] = {"object_id": name, "name": name, "type": attribute["type"]}
    notes = {
        note: content if note in CONSTANT_NOTES else {"type": content["type"], "expression": _note_name(name, note)}
        for note, content in attribute.get("metadata", {}).items()
    }
    if notes:
        written["metadata"] = notes
    return written


def _note_name(name: str, note: str) -> str:
    """Return the measure that carries a metadata: a word of the agent's expression language."""
    word = re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):x}_", name)
    return f"note_{word}_{note}"


def _as_sent(held: Entity) -> Entity:
    """Return an entity as it was sent: without what Orion adds."""
    return {
        "id": held.get("id"),
        "type": held.get("type"),
        **{
            name: {
                **one,
                "metadata": {note: content for note, content in one["metadata"].items() if note != "dateModified"},
            }
            for name, one in attributes_of(held).items()
        },
    }


def _device_path(identifier: str) -> str:
    return f"/iot/devices/{quote(identifier, safe='')}"
