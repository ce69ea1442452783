"""Assets, policies and contract definitions in the management API of the connector sandbox."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from battery_pilot.sandbox.edc_catalog import asset_value
from battery_pilot.sandbox.edc_connector import Connector, milliseconds
from battery_pilot.sandbox.edc_http import (
    conflict,
    criterion,
    invalid,
    management_body,
    mandatory,
    not_found,
    plain,
    selected,
)
from battery_pilot.sandbox.edc_policy import PolicyError, demand_bound, read_policy, write_for_management
from battery_pilot.sandbox.jsonld import EDC, EDC_CONTEXT, compact_key, many

if TYPE_CHECKING:
    from collections.abc import Callable

    from battery_pilot.sandbox.store import Document


@dataclass(frozen=True)
class Resource:
    """One kind of managed object, for all three have the same routes.

    :param kind: its kind in the store, which is EDC's name in lower case.
    :param name: EDC's name of its class.
    :param path: below the management API.
    :param put_path: what PUT goes to; EDC takes the id from the body of an asset and of a contract definition.
    :param read: makes the stored document of an expanded body.
    :param show: makes the answer of a stored document.
    :param value: returns the value that a criterion names.
    :param used_by: tells who still needs an object, which then cannot be deleted.
    """

    kind: str
    name: str
    path: str
    put_path: str
    read: Callable[[Document], Document]
    show: Callable[[Document], Document]
    value: Callable[[Document, str], Any]
    used_by: Callable[[Connector, str], str | None]


def add_resources(routes: APIRouter, connector: Connector) -> None:
    """Add the routes of assets, policy definitions and contract definitions."""
    for resource in _RESOURCES:
        _add_reading(routes, connector, resource)
        _add_writing(routes, connector, resource)


def _add_reading(routes: APIRouter, connector: Connector, resource: Resource) -> None:
    @routes.post(f"/{resource.path}/request")
    async def query(request: Request) -> Response:
        body = await management_body(request, required=False)
        found = selected(connector.store.page(resource.kind), body, resource.value)
        return JSONResponse([{**resource.show(one), "@context": EDC_CONTEXT} for one in found])

    @routes.get(f"/{resource.path}/{{identifier:path}}")
    async def read(identifier: str) -> Response:
        document = connector.store.get(resource.kind, identifier)
        if document is None:
            raise not_found(resource.name, identifier)
        return JSONResponse({**resource.show(document), "@context": EDC_CONTEXT})


def _add_writing(routes: APIRouter, connector: Connector, resource: Resource) -> None:
    @routes.post(f"/{resource.path}")
    async def create(request: Request) -> Response:
        body = await management_body(request)
        identifier = mandatory(body, "@id") if "@id" in body else str(uuid.uuid4())
        document = {"id": identifier, "createdAt": milliseconds(), **resource.read(body)}
        if not connector.store.insert(resource.kind, identifier, document):
            raise conflict(f"{resource.name} with ID {identifier} already exists")
        created = {"@type": "IdResponse", "@id": identifier, "createdAt": document["createdAt"]}
        return JSONResponse({**created, "@context": EDC_CONTEXT})

    @routes.put(f"/{resource.put_path}")
    async def replace(request: Request, identifier: str = "") -> Response:
        body = await management_body(request)
        identifier = identifier or mandatory(body, "@id")
        before = connector.store.get(resource.kind, identifier)
        changed = resource.read(body)
        if before is None:
            raise not_found(resource.name, identifier)
        connector.store.replace(resource.kind, identifier, {**before, **changed})
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @routes.delete(f"/{resource.path}/{{identifier:path}}")
    async def delete(identifier: str) -> Response:
        if connector.store.get(resource.kind, identifier) is None:
            raise not_found(resource.name, identifier)
        user = resource.used_by(connector, identifier)
        if user is not None:
            raise conflict(f"{resource.name} {identifier} cannot be deleted as it is referenced by {user}")
        connector.store.delete(resource.kind, identifier)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _read_asset(body: Document) -> Document:
    properties, address = body.get(EDC + "properties"), body.get(EDC + "dataAddress")
    if not isinstance(properties, dict):
        raise invalid(f"mandatory object '{EDC}properties' is missing", EDC + "properties")
    if not isinstance(address, dict):
        raise invalid(f"mandatory object '{EDC}dataAddress' is missing", EDC + "dataAddress")
    if mandatory(address, "type") == "HttpData":
        parts = urlsplit(mandatory(address, "baseUrl"))
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise invalid("data address of type HttpData must have a valid baseUrl", EDC + "baseUrl")
    return {
        "properties": {name: value for name, value in properties.items() if name != EDC + "id"},
        "privateProperties": plain(body.get(EDC + "privateProperties", {})),
        "dataAddress": plain(address),
    }


def _show_asset(asset: Document) -> Document:
    properties = {compact_key(name): value for name, value in asset["properties"].items()}
    shown = {
        "@id": asset["id"],
        "@type": "Asset",
        "properties": {**properties, "id": asset["id"]},
        "dataAddress": {**asset["dataAddress"], "@type": "DataAddress"},
    }
    return {**shown, "privateProperties": asset["privateProperties"]} if asset["privateProperties"] else shown


def _asset_user(connector: Connector, identifier: str) -> str | None:
    signed = (one["id"] for one in connector.store.page("agreement") if one["assetId"] == identifier)
    agreement = next(signed, None)
    return agreement and f"the contract agreement {agreement}"


def _read_policy_definition(body: Document) -> Document:
    node = body.get(EDC + "policy")
    if not isinstance(node, dict):
        raise invalid(f"mandatory object '{EDC}policy' is missing", EDC + "policy")
    try:
        policy = read_policy(node)
        demand_bound(policy)
    except PolicyError as exception:
        raise invalid(str(exception), EDC + "policy") from exception
    return {"policy": policy}


def _show_policy_definition(definition: Document) -> Document:
    # EDC gives the policy inside a definition a new id at every answer.
    policy = write_for_management(definition["policy"], "Set", id=str(uuid.uuid4()))
    named = {"@id": definition["id"], "@type": "PolicyDefinition"}
    return {**named, "createdAt": definition["createdAt"], "policy": policy}


def _policy_user(connector: Connector, identifier: str) -> str | None:
    for definition in connector.store.page("contractdefinition"):
        if identifier in (definition["accessPolicyId"], definition["contractPolicyId"]):
            return f"the contract definition {definition['id']}"
    return None


def _read_contract_definition(body: Document) -> Document:
    if EDC + "assetsSelector" not in body:
        raise invalid(f"mandatory array '{EDC}assetsSelector' is missing", EDC + "assetsSelector")
    return {
        "accessPolicyId": mandatory(body, "accessPolicyId"),
        "contractPolicyId": mandatory(body, "contractPolicyId"),
        "assetsSelector": [criterion(one) for one in many(body[EDC + "assetsSelector"])],
    }


def _show_contract_definition(definition: Document) -> Document:
    selector = [
        {"@type": "Criterion", **one, "operandLeft": EDC + "id" if one["operandLeft"] == "id" else one["operandLeft"]}
        for one in definition["assetsSelector"]
    ]
    return {
        "@id": definition["id"],
        "@type": "ContractDefinition",
        "accessPolicyId": definition["accessPolicyId"],
        "contractPolicyId": definition["contractPolicyId"],
        "assetsSelector": selector[0] if len(selector) == 1 else selector,
    }


def _field(document: Document, name: str) -> Any:
    return document["id"] if name in ("id", "@id") else document.get(name)


_RESOURCES = (
    Resource("asset", "Asset", "assets", "assets", _read_asset, _show_asset, asset_value, _asset_user),
    Resource(
        "policydefinition",
        "PolicyDefinition",
        "policydefinitions",
        "policydefinitions/{identifier:path}",
        _read_policy_definition,
        _show_policy_definition,
        _field,
        _policy_user,
    ),
    Resource(
        "contractdefinition",
        "ContractDefinition",
        "contractdefinitions",
        "contractdefinitions",
        _read_contract_definition,
        _show_contract_definition,
        _field,
        lambda _connector, _identifier: None,
    ),
)
