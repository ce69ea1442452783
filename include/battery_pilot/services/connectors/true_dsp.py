"""TRUE Connector for the Dataspace Protocol, management API v1 (release 0.6).

Met at 0.6.6. Its automatic negotiation must stay off: it agrees to whatever a consumer asks for, even without the offer's
constraints. So the provider's side is answered by :mod:`battery_pilot.services.connectors.true_dsp_requests`.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from battery_pilot.errors import Conflict, InputError, NotFound, ServerRefused, ServerUnavailable
from battery_pilot.services.connectors import true_dsp_documents as documents
from battery_pilot.services.connectors.jsonld import listed
from battery_pilot.services.connectors.model import (
    Agreement,
    CatalogueEntry,
    Counterparty,
    Negotiation,
    NegotiationState,
    Offer,
    Transfer,
)
from battery_pilot.services.connectors.policies import demand_enforceable
from battery_pilot.services.connectors.single_files import demand_allowed, demand_no_path, demand_one_file
from battery_pilot.services.connectors.true_dsp_api import TrueDspApi
from battery_pilot.services.connectors.true_dsp_requests import answer_requests
from battery_pilot.services.http import HttpClient, Progress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from battery_pilot.passport.model import Tier
    from battery_pilot.services.connectors.exchanges import ExchangeJournal

log = logging.getLogger(__name__)

OPEN_TRANSFERS = frozenset({"REQUESTED", "STARTED"})
POLL_SECOND = 0.25

Document = dict[str, Any]


class TrueDspConnector:
    """A connector of ours. Threads may share it.

    :param management_url: where it listens, up to and without ``/api``.
    :param user: account with the administrator's role.
    :param password: its password.
    :param participant_id: our id in the data space.
    :param data_keys: what the connector must show where it gets the files: tier to key of the data app.
    :param data_hosts: host names from which the connector may be told to fetch data, ``None`` for any: a counterparty names
        the address itself, and could name a server that only we can reach.
    :param timeout_second: longest silence of a server.
    :param attempts: how often a repeatable request is tried.
    :param wait_second: expected wait before the second attempt.
    :param patience_second: how long the connector may take to fetch a file.
    :param journal: gets every request and answer of negotiations and transfers.
    """

    enforced_operands = frozenset(documents.OPERANDS)
    offers_folders = False
    agreements_serve_once = True
    """An agreement comes with one transfer process, and one that is completed cannot be used again."""

    def __init__(
        self,
        management_url: str,
        *,
        user: str,
        password: str,
        participant_id: str,
        data_keys: Mapping[Tier, str] | None = None,
        data_hosts: Collection[str] | None = None,
        timeout_second: float = 30,
        attempts: int = 4,
        wait_second: float = 0.5,
        patience_second: float = 120,
        journal: ExchangeJournal | None = None,
    ) -> None:
        self._participant_id = participant_id
        self._data_keys = dict(data_keys or {})
        self._data_hosts = None if data_hosts is None else {host.lower() for host in data_hosts}
        self._timeout_second = timeout_second
        self._patience_second = patience_second
        self._pull: Document | None = None
        self._api = TrueDspApi(
            HttpClient(
                management_url,
                auth=(user, password),
                timeout_second=timeout_second,
                attempts=attempts,
                wait_second=wait_second,
            ),
            journal,
        )

    def publish(self, offer: Offer) -> None:
        """Offer a file, or change the offer with the same asset id to this one.

        The connector fetches the file from its address at every transfer, so a new content needs no new publication. Policy
        and file are stored in one request.

        :raises InputError: the connector does not know, or does not check, a constraint.
        :raises ServerRefused: the connector stored another policy than it was given; the file is not on offer then.
        """
        demand_enforceable(offer.constraints, self.enforced_operands)
        demand_one_file(offer)
        document = documents.dataset(offer, self._distribution(), documents.properties_of(offer))
        stored = self._dataset(offer.asset_id)
        key = self._data_keys.get(offer.tier)
        authorization = f"Bearer {key}" if key else None
        if stored is not None and _is_same(stored, document, offer.data_url, authorization):
            return
        method, path = ("POST", "/datasets") if stored is None else ("PUT", _dataset_path(offer.asset_id))
        fields = {"url": offer.data_url} | ({"authorization": authorization} if authorization else {})
        try:
            self._api.upload(method, path, {"dataset": json.dumps(document)} | fields)
        except ServerRefused as refusal:
            raise _with_remedy(refusal, offer) from refusal
        self._demand_stored(offer, document)
        log.info("published %s (%s)", offer.asset_id, offer.tier)

    def withdraw(self, asset_id: str) -> None:
        """Take an offer out of the catalogue; that there is none is no error. Agreements made remain."""
        try:
            self._api.request("DELETE", _dataset_path(asset_id))
        except NotFound:
            log.debug("dataset %s is gone already", asset_id)

    def catalogue(
        self, counterparty: Counterparty, *, filter: Mapping[str, str] | None = None
    ) -> Iterator[CatalogueEntry]:
        """Walk over what a counterparty offers us; of several offers of one asset, the first is taken.

        The connector has neither pages nor filters for this: the whole catalogue is one answer.

        :param counterparty: whose catalogue.
        :param filter: only assets with these property values.
        :raises ServerRefused: the answer is the catalogue of somebody else.
        """
        request = {"Forward-To": counterparty.protocol_url}
        catalogue = self._api.request("POST", "/proxy/catalogs", json=request, idempotent=True)
        owner = catalogue.get("participantId")
        if owner is not None and owner != counterparty.participant_id:
            detail = (
                f"{counterparty.protocol_url} is the connector of {owner!r}, not of {counterparty.participant_id!r}"
            )
            raise ServerRefused("POST", counterparty.protocol_url, 200, detail)
        wanted = set((filter or {}).items())
        for document in listed(catalogue.get("dataset")):
            entry = documents.catalogue_entry(catalogue, document, counterparty)
            if entry is not None and wanted <= set(entry.properties.items()):
                yield entry

    def negotiate(self, entry: CatalogueEntry) -> str:
        """Start a negotiation about a catalogue entry that was just read, and return its id."""
        request = {"Forward-To": entry.counterparty.protocol_url, "offer": entry.offer}
        negotiation_id = str(
            self._api.request("POST", "/negotiations/request", json=request, about=entry.asset_id)["@id"]
        )
        log.info("negotiation %s about %s started", negotiation_id, entry.asset_id)
        return negotiation_id

    def negotiation(self, negotiation_id: str) -> Negotiation:
        """Look at a negotiation; an agreement that is what was asked for is confirmed, another one is refused.

        The connector leaves that step of the protocol (verification) to its user.
        """
        document = self._api.request("GET", _negotiation_path(negotiation_id), about=negotiation_id)
        if document["state"] == "AGREED" and document.get("role") == "consumer":
            return self._verified(document)
        return documents.negotiation(document)

    def negotiations_under_way(self, counterparty: Counterparty) -> dict[str, str]:
        """Return the ids of our negotiations with a counterparty that have not ended, by asset."""
        query = {"role": "consumer", "assigner": counterparty.participant_id}
        # The newest come first, and of two about one asset the newest counts.
        return {
            str((one.get("offer") or {}).get("target")): str(one["@id"])
            for one in reversed(list(self._api.pages("/negotiations", query)))
            if not documents.negotiation(one).state.is_final
        }

    def agreement(self, agreement_id: str) -> Agreement:
        """Read an agreement, which the connector shows as a part of its negotiation only."""
        for one in self._api.pages("/negotiations", {"role": "consumer", "state": "FINALIZED"}):
            if (one.get("agreement") or {}).get("@id") == agreement_id:
                return documents.agreement(one["agreement"])
        raise NotFound("GET", "/api/v1/negotiations", None, f"our connector knows no agreement {agreement_id}")

    def find_agreement(
        self, asset_id: str, counterparty: Counterparty, *, without: Collection[str] = ()
    ) -> str | None:
        """Return the id of the latest agreement that can still be used, so that nothing needs negotiating again.

        :param without: agreements that are not to be used again.
        """
        query = {"role": "consumer", "state": "FINALIZED", "assigner": counterparty.participant_id}
        found = [
            document
            for document in self._api.pages("/negotiations", query)
            if (document.get("agreement") or {}).get("target") == asset_id
        ]
        for document in documents.newest_first(found):
            agreement_id = str(document["agreement"]["@id"])
            if agreement_id in without:
                continue
            process = self._process(agreement_id)
            if process is not None and process["state"] in {"INITIALIZED", *OPEN_TRANSFERS}:
                return agreement_id
        return None

    def transfer(self, agreement_id: str, counterparty: Counterparty) -> str:  # noqa: ARG002 -- the agreement knows it
        """Start the transfer of an agreement, and return its id; one that is under way already is returned.

        :raises ServerUnavailable: the connector has not made the transfer process yet.
        :raises Conflict: the agreement has been used.
        """
        process = self._process(agreement_id)
        if process is None:
            raise ServerUnavailable(
                "GET", "/api/v1/transfers", 200, f"agreement {agreement_id} has no transfer process yet"
            )
        transfer_id = str(process["@id"])
        if process["state"] in OPEN_TRANSFERS:
            return transfer_id
        if process["state"] != "INITIALIZED":
            raise Conflict(
                "POST",
                "/api/v1/transfers",
                None,
                f"the transfer of agreement {agreement_id} is {process['state']} and cannot be repeated: negotiate anew",
            )
        self._api.request(
            "POST",
            "/transfers",
            json={"transferProcessId": transfer_id, "format": documents.FORMAT},
            about=transfer_id,
        )
        log.info("transfer %s under agreement %s started", transfer_id, agreement_id)
        return transfer_id

    def transfer_state(self, transfer_id: str) -> Transfer:
        """Look at a transfer."""
        return documents.transfer(self._api.request("GET", _transfer_path(transfer_id), about=transfer_id))

    def fetch(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> bytes:
        """Get the data of a transfer that has started: our connector downloads them, and we read them in its storage.

        Each call is a use that counts against a constraint on their number.

        :param transfer_id: the transfer.
        :param maximum_bytes: longest file to accept.
        :param path: must be empty: there are no offers of folders.
        :raises ServerUnavailable: the connector does not get the file in time.
        :raises ServerRefused: with status 403, the policy does not allow the use any more.
        :raises TooLarge: the file is longer than ``maximum_bytes``.
        :raises InputError: the counterparty named an address on a host that may not be asked.
        """
        return self._stored(transfer_id, path).request("GET", maximum_bytes=maximum_bytes).body

    def stream(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> Iterator[bytes]:
        """Get the same data piece by piece, so that they are never in memory as a whole; a use, as :meth:`fetch` is one."""
        stored = self._stored(transfer_id, path)
        yield from stored.stream(maximum_bytes=maximum_bytes, progress=Progress())

    def _stored(self, transfer_id: str, path: str) -> HttpClient:
        """Have our connector download the data, and return where they lie in its storage."""
        demand_no_path(path)
        process = self._api.request("GET", _transfer_path(transfer_id), about=transfer_id)
        if not process.get("downloaded"):
            self._download(transfer_id, process)
        address = self._api.text("GET", f"{_transfer_path(transfer_id)}/view")
        return HttpClient(address, timeout_second=self._timeout_second)

    def terminate(self, transfer_id: str, reason: str) -> None:
        """End a transfer; that it has ended already is no error. The connector has no place for the reason."""
        if self.transfer_state(transfer_id).state.is_final:
            return
        self._api.request("PUT", f"{_transfer_path(transfer_id)}/terminate", about=transfer_id)
        log.info("transfer %s terminated: %s", transfer_id, reason)

    def terminate_negotiation(self, negotiation_id: str, reason: str) -> None:
        """End a negotiation; that it has ended already is no error. The connector has no place for the reason."""
        document = self._api.request("GET", _negotiation_path(negotiation_id), about=negotiation_id)
        if documents.negotiation(document).state.is_final:
            return
        self._api.request("PUT", f"{_negotiation_path(negotiation_id)}/terminate", about=negotiation_id)
        log.info("negotiation %s terminated: %s", negotiation_id, reason)

    def answer_requests(self) -> dict[str, int]:
        """Do the provider's part of all negotiations and transfers that wait for it; see :func:`answer_requests`."""
        return answer_requests(self._api)

    def _distribution(self) -> Document:
        """Return the connector's distribution that transfers by pull; it is asked for once, because it does not change."""
        if self._pull is not None:
            return self._pull
        found = [one for one in self._api.request("GET", "/distributions") if one.get("format") == documents.FORMAT]
        if not found:
            raise InputError(
                f"the TRUE Connector has no distribution of format {documents.FORMAT}: start it with one, such as in "
                "docker/true-connector/provider/initial_data.json"
            )
        self._pull = dict(found[0])
        return self._pull

    def _dataset(self, asset_id: str) -> Document | None:
        try:
            return dict(self._api.request("GET", _dataset_path(asset_id)))
        except NotFound:
            return None

    def _demand_stored(self, offer: Offer, document: Document) -> None:
        """Read a policy back: what is on offer must be under the conditions that were meant."""
        stored = self._dataset(offer.asset_id) or {}
        policies = listed(stored.get("hasPolicy"))
        intended = documents.rules(document["hasPolicy"][0])
        if len(policies) == 1 and documents.rules(policies[0]) == intended:
            return
        self.withdraw(offer.asset_id)
        raise ServerRefused(
            "GET",
            f"/api/v1{_dataset_path(offer.asset_id)}",
            200,
            f"the connector stored {len(policies)} policies, none of them what it was given; {offer.asset_id} is not offered",
        )

    def _verified(self, document: Document) -> Negotiation:
        """Confirm an agreement that is what we asked for; end the negotiation otherwise."""
        negotiation_id = str(document["@id"])
        offer, agreement = document.get("offer") or {}, document.get("agreement") or {}
        problem = documents.difference(offer, agreement)
        if problem:
            self.terminate_negotiation(negotiation_id, problem)
            return Negotiation(negotiation_id, NegotiationState.TERMINATED, error=problem)
        self._api.request("PUT", f"{_negotiation_path(negotiation_id)}/verify", about=negotiation_id)
        return Negotiation(negotiation_id, NegotiationState.VERIFIED, agreement_id=agreement.get("@id"))

    def _process(self, agreement_id: str) -> Document | None:
        """Return the transfer process of an agreement."""
        return next(self._api.pages("/transfers", {"role": "consumer", "agreementId": agreement_id}), None)

    def _download(self, transfer_id: str, process: Document) -> None:
        """Let the connector get the file, and wait until it has it."""
        address = process.get("dataAddress") or {}
        demand_allowed(transfer_id, str(address.get("endpoint") or ""), self._data_hosts)
        self._api.request("GET", f"{_transfer_path(transfer_id)}/download", idempotent=False, about=transfer_id)
        end = time.monotonic() + self._patience_second
        while not process.get("downloaded"):
            if time.monotonic() > end:
                raise ServerUnavailable(
                    "GET",
                    f"/api/v1{_transfer_path(transfer_id)}/download",
                    202,
                    f"our connector has not got the file after {self._patience_second:g} s; its log says why",
                )
            time.sleep(POLL_SECOND)
            process = self._api.request("GET", _transfer_path(transfer_id), about=transfer_id)


