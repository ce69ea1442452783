"""Eclipse Dataspace Connector, management API v3 (releases 0.10 to 0.18) and v4 (from 0.15).

Met: 0.14.0 with v3, 0.15.1 with v3 and v4beta.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from battery_pilot.errors import Conflict, InputError, ServerError, ServerRefused
from battery_pilot.services.connectors import edc_documents as documents
from battery_pilot.services.connectors.edc_data import EdcData
from battery_pilot.services.connectors.edc_management import PAGE_SIZE, EdcManagement
from battery_pilot.services.connectors.edc_profiles import EDC, V3
from battery_pilot.services.connectors.inbox import Way
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

    from battery_pilot.passport.model import Tier
    from battery_pilot.services.connectors.edc_profiles import Profile
    from battery_pilot.services.connectors.exchanges import ExchangeJournal
    from battery_pilot.services.connectors.inbox import Inbox

log = logging.getLogger(__name__)

PULL, PUSH = "HttpData-PULL", "HttpData-PUSH"

Document = dict[str, Any]


class EdcConnector:
    """A connector of ours. Threads may share it.

    :param management_url: where its management API starts, up to and without the version such as ``/v3``.
    :param api_key: key of the management API (``web.http.management.auth.key``).
    :param participant_id: our id in the data space.
    :param protocol: name of the data-space protocol; without the suffix for releases before 0.13.
    :param data_hosts: host names from which data may be fetched, ``None`` for any: a counterparty names the address
        itself, and could name a server that only we can reach.
    :param timeout_second: longest silence of a server.
    :param attempts: how often a repeatable request is tried.
    :param wait_second: expected wait before the second attempt.
    :param journal: gets every request and answer of negotiations and transfers.
    :param profile: version of the management API.
    :param inbox: where our connector delivers the addresses of transfers, for connectors without a cache of them (EDC calls
        it EDR cache; deprecated since 0.17), and where a provider pushes to. ``None``: the cache is asked.
    :param is_push: whether a provider shall push the data of a transfer to the inbox instead of letting us pull them.
    :param data_keys: what the data plane must show where it gets the files: tier to key of the data app.
    :raises InputError: data are to be pushed, but there is no inbox.
    """

    agreements_serve_once = False
    offers_folders = True
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
        profile: Profile = V3,
        inbox: Inbox | None = None,
        is_push: bool = False,
        data_keys: Mapping[Tier, str] | None = None,
    ) -> None:
        if is_push and inbox is None:
            raise InputError("data can be pushed to an inbox only: configure one, or let them be pulled")
        self._participant_id = participant_id
        self._protocol = protocol
        self._timeout_second = timeout_second
        self._attempts = attempts
        self._wait_second = wait_second
        self._profile = profile
        self._is_push = is_push
        self._inbox = inbox
        self._data_keys = dict(data_keys or {})
        http = self._client(f"{management_url.rstrip('/')}/{profile.path}", {"x-api-key": api_key})
        self._management = EdcManagement(http, journal, profile)
        self._data = EdcData(
            self._management,
            inbox=inbox,
            is_delivered=inbox is not None,
            client=self._client,
            look=self.transfer_state,
            data_hosts=None if data_hosts is None else {host.lower() for host in data_hosts},
            attempts=attempts,
            wait_second=wait_second,
        )

    def publish(self, offer: Offer) -> None:
        """Offer a file, or change the offer with the same asset id to this one.

        The policy is stored and verified before the file is on offer, and a file is never on offer under the policy
        of another version of it.

        :raises ServerRefused: the connector stored another policy than it was given; the file is not on offer then.
        :raises InputError: the policy has a constraint that EDC does not check.
        """
        demand_enforceable(offer.constraints, self.enforced_operands)
        self._store_policy(offer)
        self._management.upsert("/assets", documents.asset(offer, self._profile, self._data_keys.get(offer.tier)))
        self._management.upsert("/contractdefinitions", documents.contract_definition(offer, self._profile))
        log.info("published %s (%s)", offer.asset_id, offer.tier)

    def withdraw(self, asset_id: str) -> None:
        """Take an offer out of the catalogue; that there is none is no error. Agreements made remain."""
        self._take_off_offer(asset_id)
        self._management.delete(_policy_path(asset_id))
        try:
            self._management.delete(f"/assets/{quote(asset_id)}")
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
        request = documents.contract_request(entry, self._protocol, self._profile)
        negotiation_id = self._management.begin("/contractnegotiations", request, entry.asset_id)
        log.info("negotiation %s about %s started", negotiation_id, entry.asset_id)
        return negotiation_id

    def negotiation(self, negotiation_id: str) -> Negotiation:
        """Look at a negotiation."""
        return _negotiation(self._management.look(f"/contractnegotiations/{quote(negotiation_id)}", negotiation_id))

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
                "/contractagreements/request", documents.criterion("assetId", asset_id)
            )
            if agreement["@id"] not in without
            and text_of(agreement, "assetId") == asset_id
            and text_of(agreement, "providerId") == counterparty.participant_id
            and text_of(agreement, "consumerId") == self._participant_id
        ]
        for agreement in sorted(found, key=_signed_at, reverse=True):
            agreement_id = str(agreement["@id"])
            path = f"/contractagreements/{quote(agreement_id)}/negotiation"
            if _negotiation(self._management.http.get_json(path)).state is NegotiationState.FINALIZED:
                return agreement_id
        return None

    def agreement(self, agreement_id: str) -> Agreement:
        """Read an agreement."""
        document = self._management.look(f"/contractagreements/{quote(agreement_id)}", agreement_id)
        signed_at = datetime.fromtimestamp(_signed_at(document), tz=UTC)
        return Agreement(agreement_id, term(document, "policy") or {}, signed_at)

    def transfer(self, agreement_id: str, counterparty: Counterparty) -> str:
        """Start a transfer under an agreement, and return its id."""
        way = Way.CONTENT if self._is_push else Way.ADDRESS
        secret, ours = self._inbox.expect(way) if self._inbox is not None else ("", "")
        request = {
            "@context": self._profile.context,
            "@type": "TransferRequest",
            "counterPartyAddress": counterparty.protocol_url,
            "protocol": self._protocol,
            "contractId": agreement_id,
            "transferType": PUSH if self._is_push else PULL,
            **(documents.delivery(way, ours) if ours else {}),
        }
        try:
            transfer_id = self._management.begin("/transferprocesses", request, agreement_id)
        except ServerError:
            if self._inbox is not None:
                self._inbox.give_up(secret)
            raise
        if self._inbox is not None:
            self._inbox.bind(transfer_id, secret, way)
        log.info("transfer %s under agreement %s started", transfer_id, agreement_id)
        return transfer_id

    def transfer_state(self, transfer_id: str) -> Transfer:
        """Look at a transfer.

        One that is pushed counts as started, so that its data can be fetched, from when they are in the inbox.
        """
        document = self._management.look(f"/transferprocesses/{quote(transfer_id)}", transfer_id)
        name = text_of(document, "state") or ""
        state = TransferState(name) if name in TransferState.__members__ else TransferState.IN_PROGRESS
        error = text_of(document, "errorDetail")
        if self._inbox is not None and self._inbox.is_pushed(transfer_id):
            state, error = _pushed_state(state, error, is_here=self._inbox.content(transfer_id) is not None)
        return Transfer(id=str(document["@id"]), state=state, error=error)

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
        return self._data.fetch(transfer_id, maximum_bytes=maximum_bytes, path=path)

    def stream(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> Iterator[bytes]:
        """Get the same data piece by piece, so that they are never in memory as a whole; errors as for :meth:`fetch`.

        An answer that breaks off is continued where the source serves ranges; a token that is refused is renewed once.

        :raises ServerUnavailable: the answer broke off and cannot be continued.
        """
        return self._data.stream(transfer_id, maximum_bytes=maximum_bytes, path=path)

    def terminate(self, transfer_id: str, reason: str) -> None:
        """End a transfer; that it has ended already is no error. A pull transfer never ends by itself."""
        self._data.forget(transfer_id)
        self._management.terminate("transferprocesses", "TerminateTransfer", transfer_id, reason)

    def negotiations_under_way(self, counterparty: Counterparty) -> dict[str, str]:
        """Return the ids of our negotiations with a counterparty that have not ended, by asset.

        Releases before 0.14 do not tell the asset of a negotiation; with them nothing is found.
        """
        criterion = documents.criterion("counterPartyId", counterparty.participant_id)
        return {
            asset_id: str(document["@id"])
            for document in self._management.query("/contractnegotiations/request", criterion)
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
        self._management.delete(f"/contractdefinitions/{quote(documents.contract_definition_id(asset_id))}")

    def _store_policy(self, offer: Offer) -> None:
        """Store a policy and read it back: EDC accepts one that it does not understand and stores an empty one."""
        document = documents.policy_definition(offer, self._profile)
        intended = documents.rules(document["policy"])
        path = _policy_path(offer.asset_id)
        try:
            self._management.http.request("POST", "/policydefinitions", json=document, idempotent=True)
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
            "@context": self._profile.context,
            "@type": "CatalogRequest",
            "counterPartyId": counterparty.participant_id,
            "counterPartyAddress": counterparty.protocol_url,
            "protocol": self._protocol,
            "querySpec": {"@type": "QuerySpec", "offset": offset, "limit": PAGE_SIZE, "filterExpression": criteria},
        }
        answer = self._management.http.request("POST", "/catalog/request", json=request, idempotent=True)
        catalogue: Document = answer.json()
        owner = text_of(catalogue, "participantId")
        if owner is not None and owner != counterparty.participant_id:
            detail = (
                f"{counterparty.protocol_url} is the connector of {owner!r}, not of {counterparty.participant_id!r}"
            )
            raise ServerRefused(answer.method, answer.url, answer.status, detail)
        return catalogue


def _policy_path(asset_id: str) -> str:
    return f"/policydefinitions/{quote(documents.policy_id(asset_id))}"


def _pushed_state(state: TransferState, error: str | None, *, is_here: bool) -> tuple[TransferState, str | None]:
    if is_here:
        return TransferState.STARTED, error
    if state is TransferState.STARTED:
        return TransferState.IN_PROGRESS, error
    if state is TransferState.COMPLETED:
        return TransferState.TERMINATED, "the transfer is complete, but nothing was pushed to our inbox"
    return state, error


def _property(name: str) -> str:
    return name if "://" in name else EDC + name


def _signed_at(agreement: Document) -> int:
    return int(float(text_of(agreement, "contractSigningDate") or 0))


def _negotiation(document: Document) -> Negotiation:
    name = text_of(document, "state") or ""
    state = NegotiationState(name) if name in NegotiationState.__members__ else NegotiationState.IN_PROGRESS
    error = text_of(document, "errorDetail")
    if state is NegotiationState.TERMINATED and error is None:
        # EDC tells the side that was refused no reason (met: 0.14.0, 0.15.1).
        theirs = text_of(document, "correlationId")
        error = "our connector was told no reason" + (f": ask for theirs of negotiation {theirs}" if theirs else "")
    return Negotiation(
        id=str(document["@id"]), state=state, agreement_id=text_of(document, "contractAgreementId"), error=error
    )
