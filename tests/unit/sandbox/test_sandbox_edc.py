"""Two connector sandboxes trade as EDC connectors do, with EDC's refusals and known faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI, Request
from jsonschema import Draft201909Validator
from referencing import Registry, Resource

from battery_pilot.sandbox import edc, edc_connector, outbox

if TYPE_CHECKING:
    from pathlib import Path

PROVIDER, CONSUMER, OUTBOX, SINK = (f"http://127.0.0.1:{port}" for port in (1001, 1002, 1003, 1004))
KEY = "secret"
EDC_NAMESPACE = "https://w3id.org/edc/v0.0.1/ns/"
VOCABULARY = {"@vocab": EDC_NAMESPACE}
ODRL_PREFIX = {**VOCABULARY, "odrl": "http://www.w3.org/ns/odrl/2/"}
ODRL = "http://www.w3.org/ns/odrl.jsonld"
TRADE = {
    "@context": VOCABULARY,
    "counterPartyId": "provider",
    "counterPartyAddress": f"{PROVIDER}/protocol/2025-1",
    "protocol": "dataspace-protocol-http:2025-1",
}
PURPOSE = {"leftOperand": "purpose", "operator": "eq", "rightOperand": "second-life"}
Json = dict[str, Any]


class Network(httpx.AsyncBaseTransport):
    """Routes requests to apps in this process by their port, and keeps what went over it."""

    def __init__(self) -> None:
        self.apps: dict[str, FastAPI] = {}
        self.exchanges: list[tuple[str, str, Any, Any]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin = f"http://{request.url.host}:{request.url.port}"
        if origin not in self.apps:
            raise httpx.ConnectError("connection refused", request=request)
        response = await httpx.ASGITransport(app=self.apps[origin]).handle_async_request(request)
        content = await response.aread()
        sent = json.loads(request.content) if request.content else None
        received = json.loads(content) if "json" in response.headers.get("content-type", "") else content
        self.exchanges.append((request.method, str(request.url), sent, received))
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(content))


class Dataspace:
    """A provider and a consumer, their management clients and what they say to each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network()
        self.released = folder / "outbox"
        self.network.apps[OUTBOX] = outbox.create_app(self.released)
        self._stack = AsyncExitStack()

    async def start(self, participant_id: str, base_url: str) -> None:
        client = httpx.AsyncClient(transport=self.network, trust_env=False)
        app = edc.create_app(
            self.folder, participant_id=participant_id, base_url=base_url, api_key=KEY, client=client
        )
        await self._stack.enter_async_context(app.router.lifespan_context(app))
        self.network.apps[base_url] = app

    async def stop(self) -> None:
        await self._stack.aclose()

    async def call(self, method: str, origin: str, path: str, body: Any = None, key: str = KEY) -> httpx.Response:
        async with httpx.AsyncClient(transport=self.network, base_url=origin, trust_env=False) as client:
            return await client.request(method, f"/management/v3/{path}", json=body, headers={"x-api-key": key})

    async def provide(self, path: str, body: Json) -> httpx.Response:
        return await self.call("POST", PROVIDER, path, body)

    async def offer(self, asset_id: str = "passport-1", policy: Json | None = None, **address: str) -> None:
        """Release a file and offer it, in the way of EDC's own samples."""
        (self.released / f"{asset_id}.json").write_text('{"soh": 91.2}')
        assert (await self.provide("assets", asset(asset_id, **address))).status_code == 200
        policy = policy or {
            "@context": ODRL,
            "@type": "Set",
            "permission": [{"action": "use", "constraint": [PURPOSE]}],
        }
        assert (
            await self.provide("policydefinitions", policy_definition(f"p-{asset_id}", policy))
        ).status_code == 200
        assert (await self.provide("contractdefinitions", definition(f"d-{asset_id}", asset_id))).status_code == 200

    async def catalog(self, **query: Any) -> Json:
        answer = await self.call(
            "POST", CONSUMER, "catalog/request", {**TRADE, "querySpec": query} if query else TRADE
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def wait(self, origin: str, path: str, *states: str) -> Json:
        for _ in range(400):
            process = (await self.call("GET", origin, path)).json()
            if process["state"] in states:
                return dict(process)
            await asyncio.sleep(0.005)
        raise AssertionError(f"{path} stays in {process['state']}, expected {states}: {process.get('errorDetail')}")

    async def negotiate(self, offer: Json, target: str = "passport-1", *states: str) -> Json:
        policy = {**offer, "odrl:assigner": {"@id": "provider"}, "odrl:target": {"@id": target}}
        body = {**TRADE, "@context": ODRL_PREFIX, "policy": policy}
        answer = await self.call("POST", CONSUMER, "contractnegotiations", body)
        assert answer.status_code == 200, answer.text
        path = f"contractnegotiations/{answer.json()['@id']}"
        return await self.wait(CONSUMER, path, *(states or ("FINALIZED",)))

    async def transfer(self, agreement_id: str, **more: Any) -> str:
        body = {**TRADE, "contractId": agreement_id, "transferType": "HttpData-PULL", **more}
        answer = await self.call("POST", CONSUMER, "transferprocesses", body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["@id"])

    async def pull(self) -> tuple[str, Json]:
        """Trade the first offer up to a started transfer; return its path and endpoint data reference."""
        negotiation = await self.negotiate((await self.catalog())["dcat:dataset"]["odrl:hasPolicy"])
        identifier = await self.transfer(negotiation["contractAgreementId"])
        await self.wait(CONSUMER, f"transferprocesses/{identifier}", "STARTED")
        reference = await self.call("GET", CONSUMER, f"edrs/{identifier}/dataaddress")
        return f"transferprocesses/{identifier}", reference.json()

    async def get(self, url: str, token: str | None) -> httpx.Response:
        async with httpx.AsyncClient(transport=self.network, trust_env=False) as client:
            return await client.get(url, headers={"Authorization": token} if token else {})


def asset(asset_id: str, **address: str) -> Json:
    data_address = {"type": "HttpData", "baseUrl": f"{OUTBOX}/{asset_id}.json", **address}
    properties = {"name": "passport", "contenttype": "application/json", "http://purl.org/dc/terms/title": "DBP"}
    return {"@context": VOCABULARY, "@id": asset_id, "properties": properties, "dataAddress": data_address}


def policy_definition(identifier: str, policy: Json) -> Json:
    return {"@context": ODRL_PREFIX, "@id": identifier, "policy": policy}


def definition(identifier: str, asset_id: str | None = None) -> Json:
    criterion = {"operandLeft": f"{EDC_NAMESPACE}id", "operator": "=", "operandRight": asset_id}
    policy_id = f"p-{asset_id}" if asset_id else "p"
    return {
        "@context": VOCABULARY,
        "@id": identifier,
        "accessPolicyId": policy_id,
        "contractPolicyId": policy_id,
        "assetsSelector": [{"@type": "Criterion", **criterion}] if asset_id else [],
    }


Script = Callable[[Dataspace], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], Dataspace]:
    """Run a script in a data space of two connectors, whose state machines hurry."""
    monkeypatch.setattr(edc_connector, "STEP_SECONDS", 0.001)

    @asynccontextmanager
    async def dataspace() -> AsyncIterator[Dataspace]:
        space = Dataspace(tmp_path)
        await space.start("provider", PROVIDER)
        await space.start("consumer", CONSUMER)
        try:
            yield space
        finally:
            await space.stop()

    async def run(script: Script) -> Dataspace:
        async with dataspace() as space:
            await script(space)
            return space

    return lambda script: asyncio.run(run(script))


