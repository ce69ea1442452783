"""Negotiations and agreements in the management API of the connector sandbox."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from battery_pilot.sandbox import edc_negotiation
from battery_pilot.sandbox.edc_connector import PROTOCOL, Connector
from battery_pilot.sandbox.edc_http import conflict, invalid, management_body, mandatory, not_found, plain, selected
from battery_pilot.sandbox.edc_negotiation import KIND
from battery_pilot.sandbox.edc_policy import PolicyError, read_policy, write_for_management
from battery_pilot.sandbox.jsonld import EDC, EDC_CONTEXT, ODRL, many

if TYPE_CHECKING:
    from battery_pilot.sandbox.store import Document


def add_negotiations(routes: APIRouter, connector: Connector) -> None:
    """Add the negotiation routes."""
    path = "/contractnegotiations"

    @routes.post(path)
    async def begin(request: Request) -> Response:
        process = edc_negotiation.start(connector, _initiation(await management_body(request)))
        created = {"@type": "IdResponse", "@id": process["id"], "createdAt": process["createdAt"]}
        return JSONResponse({**created, "@context": EDC_CONTEXT})

    @routes.post(path + "/request")
    async def query(request: Request) -> Response:
        body = await management_body(request, required=False)
        found = selected(connector.store.page(KIND), body, lambda one, name: one.get(name))
        return JSONResponse([_shown(process) for process in found])

    @routes.get(path + "/{identifier}")
    async def read(identifier: str) -> Response:
        return JSONResponse(_shown(_existing(connector, identifier)))

    @routes.get(path + "/{identifier}/state")
    async def state(identifier: str) -> Response:
        process = _existing(connector, identifier)
        return JSONResponse({"@type": "NegotiationState", "state": process["state"], "@context": EDC_CONTEXT})

    @routes.get(path + "/{identifier}/agreement")
    async def agreement(identifier: str) -> Response:
        signed = connector.store.get("agreement", _existing(connector, identifier).get("contractAgreementId", ""))
        if signed is None:
            raise not_found("ContractAgreement", identifier)
        return JSONResponse(_shown_agreement(signed))

    @routes.post(path + "/{identifier}/terminate")
    async def terminate(identifier: str, request: Request) -> Response:
        process = _existing(connector, identifier)
        reason = (await management_body(request)).get(EDC + "reason") or "terminated"
        if not edc_negotiation.terminate(connector, identifier, reason):
            raise conflict(f"Negotiation {identifier} in state {process['state']} cannot be terminated")
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _existing(connector: Connector, identifier: str) -> Document:
    process = connector.store.get(KIND, identifier)
    if process is None:
        raise not_found("ContractNegotiation", identifier)
    return process


def add_agreements(routes: APIRouter, connector: Connector) -> None:
    """Add the agreement routes."""

    @routes.post("/contractagreements/request")
    async def query_agreements(request: Request) -> Response:
        body = await management_body(request, required=False)
        found = selected(connector.store.page("agreement"), body, lambda one, name: one.get(name))
        return JSONResponse([_shown_agreement(one) for one in found])

    def existing(identifier: str) -> Document:
        signed = connector.store.get("agreement", identifier)
        if signed is None:
            raise not_found("ContractAgreement", identifier)
        return signed

    @routes.get("/contractagreements/{identifier}")
    async def read_agreement(identifier: str) -> Response:
        return JSONResponse(_shown_agreement(existing(identifier)))

    @routes.get("/contractagreements/{identifier}/negotiation")
    async def read_its_negotiation(identifier: str) -> Response:
        return JSONResponse(_shown(_existing(connector, existing(identifier)["negotiationId"])))


def _initiation(body: Document) -> Document:
    address, protocol = mandatory(body, "counterPartyAddress"), mandatory(body, "protocol")
    if protocol != PROTOCOL:
        raise invalid(f"protocol {protocol} is not supported, {PROTOCOL} expected", EDC + "protocol")
    node = body.get(EDC + "policy")
    if not isinstance(node, dict):
        raise invalid(f"mandatory object '{EDC}policy' is missing", EDC + "policy")
    # EDC asks for these three by their full IRIs: a policy without the ODRL context has none of them.
    assigner, target = mandatory(node, ODRL + "assigner"), mandatory(node, ODRL + "target")
    offer: Document = {"id": mandatory(node, "@id"), "target": target}
    try:
        offer["policy"] = read_policy(node)
    except PolicyError as exception:
        raise invalid(str(exception), EDC + "policy") from exception
    return {
        "protocol": protocol,
        "counterPartyId": body.get(EDC + "counterPartyId") or assigner,
        "counterPartyAddress": address,
        "correlationId": "",
        "callbackAddresses": plain(many(body.get(EDC + "callbackAddresses"))),
        "offer": offer,
    }


def _shown(process: Document) -> Document:
    shown = {
        "@type": "ContractNegotiation",
        "@id": process["id"],
        "type": process["type"],
        "protocol": process.get("protocol", PROTOCOL),
        "state": process["state"],
        "counterPartyId": process["counterPartyId"],
        "counterPartyAddress": process["counterPartyAddress"],
        "callbackAddresses": process.get("callbackAddresses", []),
        "createdAt": process["createdAt"],
        "assetId": process["offer"]["target"],
    }
    for name in ("contractAgreementId", "errorDetail"):
        if process.get(name):
            shown[name] = process[name]
    return {**shown, "@context": EDC_CONTEXT}


def _shown_agreement(agreement: Document) -> Document:
    parties = {"assigner": agreement["providerId"], "assignee": agreement["consumerId"]}
    policy = write_for_management(
        agreement["policy"], "Agreement", id=agreement["id"], target=agreement["assetId"], **parties
    )
    return {
        "@type": "ContractAgreement",
        "@id": agreement["id"],
        "assetId": agreement["assetId"],
        "policy": policy,
        "contractSigningDate": agreement["contractSigningDate"],
        "consumerId": agreement["consumerId"],
        "providerId": agreement["providerId"],
        "@context": EDC_CONTEXT,
    }
