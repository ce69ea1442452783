"""Eclipse Dataspace Connector, management API v3 (releases 0.10 to 0.18)."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from battery_pilot.errors import Conflict, InputError, NotFound, ServerRefused, ServerUnavailable
from battery_pilot.services.connectors import edc_documents as documents
from battery_pilot.services.connectors.edc_management import PAGE_SIZE, EdcManagement
from battery_pilot.services.connectors.jsonld import listed, term, text_of
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
from battery_pilot.services.connectors.policies import (
    DATE_TIME,
    ELAPSED_TIME,
    PURPOSE,
    RECIPIENT,
    ROLE,
    demand_enforceable,
)
from battery_pilot.services.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from battery_pilot.services.connectors.exchanges import ExchangeJournal

log = logging.getLogger(__name__)

TRANSFER_TYPE = "HttpData-PULL"

Document = dict[str, Any]


class EdcConnector:
    """A connector of ours. Threads may share it.

    :param management_url: where its management API starts, up to and without ``/v3``.
    :param api_key: key of the management API (``web.http.management.auth.key``).
    :param participant_id: our id in the data space.
    :param protocol: name of the data-space protocol; without the suffix for releases before 0.13.
    :param data_hosts: host names from which data may be fetched, ``None`` for any: a counterparty names the address
        itself, and could name a server that only we can reach.
    :param timeout_second: longest silence of a server.
    :param attempts: how often a repeatable request is tried.
    :param wait_second: expected wait before the second attempt.
    :param journal: gets every request and answer of negotiations and transfers.
    """

    agreements_serve_once = False
    enforced_operands = frozenset({RECIPIENT, PURPOSE, ROLE, ELAPSED_TIME, DATE_TIME})

    def __init__(
        self,
        management_url: str,
        *,
        api_key: str,
        participant_id: str,
        protocol: str = "dataspace-protocol-http:2025-1",
        data_hosts: Collection[str] | None = None,
        timeout_second: float = 30,
        attempts: int = 4,
        wait_second: float = 0.5,
        journal: ExchangeJournal | None = None,
    ) -> None:
        self._sources: dict[str, HttpClient] = {}
        self._participant_id = participant_id
        self._protocol = protocol
        self._data_hosts = None if data_hosts is None else {host.lower() for host in data_hosts}
        self._timeout_second = timeout_second
        self._attempts = attempts
        self._wait_second = wait_second
        self._management = EdcManagement(self._client(management_url, {"x-api-key": api_key}), journal)

    def publish(self, offer: Offer) -> None:
        """Offer a file, or change the offer with the same asset id to this one.

        The policy is stored and verified before the file is on offer, and a file is never on offer under the policy
        of another version of it.

        :raises ServerRefused: the connector stored another policy than it was given; the file is not on offer then.
        :raises InputError: the policy has a constraint that EDC does not check.
        """
        demand_enforceable(offer.constraints, self.enforced_operands)
        self._store_policy(offer)
        self._management.upsert("/v3/assets", documents.asset(offer))
        self._management.upsert("/v3/contractdefinitions", documents.contract_definition(offer))
        log.info("published %s (%s)", offer.asset_id, offer.tier)

    def withdraw(self, asset_id: str) -> None:
        """Take an offer out of the catalogue; that there is none is no error. Agreements made remain."""
        self._take_off_offer(asset_id)
        self._management.delete(_policy_path(asset_id))
        try:
            self._management.delete(f"/v3/assets/{quote(asset_id)}")
        except Conflict:
            log.info("asset %s stays in the connector without an offer: there are agreements on it", asset_id)

    def catalogue(
        self, counterparty: Counterparty, *, filter: Mapping[str, str] | None = None
    ) -> Iterator[CatalogueEntry]:
        """Walk over what a counterparty offers us; of several offers of one asset, the first is taken.

        :param counterparty: whose catalogue.
        :param filter: only assets with these property values.
        :raises ServerRefused: the answer is the catalogue of somebody else.
        """
        criteria = [documents.criterion(_property(name), value) for name, value in (filter or {}).items()]
        seen: set[str] = set()
        offset = 0
        while True:
            catalogue = self._catalogue_page(counterparty, criteria, offset)
            datasets = [dataset for dataset in listed(term(catalogue, "dataset")) if "@id" in dataset]
            fresh = [dataset for dataset in datasets if dataset["@id"] not in seen]
            for dataset in fresh:
                seen.add(dataset["@id"])
                entry = documents.catalogue_entry(catalogue, dataset, counterparty)
                if entry is not None:
                    yield entry
            # A connector that ignores the paging sends the same page again: nothing fresh, so no endless walk.
            if len(datasets) < PAGE_SIZE or not fresh:
                return
            offset += PAGE_SIZE

    def negotiate(self, entry: CatalogueEntry) -> str:
        """Start a negotiation about a catalogue entry that was just read, and return its id."""
        request = documents.contract_request(entry, self._protocol)
        negotiation_id = self._management.begin("/v3/contractnegotiations", request, entry.asset_id)
        log.info("negotiation %s about %s started", negotiation_id, entry.asset_id)
        return negotiation_id

    def negotiation(self, negotiation_id: str) -> Negotiation:
        """Look at a negotiation."""
        return _negotiation(
            self._management.look(f"/v3/contractnegotiations/{quote(negotiation_id)}", negotiation_id)
        )

    def find_agreement(
        self, asset_id: str, counterparty: Counterparty, *, without: Collection[str] = ()
    ) -> str | None:
        """Return the id of the latest agreement that holds already, so that nothing needs negotiating again.

        An agreement exists before both sides have confirmed it, so its negotiation must be finalized too.

        :param without: agreements that are not to be used again.
        """
        found = [
            agreement
            for agreement in self._management.query(
                "/v3/contractagreements/request", documents.criterion("assetId", asset_id)
            )
            if agreement["@id"] not in without
            and text_of(agreement, "assetId") == asset_id
            and text_of(agreement, "providerId") == counterparty.participant_id
            and text_of(agreement, "consumerId") == self._participant_id
        ]
        for agreement in sorted(found, key=_signed_at, reverse=True):
            agreement_id = str(agreement["@id"])
            path = f"/v3/contractagreements/{quote(agreement_id)}/negotiation"
            if _negotiation(self._management.http.get_json(path)).state is NegotiationState.FINALIZED:
                return agreement_id
        return None

    def agreement(self, agreement_id: str) -> Agreement:
        """Read an agreement."""
        document = self._management.look(f"/v3/contractagreements/{quote(agreement_id)}", agreement_id)
        signed_at = datetime.fromtimestamp(_signed_at(document), tz=UTC)
        return Agreement(agreement_id, term(document, "policy") or {}, signed_at)

    def transfer(self, agreement_id: str, counterparty: Counterparty) -> str:
        """Start a transfer under an agreement, and return its id."""
        request = {
            "@context": documents.CONTEXT,
            "@type": "TransferRequest",
            "counterPartyAddress": counterparty.protocol_url,
            "protocol": self._protocol,
            "contractId": agreement_id,
            "transferType": TRANSFER_TYPE,
        }
        transfer_id = self._management.begin("/v3/transferprocesses", request, agreement_id)
        log.info("transfer %s under agreement %s started", transfer_id, agreement_id)
        return transfer_id

    def transfer_state(self, transfer_id: str) -> Transfer:
        """Look at a transfer."""
        document = self._management.look(f"/v3/transferprocesses/{quote(transfer_id)}", transfer_id)
        state = text_of(document, "state") or ""
        known = state in TransferState.__members__
        return Transfer(
            id=str(document["@id"]),
            state=TransferState(state) if known else TransferState.IN_PROGRESS,
            error=text_of(document, "errorDetail"),
        )

    def fetch(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> bytes:
        """Get the data of a transfer that has started, asking once for a new token when the first is refused.

        :param transfer_id: the transfer.
        :param maximum_bytes: longest file to accept.
        :param path: below the address of the transfer, where the offer is of a folder.
        :raises ServerUnavailable: the transfer has started, but its address has not arrived yet.
        :raises NotFound: the transfer has no address, because it has not started or has ended.
        :raises TooLarge: the file is longer than ``maximum_bytes``.
        :raises InputError: the counterparty named an address that is none of HTTP, or on a host that may not be asked.
        """
        below = f"/{quote(path)}" if path else ""
        known = self._sources.get(transfer_id)
        source = known or self._source(transfer_id)
        try:
            return source.request("GET", below, maximum_bytes=maximum_bytes).body
        except ServerRefused as refusal:
            if refusal.status not in {401, 403}:
                raise
            log.info("transfer %s: %s; asking for a new token", transfer_id, refusal.status)
            return self._source(transfer_id).request("GET", below, maximum_bytes=maximum_bytes).body

    def terminate(self, transfer_id: str, reason: str) -> None:
        """End a transfer; that it has ended already is no error. A pull transfer never ends by itself."""
        self._sources.pop(transfer_id, None)
        self._management.terminate("transferprocesses", "TerminateTransfer", transfer_id, reason)

    def negotiations_under_way(self, counterparty: Counterparty) -> dict[str, str]:
        """Return the ids of our negotiations with a counterparty that have not ended, by asset.

        Releases before 0.14 do not tell the asset of a negotiation; with them nothing is found.
        """
        criterion = documents.criterion("counterPartyId", counterparty.participant_id)
        return {
            asset_id: str(document["@id"])
            for document in self._management.query("/v3/contractnegotiations/request", criterion)
            if text_of(document, "type") == "CONSUMER"
            and not _negotiation(document).state.is_final
            and (asset_id := text_of(document, "assetId"))
        }

    def terminate_negotiation(self, negotiation_id: str, reason: str) -> None:
        """End a negotiation; that it has ended already is no error."""
        self._management.terminate("contractnegotiations", "TerminateNegotiation", negotiation_id, reason)

    def _client(self, url: str, headers: Mapping[str, str]) -> HttpClient:
        return HttpClient(
            url,
            headers=headers,
            timeout_second=self._timeout_second,
            attempts=self._attempts,
            wait_second=self._wait_second,
        )

    def _take_off_offer(self, asset_id: str) -> None:
        self._management.delete(f"/v3/contractdefinitions/{quote(documents.contract_definition_id(asset_id))}")

    def _store_policy(self, offer: Offer) -> None:
        """Store a policy and read it back: EDC accepts one that it does not understand and stores an empty one."""
        document = documents.policy_definition(offer)
        intended = documents.rules(document["policy"])
        path = _policy_path(offer.asset_id)
        try:
            self._management.http.request("POST", "/v3/policydefinitions", json=document, idempotent=True)
        except Conflict:
            if self._stored_rules(path) == intended:
                return
            # The file on offer now was meant for the old policy.
            self._take_off_offer(offer.asset_id)
            self._management.http.request("PUT", path, json=document)
        stored = self._stored_rules(path)
        if stored == intended:
            return
        self._take_off_offer(offer.asset_id)
        problem = (
            "the connector stored another policy than it was given"
            if any(stored)
            else "the connector stored an EMPTY policy, which means open access for everybody"
        )
        raise ServerRefused(
            "GET",
            path,
            200,
            f"{problem}; {offer.asset_id} is not offered: check operands and operators of its constraints",
        )

    def _stored_rules(self, path: str) -> documents.Rules:
        return documents.rules(term(self._management.http.get_json(path), "policy") or {})

    def _catalogue_page(self, counterparty: Counterparty, criteria: list[Document], offset: int) -> Document:
        request = {
            "@context": documents.CONTEXT,
            "@type": "CatalogRequest",
            "counterPartyId": counterparty.participant_id,
            "counterPartyAddress": counterparty.protocol_url,
            "protocol": self._protocol,
            "querySpec": {"offset": offset, "limit": PAGE_SIZE, "filterExpression": criteria},
        }
        answer = self._management.http.request("POST", "/v3/catalog/request", json=request, idempotent=True)
        catalogue: Document = answer.json()
        owner = text_of(catalogue, "participantId")
        if owner is not None and owner != counterparty.participant_id:
            detail = (
                f"{counterparty.protocol_url} is the connector of {owner!r}, not of {counterparty.participant_id!r}"
            )
            raise ServerRefused(answer.method, answer.url, answer.status, detail)
        return catalogue

    def _source(self, transfer_id: str) -> HttpClient:
        """Get the address and token of a transfer (its endpoint data reference, EDR) and keep them for further fetches."""
        address = self._address(transfer_id)
        endpoint = text_of(address, "endpoint") or ""
        self._demand_allowed(transfer_id, endpoint)
        token = text_of(address, "authorization")
        # EDC expects the token as it is, without the word "Bearer".
        headers = {} if token is None else {"Authorization": token}
        source = self._sources[transfer_id] = self._client(endpoint, headers)
        return source

    def _address(self, transfer_id: str) -> Document:
        """Read where and with which token to fetch; a transfer may have started a little before that arrives."""
        for attempt in range(self._attempts):
            try:
                return self._management.look(f"/v3/edrs/{quote(transfer_id)}/dataaddress", transfer_id)
            except NotFound as missing:
                if not self.transfer_state(transfer_id).state.is_ready:
                    raise
                late = ServerUnavailable(missing.method, missing.url, 404, "the data address is not here yet")
            if attempt + 1 < self._attempts:
                time.sleep(self._wait_second)
        raise late

    def _demand_allowed(self, transfer_id: str, endpoint: str) -> None:
        try:
            parts = urlsplit(endpoint)
            host = parts.hostname if parts.scheme in {"http", "https"} else None
        except ValueError:  # the brackets of an IPv6 address are wrong
            host = None
        if not host:
            raise InputError(f"transfer {transfer_id}: the counterparty's data address is none of http or https")
        if self._data_hosts is not None and host not in self._data_hosts:
            raise InputError(
                f"transfer {transfer_id}: the counterparty's data lie on host {host!r}, which may not be asked: if it is "
                "the counterparty's, add it to data_hosts in the extra of the connector's connection"
            )


def _policy_path(asset_id: str) -> str:
    return f"/v3/policydefinitions/{quote(documents.policy_id(asset_id))}"


def _property(name: str) -> str:
    return name if "://" in name else documents.EDC + name


def _signed_at(agreement: Document) -> int:
    return int(float(text_of(agreement, "contractSigningDate") or 0))


def _negotiation(document: Document) -> Negotiation:
    state = text_of(document, "state") or ""
    known = state in NegotiationState.__members__
    return Negotiation(
        id=str(document["@id"]),
        state=NegotiationState(state) if known else NegotiationState.IN_PROGRESS,
        agreement_id=text_of(document, "contractAgreementId"),
        error=text_of(document, "errorDetail"),
    )
