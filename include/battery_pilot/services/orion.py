"""Client of FIWARE Orion (NGSIv2): batteries as entities, within Orion's limits on size and characters."""

from __future__ import annotations

import json
import logging
import math
import re
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from battery_pilot.errors import InputError, NotFound, ServerRefused
from battery_pilot.services.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

log = logging.getLogger(__name__)

# The default of Orion's -inReqPayloadMaxSize is 1 MiB.
DEFAULT_BATCH_BYTES = 900_000
DEFAULT_BATCH_COUNT = 500
PAGE_SIZE = 1000

FORBIDDEN_IN_VALUES = frozenset("<>\"'=;()")
FORBIDDEN_IN_IDS = FORBIDDEN_IN_VALUES | frozenset("&?/#")
LONGEST_ID = 256
NAMED_ENTITIES = 10
TENANT = re.compile(r"[a-z0-9_]{1,50}")
SERVICE_PATH = re.compile(r"/|(/[A-Za-z0-9_]{1,50}){1,10}")

BATCH_START, BATCH_END = b'{"actionType":"append","entities":[', b"]}"

Entity = dict[str, Any]
Value = str | bool | int | float | datetime


def entity_id(slug: str) -> str:
    """Return the id of a battery's entity.

    :param slug: what names the battery, in characters that Orion takes.
    :raises InputError: Orion would refuse the id.
    """
    return checked_name(f"urn:ngsi-ld:Battery:{slug}")


def attribute(value: Value, *, as_of: datetime | None = None, **metadata: Value) -> dict[str, Any]:
    """Write a value as an NGSIv2 attribute.

    :param value: number, text, truth or time; a time has a zone and is sent in UTC.
    :param as_of: when the value was true, as metadata ``TimeInstant``.
    :param metadata: further metadata by name; ``unitCode`` is the UN/CEFACT code of the unit.
    :raises InputError: not a finite number, a time without a zone, or metadata with characters that Orion forbids.
    """
    written = _typed(value)
    if written["type"] == "Text" and FORBIDDEN_IN_VALUES.intersection(written["value"]):
        written["type"] = "TextUnrestricted"
    notes: dict[str, Value] = dict(metadata)
    if as_of is not None:
        notes["TimeInstant"] = as_of
    if notes:
        written["metadata"] = {checked_name(name): _metadata(name, note) for name, note in notes.items()}
    return written


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
        if service is not None and not TENANT.fullmatch(service):
            raise InputError(f"Fiware-Service {service!r}: use at most 50 of a-z, 0-9 and _")
        if not SERVICE_PATH.fullmatch(service_path):
            raise InputError(
                f"Fiware-ServicePath {service_path!r}: use /, or /a/b with at most 10 parts of A-Z, 0-9, _"
            )
        tenant = {} if service is None else {"Fiware-Service": service}
        self._batch_bytes = batch_bytes
        self._batch_count = batch_count
        self._http = HttpClient(
            base_url,
            auth=auth,
            headers={**(headers or {}), **tenant, "Fiware-ServicePath": service_path},
            timeout_second=timeout_second,
            attempts=attempts,
            wait_second=wait_second,
        )

    def upsert(self, entities: Iterable[Entity], *, refused: list[ServerRefused] | None = None) -> int:
        """Create entities or add and replace attributes of existing ones.

        :param entities: entities in NGSIv2's normalised form; consumed batch by batch.
        :param refused: is given the refusal of each entity that Orion does not take by itself (400, 413), and the
            others go on; without it the first such refusal is raised.
        :return: how many entities were stored.
        :raises ServerRefused: Orion refused a batch; earlier batches, and after 422 a part of this one, are stored.
        """
        return sum(self._append(batch, refused) for batch in self._batches(entities))

    def entity(self, identifier: str, entity_type: str) -> Entity:
        """Read an entity.

        :raises NotFound: there is none.
        """
        entity: Entity = self._http.get_json(_entity_path(identifier), params={"type": entity_type})
        return entity

    def entities(self, entity_type: str) -> Iterator[Entity]:
        """Walk over all entities of a type, oldest first."""
        return self._pages("/v2/entities", {"type": entity_type})

    def count(self, entity_type: str) -> int:
        """Return how many entities of a type there are."""
        answer = self._http.request(
            "GET", "/v2/entities", params={"type": entity_type, "limit": 1, "options": "count"}
        )
        return int(answer.headers["Fiware-Total-Count"])

    def delete(self, identifiers: Iterable[str], entity_type: str) -> None:
        """Delete entities; that one does not exist is no error."""
        for identifier in identifiers:
            try:
                self._http.request("DELETE", _entity_path(identifier), params={"type": entity_type})
            except NotFound:
                log.debug("%s is gone already", identifier)

    def subscribe(
        self, description: str, *, entity_type: str, notify_url: str, attributes: Sequence[str] = ()
    ) -> str:
        """Create or replace the subscription with this description.

        :param description: what the subscription is for; it identifies the subscription.
        :param entity_type: the type whose entities are watched.
        :param notify_url: where Orion posts changes to.
        :param attributes: attributes that are watched and sent; all when empty.
        :return: Orion's id of the subscription.
        """
        watched = list(attributes)
        subscription = {
            "description": description,
            "subject": {
                "entities": [{"idPattern": ".*", "type": entity_type}],
                "condition": {"attrs": watched},
            },
            "notification": {"http": {"url": notify_url}, "attrs": watched},
        }
        for known in self._pages("/v2/subscriptions", {}):
            if known.get("description") == description:
                path = f"/v2/subscriptions/{quote(str(known['id']), safe='')}"
                self._http.request("PATCH", path, json=subscription, idempotent=True)
                return str(known["id"])
        answer = self._http.request("POST", "/v2/subscriptions", json=subscription)
        return answer.headers["Location"].rpartition("/")[2]

    def _batches(self, entities: Iterable[Entity]) -> Iterator[list[bytes]]:
        """Group written entities so that a batch stays below both limits; one too long for that travels alone."""
        batch: list[bytes] = []
        size = 0
        for entity in entities:
            written = _write(entity)
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
            one_bad = refused is not None and refusal.status == 400
            if len(batch) > 1 and (one_bad or refusal.status == 413):
                middle = len(batch) // 2
                return self._append(batch[:middle], refused) + self._append(batch[middle:], refused)
            named = ServerRefused(refusal.method, refusal.url, refusal.status, f"{refusal.detail} ({_names(batch)})")
            if refused is None or refusal.status not in {400, 413}:
                raise named from refusal
            log.warning("left an entity out: %s", named)
            refused.append(named)
            return 0
        return len(batch)

    def _pages(self, path: str, params: Mapping[str, str | int]) -> Iterator[Entity]:
        offset = 0
        while True:
            query = {**params, "limit": PAGE_SIZE, "offset": offset, "options": "count"}
            answer = self._http.request("GET", path, params=query)
            page = answer.json()
            yield from page
            offset += len(page)
            if not page or offset >= int(answer.headers["Fiware-Total-Count"]):
                return