def _with_remedy(refusal: ServerRefused, offer: Offer) -> ServerRefused:
    """Say in our words that the catalogue has no word for a constraint; the connector names a class of its own."""
    if "no corresponding value" not in refusal.detail:
        return refusal
    words = ", ".join(sorted({documents.OPERANDS[one.left_operand] for one in offer.constraints}))
    detail = (
        f"the connector's catalogue does not take one of {words}, though its policies know them; release 0.6.6 takes COUNT "
        f"and DATE_TIME only; {offer.asset_id} is not offered so"
    )
    return ServerRefused(refusal.method, refusal.url, refusal.status, detail)


def _is_same(stored: Document, document: Document, url: str, authorization: str | None) -> bool:
    """Return whether a stored dataset is what would be stored now."""
    artifact = stored.get("artifact") or {}
    return (
        all(stored.get(name) == document[name] for name in ("title", "identifier"))
        and sorted(listed(stored.get("keyword"))) == document["keyword"]
        and [one.get("@id") for one in listed(stored.get("hasPolicy"))] == [document["hasPolicy"][0]["@id"]]
        and (artifact.get("value"), artifact.get("authorization")) == (url, authorization)
    )


def _dataset_path(asset_id: str) -> str:
    return f"/datasets/{quote(asset_id)}"


def _negotiation_path(negotiation_id: str) -> str:
    return f"/negotiations/{quote(negotiation_id)}"


def _transfer_path(transfer_id: str) -> str:
    return f"/transfers/{quote(transfer_id)}"
