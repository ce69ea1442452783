"""The catalogue of the connector sandbox: what it offers, and how it shows what others offer."""

from __future__ import annotations

import base64
import binascii
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response  # noqa: TC002 -- FastAPI reads the annotations of its routes
from fastapi.responses import JSONResponse

from battery_pilot.sandbox.edc_connector import PROTOCOL, Connector, Refused, Unreachable
from battery_pilot.sandbox.edc_http import (
    ManagementError,
    ProtocolError,
    caller_of,
    management_body,
    mandatory,
    matches,
    message_of,
    plain,
    selected,
)
from battery_pilot.sandbox.edc_policy import permits, read_policy, write_for_management, write_for_protocol
from battery_pilot.sandbox.jsonld import DSP_CONTEXT, EDC, EDC_CONTEXT, compact_key, compact_list, expand, many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.sandbox.store import Document

FORMATS = ("HttpData-PULL", "HttpData-PUSH")


def asset_value(asset: Document, name: str) -> Any:
    """Return what a criterion's left operand means of an asset: its id or one of its properties."""
    return (
        asset["id"] if name in ("id", "@id") else asset["properties"].get(name, asset["properties"].get(EDC + name))
    )


def offer_id(definition: str, asset: str) -> str:
    """Return a new offer id: contract definition, asset and a random part, each in base64, as EDC makes them."""
    return ":".join(base64.b64encode(part.encode()).decode() for part in (definition, asset, str(uuid.uuid4())))


def offered(connector: Connector, identifier: str, consumer: str) -> tuple[str, Document]:
    """Return the asset and the policy that an offer id stands for.

    :param connector: the provider.
    :param identifier: the offer id; its random part may come from any catalogue answer.
    :param consumer: the participant that asks.
    :raises Refused: when the id is malformed, or the definition or asset no longer offers it.
    """
    try:
        definition_id, asset_id, _ = (
            base64.b64decode(part, validate=True).decode() for part in identifier.split(":")
        )
    except (ValueError, binascii.Error) as exception:
        raise Refused(f"Offer id {identifier} is not valid: definition:asset:uuid in base64 expected") from exception
    definition = connector.store.get("contractdefinition", definition_id)
    asset = connector.store.get("asset", asset_id)
    if definition is None or asset is None or not _selects(definition, asset):
        raise Refused(f"Contract definition {definition_id} does not offer asset {asset_id} to {consumer}")
    policy = connector.store.get("policydefinition", definition["contractPolicyId"])
    if policy is None:
        raise Refused(f"Policy {definition['contractPolicyId']} not found")
    if not permits(policy["policy"], consumer):
        raise Refused(f"Policy in scope contract.negotiation not fulfilled by {consumer}")
    return asset_id, policy["policy"]


def _selects(definition: Document, asset: Document) -> bool:
    return all(matches(asset_value(asset, one["operandLeft"]), one) for one in definition["assetsSelector"])


def _candidates(connector: Connector, definition: Document) -> Iterator[Document]:
    """Yield a definition's assets; one that names an asset by id does not walk through all of them."""
    for test in definition["assetsSelector"]:
        if test["operandLeft"] in ("id", "@id") and test["operator"] == "=":
            asset = connector.store.get("asset", str(test["operandRight"]))
            yield from [asset] if asset else []
            return
    yield from connector.store.page("asset")


def _offers(connector: Connector, caller: str) -> dict[str, tuple[Document, list[Document]]]:
    """Return each asset that is offered to a participant, with its contract definitions."""
    offers: dict[str, tuple[Document, list[Document]]] = {}
    for definition in connector.store.page("contractdefinition"):
        policies = [
            connector.store.get("policydefinition", definition[p]) for p in ("accessPolicyId", "contractPolicyId")
        ]
        # EDC shows nothing whose policies it cannot find or the caller does not fulfil.
        if all(found is not None and permits(found["policy"], caller) for found in policies):
            for asset in _candidates(connector, definition):
                if _selects(definition, asset):
                    offers.setdefault(asset["id"], (asset, []))[1].append(definition)
    return offers


def _dataset(connector: Connector, asset: Document, definitions: list[Document]) -> Document:
    policies = []
    for definition in definitions:
        kept = connector.store.get("policydefinition", definition["contractPolicyId"])
        if kept is not None:
            policies.append(write_for_protocol(kept["policy"], "Offer", id=offer_id(definition["id"], asset["id"])))
    service = _service(connector)
    distributions = [{"@type": "Distribution", "format": one, "accessService": service} for one in FORMATS]
    return {
        "@id": asset["id"],
        "@type": "Dataset",
        "hasPolicy": policies,
        "distribution": distributions,
        EDC + "id": asset["id"],
        **asset["properties"],
    }


