"""The provider's part of TRUE Connector's negotiations and transfers, which the connector leaves to its user."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import quote

from battery_pilot.errors import NotFound, ServerRefused
from battery_pilot.services.connectors import true_dsp_documents as documents
from battery_pilot.services.connectors.jsonld import listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from battery_pilot.services.connectors.true_dsp_api import TrueDspApi

log = logging.getLogger(__name__)

Document = dict[str, Any]


@runtime_checkable
class AnswersRequests(Protocol):
    """A connector that leaves the provider's part to its user."""

    def answer_requests(self) -> dict[str, int]:
        """Do the provider's part of all negotiations and transfers that wait for it, and return counts."""


def answer_requests(api: TrueDspApi) -> dict[str, int]:
    """Agree to what was asked for under the terms that are on offer, finalise what was verified, start transfers.

    A request with other terms than those on offer is ended: the connector itself would agree to it. What cannot be answered
    costs only itself and is tried again the next time.

    :param api: the provider's connector.
    :return: ``agreed``, ``refused``, ``finalised``, ``started``, ``failed``.
    """
    counts = dict.fromkeys(("agreed", "refused", "finalised", "started", "failed"), 0)

    def each(path: str, state: str, step: Callable[[Document], str]) -> None:
        # First all of them, then the steps: these move them out of the list.
        for document in list(api.pages(path, {"role": "provider", "state": state})):
            try:
                counts[step(document)] += 1
            except ServerRefused as refusal:
                log.warning("%s %s: %s", path, document.get("@id"), refusal)
                counts["failed"] += 1

    each("/negotiations", "REQUESTED", lambda one: _answer(api, one))
    each("/negotiations", "VERIFIED", lambda one: _put(api, "negotiations", one, "finalize", "finalised"))
    each("/transfers", "REQUESTED", lambda one: _put(api, "transfers", one, "start", "started"))
    if any(counts.values()):
        log.info("answered requests: %s", counts)
    return counts


def _answer(api: TrueDspApi, negotiation: Document) -> str:
    if _is_on_offer(api, negotiation.get("offer") or {}):
        return _put(api, "negotiations", negotiation, "agree", "agreed")
    log.warning("negotiation %s asks for what is not on offer, and is ended", negotiation.get("@id"))
    return _put(api, "negotiations", negotiation, "terminate", "refused")


def _is_on_offer(api: TrueDspApi, asked: Document) -> bool:
    """Return whether what was asked for is one of the policies under which its dataset is on offer now."""
    try:
        dataset = api.request("GET", f"/datasets/{quote(str(asked.get('target')))}")
    except NotFound:
        return False
    return any(
        policy.get("@id") == asked.get("originalId") and documents.rules(policy) == documents.rules(asked)
        for policy in listed(dataset.get("hasPolicy"))
    )


def _put(api: TrueDspApi, kind: str, document: Document, step: str, outcome: str) -> str:
    api.request("PUT", f"/{kind}/{quote(str(document['@id']))}/{step}")
    return outcome