def test_the_management_api_needs_the_key(play: Callable[[Script], Dataspace]) -> None:
    async def script(space: Dataspace) -> None:
        for key in ("", "wrong"):
            answer = await space.call("POST", PROVIDER, "assets/request", {"@context": VOCABULARY}, key=key)
            assert (answer.status_code, answer.json()[0]["type"]) == (401, "AuthenticationFailed")

    play(script)


@pytest.mark.parametrize(
    ("path", "body", "put_path"),
    [
        ("assets", asset("x:1/2"), "assets"),
        ("policydefinitions", policy_definition("x:1/2", {"@context": ODRL}), "policydefinitions/x:1/2"),
        ("contractdefinitions", definition("x:1/2", "a"), "contractdefinitions"),
    ],
)
def test_resources_are_created_once_replaced_and_deleted(
    play: Callable[[Script], Dataspace], path: str, body: Json, put_path: str
) -> None:
    async def script(space: Dataspace) -> None:
        assert (await space.call("PUT", PROVIDER, put_path, body)).status_code == 404
        created = await space.provide(path, body)
        assert (created.status_code, created.json()["@type"], created.json()["@id"]) == (200, "IdResponse", "x:1/2")
        again = await space.provide(path, body)
        assert (again.status_code, again.json()[0]["type"]) == (409, "ObjectConflict")
        assert (await space.call("GET", PROVIDER, f"{path}/x:1/2")).json()["@id"] == "x:1/2"
        assert (await space.call("PUT", PROVIDER, put_path, body)).status_code == 204
        assert (await space.call("DELETE", PROVIDER, f"{path}/x:1/2")).status_code == 204
        missing = await space.call("DELETE", PROVIDER, f"{path}/x:1/2")
        assert (missing.status_code, missing.json()[0]["type"]) == (404, "ObjectNotFound")

    play(script)


