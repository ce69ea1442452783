"""Transfers of the connector sandbox: the state machine and its messages.

A pull ends in STARTED on both sides and stays there until somebody terminates it, as in EDC: the consumer then holds an
endpoint data reference (EDR). A push ends in COMPLETED.
"""

from __future__ import annotations

import logging
import secrets
import time
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from battery_pilot.sandbox.edc_catalog import FORMATS
from battery_pilot.sandbox.edc_connector import milliseconds
from battery_pilot.sandbox.edc_data import push
from battery_pilot.sandbox.edc_http import ProtocolError, caller_of, message_of, part_of
from battery_pilot.sandbox.edc_negotiation import new_process, pids
from battery_pilot.sandbox.edc_policy import in_force
from battery_pilot.sandbox.jsonld import DSP_CONTEXT, EDC, many
from battery_pilot.sandbox.network import is_loopback

if TYPE_CHECKING:
    from battery_pilot.sandbox.edc_connector import Connector, Step
    from battery_pilot.sandbox.store import Document

log = logging.getLogger(__name__)

KIND = "transfer"
_MESSAGES = "Transfer"
HTTP_ENDPOINT = "https://w3id.org/idsa/v4.1/HTTP"
# Plain EDC tokens live as long as their transfer; deployments that sign them with an expiry are common, so these expire.
TOKEN_LIFETIME_SECONDS = 3600
_LIVING = (
    "REQUESTING",
    "REQUESTED",
    "STARTING",
    "STARTED",
    "SUSPENDING",
    "SUSPENDED",
    "RESUMING",
    "COMPLETING",
    "TERMINATING",
)
_PROTOCOL_STATES = {
    "REQUESTING": "REQUESTED",
    "STARTING": "REQUESTED",
    "SUSPENDING": "STARTED",
    "RESUMING": "SUSPENDED",
    "COMPLETING": "STARTED",
    "TERMINATING": "TERMINATED",
}


def step_of(process: Document) -> Step | None:
    """Return what a transfer does next by itself, or ``None`` when it waits or has ended."""
    role, state = process["type"], process["state"]
    if (role, state) == ("PROVIDER", "STARTED") and process["transferType"].endswith("PUSH"):
        return _push
    return _STEPS.get((role, state)) or _STEPS.get(("ANY", state))


async def _request(connector: Connector, process: Document) -> None:
    destination = process.get("dataDestination")
    address = {"dataAddress": _as_message(destination)} if destination else {}
    answer = await connector.send(
        process["counterPartyAddress"],
        "/transfers/request",
        "TransferRequestMessage",
        consumerPid=process["id"],
        agreementId=process["contractId"],
        format=process["transferType"],
        callbackAddress=connector.protocol_url,
        **address,
    )
    provider_pid = part_of(answer, "providerPid")
    connector.transition(KIND, process["id"], ("REQUESTING",), "REQUESTED", correlationId=provider_pid)


async def _prepare_start(connector: Connector, process: Document) -> None:
    connector.transition(KIND, process["id"], ("REQUESTED",), "STARTING")


async def _start(connector: Connector, process: Document) -> None:
    address: Document = {}
    if process["transferType"].endswith("PULL"):
        token = secrets.token_urlsafe(32)
        expires_at = time.time() + TOKEN_LIFETIME_SECONDS
        connector.store.put("token", token, {"transferId": process["id"], "expiresAt": expires_at})
        endpoint = f"{connector.base_url}/public"
        address = {"dataAddress": _as_message({"endpoint": endpoint, "authorization": token, "authType": "bearer"})}
    await _tell(connector, process, "start", "TransferStartMessage", **address)
    connector.transition(KIND, process["id"], ("STARTING",), "STARTED")


async def _resume(connector: Connector, process: Document) -> None:
    await _tell(connector, process, "start", "TransferStartMessage")
    connector.transition(KIND, process["id"], ("RESUMING",), "SUSPENDED")


async def _push(connector: Connector, process: Document) -> None:
    await push(connector, process)
    connector.transition(KIND, process["id"], ("STARTED",), "COMPLETING")


async def _complete(connector: Connector, process: Document) -> None:
    await _tell(connector, process, "completion", "TransferCompletionMessage")
    connector.transition(KIND, process["id"], ("COMPLETING",), "COMPLETED")


async def _suspend(connector: Connector, process: Document) -> None:
    reason = {"code": "suspended", "reason": [process.get("suspensionReason") or "suspended"]}
    await _tell(connector, process, "suspension", "TransferSuspensionMessage", **reason)
    connector.transition(KIND, process["id"], ("SUSPENDING",), "SUSPENDED")


async def _terminate(connector: Connector, process: Document) -> None:
    if process["correlationId"]:
        reason = {"code": "terminated", "reason": [process.get("errorDetail") or "terminated"]}
        await _tell(connector, process, "termination", "TransferTerminationMessage", **reason)
    connector.transition(KIND, process["id"], ("TERMINATING",), "TERMINATED")


