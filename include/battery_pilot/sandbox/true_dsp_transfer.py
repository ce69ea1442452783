"""Transfers of the TRUE Connector sandbox: our connector copies the file into its storage, where its user reads it."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from battery_pilot.sandbox.true_dsp_site import CONTEXT, PASSWORD, PEER, Refused, Site, done, page

if TYPE_CHECKING:
    from battery_pilot.sandbox.store import Document

KIND = "transfer"
NAME = "Transfer process"
AGREEMENTS = "agreement"


def begin(site: Site, negotiation: Document) -> None:
    """Make the transfer process that belongs to an agreement. There is one, and never another."""
    agreement = negotiation["agreement"]
    key = f"urn:uuid:{uuid.uuid4()}"
    role = negotiation["role"]
    pids = {"consumerPid": "", "providerPid": ""} | {f"{role}Pid": f"urn:uuid:{uuid.uuid4()}"}
    document = {
        "@id": key,
        **pids,
        "agreementId": agreement["@id"],
        "callbackAddress": negotiation["callbackAddress"],
        "dataAddress": None,
        "datasetId": agreement["target"],
        "downloaded": False,
        "format": None,
        "role": role,
        "state": "INITIALIZED",
    }
    site.store.put(KIND, key, document)
    site.store.put(AGREEMENTS, agreement["@id"], {**agreement, "uses": 0})


def add_management(routes: APIRouter, site: Site) -> None:
    """Add what users of a connector do."""

    @routes.get("/transfers")
    def transfers(request: Request) -> Response:
        return page(site, KIND, dict(request.query_params))

    @routes.get("/transfers/{key}")
    def transfer(key: str) -> Response:
        return done(f"{NAME} with id {key} fetched", site.one(KIND, key, NAME))

    @routes.post("/transfers")
    def ask(request: dict[str, Any]) -> Response:
        one = site.one(KIND, request["transferProcessId"], NAME)
        return done("Data transfer requested", _ask(site, one, request["format"]))

    @routes.put("/transfers/{key}/start")
    def start(key: str) -> Response:
        return done("Data transfer started", _start(site, site.one(KIND, key, NAME)))

    @routes.put("/transfers/{key}/terminate")
    def terminate(key: str) -> Response:
        one = site.move(KIND, site.one(KIND, key, NAME), "TERMINATED")
        _tell(site, one, "/termination", "TransferTerminationMessage", code="Terminated")
        return done("Data transfer terminated", one)

    @routes.get("/transfers/{key}/download")
    def download(key: str) -> Response:
        one = site.one(KIND, key, NAME)
        if one["state"] != "STARTED":
            raise Refused(400, "Download aborted, Transfer Process is not in STARTED state")
        _demand_allowed(site, one)
        _download(site, one)
        return done("Request accepted", f"Download started for transfer process {key}", 202)

    @routes.get("/transfers/{key}/view")
    def view(key: str) -> Response:
        one = site.one(KIND, key, NAME)
        if one["state"] != "COMPLETED":
            raise Refused(400, f"{NAME} is not in COMPLETED state")
        _demand_allowed(site, one)
        agreement = site.store.get(AGREEMENTS, one["agreementId"]) or {}
        site.store.put(AGREEMENTS, one["agreementId"], {**agreement, "uses": agreement["uses"] + 1})
        # A bare address, labelled JSON.
        return Response(f"{site.base_url}/storage/{one['stored']}?X-Amz-Signature=0", media_type="application/json")


def add_protocol(routes: APIRouter, site: Site) -> None:
    """Add what other connectors send."""

    @routes.post("/transfers/request")
    def request(message: dict[str, Any]) -> Response:
        one = _provided(site, message["agreementId"])
        moved = site.move(KIND, one, "REQUESTED", consumerPid=message["consumerPid"], format=message["format"])
        body = {"@context": CONTEXT, "@type": "TransferProcess", "state": "REQUESTED", **_pids(moved)}
        return JSONResponse(body, 201)

    @routes.post("/consumer/transfers/{pid}/start")
    def started(pid: str, message: dict[str, Any]) -> Response:
        site.move(KIND, site.by_pid(KIND, pid), "STARTED", dataAddress=message.get("dataAddress"))
        return Response()

    @routes.post("/transfers/{pid}/{event}")
    @routes.post("/consumer/transfers/{pid}/{event}")
    def ended(pid: str, event: str) -> Response:
        state = {"termination": "TERMINATED", "completion": "COMPLETED"}[event]
        site.move(KIND, site.by_pid(KIND, pid), state)
        return Response()

    @routes.get("/artifacts/{key}")
    def artifact(key: str) -> Response:
        provider_pid = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)).decode().partition("|")[2]
        one = site.by_pid(KIND, provider_pid)
        found = (site.store.get("dataset", one["datasetId"]) or {})["artifact"]
        headers = {"Authorization": found["authorization"]} if found.get("authorization") else {}
        origin = site.client.get(found["value"], headers=headers)
        return Response(origin.content, origin.status_code)


def add_storage(app: FastAPI, site: Site) -> None:
    """Add the files that a signature opens."""

    @app.get("/storage/{name}")
    def file(name: str, request: Request) -> Response:
        if "X-Amz-Signature" not in request.query_params or not name.isalnum():
            return Response("<Error><Code>AccessDenied</Code></Error>", 403)
        return FileResponse(site.folder / name)


def _ask(site: Site, one: Document, format: str) -> Document:
    moved = site.move(KIND, one, "REQUESTED", format=format)
    message = {
        "@type": "TransferRequestMessage",
        "consumerPid": one["consumerPid"],
        "agreementId": one["agreementId"],
        "format": format,
        "callbackAddress": f"{site.base_url}/consumer",
    }
    answer = site.send(f"{one['callbackAddress']}/transfers/request", message)
    moved["providerPid"] = answer["providerPid"]
    site.store.put(KIND, moved["@id"], moved)
    return moved


def _start(site: Site, one: Document) -> Document:
    artifact = (site.store.get("dataset", one["datasetId"]) or {}).get("artifact") or {}
    if artifact.get("artifactType") == "FILE":
        endpoint = f"{site.base_url}/storage/{artifact['storage']}?X-Amz-Signature=0"
    else:
        name = base64.urlsafe_b64encode(f"{one['consumerPid']}|{one['providerPid']}".encode()).decode().rstrip("=")
        endpoint = f"{site.base_url}/artifacts/{name}"
    address = {"@type": "DataAddress", "endpointType": "https://w3id.org/idsa/v4.1/HTTP", "endpoint": endpoint}
    moved = site.move(KIND, one, "STARTED", dataAddress=address)
    _tell(site, moved, "/start", "TransferStartMessage", dataAddress=address)
    return moved


def _download(site: Site, one: Document) -> None:
    try:
        answer = site.client.get(one["dataAddress"]["endpoint"], auth=(PEER, PASSWORD))
    except httpx.HTTPError:
        return  # the real one only logs it
    if answer.is_error:
        return
    name = uuid.uuid4().hex
    (site.folder / name).write_bytes(answer.content)
    moved = site.move(KIND, one, "COMPLETED", downloaded=True, stored=name)
    _tell(site, moved, "/completion", "TransferCompletionMessage")


def _demand_allowed(site: Site, one: Document) -> None:
    """Check the agreement's constraints, as download and view do."""
    agreement = site.store.get(AGREEMENTS, one["agreementId"]) or {}
    for permission in agreement["permission"]:
        if permission["constraint"] is None:
            raise Refused(500, 'Cannot invoke "isSuccess()" because "internalResponse" is null')
        for constraint in permission["constraint"]:
            if not _holds(constraint, agreement["uses"]):
                raise Refused(400, "Download aborted, Policy is not valid anymore")


def _holds(constraint: Document, uses: int) -> bool:
    right: Any = constraint["rightOperand"]
    left: Any = uses
    if constraint["leftOperand"] == "COUNT":
        right = int(right) - 1  # this use comes on top
    else:
        left, right = datetime.now(UTC), datetime.fromisoformat(right)
    return bool(
        {"LT": left < right, "LTEQ": left <= right, "GT": left > right, "GTEQ": left >= right}[constraint["operator"]]
    )


def _provided(site: Site, agreement_id: str) -> Document:
    for one in site.store.page(KIND):
        if one["agreementId"] == agreement_id and one["role"] == "provider":
            return one
    raise Refused(404, "no such agreement")


def _tell(site: Site, one: Document, path: str, kind: str, **content: Any) -> None:
    other = "consumer" if one["role"] == "provider" else "provider"
    if one[f"{other}Pid"]:
        site.send(
            f"{one['callbackAddress']}/transfers/{one[f'{other}Pid']}{path}", {"@type": kind, **_pids(one), **content}
        )


def _pids(one: Document) -> Document:
    return {name: one[name] for name in ("consumerPid", "providerPid")}
