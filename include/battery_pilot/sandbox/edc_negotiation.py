"""Contract negotiations of the connector sandbox: the state machine, and its messages.

::

    consumer                                   provider
    REQUESTING ── ContractRequestMessage ────▶ REQUESTED
    REQUESTED                                  AGREEING
    AGREED ◀───── ContractAgreementMessage ─── AGREED
    VERIFYING ─── AgreementVerification ─────▶ VERIFIED
    FINALIZED ◀── Event FINALIZED ──────────── FINALIZING, FINALIZED

The provider answers an acceptable offer id with an agreement under **its own** policy; the consumer refuses an
agreement whose policy is not the one that it asked for, and both end TERMINATED with EDC's sentence.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from battery_pilot.sandbox.edc_catalog import offered
from battery_pilot.sandbox.edc_connector import Connector, Refused, Step, instant, milliseconds
from battery_pilot.sandbox.edc_http import ProtocolError, caller_of, message_of, part_of
from battery_pilot.sandbox.edc_policy import PolicyError, read_policy, write_for_protocol
from battery_pilot.sandbox.jsonld import DSP_CONTEXT, expand

if TYPE_CHECKING:
    from battery_pilot.sandbox.store import Document

KIND = "negotiation"
_MESSAGES = "ContractNegotiation"
_LIVING = ("REQUESTING", "REQUESTED", "AGREEING", "AGREED", "VERIFYING", "VERIFIED", "FINALIZING", "TERMINATING")
_UNEQUAL = "Policy in the contract agreement is not equal to the one in the contract offer"
# What the protocol calls the states that only EDC has.
_PROTOCOL_STATES = {
    "REQUESTING": "REQUESTED",
    "AGREEING": "REQUESTED",
    "VERIFYING": "AGREED",
    "FINALIZING": "VERIFIED",
    "TERMINATING": "TERMINATED",
}


def pids(process: Document) -> dict[str, str]:
    """Return a process's identifiers on both sides, as messages carry them."""
    own, other = process["id"], process["correlationId"]
    provider, consumer = (own, other) if process["type"] == "PROVIDER" else (other, own)
    return {"providerPid": provider, "consumerPid": consumer}


def step_of(process: Document) -> Step | None:
    """Return what a negotiation does next by itself, or ``None`` when it waits or has ended."""
    return _STEPS.get((process["type"], process["state"])) or _STEPS.get(("ANY", process["state"]))


async def _request(connector: Connector, process: Document) -> None:
    offer = process["offer"]
    message = write_for_protocol(offer["policy"], "Offer", id=offer["id"], target=offer["target"])
    answer = await connector.send(
        process["counterPartyAddress"],
        "/negotiations/request",
        "ContractRequestMessage",
        consumerPid=process["id"],
        offer=message,
        callbackAddress=connector.protocol_url,
    )
    provider_pid = part_of(answer, "providerPid")
    connector.transition(KIND, process["id"], ("REQUESTING",), "REQUESTED", correlationId=provider_pid)


async def _prepare_agreement(connector: Connector, process: Document) -> None:
    agreement = {
        "id": str(uuid.uuid4()),
        "assetId": process["offer"]["target"],
        "policy": process["offer"]["policy"],
        "providerId": connector.participant_id,
        "consumerId": process["counterPartyId"],
        "signedAt": instant(),
        "contractSigningDate": milliseconds() // 1000,
    }
    connector.store.put("agreement", agreement["id"], {**agreement, "negotiationId": process["id"]})
    connector.transition(KIND, process["id"], ("REQUESTED",), "AGREEING", contractAgreementId=agreement["id"])


async def _agree(connector: Connector, process: Document) -> None:
    agreement = connector.store.get("agreement", process["contractAgreementId"])
    if agreement is None:
        raise Refused(f"agreement {process['contractAgreementId']} is gone")
    message = write_for_protocol(
        agreement["policy"],
        "Agreement",
        id=agreement["id"],
        target=agreement["assetId"],
        timestamp=agreement["signedAt"],
        assigner=agreement["providerId"],
        assignee=agreement["consumerId"],
    )
    path = f"/negotiations/{process['correlationId']}/agreement"
    await connector.send(
        process["counterPartyAddress"], path, "ContractAgreementMessage", **pids(process), agreement=message
    )
    connector.transition(KIND, process["id"], ("AGREEING",), "AGREED")


async def _prepare_verification(connector: Connector, process: Document) -> None:
    connector.transition(KIND, process["id"], ("AGREED",), "VERIFYING")


async def _verify(connector: Connector, process: Document) -> None:
    path = f"/negotiations/{process['correlationId']}/agreement/verification"
    await connector.send(
        process["counterPartyAddress"], path, "ContractAgreementVerificationMessage", **pids(process)
    )
    connector.transition(KIND, process["id"], ("VERIFYING",), "VERIFIED")