def test_a_query_has_a_default_page_of_50_and_filters(play: Callable[[Script], Dataspace]) -> None:
    async def script(space: Dataspace) -> None:
        for number in range(52):
            await space.provide("assets", asset(f"a{number:02}"))
        assert len((await space.provide("assets/request", {"@context": VOCABULARY})).json()) == 50
        tail = {"@context": VOCABULARY, "offset": 51, "limit": 10}
        assert [one["@id"] for one in (await space.provide("assets/request", tail)).json()] == ["a51"]
        criterion = {"operandLeft": f"{EDC_NAMESPACE}id", "operator": "like", "operandRight": "a0%"}
        filtered = {"@context": VOCABULARY, "filterExpression": [criterion]}
        assert len((await space.provide("assets/request", filtered)).json()) == 10
        assert (await space.provide("assets/request", {"@context": VOCABULARY, "limit": -1})).status_code == 400

    play(script)


@pytest.mark.parametrize(
    "broken",
    [
        {**asset("a"), "dataAddress": {"type": "HttpData", "baseUrl": "no url"}},
        {**asset("a"), "dataAddress": {"baseUrl": OUTBOX}},
        {"@context": VOCABULARY, "@id": "a"},
    ],
)
def test_an_asset_without_a_usable_address_is_refused(play: Callable[[Script], Dataspace], broken: Json) -> None:
    async def script(space: Dataspace) -> None:
        answer = await space.provide("assets", broken)
        assert (answer.status_code, answer.json()[0]["type"]) == (400, "ValidationFailure")

    play(script)


@pytest.mark.parametrize(
    ("policy", "is_empty"),
    [
        ({"@context": ODRL, "permission": [{"action": "use", "constraint": [PURPOSE]}]}, False),
        ({"odrl:permission": {"odrl:action": {"@id": "odrl:use"}}}, False),
        ({"@type": "Set", "permission": [{"action": "use", "constraint": [PURPOSE]}]}, True),
    ],
)
def test_a_policy_without_the_odrl_context_is_stored_empty(
    play: Callable[[Script], Dataspace], policy: Json, is_empty: bool
) -> None:
    async def script(space: Dataspace) -> None:
        assert (await space.provide("policydefinitions", policy_definition("p", policy))).status_code == 200
        stored = (await space.call("GET", PROVIDER, "policydefinitions/p")).json()["policy"]
        assert (stored["odrl:permission"] == []) == is_empty

    play(script)


