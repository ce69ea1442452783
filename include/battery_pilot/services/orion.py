"""Client of FIWARE Orion (NGSI-v2): entities in batches, within Orion's limits, and what became of each."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from battery_pilot.errors import InputError, NotFound, ServerRefused
from battery_pilot.services.http import HttpClient
from battery_pilot.services.ngsi import FORBIDDEN_IN_VALUES, Entity, attributes_of, same_attribute, write_entity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from battery_pilot.services.answers import Answer

log = logging.getLogger(__name__)

# The default of Orion's -inReqPayloadMaxSize is 1 MiB.
DEFAULT_BATCH_BYTES = 900_000
DEFAULT_BATCH_COUNT = 500
PAGE_SIZE = 1000
"""Entities in an answer, of which Orion allows no more."""

NAMED_ENTITIES = 10
TENANT = re.compile(r"[a-z0-9_]{1,50}")
SERVICE_PATH = re.compile(r"/|(/[A-Za-z0-9_]{1,50}){1,10}")
LONGEST_DESCRIPTION = 1024

BATCH_START, BATCH_END = b'{"actionType":"append","entities":[', b"]}"

TOO_LARGE, WHOLLY_REFUSED, PARTLY_DONE = 413, 400, frozenset({404, 409, 422})
"""Statuses of a batch: above a limit, not looked into further, and carried out but for some entities.

