"""Negotiations of the TRUE Connector sandbox: each step is taken by a user of the management API."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from battery_pilot.sandbox import true_dsp_transfer
from battery_pilot.sandbox.true_dsp_site import CONTEXT, Refused, Site, done, now, page

if TYPE_CHECKING:
    from battery_pilot.sandbox.store import Document

KIND = "negotiation"
NAME = "Contract negotiation"
CONSUMER_PATH = "/consumer"


def add_management(routes: APIRouter, site: Site) -> None:
    """Add what users of a connector do."""

    @routes.post("/negotiations/request")
    def ask(request: dict[str, Any]) -> Response:
        return done(f"{NAME} initiated", _ask(site, request["Forward-To"].rstrip("/"), request["offer"]))

    @routes.get("/negotiations")
    def negotiations(request: Request) -> Response:
        return page(site, KIND, dict(request.query_params))

    @routes.get("/negotiations/{key}")
    def negotiation(key: str) -> Response:
        return done(f"{NAME} with id {key} found", site.one(KIND, key, NAME))

    @routes.put("/negotiations/{key}/agree")
    def agree(key: str) -> Response:
        return done(f"{NAME} agreed", _agree(site, site.one(KIND, key, NAME)))

    @routes.put("/negotiations/{key}/verify")
    def verify(key: str) -> Response:
        one = site.one(KIND, key, NAME)
        site.move(KIND, one, "VERIFIED")
        _tell(site, one, "/agreement/verification", "ContractAgreementVerificationMessage")
        return done("Verified negotiation")

    @routes.put("/negotiations/{key}/finalize")
    def finalise(key: str) -> Response:
        one = site.move(KIND, site.one(KIND, key, NAME), "FINALIZED")
        true_dsp_transfer.begin(site, one)
        _tell(site, one, "/events", "ContractNegotiationEventMessage", eventType="FINALIZED")
        return done(f"{NAME} finalized")

    @routes.put("/negotiations/{key}/terminate")
    def terminate(key: str) -> Response:
        one = site.move(KIND, site.one(KIND, key, NAME), "TERMINATED")
        _tell(site, one, "/termination", "ContractNegotiationTerminationMessage", code="Terminated")
        return done(f"{NAME} terminated", one)


def add_protocol(routes: APIRouter, site: Site) -> None:
    """Add what other connectors send."""

    @routes.post("/negotiations/request")
    def request(message: dict[str, Any]) -> Response:
        one = _store_request(site, message)
        body = {"@context": CONTEXT, "@type": "ContractNegotiation", "state": "REQUESTED", **_pids(one)}
        return JSONResponse(body, 201)

    @routes.post("/consumer/negotiations/{pid}/agreement")
    def agreed(pid: str, message: dict[str, Any]) -> Response:
        site.move(KIND, site.by_pid(KIND, pid), "AGREED", agreement=message["agreement"])
        return Response()

    @routes.post("/negotiations/{pid}/agreement/verification")
    def verified(pid: str) -> Response:
        site.move(KIND, site.by_pid(KIND, pid), "VERIFIED")
        return Response()

    @routes.post("/consumer/negotiations/{pid}/events")
    def finalised(pid: str, message: dict[str, Any]) -> Response:
        one = site.move(KIND, site.by_pid(KIND, pid), message["eventType"])
        true_dsp_transfer.begin(site, one)
        return Response()

    @routes.post("/negotiations/{pid}/termination")
    @routes.post("/consumer/negotiations/{pid}/termination")
    def terminated(pid: str) -> Response:
        site.move(KIND, site.by_pid(KIND, pid), "TERMINATED")
        return Response()


def _ask(site: Site, provider: str, offer: Document) -> Document:
    consumer_pid = f"urn:uuid:{uuid.uuid4()}"
    answer = site.send(
        f"{provider}/negotiations/request",
        {
            "@type": "ContractRequestMessage",
            "consumerPid": consumer_pid,
            "offer": {"@type": "Offer", **offer},
            "callbackAddress": f"{site.base_url}{CONSUMER_PATH}",
        },
    )
    return _store(site, "consumer", offer, consumer_pid, answer["providerPid"], provider)


def _store_request(site: Site, message: Document) -> Document:
    """Keep a request if its offer is on offer at all; its terms are not looked at."""
    offer = message["offer"]
    dataset = site.store.get("dataset", offer.get("target", "")) or {}
    if offer.get("@id") not in [policy.get("@id") for policy in dataset.get("hasPolicy") or ()]:
        raise Refused(400, "Contract offer is not valid")
    pids = message["consumerPid"], f"urn:uuid:{uuid.uuid4()}"
    return _store(site, "provider", offer, *pids, message["callbackAddress"])


def _store(site: Site, role: str, offer: Document, consumer_pid: str, provider_pid: str, callback: str) -> Document:
    key = f"urn:uuid:{uuid.uuid4()}"
    kept = {
        **offer,
        "@id": f"urn:uuid:{uuid.uuid4()}",
        "originalId": offer["@id"],
        "permission": [{**one, "constraint": one.get("constraint") or None} for one in offer["permission"]],
    }
    document = {
        "@id": key,
        "consumerPid": consumer_pid,
        "providerPid": provider_pid,
        "agreement": None,
        "assigner": offer.get("assigner"),
        "callbackAddress": callback,
        "created": now(),
        "offer": kept,
        "role": role,
        "state": "REQUESTED",
    }
    site.store.put(KIND, key, document)
    return document


def _agree(site: Site, one: Document) -> Document:
    agreement = {
        "@id": f"urn:uuid:{uuid.uuid4()}",
        "@type": "Agreement",
        "assigner": one["assigner"],
        "assignee": one["callbackAddress"],
        "target": one["offer"]["target"],
        "timestamp": now(),
        "permission": one["offer"]["permission"],
    }
    moved = site.move(KIND, one, "AGREED", agreement=agreement)
    _tell(site, moved, "/agreement", "ContractAgreementMessage", agreement=agreement)
    return moved


def _tell(site: Site, one: Document, path: str, kind: str, **content: Any) -> None:
    other = "consumer" if one["role"] == "provider" else "provider"
    site.send(
        f"{one['callbackAddress']}/negotiations/{one[f'{other}Pid']}{path}", {"@type": kind, **_pids(one), **content}
    )


def _pids(one: Document) -> Document:
    return {name: one[name] for name in ("consumerPid", "providerPid")}