def _service(connector: Connector) -> Document:
    identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, connector.protocol_url))
    return {"@id": identifier, "@type": "DataService", "endpointURL": connector.protocol_url}


def add_protocol(routes: APIRouter, connector: Connector) -> None:
    """Add the catalogue messages of the Dataspace Protocol."""

    @routes.post("/catalog/request")
    async def catalog(request: Request) -> Response:
        caller = caller_of(request, "Catalog")
        message = await message_of(request, "Catalog", "CatalogRequestMessage")
        offers = _offers(connector, caller)
        filters = many(message.get("filter"))
        query = expand(filters[0]) if filters else {}
        try:
            page = selected([asset for asset, _ in offers.values()], query, asset_value)
        except ManagementError as exception:
            raise ProtocolError(HTTPStatus.BAD_REQUEST, "Catalog", str(exception)) from exception
        datasets = [_dataset(connector, *offers[asset["id"]]) for asset in page]
        answer: Document = {
            "@context": [DSP_CONTEXT],
            "@id": str(uuid.uuid4()),
            "@type": "Catalog",
            "participantId": connector.participant_id,
            "service": [_service(connector)],
        }
        return JSONResponse({**answer, "dataset": datasets} if datasets else answer)

    @routes.get("/catalog/datasets/{asset_id:path}")
    async def dataset(asset_id: str, request: Request) -> Response:
        found = _offers(connector, caller_of(request, "Catalog")).get(asset_id)
        if found is None:
            raise ProtocolError(HTTPStatus.NOT_FOUND, "Catalog", f"Dataset {asset_id} does not exist")
        return JSONResponse({"@context": [DSP_CONTEXT], **_dataset(connector, *found)})


def add_management(routes: APIRouter, connector: Connector) -> None:
    """Add the catalogue requests of the management API."""

    @routes.post("/catalog/request")
    async def request_catalog(request: Request) -> Response:
        body = await management_body(request)
        address = _address(body)
        # JSON-LD arrays of one are single values once expanded; the query goes out in EDC's own names.
        query = body.get(EDC + "querySpec")
        filters = [{"@context": {"@vocab": EDC}, **plain(query)}] if query else []
        try:
            answer = await connector.send(address, "/catalog/request", "CatalogRequestMessage", filter=filters)
        except (Refused, Unreachable) as problem:
            raise _bad_gateway(str(problem)) from problem
        return JSONResponse({**_managed_catalog(answer, address), "@context": EDC_CONTEXT})

    @routes.post("/catalog/dataset/request")
    async def request_dataset(request: Request) -> Response:
        body = await management_body(request)
        address, asset_id = _address(body), mandatory(body, "@id")
        try:
            answer = await connector.fetch(address, f"/catalog/datasets/{quote(asset_id, safe='')}")
        except (Refused, Unreachable) as problem:
            raise _bad_gateway(str(problem)) from problem
        return JSONResponse({**_managed_dataset(answer), "@context": EDC_CONTEXT})


def _address(body: Document) -> str:
    address, protocol = mandatory(body, "counterPartyAddress"), mandatory(body, "protocol")
    if protocol != PROTOCOL:
        raise _bad_gateway(f"No provider dispatcher registered for protocol: {protocol}")
    return address


def _bad_gateway(message: str) -> ManagementError:
    return ManagementError(HTTPStatus.BAD_GATEWAY, "BadGateway", message)


def _managed_catalog(catalog: Document, address: str) -> Document:
    datasets = [_managed_dataset(one) for one in catalog.get("dataset", [])]
    services = [_managed_service(one) for one in catalog.get("service", [])]
    return {
        "@id": catalog["@id"],
        "@type": "dcat:Catalog",
        **({"dcat:dataset": compact_list(datasets)} if datasets else {}),
        "dcat:service": compact_list(services),
        "dspace:participantId": catalog["participantId"],
        "originator": address,
    }


def _managed_dataset(dataset: Document) -> Document:
    offers = [
        write_for_management(read_policy(expand({"@context": DSP_CONTEXT, **one})), "Offer", id=one["@id"])
        for one in dataset["hasPolicy"]
    ]
    distributions = [
        {
            "@type": "dcat:Distribution",
            "dct:format": {"@id": one["format"]},
            "dcat:accessService": _managed_service(one["accessService"]),
        }
        for one in dataset["distribution"]
    ]
    return {
        "@id": dataset["@id"],
        "@type": "dcat:Dataset",
        "odrl:hasPolicy": compact_list(offers),
        "dcat:distribution": compact_list(distributions),
        **{compact_key(name): value for name, value in dataset.items() if "://" in name},
    }


def _managed_service(service: Document) -> Document:
    return {
        "@id": service["@id"],
        "@type": "dcat:DataService",
        "dcat:endpointDescription": "dspace:connector",
        "dcat:endpointURL": service["endpointURL"],
    }