async def _prepare_finalization(connector: Connector, process: Document) -> None:
    connector.transition(KIND, process["id"], ("VERIFIED",), "FINALIZING")


async def _finalize(connector: Connector, process: Document) -> None:
    path = f"/negotiations/{process['correlationId']}/events"
    await connector.send(
        process["counterPartyAddress"],
        path,
        "ContractNegotiationEventMessage",
        **pids(process),
        eventType="FINALIZED",
    )
    connector.transition(KIND, process["id"], ("FINALIZING",), "FINALIZED")


async def _terminate(connector: Connector, process: Document) -> None:
    if process["correlationId"]:
        await connector.send(
            process["counterPartyAddress"],
            f"/negotiations/{process['correlationId']}/termination",
            "ContractNegotiationTerminationMessage",
            **pids(process),
            code="terminated",
            reason=[process.get("errorDetail") or "terminated"],
        )
    connector.transition(KIND, process["id"], ("TERMINATING",), "TERMINATED")


_STEPS: dict[tuple[str, str], Step] = {
    ("CONSUMER", "REQUESTING"): _request,
    ("PROVIDER", "REQUESTED"): _prepare_agreement,
    ("PROVIDER", "AGREEING"): _agree,
    ("CONSUMER", "AGREED"): _prepare_verification,
    ("CONSUMER", "VERIFYING"): _verify,
    ("PROVIDER", "VERIFIED"): _prepare_finalization,
    ("PROVIDER", "FINALIZING"): _finalize,
    ("ANY", "TERMINATING"): _terminate,
}


def _refused(status: HTTPStatus, reason: str, **known: str) -> ProtocolError:
    return ProtocolError(status, _MESSAGES, reason, **known)


def _own(connector: Connector, request: Request, pid: str) -> Document:
    """Return the negotiation that a message is about; only its counterparty may name it."""
    process = connector.store.get(KIND, pid)
    if process is None or process["counterPartyId"] != caller_of(request, _MESSAGES):
        raise _refused(HTTPStatus.NOT_FOUND, f"No negotiation with id {pid} found")
    return process


def add_protocol(routes: APIRouter, connector: Connector) -> None:
    """Add the negotiation messages of the Dataspace Protocol, for both roles."""

    @routes.post("/negotiations/request")
    async def request(request: Request) -> Response:
        caller = caller_of(request, _MESSAGES)
        message = await message_of(request, _MESSAGES, "ContractRequestMessage")
        process = _requested(connector, caller, message)
        connector.drive(KIND, process["id"], step_of)
        return JSONResponse(_shown_to_peer(process), HTTPStatus.CREATED)

    @routes.get("/negotiations/{pid}")
    async def read(pid: str, request: Request) -> Response:
        return JSONResponse(_shown_to_peer(_own(connector, request, pid)))

    @routes.post("/negotiations/{pid}/agreement")
    async def agreement(pid: str, request: Request) -> Response:
        process = _own(connector, request, pid)
        message = await message_of(request, _MESSAGES, "ContractAgreementMessage")
        signed = _accepted_agreement(connector, process, message)
        connector.store.put("agreement", signed["id"], {**signed, "negotiationId": pid})
        expected = ("REQUESTING", "REQUESTED", "AGREED")
        changes = {"contractAgreementId": signed["id"], "correlationId": message["providerPid"]}
        return _moved(connector, process, expected, "AGREED", **changes)

    @routes.post("/negotiations/{pid}/agreement/verification")
    async def verification(pid: str, request: Request) -> Response:
        process = _own(connector, request, pid)
        await message_of(request, _MESSAGES, "ContractAgreementVerificationMessage")
        return _moved(connector, process, ("AGREEING", "AGREED", "VERIFIED"), "VERIFIED")

    @routes.post("/negotiations/{pid}/events")
    async def event(pid: str, request: Request) -> Response:
        process = _own(connector, request, pid)
        message = await message_of(request, _MESSAGES, "ContractNegotiationEventMessage")
        if process["type"] == "PROVIDER" or message.get("eventType") != "FINALIZED":
            raise _refused(HTTPStatus.BAD_REQUEST, "Only FINALIZED is expected, and by a consumer", **pids(process))
        return _moved(connector, process, ("VERIFYING", "VERIFIED", "FINALIZED"), "FINALIZED")

    @routes.post("/negotiations/{pid}/termination")
    async def termination(pid: str, request: Request) -> Response:
        process = _own(connector, request, pid)
        message = await message_of(request, _MESSAGES, "ContractNegotiationTerminationMessage")
        detail = "; ".join(map(str, message.get("reason", []))) or str(message.get("code", "terminated"))
        detail = process.get("errorDetail") or detail
        return _moved(connector, process, (*_LIVING, "TERMINATED"), "TERMINATED", errorDetail=detail)


