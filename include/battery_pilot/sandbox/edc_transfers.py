"""Transfers and endpoint data references in the management API of the connector sandbox."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from battery_pilot.sandbox import edc_transfer
from battery_pilot.sandbox.edc_connector import PROTOCOL, Connector
from battery_pilot.sandbox.edc_http import (
    ManagementError,
    conflict,
    invalid,
    management_body,
    mandatory,
    not_found,
    plain,
    selected,
)
from battery_pilot.sandbox.edc_transfer import KIND
from battery_pilot.sandbox.jsonld import EDC, EDC_CONTEXT, many

if TYPE_CHECKING:
    from battery_pilot.sandbox.store import Document


def add_transfers(routes: APIRouter, connector: Connector) -> None:
    """Add the transfer routes."""
    path = "/transferprocesses"

    @routes.post(path)
    async def begin(request: Request) -> Response:
        process = edc_transfer.start(connector, _initiation(connector, await management_body(request)))
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
        return JSONResponse({"@type": "TransferState", "state": process["state"], "@context": EDC_CONTEXT})


def add_commands(routes: APIRouter, connector: Connector) -> None:
    """Add what ends, pauses and continues a transfer."""
    path = "/transferprocesses/{identifier}"

    @routes.post(path + "/terminate")
    async def terminate(identifier: str, request: Request) -> Response:
        process, reason = _existing(connector, identifier), await _reason(request)
        return _done(process, "terminated", edc_transfer.terminate(connector, identifier, reason))

    @routes.post(path + "/suspend")
    async def suspend(identifier: str, request: Request) -> Response:
        process, reason = _existing(connector, identifier), await _reason(request)
        return _done(process, "suspended", edc_transfer.suspend(connector, identifier, reason))

    @routes.post(path + "/resume")
    async def resume(identifier: str) -> Response:
        process = _existing(connector, identifier)
        return _done(process, "resumed", edc_transfer.resume(connector, process))


def add_references(routes: APIRouter, connector: Connector) -> None:
    """Add the cache of endpoint data references."""

    @routes.post("/edrs/request")
    async def query(request: Request) -> Response:
        body = await management_body(request, required=False)
        found = selected(connector.store.page("edr"), body, lambda one, name: one.get(name))
        return JSONResponse([_shown_reference(one) for one in found])

    @routes.get("/edrs/{identifier}/dataaddress")
    async def read(identifier: str) -> Response:
        reference = connector.store.get("edr", identifier)
        if reference is None:
            raise not_found("EndpointDataReferenceEntry", identifier)
        return JSONResponse({**reference["dataAddress"], "@context": EDC_CONTEXT})

    @routes.delete("/edrs/{identifier}")
    async def delete(identifier: str) -> Response:
        if not connector.store.delete("edr", identifier):
            raise not_found("EndpointDataReferenceEntry", identifier)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _existing(connector: Connector, identifier: str) -> Document:
    process = connector.store.get(KIND, identifier)
    if process is None:
        raise not_found("TransferProcess", identifier)
    return process


async def _reason(request: Request) -> str:
    return str((await management_body(request)).get(EDC + "reason") or "requested by the user")


def _done(process: Document, what: str, done: bool) -> Response:
    if not done:
        raise conflict(f"Transfer {process['id']} in state {process['state']} cannot be {what}")
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _initiation(connector: Connector, body: Document) -> Document:
    address, protocol = mandatory(body, "counterPartyAddress"), mandatory(body, "protocol")
    agreement_id, transfer_type = mandatory(body, "contractId"), mandatory(body, "transferType")
    if protocol != PROTOCOL:
        raise invalid(f"protocol {protocol} is not supported, {PROTOCOL} expected", EDC + "protocol")
    agreement = connector.store.get("agreement", agreement_id)
    if agreement is None:
        message = f"Contract agreement with id {agreement_id} not found"
        raise ManagementError(HTTPStatus.BAD_REQUEST, "BadRequest", message)
    destination = plain(body.get(EDC + "dataDestination"))
    if transfer_type.endswith("PUSH") and not destination:
        raise invalid(f"mandatory object '{EDC}dataDestination' is missing", EDC + "dataDestination")
    return {
        "counterPartyId": agreement["providerId"],
        "counterPartyAddress": address,
        "assetId": agreement["assetId"],
        "contractId": agreement_id,
        "contractNegotiationId": agreement["negotiationId"],
        "transferType": transfer_type,
        "dataDestination": destination,
        "callbackAddresses": plain(many(body.get(EDC + "callbackAddresses"))),
    }


def _shown(process: Document) -> Document:
    shown = {
        "@id": process["id"],
        "@type": "TransferProcess",
        "correlationId": process["correlationId"],
        "state": process["state"],
        "stateTimestamp": process["stateTimestamp"],
        "assetId": process["assetId"],
        "contractId": process["contractId"],
        "type": process["type"],
        "transferType": process["transferType"],
        "callbackAddresses": process.get("callbackAddresses", []),
    }
    for name in ("dataDestination", "errorDetail"):
        if process.get(name):
            shown[name] = process[name]
    return {**shown, "@context": EDC_CONTEXT}


def _shown_reference(reference: Document) -> Document:
    shown = {name: value for name, value in reference.items() if name != "dataAddress"}
    named = {"@id": reference["transferProcessId"], "@type": "EndpointDataReferenceEntry"}
    return {**named, **shown, "@context": EDC_CONTEXT}