async def _tell(connector: Connector, process: Document, path: str, message_type: str, **content: Any) -> None:
    address, correlation_id = process["counterPartyAddress"], process["correlationId"]
    await connector.send(address, f"/transfers/{correlation_id}/{path}", message_type, **pids(process), **content)


_STEPS: dict[tuple[str, str], Step] = {
    ("CONSUMER", "REQUESTING"): _request,
    ("PROVIDER", "REQUESTED"): _prepare_start,
    ("PROVIDER", "STARTING"): _start,
    ("CONSUMER", "RESUMING"): _resume,
    ("ANY", "COMPLETING"): _complete,
    ("ANY", "SUSPENDING"): _suspend,
    ("ANY", "TERMINATING"): _terminate,
}


async def _call_back(connector: Connector, process: Document, address: Document) -> None:
    """Tell whom the consumer named that a transfer has started, once and with no more ado, as EDC does."""
    properties = {EDC + name: value for name, value in address.items() if name != "@type"}
    payload = {
        "transferProcessId": process["id"],
        "assetId": process["assetId"],
        "type": process["type"],
        "contractId": process["contractId"],
        "dataAddress": {"properties": properties},
    }
    event = {"id": str(uuid.uuid4()), "at": milliseconds(), "payload": payload, "type": "TransferProcessStarted"}
    for callback in many(process.get("callbackAddresses")):
        if "transfer.process.started" in many(callback.get("events")) and is_loopback(callback["uri"]):
            try:
                await connector.client.post(callback["uri"], json=event)
            except httpx.HTTPError as problem:
                log.warning("call-back of transfer %s: %s", process["id"], problem or type(problem).__name__)


def start(connector: Connector, fields: Document) -> Document:
    """Begin a transfer as consumer."""
    process = new_process("CONSUMER", "REQUESTING", correlationId="", **fields)
    connector.store.put(KIND, process["id"], process)
    connector.drive(KIND, process["id"], step_of)
    return process


def terminate(connector: Connector, identifier: str, reason: str) -> bool:
    """End a transfer; return whether it still could be ended."""
    connector.store.delete("edr", identifier)
    return _driven(connector, identifier, _LIVING, "TERMINATING", errorDetail=reason)


def suspend(connector: Connector, identifier: str, reason: str) -> bool:
    """Pause a started transfer; return whether it could be paused."""
    if not _driven(connector, identifier, ("STARTED",), "SUSPENDING", suspensionReason=reason):
        return False
    connector.store.delete("edr", identifier)
    return True


def resume(connector: Connector, process: Document) -> bool:
    """Continue a suspended transfer; return whether it could be continued."""
    state = "RESUMING" if process["type"] == "CONSUMER" else "STARTING"
    return _driven(connector, process["id"], ("SUSPENDED",), state)


def _driven(connector: Connector, identifier: str, expected: tuple[str, ...], state: str, **changes: Any) -> bool:
    moved = connector.transition(KIND, identifier, expected, state, **changes)
    if moved:
        connector.drive(KIND, identifier, step_of)
    return moved


def add_protocol(routes: APIRouter, connector: Connector) -> None:
    """Add the transfer messages of the Dataspace Protocol, for both roles."""

    @routes.post("/transfers/request")
    async def request(request: Request) -> Response:
        caller = caller_of(request, _MESSAGES)
        process = _requested(connector, caller, await message_of(request, _MESSAGES, "TransferRequestMessage"))
        connector.drive(KIND, process["id"], step_of)
        return JSONResponse(_shown_to_peer(process), HTTPStatus.CREATED)

    @routes.get("/transfers/{pid}")
    async def read(pid: str, request: Request) -> Response:
        return JSONResponse(_shown_to_peer(_own(connector, request, pid)))

    @routes.post("/transfers/{pid}/start")
    async def started(pid: str, request: Request) -> Response:
        process = _own(connector, request, pid)
        message = await message_of(request, _MESSAGES, "TransferStartMessage")
        if process["type"] == "PROVIDER":
            return _moved(connector, process, ("SUSPENDED",), "STARTING")
        if "dataAddress" in message:
            reference = _endpoint_data_reference(process, message["dataAddress"])
            connector.store.put("edr", pid, reference)
            connector.spawn(_call_back(connector, process, reference["dataAddress"]))
        expected = ("REQUESTING", "REQUESTED", "RESUMING", "SUSPENDED", "STARTED")
        return _moved(connector, process, expected, "STARTED", correlationId=message["providerPid"])

    def add_ending(path: str, message_type: str, state: str, expected: tuple[str, ...]) -> None:
        @routes.post(f"/transfers/{{pid}}/{path}")
        async def end(pid: str, request: Request) -> Response:
            process = _own(connector, request, pid)
            message = await message_of(request, _MESSAGES, message_type)
            reason = "; ".join(map(str, message.get("reason", [])))
            detail = process.get("errorDetail") or reason
            answer = _moved(connector, process, expected, state, **({"errorDetail": detail} if detail else {}))
            connector.store.delete("edr", pid)
            return answer

    add_ending("completion", "TransferCompletionMessage", "COMPLETED", ("STARTED", "COMPLETED", "COMPLETING"))
    add_ending("suspension", "TransferSuspensionMessage", "SUSPENDED", ("STARTED", "SUSPENDED", "SUSPENDING"))
    add_ending("termination", "TransferTerminationMessage", "TERMINATED", (*_LIVING, "TERMINATED"))


