"""TRUE Connector v1, which speaks IDS multipart messages and not the Dataspace Protocol.

Met: execution core container 1.14.11 with data app 0.3.10, over REST and without usage control; WebSocket only in the sandbox.
A negotiation is over when its request is answered, and the connector keeps nothing that its user could ask for later: what was
agreed is kept in a folder of ours.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError, NotFound, ServerRefused
from battery_pilot.lake import read_json, write_json
from battery_pilot.services.answers import TooLarge
from battery_pilot.services.connectors import true_ids_documents as documents
from battery_pilot.services.connectors.ids_messages import CONNECTOR
from battery_pilot.services.connectors.jsonld import listed
from battery_pilot.services.connectors.model import (
    Agreement,
    CatalogueEntry,
    Counterparty,
    Negotiation,
    NegotiationState,
    Offer,
    Transfer,
    TransferState,
)
from battery_pilot.services.connectors.policies import DATE_TIME, demand_enforceable
from battery_pilot.services.connectors.single_files import demand_no_path, demand_one_file
from battery_pilot.services.http import DEFAULT_MAXIMUM_BYTES, HttpClient

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

Document = dict[str, Any]

FILE_CREATED = re.compile(r"File '([^'/\\]+)' created successfully")
ZERO_WIDTH = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))


class TrueIdsConnector:
    """A connector of ours. Threads may share it.

    :param ecc_url: where the execution core container listens for its self-description API.
    :param ecc_login: user and password there (``apiUser``).
    :param proxy_url: where the data app with ``/proxy`` listens; ``None`` for a provider, who needs none.
    :param proxy_login: user and password there (``idsUser``).
    :param participant_id: our id in the data space.
    :param memory: folder for what was agreed and transferred.
    :param has_usage_control: whether the connector's usage control is on (``application.isEnabledUsageControl``).
    :param forward_to_internal: our own connector's address for WebSocket, such as ``wss://ecc-consumer:8887``; with it,
        counterparties are addressed as ``wss://`` too.
    :param data_lake: with WebSocket, the folder into which our connector writes what it receives.
    :param timeout_second: longest silence of a server.
    :param attempts: how often a repeatable request is tried.
    :param wait_second: expected wait before the second attempt.
    """

    agreements_serve_once = False
    offers_folders = False

    def __init__(
        self,
        ecc_url: str,
        *,
        ecc_login: tuple[str, str],
        participant_id: str,
        memory: Path,
        proxy_url: str | None = None,
        proxy_login: tuple[str, str] | None = None,
        has_usage_control: bool = False,
        forward_to_internal: str | None = None,
        data_lake: Path | None = None,
        timeout_second: float = 60,
        attempts: int = 4,
        wait_second: float = 0.5,
    ) -> None:
        def client(url: str, login: tuple[str, str] | None) -> HttpClient:
            return HttpClient(
                url, auth=login, timeout_second=timeout_second, attempts=attempts, wait_second=wait_second
            )

        self.enforced_operands: frozenset[str] = frozenset({DATE_TIME}) if has_usage_control else frozenset()
        self._participant_id = participant_id
        self._memory = memory
        self._ecc = client(ecc_url, ecc_login)
        self._proxy_client = client(proxy_url, proxy_login) if proxy_url else None
        self._forward_to_internal = forward_to_internal
        self._data_lake = data_lake
        self._refusal: ServerRefused | None = None

    def publish(self, offer: Offer) -> None:
        """Offer a file, or change the offer with the same asset id to this one.

        :raises InputError: the connector does not know, or does not check, a constraint.
        :raises ServerRefused: the connector stored another policy than it was given; the file is not on offer then.
        """
        demand_enforceable(offer.constraints, self.enforced_operands)
        demand_one_file(offer)
        properties = {**offer.properties, "contenttype": offer.content_type, "tier": offer.tier.value}
        document = documents.resource(offer, properties)
        stored = self._resource(document["@id"])
        if stored is not None and _is_same(stored, document):
            return
        # Ids travel in headers; the documentation calls this one "resource" and the program reads "catalog".
        self._describe("PUT" if stored else "POST", "offeredResource", {"catalog": self._catalogue_id()}, document)
        intended = documents.rules(document["ids:contractOffer"][0])
        found = listed((self._resource(document["@id"]) or {}).get("ids:contractOffer"))
        if [documents.rules(one) for one in found] != [intended]:
            self.withdraw(offer.asset_id)
            detail = f"the connector stored another policy than it was given; {offer.asset_id} is not offered"
            raise ServerRefused("GET", "/api/offeredResource/", 200, detail)
        log.info("published %s (%s)", offer.asset_id, offer.tier)

    def withdraw(self, asset_id: str) -> None:
        """Take an offer out of the self-description; that there is none is no error. Agreements made remain."""
        try:
            self._describe("DELETE", "offeredResource", {"resource": documents.resource_id(asset_id)})
        except NotFound:
            log.debug("resource of %s is gone already", asset_id)

    def catalogue(
        self, counterparty: Counterparty, *, filter: Mapping[str, str] | None = None
    ) -> Iterator[CatalogueEntry]:
        """Walk over what a counterparty offers us.

        :param counterparty: whose self-description; ``protocol_url`` is its B-endpoint, such as ``https://ecc:8889/data``.
        :param filter: only assets with these property values.
        """
        wanted = set((filter or {}).items())
        for found in documents.resources(self._ask(counterparty.protocol_url, "DescriptionRequestMessage")):
            document = found
            if not documents.is_complete(document):
                document = self._ask(
                    counterparty.protocol_url, "DescriptionRequestMessage", requestedElement=str(found.get("@id"))
                )
            entry = documents.catalogue_entry(document, counterparty)
            if entry is not None and wanted <= set(entry.properties.items()):
                yield entry

    def negotiate(self, entry: CatalogueEntry) -> str:
        """Negotiate about a catalogue entry that was just read, to the end, and return the id.

        :raises ServerRefused: the provider rejects the request, or agrees to something else than its offer.
        """
        address, artifact, contract = (
            entry.counterparty.protocol_url,
            entry.offer["artifact"],
            entry.offer["contract"],
        )
        request = documents.contract_request(contract, f"{CONNECTOR}{self._participant_id}")
        agreement = self._ask(address, "ContractRequestMessage", requestedElement=artifact, payload=request)
        if documents.rules(agreement) != documents.rules(contract) or documents.targets(agreement) != {artifact}:
            raise ServerRefused(
                "POST", "/proxy", 200, "the agreement has other conditions or another target than the offer"
            )
        self._ask(address, "ContractAgreementMessage", requestedArtifact=artifact, payload=agreement)
        agreement_id = str(agreement["@id"])
        kept = {
            "agreement": agreement,
            "artifact": artifact,
            "asset_id": entry.asset_id,
            "counterparty_id": entry.counterparty.participant_id,
            "signed_at": datetime.now(UTC).isoformat(),
        }
        write_json(self._file("agreements", agreement_id), kept)
        log.info("agreement %s about %s", agreement_id, entry.asset_id)
        return agreement_id

    def negotiation(self, negotiation_id: str) -> Negotiation:
        """Look at a negotiation; there are none but finished ones."""
        self._recall("agreements", negotiation_id)
        return Negotiation(negotiation_id, NegotiationState.FINALIZED, agreement_id=negotiation_id)

    def terminate_negotiation(self, negotiation_id: str, reason: str) -> None:
        """End a negotiation: it has ended already."""
        log.debug("negotiation %s has ended already (%s)", negotiation_id, reason)

    def negotiations_under_way(self, counterparty: Counterparty) -> dict[str, str]:  # noqa: ARG002
        """Return the negotiations that have not ended, by asset: there are none."""
        return {}

    def agreement(self, agreement_id: str) -> Agreement:
        """Read an agreement."""
        return documents.agreement(self._recall("agreements", agreement_id))

    def find_agreement(
        self, asset_id: str, counterparty: Counterparty, *, without: Collection[str] = ()
    ) -> str | None:
        """Return the id of the latest agreement that holds already, so that nothing needs negotiating again.

        :param without: agreements that are not to be used again.
        """
        files = sorted(self._memory.glob("agreements/*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in files:
            kept = read_json(path)
            agreement_id = str(kept["agreement"]["@id"])
            owner = (kept["asset_id"], kept["counterparty_id"])
            if owner == (asset_id, counterparty.participant_id) and agreement_id not in without:
                return agreement_id
        return None

    def transfer(self, agreement_id: str, counterparty: Counterparty) -> str:
        """Start a transfer under an agreement, and return its id. Nothing is sent before the data are fetched."""
        kept = self._recall("agreements", agreement_id)
        transfer_id = f"urn:uuid:{uuid.uuid4()}"
        start = {"agreement_id": agreement_id, "artifact": kept["artifact"], "address": counterparty.protocol_url}
        write_json(self._file("transfers", transfer_id), {**start, "state": TransferState.STARTED})
        return transfer_id

    def transfer_state(self, transfer_id: str) -> Transfer:
        """Look at a transfer."""
        return Transfer(transfer_id, TransferState(self._recall("transfers", transfer_id)["state"]))

    def fetch(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> bytes:
        """Get the data of a transfer.

        :param transfer_id: the transfer.
        :param maximum_bytes: longest file to accept.
        :param path: must be empty: there are no offers of folders.
        :raises TooLarge: the file is longer than ``maximum_bytes``.
        :raises ServerRefused: the transfer has ended, or the counterparty's data app does not send passports.
        """
        demand_no_path(path)
        kept = self._recall("transfers", transfer_id)
        if kept["state"] != TransferState.STARTED:
            raise ServerRefused("POST", "/proxy", None, f"transfer {transfer_id} has ended")
        body = self._post(
            self._request(
                kept["address"],
                "ArtifactRequestMessage",
                requestedArtifact=kept["artifact"],
                transferContract=kept["agreement_id"],
                payload="",
            ),
            # Base64 is a third longer than what it stands for.
            maximum_bytes=4 * -(-maximum_bytes // 3),
        )
        data = _decoded(self._received(body))
        if len(data) > maximum_bytes:
            raise TooLarge(
                "POST", "/proxy", 200, f"the file is longer than the {maximum_bytes} bytes that are accepted"
            )
        return data

    def stream(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> Iterator[bytes]:
        """Get the same data in one piece: an IDS message is not read in parts."""
        yield self.fetch(transfer_id, maximum_bytes=maximum_bytes, path=path)

    def terminate(self, transfer_id: str, reason: str) -> None:
        """End a transfer, for us: IDS v1 has no message for it."""
        kept = self._recall("transfers", transfer_id)
        write_json(self._file("transfers", transfer_id), {**kept, "state": TransferState.TERMINATED})
        log.debug("transfer %s terminated: %s", transfer_id, reason)

    def _catalogue_id(self) -> str:
        description = self._describe("GET", "selfDescription", {})
        catalogues = listed(description.get("ids:resourceCatalog"))
        if not catalogues:
            raise InputError("the TRUE Connector's self-description has no catalogue: start it with one")
        return str(catalogues[0]["@id"])

    def _resource(self, identifier: str) -> Document | None:
        try:
            return self._describe("GET", "offeredResource", {"resource": identifier})
        except NotFound:
            return None

    def _describe(self, method: str, kind: str, ids: Mapping[str, str], document: Document | None = None) -> Document:
        """Use the self-description API."""
        self._demand_open()
        try:
            answer = self._ecc.request(method, f"/api/{kind}/", headers=ids, json=document)
        except ServerRefused as refusal:
            raise self._noted(refusal) from refusal
        return dict(answer.json()) if answer.body else {}

    def _ask(self, address: str, kind: str, **fields: Any) -> Document:
        """Let our data app send a message and return the JSON that came back; ``{}`` where nothing did."""
        body = self._post(self._request(address, kind, **fields)).strip()
        if not body.startswith(b"{"):
            return {}
        try:
            return dict(json.loads(body))
        except ValueError as error:
            raise ServerRefused("POST", "/proxy", 200, f"the answer to a {kind} is no JSON") from error

    def _request(self, address: str, kind: str, **fields: Any) -> Document:
        internal = self._forward_to_internal
        path = {"Forward-To-Internal": internal} if internal else {}
        return {
            "multipart": "wss" if internal else "form",
            "Forward-To": address,
            **path,
            "messageType": kind,
            **fields,
        }

    def _post(self, request: Document, maximum_bytes: int = DEFAULT_MAXIMUM_BYTES) -> bytes:
        if self._proxy_client is None:
            raise InputError(
                "the connector's connection needs proxy_url in its extra: a consumer speaks through its data app"
            )
        self._demand_open()
        try:
            return self._proxy_client.request("POST", "/proxy", json=request, maximum_bytes=maximum_bytes).body
        except ServerRefused as refusal:
            raise self._noted(refusal) from refusal

    def _received(self, body: bytes) -> bytes:
        """Return the data of an answer, which with WebSocket lie in a file."""
        if self._forward_to_internal is None:
            return body
        match = FILE_CREATED.search(body.decode("utf-8", "replace").translate(ZERO_WIDTH))
        if match is None or self._data_lake is None:
            raise ServerRefused("POST", "/proxy", 200, "no file was created: are WebSocket and data_lake configured?")
        return (self._data_lake / match[1]).read_bytes()

    def _demand_open(self) -> None:
        """Send nothing after a refused password: five failures lock the account for half an hour."""
        if self._refusal is not None:
            raise self._refusal

    def _noted(self, refusal: ServerRefused) -> ServerRefused:
        if refusal.status != 401:
            return refusal
        self._refusal = ServerRefused(
            refusal.method,
            refusal.url,
            401,
            f"{refusal.detail}; nothing more is sent, because five refused passwords lock the account for 30 minutes: "
            "correct the connection's login first",
        )
        return self._refusal

    def _file(self, kind: str, identifier: str) -> Path:
        return self._memory / kind / f"{hashlib.sha256(identifier.encode()).hexdigest()}.json"

    def _recall(self, kind: str, identifier: str) -> Document:
        try:
            return dict(read_json(self._file(kind, identifier)))
        except FileNotFoundError:
            raise NotFound("GET", kind, None, f"there is no {identifier!r} in {self._memory}") from None


def _is_same(stored: Document, document: Document) -> bool:
    offers = [listed(one.get("ids:contractOffer")) for one in (stored, document)]
    titles = [listed(one.get("ids:title")) for one in (stored, document)]
    return (
        documents.read_properties(stored) == documents.read_properties(document)
        and [[documents.rules(one) for one in found] for found in offers[:1]]
        == [[documents.rules(one) for one in found] for found in offers[1:]]
        and [one.get("@value") for one in titles[0]] == [one.get("@value") for one in titles[1]]
    )


def _decoded(body: bytes) -> bytes:
    try:
        return base64.b64decode(body.strip(), validate=True)
    except binascii.Error as error:
        raise ServerRefused(
            "POST",
            "/proxy",
            200,
            "the data are not base64: the counterparty runs the connector's own data app, which sends a fixed sample, instead "
            "of Battery Pilot's",
        ) from error