Orion carries a batch out one entity after the other. From 3.11 on it says ``PartialUpdate`` (422) where some failed; before
that the answer is the error of one of them, as if nothing had been stored.
"""


class EntityRefused(ServerRefused):
    """Orion does not take an entity, whatever comes with it.

    :param refusal: what Orion said.
    :param identifier: id of the entity.
    """

    def __init__(self, refusal: ServerRefused, identifier: str) -> None:
        super().__init__(
            refusal.method, refusal.url, refusal.status, f"{refusal.detail} (entities sent: {identifier})"
        )
        self.identifier = identifier


class Orion:
    """One tenant and service path of an Orion. Threads may share it.

    :param base_url: where Orion listens, without ``/v2``.
    :param service: tenant (``Fiware-Service``), or ``None`` for the default one.
    :param service_path: ``Fiware-ServicePath``, such as ``/dbp``.
    :param auth: user name and password for HTTP Basic, for an Orion behind a proxy.
    :param headers: headers of every request, for example a token.
    :param batch_bytes: longest batch to send, at most what Orion's ``-inReqPayloadMaxSize`` accepts.
    :param batch_count: most entities in a batch.
    :param timeout_second: longest silence of the server.
    :param attempts: how often a repeatable request is tried.
    :param wait_second: expected wait before the second attempt.
    :raises InputError: the tenant or service path has characters that Orion refuses.
    """

    def __init__(
        self,
        base_url: str,
        *,
        service: str | None = None,
        service_path: str = "/",
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        batch_bytes: int = DEFAULT_BATCH_BYTES,
        batch_count: int = DEFAULT_BATCH_COUNT,
        timeout_second: float = 30,
        attempts: int = 4,
        wait_second: float = 0.5,
    ) -> None:
        tenant = tenant_headers(service, service_path)
        self._batch_bytes = batch_bytes
        self._batch_count = batch_count
        self._http = HttpClient(
            base_url,
            auth=auth,
            headers={**(headers or {}), **tenant},
            timeout_second=timeout_second,
            attempts=attempts,
            wait_second=wait_second,
        )
        self._place = f"{self._http.base_url} {service or ''} {service_path}"

    @property
    def place(self) -> str:
        """Which tenant and path of which server this is."""
        return self._place

    def upsert(self, entities: Iterable[Entity], *, refused: list[ServerRefused] | None = None) -> int:
        """Create entities or add and replace attributes of existing ones.

        Where Orion carries out a part of a batch only, the batch is read back, and what is not stored is sent again,
        each entity by itself, so that the refusal is known by its name.

        :param entities: entities in NGSI-v2's normalised form; consumed batch by batch.
        :param refused: is given the refusal of each entity that Orion does not take by itself, and the others go on;
            without it the first such refusal is raised.
        :return: how many entities were stored.
        :raises ServerRefused: Orion refused a batch or an entity; earlier ones are stored.
        """
        return sum(self._append(batch, refused) for batch in self._batches(entities))

    def entity(self, identifier: str, entity_type: str) -> Entity:
        """Read an entity.

        :raises NotFound: there is none.
        """
        entity: Entity = self._http.get_json(_entity_path(identifier), params={"type": entity_type})
        return entity

    def entities(self, entity_type: str, *, modified: bool = False) -> Iterator[Entity]:
        """Walk over all entities of a type, oldest first, page by page.

        :param entity_type: their type.
        :param modified: with the metadata ``dateModified``: when Orion wrote the attribute last.
        """
        extra = {"metadata": "dateModified,*"} if modified else {}
        return self._pages("/v2/entities", {"type": entity_type, **extra})

    def read(self, entities: Sequence[Entity]) -> dict[str, Entity]:
        """Read the entities with the ids and types of those given.

        :param entities: at most 1,000; only ``id`` and ``type`` count.
        :return: those that exist, by id, each attribute with the metadata ``dateModified``.
        """
        answer = self._http.request(
            "POST",
            "/v2/op/query",
            params={"limit": PAGE_SIZE},
            json={
                "entities": [{"id": one["id"], "type": one["type"]} for one in entities],
                "metadata": ["dateModified", "*"],
            },
            idempotent=True,
        )
        return {one["id"]: one for one in _content(answer)}

    def count(self, entity_type: str) -> int:
        """Return how many entities of a type there are.

        :raises ServerRefused: the answer does not say; then it is none of Orion's.
        """
        answer = self._http.request(
            "GET", "/v2/entities", params={"type": entity_type, "limit": 1, "options": "count"}
        )
        return _total(answer)

    def delete(self, identifiers: Iterable[str], entity_type: str) -> None:
        """Delete entities; that one does not exist is no error.

        :raises ServerRefused: one is still there afterwards.
        """
        self._in_parts("delete", [{"id": identifier, "type": entity_type} for identifier in identifiers])

    def delete_attributes(self, entities: Iterable[Entity]) -> None:
        """Delete the attributes that the entities given have; what does not exist is no error.

        :raises ServerRefused: one is still there afterwards.
        """
        self._in_parts(
            "delete",
            [
                {"id": one["id"], "type": one["type"], **{name: {} for name in attributes_of(one)}}
                for one in entities
                if attributes_of(one)
            ],
        )

    def subscribe(
        self, description: str, *, entity_type: str, notify_url: str, attributes: Sequence[str] = ()
    ) -> str:
        """Create the subscription with this description, or change it to what is asked for; done twice it is one.

        Notifications carry the metadata ``dateModified``, by which a later one is told from an earlier one.

        :param description: what the subscription is for; it identifies the subscription.
        :param entity_type: the type whose entities are watched.
        :param notify_url: where Orion posts changes to.
        :param attributes: attributes that are watched and sent; all when empty.
        :return: Orion's id of the subscription.
        :raises InputError: Orion would refuse the description.
        """
        if FORBIDDEN_IN_VALUES.intersection(description) or not 1 <= len(description) <= LONGEST_DESCRIPTION:
            raise InputError(
                f"subscription {description[:80]!r}: use 1 to {LONGEST_DESCRIPTION} characters "
                f"without {' '.join(sorted(FORBIDDEN_IN_VALUES))}"
            )
        watched = list(attributes)
        subscription = {
            "description": description,
            "status": "active",
            "subject": {
                "entities": [{"idPattern": ".*", "type": entity_type}],
                "condition": {"attrs": watched},
            },
            "notification": {"http": {"url": notify_url}, "attrs": watched, "metadata": ["dateModified", "*"]},
        }
        for known in self._pages("/v2/subscriptions", {}):
            if known.get("description") == description:
                if not _contains(known, subscription):
                    path = f"/v2/subscriptions/{quote(str(known['id']), safe='')}"
                    self._http.request("PATCH", path, json=subscription, idempotent=True)
                return str(known["id"])
        answer = self._http.request("POST", "/v2/subscriptions", json=subscription)
        return answer.headers["Location"].rpartition("/")[2]

    def unsubscribe(self, identifier: str) -> None:
        """Delete a subscription; that it does not exist is no error."""
        try:
            self._http.request("DELETE", f"/v2/subscriptions/{quote(identifier, safe='')}")
        except NotFound:
            log.debug("subscription %s is gone already", identifier)

    def _batches(self, entities: Iterable[Entity]) -> Iterator[list[bytes]]:
        """Group written entities so that a batch stays below both limits; one too long for that travels alone."""
        batch: list[bytes] = []
        size = 0
        for entity in entities:
            written = write_entity(entity)
            if batch and (size + len(written) > self._batch_bytes or len(batch) == self._batch_count):
                yield batch
                batch, size = [], 0
            if not batch:
                size = len(BATCH_START) + len(BATCH_END)
            batch.append(written)
            size += len(written) + len(b",")
        if batch:
            yield batch

    def _append(self, batch: Sequence[bytes], refused: list[ServerRefused] | None) -> int:
        """Send a batch, in halves where a server accepts less, and return how many entities it took."""
        try:
            # The body is bytes, so that it goes out with a length: Orion refuses chunked requests with 411.
            # Without overrideMetadata a new value would keep the unit and time of the old one.
            self._http.request(
                "POST",
                "/v2/op/update",
                params={"options": "overrideMetadata"},
                data=BATCH_START + b",".join(batch) + BATCH_END,
                headers={"Content-Type": "application/json"},
                idempotent=True,
            )
        except ServerRefused as refusal:
            return self._after(refusal, batch, refused)
        return len(batch)

    def _after(self, refusal: ServerRefused, batch: Sequence[bytes], refused: list[ServerRefused] | None) -> int:
        """Find out what of a refused batch is stored, store what can be, and return how many entities that are."""
        if len(batch) > 1:
            if refusal.status == TOO_LARGE or (refusal.status == WHOLLY_REFUSED and refused is not None):
                middle = len(batch) // 2
                return self._append(batch[:middle], refused) + self._append(batch[middle:], refused)
            if refusal.status in PARTLY_DONE:
                missing = self._missing(batch)
                log.warning(
                    "%d of %d entities of a batch are not stored: %s", len(missing), len(batch), refusal.detail
                )
                return len(batch) - len(missing) + sum(self._append([one], refused) for one in missing)
        if refused is None or refusal.status not in PARTLY_DONE | {WHOLLY_REFUSED, TOO_LARGE}:
            detail = f"{refusal.detail} ({_names(batch)})"
            raise ServerRefused(refusal.method, refusal.url, refusal.status, detail) from refusal
        named = EntityRefused(refusal, json.loads(batch[0])["id"])
        log.warning("left an entity out: %s", named)
        refused.append(named)
        return 0

    def _missing(self, batch: Sequence[bytes]) -> list[bytes]:
        """Return the entities of a batch that the server does not show as they were sent."""
        sent: list[Entity] = [json.loads(written) for written in batch]
        held = self.read(sent)
        return [
            written
            for written, entity in zip(batch, sent, strict=True)
            if not _is_held(entity, held.get(entity["id"], {}))
        ]

    def _in_parts(self, action: str, entities: Sequence[Entity]) -> None:
        for start in range(0, len(entities), self._batch_count):
            part = entities[start : start + self._batch_count]
            try:
                self._http.request(
                    "POST", "/v2/op/update", json={"actionType": action, "entities": part}, idempotent=True
                )
            except ServerRefused as refusal:
                left = self.read(part) if refusal.status in PARTLY_DONE else {one["id"]: one for one in part}
                if any(_is_left(one, left.get(one["id"])) for one in part):
                    raise

    def _pages(self, path: str, params: Mapping[str, str | int]) -> Iterator[Entity]:
        offset = 0
        while True:
            query = {**params, "limit": PAGE_SIZE, "offset": offset, "options": "count"}
            answer = self._http.request("GET", path, params=query)
            page = _content(answer)
            yield from page
            offset += len(page)
            if not page or offset >= _total(answer):
                return


def tenant_headers(service: str | None, service_path: str) -> dict[str, str]:
    """Return the headers that name a tenant and a path in it.

    :param service: ``Fiware-Service``, or ``None`` for the default one.
    :param service_path: ``Fiware-ServicePath``.
    :raises InputError: Orion would refuse one of them.
    """
    if service is not None and not TENANT.fullmatch(service):
        raise InputError(f"Fiware-Service {service!r}: use at most 50 of a-z, 0-9 and _")
    if not SERVICE_PATH.fullmatch(service_path):
        raise InputError(f"Fiware-ServicePath {service_path!r}: use /, or /a/b with at most 10 parts of A-Z, 0-9, _")
    return {**({} if service is None else {"Fiware-Service": service}), "Fiware-ServicePath": service_path}


def _entity_path(identifier: str) -> str:
    return f"/v2/entities/{quote(identifier, safe='')}"


def _content(answer: Answer) -> list[Entity]:
    content: list[Entity] = [] if answer.status == 204 else answer.json()
    return content


def _total(answer: Answer) -> int:
    total = answer.headers.get("Fiware-Total-Count", "")
    if not total.isdecimal():
        detail = "the answer has no Fiware-Total-Count: is this the address of an Orion?"
        raise ServerRefused(answer.method, answer.url, answer.status, detail)
    return int(total)


def _is_held(sent: Entity, held: Entity) -> bool:
    return all(
        name in held and same_attribute(one, held[name]) for name, one in attributes_of(sent).items()
    ) and bool(held)


def _is_left(deleted: Entity, held: Entity | None) -> bool:
    """Tell whether something of what was to be deleted is there: the entity, or one of the attributes it names."""
    names = attributes_of(deleted)
    return held is not None and (not names or bool(names.keys() & held.keys()))


def _contains(known: Any, wanted: Any) -> bool:
    """Tell whether a document has everything that another has."""
    if isinstance(wanted, dict) and isinstance(known, dict):
        return all(name in known and _contains(known[name], part) for name, part in wanted.items())
    return bool(known == wanted)


def _names(batch: Sequence[bytes]) -> str:
    names = [str(json.loads(written)["id"]) for written in batch[:NAMED_ENTITIES]]
    more = len(batch) - len(names)
    return f"entities sent: {', '.join(names)}" + (f" and {more} more" if more else "")