def test_what_is_in_use_is_not_deleted(play: Callable[[Script], Dataspace]) -> None:
    async def script(space: Dataspace) -> None:
        await space.offer()
        await space.pull()
        assert (await space.call("DELETE", PROVIDER, "policydefinitions/p-passport-1")).status_code == 409
        assert (await space.call("DELETE", PROVIDER, "assets/passport-1")).status_code == 409

    play(script)


def test_a_catalogue_shows_none_one_or_many_in_their_shapes(play: Callable[[Script], Dataspace]) -> None:
    async def script(space: Dataspace) -> None:
        assert "dcat:dataset" not in await space.catalog()
        await space.offer()
        dataset = (await space.catalog())["dcat:dataset"]
        assert (dataset["@id"], dataset["name"], dataset["dct:title"]) == ("passport-1", "passport", "DBP")
        assert [one["dct:format"]["@id"] for one in dataset["dcat:distribution"]] == [
            "HttpData-PULL",
            "HttpData-PUSH",
        ]
        offer = dataset["odrl:hasPolicy"]
        assert offer["odrl:permission"]["odrl:constraint"]["odrl:leftOperand"] == {"@id": "odrl:purpose"}
        assert (await space.catalog())["dcat:dataset"]["odrl:hasPolicy"]["@id"] != offer["@id"]
        await space.provide("contractdefinitions", {**definition("second", "passport-1")})
        await space.offer("passport-2")
        datasets = (await space.catalog())["dcat:dataset"]
        assert [type(one["odrl:hasPolicy"]) for one in datasets] == [list, dict]
        assert (await space.catalog(offset=1, limit=1))["dcat:dataset"]["@id"] == "passport-2"
        one = await space.call("POST", CONSUMER, "catalog/dataset/request", {**TRADE, "@id": "passport-2"})
        assert one.json()["@id"] == "passport-2"

    play(script)


@pytest.mark.parametrize(
    "wrong",
    [
        {"counterPartyAddress": "http://127.0.0.1:9/protocol/2025-1"},
        {"counterPartyAddress": "http://192.0.2.1/protocol/2025-1"},
        {"protocol": "dataspace-protocol-http"},
    ],
)
def test_a_counterparty_that_cannot_be_reached_is_a_bad_gateway(
    play: Callable[[Script], Dataspace], wrong: Json
) -> None:
    async def script(space: Dataspace) -> None:
        answer = await space.call("POST", CONSUMER, "catalog/request", {**TRADE, **wrong})
        assert (answer.status_code, answer.json()[0]["type"]) == (502, "BadGateway")

    play(script)


def test_an_echoed_offer_becomes_a_contract_and_data(play: Callable[[Script], Dataspace]) -> None:
    async def script(space: Dataspace) -> None:
        await space.offer()
        path, reference = await space.pull()
        assert reference["endpoint"] == f"{PROVIDER}/public"
        data = await space.get(reference["endpoint"], reference["authorization"])
        assert (data.status_code, data.json()) == (200, {"soh": 91.2})
        transfer = (await space.call("GET", CONSUMER, path)).json()
        shown = (await space.call("GET", CONSUMER, f"contractagreements/{transfer['contractId']}")).json()
        theirs = (await space.call("GET", PROVIDER, f"contractagreements/{transfer['contractId']}")).json()
        assert shown["policy"] == theirs["policy"]
        assert (shown["consumerId"], shown["providerId"], shown["assetId"]) == ("consumer", "provider", "passport-1")
        negotiation = await space.call("GET", CONSUMER, f"contractagreements/{transfer['contractId']}/negotiation")
        assert negotiation.json()["contractAgreementId"] == transfer["contractId"]
        listed = (await space.call("POST", PROVIDER, "contractnegotiations/request", {"@context": VOCABULARY})).json()
        assert [one["type"] for one in listed] == ["PROVIDER"]
        await space.wait(PROVIDER, f"contractnegotiations/{listed[0]['@id']}", "FINALIZED")

    play(script)