def _entity_path(identifier: str) -> str:
    return f"/v2/entities/{quote(identifier, safe='')}"


def _write(entity: Entity) -> bytes:
    """Write an entity as JSON, refusing what Orion would refuse with a less helpful message."""
    checked_name(str(entity.get("id", "")))
    checked_name(str(entity.get("type", "")))
    try:
        return json.dumps(entity, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"entity {entity['id']}: {error}: write its attributes with attribute()") from error


def _names(batch: Sequence[bytes]) -> str:
    names = [str(json.loads(written)["id"]) for written in batch[:NAMED_ENTITIES]]
    more = len(batch) - len(names)
    return f"entities sent: {', '.join(names)}" + (f" and {more} more" if more else "")


def _typed(value: Value) -> dict[str, Any]:
    """Give a value its NGSIv2 type. A bool is a number to Python and a datetime is not to JSON, hence the order."""
    if isinstance(value, bool):
        return {"type": "Boolean", "value": value}
    if isinstance(value, Real):
        number = int(value) if isinstance(value, Integral) else float(value)
        if not math.isfinite(number):
            raise InputError(f"{value} cannot be sent to Orion: leave a value that is not known out")
        return {"type": "Number", "value": number}
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InputError(f"the time {value} has no zone")
        moment = value.astimezone(UTC).isoformat(timespec="milliseconds")
        return {"type": "DateTime", "value": moment.replace("+00:00", "Z")}
    if isinstance(value, str):
        return {"type": "Text", "value": value}
    raise InputError(f"a value of type {type(value).__name__} cannot be sent to Orion")


def _metadata(name: str, value: Value) -> dict[str, Any]:
    written = _typed(value)
    if written["type"] == "Text" and (found := FORBIDDEN_IN_VALUES.intersection(written["value"])):
        raise InputError(f"metadata {name}: Orion forbids {' '.join(sorted(found))} there")
    return written


def checked_name(identifier: str) -> str:
    """Return an id, type or name, if it is 1 to 256 visible ASCII characters without those that Orion forbids.

    :raises InputError: it is not.
    """
    wrong = {char for char in identifier if not "!" <= char <= "~" or char in FORBIDDEN_IN_IDS}
    if wrong or not 1 <= len(identifier) <= LONGEST_ID:
        found = f", found {' '.join(map(repr, sorted(wrong)))}" if wrong else f", found {len(identifier)}"
        raise InputError(
            f"Orion takes no {identifier[:80]!r} as an id or name: "
            f"1 to {LONGEST_ID} visible ASCII characters except < > \" ' = ; ( ) & ? / #{found}"
        )
    return identifier