def _refused(status: HTTPStatus, reason: str, **known: str) -> ProtocolError:
    return ProtocolError(status, _MESSAGES, reason, **known)


def _own(connector: Connector, request: Request, pid: str) -> Document:
    process = connector.store.get(KIND, pid)
    if process is None or process["counterPartyId"] != caller_of(request, _MESSAGES):
        raise _refused(HTTPStatus.NOT_FOUND, f"No transfer process with id {pid} found")
    return process


def _moved(
    connector: Connector, process: Document, expected: tuple[str, ...], state: str, **changes: Any
) -> Response:
    if not _driven(connector, process["id"], expected, state, **changes):
        reason = f"A transfer in state {process['state']} cannot become {state}"
        raise _refused(HTTPStatus.CONFLICT, reason, **pids(process))
    return Response()


def _requested(connector: Connector, caller: str, message: Document) -> Document:
    """Take up a consumer's request; a repeated one is the same transfer."""
    consumer_pid = str(message.get("consumerPid", ""))
    known = connector.store.get("transfer-of", f"{caller}\n{consumer_pid}")
    found = connector.store.get(KIND, known["id"]) if known else None
    if found is not None:
        return found
    agreement = connector.store.get("agreement", str(message.get("agreementId", "")))
    if agreement is None or agreement["consumerId"] != caller or not consumer_pid:
        reason = f"agreement {message.get('agreementId')} not found or not valid"
        raise _refused(HTTPStatus.BAD_REQUEST, reason, consumerPid=consumer_pid)
    negotiation = connector.store.get("negotiation", agreement["negotiationId"])
    if negotiation is None or negotiation["state"] not in ("VERIFIED", "FINALIZING", "FINALIZED"):
        reason = f"agreement {agreement['id']} is not finalized"
        raise _refused(HTTPStatus.BAD_REQUEST, reason, consumerPid=consumer_pid)
    agreed = datetime.fromtimestamp(agreement["contractSigningDate"], tz=UTC)
    if not in_force(agreement["policy"], agreed, datetime.now(UTC)):
        reason = "Policy not fulfilled for ContractAgreement in scope transfer.process"
        raise _refused(HTTPStatus.BAD_REQUEST, reason, consumerPid=consumer_pid)
    transfer_type, address = message.get("format"), message.get("dataAddress")
    if transfer_type not in FORMATS or (transfer_type == "HttpData-PUSH" and not isinstance(address, dict)):
        reason = f"format {transfer_type} is not possible, or lacks its dataAddress"
        raise _refused(HTTPStatus.BAD_REQUEST, reason, consumerPid=consumer_pid)
    process = new_process(
        "PROVIDER",
        "REQUESTED",
        counterPartyId=caller,
        counterPartyAddress=message["callbackAddress"],
        correlationId=consumer_pid,
        assetId=agreement["assetId"],
        contractId=agreement["id"],
        transferType=transfer_type,
        dataDestination=_from_message(address) if isinstance(address, dict) else None,
    )
    connector.store.put(KIND, process["id"], process)
    connector.store.put("transfer-of", f"{caller}\n{consumer_pid}", {"id": process["id"]})
    return process


def _as_message(address: Document) -> Document:
    """Write a data address as messages carry it."""
    endpoint = address.get("endpoint") or address.get("baseUrl", "")
    properties = [
        {"@type": "EndpointProperty", "name": name, "value": str(value)}
        for name, value in address.items()
        if name not in ("endpoint", "@type")
    ]
    properties = properties or [{"@type": "EndpointProperty", "name": "type", "value": "HttpData"}]
    return {
        "@type": "DataAddress",
        "endpointType": HTTP_ENDPOINT,
        "endpoint": endpoint,
        "endpointProperties": properties,
    }


def _from_message(address: Document) -> Document:
    named = {one["name"]: one["value"] for one in address.get("endpointProperties", [])}
    return {"type": address["endpointType"], "endpoint": address.get("endpoint", ""), **named}


def _endpoint_data_reference(process: Document, address: Document) -> Document:
    named = {one["name"]: one["value"] for one in address.get("endpointProperties", [])}
    return {
        "transferProcessId": process["id"],
        "assetId": process["assetId"],
        "agreementId": process["contractId"],
        "contractNegotiationId": process.get("contractNegotiationId", ""),
        "providerId": process["counterPartyId"],
        "createdAt": process["createdAt"],
        "dataAddress": {
            "@type": "DataAddress",
            "type": address["endpointType"],
            "endpoint": address.get("endpoint", ""),
            "endpointType": address["endpointType"],
            **named,
        },
    }


def _shown_to_peer(process: Document) -> Document:
    state = _PROTOCOL_STATES.get(process["state"], process["state"])
    return {"@context": [DSP_CONTEXT], "@type": "TransferProcess", **pids(process), "state": state}
