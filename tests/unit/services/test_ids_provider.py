from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.services.connectors.ids_messages import ARTIFACT, AUTOGEN, CODE, CONTEXT, Message
from battery_pilot.services.data_app.ids_provider import IdsProvider

BEFORE = {
    "@type": "ids:Constraint",
    "@id": f"{AUTOGEN}constraint/1",
    "ids:leftOperand": {"@id": f"{CODE}POLICY_EVALUATION_TIME"},
    "ids:operator": {"@id": f"{CODE}BEFORE"},
    "ids:rightOperand": {"@value": "2099-01-01T00:00:00Z", "@type": "xsd:dateTimeStamp"},
}
PERMISSION = {
    "@type": "ids:Permission",
    "@id": f"{AUTOGEN}permission/1",
    "ids:target": {"@id": f"{ARTIFACT}B1"},
    "ids:action": [{"@id": f"{CODE}USE"}],
    "ids:constraint": [BEFORE],
}
RESOURCE = {
    "@type": "ids:TextResource",
    "@id": f"{AUTOGEN}textResource/1",
    "ids:title": [{"@value": "Ω"}],
    "ids:contractOffer": [
        {"@type": "ids:ContractOffer", "@id": f"{AUTOGEN}contractOffer/1", "ids:permission": [PERMISSION]}
    ],
}
DESCRIPTION = {
    "@context": CONTEXT,
    "@type": "ids:BaseConnector",
    "@id": "http://w3id.org/engrd/connector/provider",
    "ids:resourceCatalog": [{"@type": "ids:ResourceCatalog", "@id": "c", "ids:offeredResource": [RESOURCE]}],
}


@pytest.fixture
def provider(tmp_path):
    return IdsProvider(lambda: DESCRIPTION, tmp_path / "agreements")


def request(kind, payload=None, **targets):
    header = {"@type": f"ids:{kind}"} | {f"ids:{name}": {"@id": value} for name, value in targets.items()}
    return Message(header, json.dumps(payload).encode() if payload is not None else b"")


def contract_request(**changes):
    parties = {"ids:provider": {"@id": "p"}, "ids:consumer": {"@id": "c"}}
    wanted = {"@type": "ids:ContractRequest", "@id": "r", "ids:permission": [{**PERMISSION, **changes}], **parties}
    return request("ContractRequestMessage", wanted)


def reason(answer):
    return (answer.kind, (answer.target("rejectionReason") or "").removeprefix(CODE))


def test_the_whole_connector_is_described_and_each_of_its_parts_by_itself(provider):
    whole = provider.answer(request("DescriptionRequestMessage"))
    assert (whole.kind, json.loads(whole.payload)) == ("DescriptionResponseMessage", DESCRIPTION)
    part = provider.answer(request("DescriptionRequestMessage", requestedElement=RESOURCE["@id"]))
    assert json.loads(part.payload) == {"@context": CONTEXT, **RESOURCE}
    assert part.payload.isascii()
    unknown = provider.answer(request("DescriptionRequestMessage", requestedElement="nothing"))
    assert reason(unknown) == ("RejectionMessage", "NOT_FOUND")


def test_an_agreement_permits_its_artifact_and_no_other(provider):
    answer = provider.answer(contract_request())
    agreement = json.loads(answer.payload)
    assert (answer.kind, agreement["@type"]) == ("ContractAgreementMessage", "ids:ContractAgreement")
    assert agreement["ids:permission"] == [PERMISSION]
    assert provider.permits(agreement["@id"], f"{ARTIFACT}B1")
    assert not provider.permits(agreement["@id"], f"{ARTIFACT}B2")
    assert not provider.permits("another", f"{ARTIFACT}B1")
    noted = provider.answer(request("ContractAgreementMessage", agreement))
    assert noted.kind == "MessageProcessedNotificationMessage"


@pytest.mark.parametrize(
    "changes",
    [
        {"ids:constraint": []},
        {"ids:constraint": [{**BEFORE, "ids:rightOperand": {"@value": "2199-01-01T00:00:00Z"}}]},
        {"ids:target": {"@id": f"{ARTIFACT}B2"}},
        {"ids:action": [{"@id": f"{CODE}DISTRIBUTE"}]},
        {"@id": "another"},
    ],
)
def test_a_request_for_other_terms_than_those_on_offer_is_refused(provider, changes):
    assert reason(provider.answer(contract_request(**changes))) == ("RejectionMessage", "NOT_FOUND")
    assert not provider.folder.exists()


def test_a_request_for_nothing_is_refused(provider):
    wanted = request("ContractRequestMessage", {"@type": "ids:ContractRequest", "ids:permission": []})
    assert reason(provider.answer(wanted)) == ("RejectionMessage", "NOT_FOUND")


def test_an_agreement_that_was_not_made_here_is_not_processed(provider):
    made_up = request("ContractAgreementMessage", {"@id": "made-up", "ids:permission": [PERMISSION]})
    assert reason(provider.answer(made_up)) == ("RejectionMessage", "NOT_FOUND")


def test_offers_that_cannot_be_read_now_may_be_had_later(tmp_path):
    def silent():
        raise ConnectionRefusedError

    answer = IdsProvider(silent, tmp_path).answer(request("DescriptionRequestMessage"))
    assert reason(answer) == ("RejectionMessage", "TEMPORARILY_NOT_AVAILABLE")


def test_other_messages_are_left_to_others(provider):
    assert provider.answer(request("ArtifactRequestMessage")) is None


@pytest.mark.parametrize("kind", ["ContractRequestMessage", "ContractAgreementMessage"])
@given(payload=st.one_of(st.binary(max_size=40), st.just(b"[]"), st.just(b'{"ids:permission": [3]}'), st.just(b"{}")))
def test_what_is_no_contract_is_refused(kind, payload, tmp_path_factory):
    provider = IdsProvider(lambda: DESCRIPTION, tmp_path_factory.getbasetemp() / "none")
    answer = provider.answer(Message({"@type": f"ids:{kind}"}, payload))
    assert answer.kind == "RejectionMessage"