def test_the_data_plane_refuses_missing_wrong_and_revoked_tokens(play: Callable[[Script], Dataspace]) -> None:
    async def script(space: Dataspace) -> None:
        await space.offer()
        path, reference = await space.pull()
        endpoint, token = reference["endpoint"], reference["authorization"]
        assert (await space.get(endpoint, None)).status_code == 401
        assert (await space.get(endpoint, "wrong")).status_code == 403
        ended = await space.call("POST", CONSUMER, f"{path}/terminate", {"@context": VOCABULARY, "reason": "done"})
        assert ended.status_code == 204
        await space.wait(CONSUMER, path, "TERMINATED")
        assert (await space.get(endpoint, token)).status_code == 403
        assert (await space.call("GET", CONSUMER, f"edrs/{path.partition('/')[2]}/dataaddress")).status_code == 404

    play(script)


def test_an_expired_token_is_refused(play: Callable[[Script], Dataspace], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("battery_pilot.sandbox.edc_transfer.TOKEN_LIFETIME_SECONDS", -1)

    async def script(space: Dataspace) -> None:
        await space.offer()
        _, reference = await space.pull()
        assert (await space.get(reference["endpoint"], reference["authorization"])).status_code == 403

    play(script)


def test_a_suspended_transfer_gives_a_new_token_when_resumed(play: Callable[[Script], Dataspace]) -> None:
    async def script(space: Dataspace) -> None:
        await space.offer()
        path, reference = await space.pull()
        await space.call("POST", CONSUMER, f"{path}/suspend", {"@context": VOCABULARY, "reason": "pause"})
        await space.wait(CONSUMER, path, "SUSPENDED")
        assert (await space.get(reference["endpoint"], reference["authorization"])).status_code == 403
        assert (await space.call("POST", CONSUMER, f"{path}/resume")).status_code == 204
        await space.wait(CONSUMER, path, "STARTED")
        renewed = (await space.call("GET", CONSUMER, f"edrs/{path.partition('/')[2]}/dataaddress")).json()
        assert (await space.get(renewed["endpoint"], renewed["authorization"])).status_code == 200

    play(script)


def test_the_path_is_proxied_only_where_the_address_allows_it(play: Callable[[Script], Dataspace]) -> None:
    async def script(space: Dataspace) -> None:
        await space.offer(baseUrl=OUTBOX, proxyPath="true")
        (space.released / "deep").mkdir()
        (space.released / "deep" / "spectrum.csv").write_text("1,2")
        _, reference = await space.pull()
        token = reference["authorization"]
        assert (await space.get(f"{PROVIDER}/public/deep/spectrum.csv", token)).text == "1,2"
        missing = await space.get(f"{PROVIDER}/public/none.csv", token)
        assert (missing.status_code, list(missing.json())) == (500, ["errors"])

    play(script)


@pytest.mark.parametrize("address", ["http://192.0.2.1/x", "http://localhost.example.org/x", "https://127.0.0.1/x"])
def test_the_data_plane_fetches_from_this_machine_only(play: Callable[[Script], Dataspace], address: str) -> None:
    async def script(space: Dataspace) -> None:
        await space.offer(baseUrl=address)
        _, reference = await space.pull()
        answer = await space.get(reference["endpoint"], reference["authorization"])
        assert answer.status_code == 500
        assert "this machine only" in answer.json()["errors"][0]
        assert not any(url.startswith(address) for _, url, _, _ in space.network.exchanges)

    play(script)


def changed_permission(offer: Json) -> Json:
    return {**offer, "odrl:permission": {"odrl:action": {"@id": "odrl:use"}}}


def plain_action(offer: Json) -> Json:
    return {**offer, "odrl:permission": {**offer["odrl:permission"], "odrl:action": "use"}}


@pytest.mark.parametrize("alter", [changed_permission, plain_action])
def test_an_offer_that_is_not_echoed_equal_is_terminated_with_edcs_reason(
    play: Callable[[Script], Dataspace], alter: Callable[[Json], Json]
) -> None:
    async def script(space: Dataspace) -> None:
        await space.offer()
        offer = (await space.catalog())["dcat:dataset"]["odrl:hasPolicy"]
        negotiation = await space.negotiate(alter(offer), "passport-1", "TERMINATED")
        assert negotiation["errorDetail"] == (
            "Policy in the contract agreement is not equal to the one in the contract offer"
        )
        listed = (await space.call("POST", PROVIDER, "contractnegotiations/request", {"@context": VOCABULARY})).json()
        await space.wait(PROVIDER, f"contractnegotiations/{listed[0]['@id']}", "TERMINATED")

    play(script)


@pytest.mark.parametrize(
    ("offer_id", "target", "reason"),
    [(None, "passport-2", "Offer target"), ("not-an-offer", "passport-1", "is not valid")],
)
def test_an_offer_with_another_id_or_target_is_refused_at_once(
    play: Callable[[Script], Dataspace], offer_id: str | None, target: str, reason: str
) -> None:
    async def script(space: Dataspace) -> None:
        await space.offer()
        offer = (await space.catalog())["dcat:dataset"]["odrl:hasPolicy"]
        changed = {**offer, "@id": offer_id or offer["@id"]}
        assert reason in (await space.negotiate(changed, target, "TERMINATED"))["errorDetail"]

    play(script)


def test_a_contract_request_needs_assigner_and_target(play: Callable[[Script], Dataspace]) -> None:
    async def script(space: Dataspace) -> None:
        policy = {"@context": ODRL, "@id": "x", "@type": "Offer", "assigner": "provider"}
        answer = await space.call("POST", CONSUMER, "contractnegotiations", {**TRADE, "policy": policy})
        assert answer.status_code == 400
        assert "target" in answer.json()[0]["path"]

    play(script)


def test_a_transfer_needs_an_agreement_that_exists(play: Callable[[Script], Dataspace]) -> None:
    async def script(space: Dataspace) -> None:
        body = {**TRADE, "contractId": "none", "transferType": "HttpData-PULL"}
        assert (await space.call("POST", CONSUMER, "transferprocesses", body)).status_code == 400

    play(script)


def test_a_push_is_delivered_and_completes(play: Callable[[Script], Dataspace]) -> None:
    sink = FastAPI()
    delivered: list[bytes] = []

    @sink.post("/store")
    async def store(request: Request) -> None:
        delivered.append(await request.body())

    async def script(space: Dataspace) -> None:
        space.network.apps[SINK] = sink
        await space.offer()
        negotiation = await space.negotiate((await space.catalog())["dcat:dataset"]["odrl:hasPolicy"])
        destination = {"type": "HttpData", "baseUrl": f"{SINK}/store"}
        identifier = await space.transfer(
            negotiation["contractAgreementId"], transferType="HttpData-PUSH", dataDestination=destination
        )
        await space.wait(CONSUMER, f"transferprocesses/{identifier}", "COMPLETED")
        assert delivered == [b'{"soh": 91.2}']

    play(script)


def test_a_message_without_identity_or_about_another_ones_process_is_refused(
    play: Callable[[Script], Dataspace],
) -> None:
    async def script(space: Dataspace) -> None:
        await space.offer()
        await space.pull()
        protocol = f"{PROVIDER}/protocol/2025-1"
        listed = (await space.call("POST", PROVIDER, "contractnegotiations/request", {"@context": VOCABULARY})).json()
        one = f"{protocol}/negotiations/{listed[0]['@id']}"
        assert (await space.get(one, None)).status_code == 401
        assert (await space.get(one, json.dumps({"clientId": "stranger"}))).status_code == 404
        assert (await space.get(one, json.dumps({"clientId": "consumer"}))).json()["state"] == "FINALIZED"

    play(script)


def test_what_a_stop_interrupted_goes_on_after_the_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edc_connector, "STEP_SECONDS", 0.02)

    async def run() -> None:
        before = Dataspace(tmp_path)
        await before.start("provider", PROVIDER)
        await before.start("consumer", CONSUMER)
        await before.offer()
        offer = (await before.catalog())["dcat:dataset"]["odrl:hasPolicy"]
        del before.network.apps[PROVIDER]
        negotiation = await before.negotiate(offer, "passport-1", "REQUESTING")
        await before.stop()
        after = Dataspace(tmp_path)
        await after.start("provider", PROVIDER)
        await after.start("consumer", CONSUMER)
        await after.wait(CONSUMER, f"contractnegotiations/{negotiation['@id']}", "FINALIZED")
        await after.stop()

    asyncio.run(run())