def _moved(
    connector: Connector, process: Document, expected: tuple[str, ...], state: str, **changes: Any
) -> Response:
    if not connector.transition(KIND, process["id"], expected, state, **changes):
        reason = f"A negotiation in state {process['state']} cannot become {state}"
        raise _refused(HTTPStatus.CONFLICT, reason, **pids(process))
    connector.drive(KIND, process["id"], step_of)
    return Response()


def _requested(connector: Connector, caller: str, message: Document) -> Document:
    """Take up a consumer's request; a repeated one is the same negotiation."""
    consumer_pid, offer = str(message.get("consumerPid", "")), message.get("offer")
    if not consumer_pid or not isinstance(offer, dict) or "callbackAddress" not in message:
        raise _refused(HTTPStatus.BAD_REQUEST, "consumerPid, offer and callbackAddress are mandatory")
    known = connector.store.get("negotiation-of", f"{caller}\n{consumer_pid}")
    if known is not None:
        found = connector.store.get(KIND, known["id"])
        if found is not None:
            return found
    try:
        asset_id, policy = offered(connector, str(offer.get("@id", "")), caller)
    except Refused as refusal:
        raise _refused(HTTPStatus.BAD_REQUEST, str(refusal), consumerPid=consumer_pid) from refusal
    if offer.get("target") != asset_id:
        reason = f"Offer target {offer.get('target')} is not the asset {asset_id} of the offer id"
        raise _refused(HTTPStatus.BAD_REQUEST, reason, consumerPid=consumer_pid)
    process = new_process(
        "PROVIDER",
        "REQUESTED",
        counterPartyId=caller,
        counterPartyAddress=message["callbackAddress"],
        correlationId=consumer_pid,
        offer={"id": offer["@id"], "target": asset_id, "policy": policy},
    )
    connector.store.put(KIND, process["id"], process)
    connector.store.put("negotiation-of", f"{caller}\n{consumer_pid}", {"id": process["id"]})
    return process


def _accepted_agreement(connector: Connector, process: Document, message: Document) -> Document:
    """Check an agreement against what this consumer asked for."""
    signed = message.get("agreement")
    if process["type"] == "PROVIDER" or not isinstance(signed, dict) or "providerPid" not in message:
        raise _refused(HTTPStatus.BAD_REQUEST, "An agreement is expected by a consumer only", **pids(process))
    try:
        policy = read_policy(expand({"@context": DSP_CONTEXT, **signed}))
    except PolicyError as exception:
        raise _refused(HTTPStatus.BAD_REQUEST, str(exception), **pids(process)) from exception
    offer = process["offer"]
    if signed.get("assigner") != process["counterPartyId"] or signed.get("assignee") != connector.participant_id:
        raise _refused(HTTPStatus.BAD_REQUEST, "Invalid provider credentials", **pids(process))
    if policy != offer["policy"] or signed.get("target") != offer["target"]:
        raise _refused(HTTPStatus.BAD_REQUEST, _UNEQUAL, **pids(process))
    return {
        "id": str(signed["@id"]),
        "assetId": offer["target"],
        "policy": policy,
        "providerId": process["counterPartyId"],
        "consumerId": connector.participant_id,
        "contractSigningDate": milliseconds() // 1000,
    }


def new_process(role: str, state: str, **fields: Any) -> Document:
    """Return a new negotiation or transfer.

    :param role: ``CONSUMER`` or ``PROVIDER``.
    :param state: its first state.
    :param fields: what else it knows.
    """
    now = milliseconds()
    return {"id": str(uuid.uuid4()), "type": role, "state": state, "createdAt": now, "stateTimestamp": now, **fields}


def _shown_to_peer(process: Document) -> Document:
    state = _PROTOCOL_STATES.get(process["state"], process["state"])
    return {"@context": [DSP_CONTEXT], "@type": _MESSAGES, **pids(process), "state": state}


def start(connector: Connector, fields: Document) -> Document:
    """Begin a negotiation as consumer."""
    process = new_process("CONSUMER", "REQUESTING", **fields)
    connector.store.put(KIND, process["id"], process)
    connector.drive(KIND, process["id"], step_of)
    return process


def terminate(connector: Connector, identifier: str, reason: str) -> bool:
    """End a negotiation; return whether it still could be ended."""
    moved = connector.transition(KIND, identifier, _LIVING, "TERMINATING", errorDetail=reason)
    if moved:
        connector.drive(KIND, identifier, step_of)
    return moved