def test_messages_are_valid_against_the_protocols_schemas(
    play: Callable[[Script], Dataspace], shared_data: Path
) -> None:
    # Two of the published files lack the slash of their JSON pointers.
    texts = [file.read_text() for file in (shared_data / "dsp-2025-1").rglob("*-schema.json")]
    schemas = [json.loads(text.replace(".json#definitions/", ".json#/definitions/")) for text in texts]
    registry: Registry[Any] = Registry().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in schemas]
    )
    by_type = {name: schema for schema in schemas for name in schema["definitions"]}
    either = {"or": [PURPOSE, {**PURPOSE, "rightOperand": ["recycling", "research"]}, {**PURPOSE, "rightOperand": 5}]}

    async def script(space: Dataspace) -> None:
        permission = {"action": "use", "constraint": [PURPOSE, either]}
        await space.offer(policy={"@context": ODRL, "@type": "Set", "permission": [permission]})
        path, _ = await space.pull()
        await space.call("POST", CONSUMER, "catalog/dataset/request", {**TRADE, "@id": "passport-1"})
        await space.call("POST", CONSUMER, f"{path}/suspend", {"@context": VOCABULARY})
        await space.wait(CONSUMER, path, "SUSPENDED")
        await space.call("POST", CONSUMER, f"{path}/terminate", {"@context": VOCABULARY})
        await space.wait(CONSUMER, path, "TERMINATED")
        offer = (await space.catalog())["dcat:dataset"]["odrl:hasPolicy"]
        await space.negotiate(changed_permission({**offer, "odrl:permission": {}}), "passport-1", "TERMINATED")
        await space.negotiate({**offer, "@id": "not-an-offer"}, "passport-1", "TERMINATED")

    space = play(script)
    seen = set()
    for _, url, sent, received in space.network.exchanges:
        for message in (sent, received) if "/protocol/" in url else ():
            if isinstance(message, dict):
                kind = message["@type"]
                schema = by_type[kind] if kind != "Dataset" else by_type["RootDataset"]
                Draft201909Validator(schema, registry=registry).validate(message)
                seen.add(kind)
    assert seen >= {
        "Catalog",
        "CatalogRequestMessage",
        "Dataset",
        "ContractRequestMessage",
        "ContractNegotiation",
        "ContractAgreementMessage",
        "ContractAgreementVerificationMessage",
        "ContractNegotiationEventMessage",
        "ContractNegotiationTerminationMessage",
        "ContractNegotiationError",
        "TransferRequestMessage",
        "TransferProcess",
        "TransferStartMessage",
        "TransferSuspensionMessage",
        "TransferTerminationMessage",
    }
