from __future__ import annotations

from dataclasses import replace

import pytest

from battery_pilot.errors import InputError, NegotiationFailed, ServerRefused, ServerUnavailable
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline import acquire, fetching
from battery_pilot.pipeline.acquire import (
    cancel,
    contract_counts,
    journal_of,
    pull,
    request_contracts,
    settle_negotiations,
    settle_transfers,
    start_transfers,
)
from battery_pilot.pipeline.parties import ConnectorParty
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.services.connectors.model import Offer, Transfer, TransferState

LEGITIMATE = Tier.LEGITIMATE_INTEREST


@pytest.fixture
def journal(lake):
    return journal_of(lake)


@pytest.fixture
def offer(connector):
    """Put offers of a tier into the catalogue, with a file behind each."""

    def add(*names, tier=LEGITIMATE):
        for name in names:
            properties = {"batteryId": f"BP-{name}", "tier": tier.value}
            connector.publish(Offer(name, name, "http://provider/data", "application/json", tier, properties))
            connector.files[name] = b"content of " + name.encode()

    return add


def agree(journal, party, run):
    counts = request_contracts(journal, party, run, LEGITIMATE)
    assert settle_negotiations(journal, party, run) == 0
    return counts


def test_every_offer_of_the_tier_is_asked_for_and_no_other(journal, party, connector, offer):
    offer("one", "two")
    offer("open", tier=Tier.PUBLIC)
    connector.publish(
        Offer("foreign", "no passport", "http://provider/x", "text/csv", LEGITIMATE, {"tier": LEGITIMATE.value})
    )
    assert request_contracts(journal, party, "run", LEGITIMATE) == {"offers": 2, "agreed": 0, "requested": 2}
    assert [contract.asset_id for contract in journal.wanted("run")] == ["one", "two"]
    assert all(contract.negotiation_id for contract in journal.wanted("run"))


def test_a_contract_is_recorded_before_it_is_asked_for(journal, party, connector, offer, monkeypatch):
    def fail(entry):
        raise ServerUnavailable("POST", "http://connector/v3/contractnegotiations", None, "timeout")

    offer("one")
    monkeypatch.setattr(connector, "negotiate", fail)
    with pytest.raises(ServerUnavailable):
        request_contracts(journal, party, "run", LEGITIMATE)
    (contract,) = journal.wanted("run")
    assert (contract.asset_id, contract.battery_id, contract.negotiation_id) == ("one", "BP-one", None)


def test_after_a_lost_connection_the_next_try_completes_the_requests(journal, party, connector, offer, monkeypatch):
    offer("one", "two")
    negotiate = connector.negotiate

    def fail_on_two(entry):
        if entry.asset_id == "two":
            raise ServerUnavailable("POST", "http://connector", None, "timeout")
        return negotiate(entry)

    monkeypatch.setattr(connector, "negotiate", fail_on_two)
    with pytest.raises(ServerUnavailable):
        request_contracts(journal, party, "run", LEGITIMATE)
    monkeypatch.undo()
    agree(journal, party, "run")
    assert contract_counts(journal, "run") == {"agreements": 2, "refused": 0}
    assert connector.count("negotiate") == 2


def test_what_is_under_way_is_not_asked_for_again(journal, party, connector, offer):
    offer("one")
    connector.slow.add("one")
    for run in ("first", "second"):
        request_contracts(journal, party, run, LEGITIMATE)
        assert settle_negotiations(journal, party, run) == 1
    assert connector.count("negotiate") == 1
    connector.slow.clear()
    assert settle_negotiations(journal, party, "second") == 0
    assert contract_counts(journal, "second") == {"agreements": 1, "refused": 0}


def test_an_agreement_of_an_earlier_run_is_used_again(journal, party, connector, offer):
    offer("one")
    agree(journal, party, "first")
    assert agree(journal, party, "second") == {"offers": 1, "agreed": 1, "requested": 0}
    assert connector.count("negotiate") == 1
    assert contract_counts(journal, "second") == {"agreements": 1, "refused": 0}


def test_an_agreement_that_only_the_connector_remembers_is_used(journal, party, connector, offer):
    offer("one")
    connector.calls.append(("agreed", "one"))
    assert agree(journal, party, "run") == {"offers": 1, "agreed": 1, "requested": 0}
    assert connector.count("negotiate") == 0
    assert journal.get("provider", "one").agreement_id == "a:one"


def test_a_refusal_is_counted_and_costs_only_itself(journal, party, connector, offer):
    offer("one", "two")
    connector.refusals["two"] = "membership has ended"
    agree(journal, party, "run")
    assert contract_counts(journal, "run") == {"agreements": 1, "refused": 1}
    assert journal.get("provider", "two").error == "membership has ended"


def test_a_refused_negotiation_is_tried_again_by_the_next_run(journal, party, connector, offer):
    offer("one", "two")
    connector.refusals["two"] = "membership has ended"
    agree(journal, party, "first")
    del connector.refusals["two"]
    assert agree(journal, party, "second") == {"offers": 2, "agreed": 1, "requested": 1}
    assert contract_counts(journal, "second") == {"agreements": 2, "refused": 0}
    assert connector.calls.count(("negotiate", "two")) == 2


def test_a_refusal_of_everything_is_an_error_with_the_reason(journal, party, connector, offer):
    offer("one", "two")
    connector.refusals = dict.fromkeys(("one", "two"), "membership has ended")
    agree(journal, party, "run")
    with pytest.raises(NegotiationFailed, match="^none of 2 offers led to a contract; one: membership has ended$"):
        contract_counts(journal, "run")


def test_offers_that_were_never_negotiated_are_an_error_too(journal, party, connector, offer, monkeypatch):
    """The connector failed before the first request, and when it was back the offer had been withdrawn."""

    def fail(entry):
        raise ServerUnavailable("POST", "http://connector", None, "timeout")

    offer("one")
    monkeypatch.setattr(connector, "negotiate", fail)
    with pytest.raises(ServerUnavailable):
        request_contracts(journal, party, "run", LEGITIMATE)
    connector.withdraw("one")
    agree(journal, party, "run")
    with pytest.raises(NegotiationFailed, match="^none of 1 offers led to a contract: no negotiation has ended$"):
        contract_counts(journal, "run")


def test_a_run_without_offers_has_nothing_to_count(journal, party):
    agree(journal, party, "run")
    assert contract_counts(journal, "run") == {"agreements": 0, "refused": 0}


def test_a_negotiation_that_our_connector_has_lost_is_asked_for_again(journal, party, connector, offer):
    offer("one")
    connector.slow.add("one")
    request_contracts(journal, party, "first", LEGITIMATE)
    connector.slow.clear()
    connector.forgetful = True
    assert settle_negotiations(journal, party, "first") == 0
    with pytest.raises(NegotiationFailed, match="our connector has lost negotiation n:one"):
        contract_counts(journal, "first")
    connector.forgetful = False
    agree(journal, party, "second")
    assert contract_counts(journal, "second") == {"agreements": 1, "refused": 0}


def test_what_was_agreed_is_pulled(lake, journal, party, connector, offer):
    offer("one", "two")
    agree(journal, party, "run")
    assert start_transfers(journal, party, "run") == 2
    assert settle_transfers(journal, party, "run") == 0
    assert pull(lake, journal, party, "run") == {"pulled": 2, "unchanged": 0, "failed": 0, "bytes": 28}
    assert pulled_file(lake, journal.get("provider", "one")).read_bytes() == b"content of one"


def test_a_transfer_that_is_open_is_used_again_and_one_that_has_ended_is_not(journal, party, connector, offer):
    offer("one")
    agree(journal, party, "run")
    for _ in range(2):
        start_transfers(journal, party, "run")
    assert connector.count("transfer") == 1
    (transfer_id,) = connector.transfers
    connector.transfers[transfer_id] = Transfer(transfer_id, TransferState.COMPLETED)
    start_transfers(journal, party, "run")
    assert connector.count("transfer") == 2


def test_a_transfer_that_our_connector_has_lost_is_started_again(journal, party, connector, offer):
    offer("one")
    agree(journal, party, "run")
    start_transfers(journal, party, "run")
    connector.forgetful = True
    start_transfers(journal, party, "run")
    assert connector.count("transfer") == 2


def test_a_transfer_that_is_lost_while_it_is_awaited_is_an_outcome(journal, party, connector, offer):
    offer("one")
    agree(journal, party, "run")
    start_transfers(journal, party, "run")
    connector.forgetful = True
    assert settle_transfers(journal, party, "run") == 0
    assert journal.get("provider", "one").transfer_id is None
    assert journal.get("provider", "one").error.startswith("our connector has lost transfer t")


def test_a_transfer_is_awaited_until_it_has_started(journal, party, connector, offer):
    offer("one")
    agree(journal, party, "run")
    start_transfers(journal, party, "run")
    (transfer_id,) = connector.transfers
    connector.transfers[transfer_id] = Transfer(transfer_id, TransferState.REQUESTED)
    assert settle_transfers(journal, party, "run") == 1
    connector.transfers[transfer_id] = Transfer(transfer_id, TransferState.STARTED)
    assert settle_transfers(journal, party, "run") == 0


def test_a_failed_transfer_costs_only_itself_and_starts_afresh_in_the_next_run(
    lake, journal, party, connector, offer
):
    offer("one", "two")
    agree(journal, party, "first")
    start_transfers(journal, party, "first")
    broken = journal.get("provider", "two").transfer_id
    connector.transfers[broken] = Transfer(broken, TransferState.TERMINATED, error="policy violated")
    assert settle_transfers(journal, party, "first") == 0
    assert journal.get("provider", "two").error == "policy violated"
    assert pull(lake, journal, party, "first")["pulled"] == 1

    agree(journal, party, "second")
    assert contract_counts(journal, "second") == {"agreements": 2, "refused": 0}
    start_transfers(journal, party, "second")
    assert pull(lake, journal, party, "second")["pulled"] == 2
    assert journal.get("provider", "two").error is None


def test_a_file_that_is_refused_or_too_large_costs_only_itself(lake, journal, party, connector, offer, monkeypatch):
    monkeypatch.setattr(acquire, "MAXIMUM_BYTES", 100)
    offer("gone", "good", "huge")
    del connector.files["gone"]
    connector.files["huge"] = b"x" * 101
    agree(journal, party, "run")
    start_transfers(journal, party, "run")
    assert pull(lake, journal, party, "run") == {"pulled": 1, "unchanged": 0, "failed": 2, "bytes": 15}
    assert "410: gone" in journal.get("provider", "gone").error
    assert "too large" in journal.get("provider", "huge").error
    assert not pulled_file(lake, journal.get("provider", "huge")).exists()


def test_a_pull_that_brings_nothing_is_an_error_with_the_reason(lake, journal, party, connector, offer):
    offer("one")
    connector.files.clear()
    agree(journal, party, "run")
    start_transfers(journal, party, "run")
    with pytest.raises(NegotiationFailed, match="^none of 1 transfers gave data; one: GET http://provider/data: 410"):
        pull(lake, journal, party, "run")


def test_a_lost_connection_fails_the_pull_so_that_it_is_tried_again(
    lake, journal, party, connector, offer, monkeypatch
):
    def lose(transfer_id, *, maximum_bytes, path=""):
        raise ServerUnavailable("GET", "http://provider/data", None, "timeout")

    offer("one")
    agree(journal, party, "run")
    start_transfers(journal, party, "run")
    monkeypatch.setattr(connector, "fetch", lose)
    with pytest.raises(ServerUnavailable):
        pull(lake, journal, party, "run")
    assert journal.get("provider", "one").transfer_id


@pytest.mark.parametrize("asset_id", ["../../../etc/passwd", "/etc/passwd", "a" * 5000, "\0"])
def test_the_names_of_a_counterparty_stay_out_of_the_paths(lake, journal, party, connector, offer, asset_id):
    offer("one")
    agree(journal, party, "run")
    path = pulled_file(lake, replace(journal.get("provider", "one"), asset_id=asset_id))
    assert path.resolve().is_relative_to((lake.root / "pulled").resolve())
    assert len(path.name) < 100


def test_a_connection_without_a_counterparty_is_one_sentence(journal, connector):
    with pytest.raises(InputError, match="needs counterparty_id and counterparty_url in its extra"):
        request_contracts(journal, ConnectorParty(connector, None, None, "http://x"), "run", LEGITIMATE)


REFUSED = ServerRefused("POST", "http://connector", 400, "no such thing")
CALLS = ["negotiate", "negotiation", "transfer", "transfer_state", "fetch"]


def refuse(monkeypatch, connector, call, error=REFUSED, asset_id="two"):
    """Let one call of the connector fail for one asset."""
    real = getattr(connector, call)

    def maybe(first, *more, **named):
        if asset_id in str(getattr(first, "asset_id", first)):
            raise error
        return real(first, *more, **named)

    monkeypatch.setattr(connector, call, maybe)


def play(lake, journal, party, run):
    agree(journal, party, run)
    contract_counts(journal, run)
    start_transfers(journal, party, run)
    assert settle_transfers(journal, party, run) == 0
    return pull(lake, journal, party, run)


@pytest.mark.parametrize("error", [REFUSED, InputError("data lie on no http address")], ids=["refusal", "input"])
@pytest.mark.parametrize("call", CALLS)
def test_one_refused_contract_costs_only_itself_and_is_asked_for_anew(
    lake, journal, party, connector, offer, monkeypatch, call, error
):
    offer("one", "two", "three")
    refuse(monkeypatch, connector, call, error)
    assert play(lake, journal, party, "first")["pulled"] == 2
    assert journal.get("provider", "two").error == str(error)
    assert journal.get("provider", "two").transfer_id is None
    monkeypatch.undo()
    assert play(lake, journal, party, "second") == {"pulled": 3, "unchanged": 0, "failed": 0, "bytes": 44}
    assert journal.get("provider", "two").error is None


@pytest.mark.parametrize("call", ["transfer", "transfer_state", "fetch"])
def test_when_every_contract_fails_the_task_fails_with_a_reason(
    lake, journal, party, connector, offer, monkeypatch, call
):
    offer("one", "two")
    refuse(monkeypatch, connector, call, asset_id="")
    with pytest.raises(NegotiationFailed, match="none of 2 transfers .*; one: .*no such thing"):
        play(lake, journal, party, "run")


@pytest.mark.parametrize("call", CALLS[:4])
def test_a_connector_of_ours_that_does_not_let_us_in_is_no_matter_of_one_contract(
    lake, journal, party, connector, offer, monkeypatch, call
):
    offer("one", "two")
    play(lake, journal, party, "before")
    offer("three")
    refuse(monkeypatch, connector, call, ServerRefused("GET", "http://connector", 401, "wrong key"), "three")
    with pytest.raises(ServerRefused, match="wrong key"):
        play(lake, journal, party, "run")
    assert journal.refused("provider") == set()


def test_an_agreement_that_the_counterparty_refused_is_never_used_again(
    lake, journal, party, connector, offer, monkeypatch
):
    """Both connectors forgot it, or one did: asking under it again and again would stop the consumer for good."""
    offer("one", "two")
    connector.calls += [("agreed", "one"), ("agreed", "two")]
    refuse(monkeypatch, connector, "transfer")
    play(lake, journal, party, "first")
    assert journal.refused("provider") == {"a:two"}
    monkeypatch.undo()
    assert agree(journal, party, "second") == {"offers": 2, "agreed": 1, "requested": 1}
    assert connector.calls.count(("negotiate", "two")) == 1


def test_a_look_ends_at_many_contracts_without_an_outcome(journal, party, connector, offer, monkeypatch):
    monkeypatch.setattr(acquire, "PENDING_A_LOOK", 2)
    names = ["a", "b", "c", "d", "e"]
    offer(*names)
    connector.slow.update(names)
    request_contracts(journal, party, "run", LEGITIMATE)
    looked = []
    real = connector.negotiation
    monkeypatch.setattr(connector, "negotiation", lambda one: looked.append(one) or real(one))
    assert settle_negotiations(journal, party, "run") == 5
    assert looked == ["n:a", "n:b"]


def test_a_transfer_that_has_started_is_not_looked_at_again(journal, party, connector, offer, monkeypatch):
    offer("one")
    agree(journal, party, "run")
    start_transfers(journal, party, "run")
    assert settle_transfers(journal, party, "run") == 0
    monkeypatch.setattr(connector, "transfer_state", None)
    assert settle_transfers(journal, party, "run") == 0


def test_a_run_killed_while_it_asked_opens_no_second_negotiation(journal, party, connector, offer, monkeypatch):
    """The worker dies after the connector took the request and before its answer was written down."""
    offer("one", "two")
    negotiate = connector.negotiate

    def killed(entry):
        negotiate(entry)
        raise KeyboardInterrupt

    monkeypatch.setattr(connector, "negotiate", killed)
    with pytest.raises(KeyboardInterrupt):
        request_contracts(journal, party, "run", LEGITIMATE)
    monkeypatch.undo()
    agree(journal, party, "run")
    assert connector.calls.count(("negotiate", "one")) == 1
    assert contract_counts(journal, "run") == {"agreements": 2, "refused": 0}


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_token_that_is_no_longer_good_leads_to_a_new_transfer_under_the_same_agreement(
    lake, journal, party, connector, offer, monkeypatch, status
):
    offer("one")
    agree(journal, party, "run")
    start_transfers(journal, party, "run")
    settle_transfers(journal, party, "run")
    old, fetch = journal.get("provider", "one").transfer_id, connector.fetch

    def expired(transfer_id, *, maximum_bytes, path=""):
        if transfer_id == old:
            raise ServerRefused("GET", "http://provider/public", status, "token expired")
        return fetch(transfer_id, maximum_bytes=maximum_bytes)

    monkeypatch.setattr(connector, "fetch", expired)
    assert pull(lake, journal, party, "run")["pulled"] == 1
    assert connector.count("transfer") == 2
    assert connector.count("negotiate") == 1
    contract = journal.get("provider", "one")
    assert contract.transfer_id == contract.started_id != old


def test_a_provider_that_refuses_the_new_transfer_too_ends_the_agreement(
    lake, journal, party, connector, offer, monkeypatch
):
    offer("one", "two")
    refuse(monkeypatch, connector, "fetch", ServerRefused("GET", "http://provider/public", 403, "no"), "one")
    assert play(lake, journal, party, "run")["failed"] == 1
    assert journal.refused("provider") == {"a:one"}


def test_a_new_transfer_that_does_not_start_is_given_up(lake, journal, party, connector, offer, monkeypatch):
    offer("one", "two")
    refuse(monkeypatch, connector, "fetch", ServerRefused("GET", "http://provider/public", 403, "no"), "one")
    monkeypatch.setattr(fetching, "RENEWAL_SECONDS", 0.0)
    transfer = connector.transfer

    def stuck(agreement_id, counterparty):
        transfer_id = transfer(agreement_id, counterparty)
        if connector.count("transfer") > 2:
            connector.transfers[transfer_id] = Transfer(transfer_id, TransferState.REQUESTED)
        return transfer_id

    monkeypatch.setattr(connector, "transfer", stuck)
    assert play(lake, journal, party, "run")["failed"] == 1
    assert "is REQUESTED" in journal.get("provider", "one").error


def test_cancelling_ends_what_has_no_outcome_and_nothing_else(journal, party, connector, offer):
    offer("one", "two")
    connector.slow.add("two")
    request_contracts(journal, party, "run", LEGITIMATE)
    settle_negotiations(journal, party, "run")
    assert cancel(journal, party, "run") == 1
    assert [call for call in connector.calls if call[0].startswith("terminate")] == [
        ("terminate negotiation", "n:two")
    ]
    assert journal.get("provider", "one").agreement_id == "a:one"
    assert "cancelled" in journal.get("provider", "two").error
    start_transfers(journal, party, "run")
    assert cancel(journal, party, "run") == 1
    assert connector.count("terminate") == 1
    assert cancel(journal, party, "run") == 0


@pytest.mark.parametrize(("once", "negotiations"), [(False, 1), (True, 2)])
def test_an_agreement_that_one_transfer_uses_up_is_negotiated_anew(
    lake, journal, party, connector, offer, once, negotiations
):
    connector.agreements_serve_once = once
    offer("one")
    for run in ("first", "second"):
        assert play(lake, journal, party, run)["pulled"] == 1
    assert connector.count("negotiate") == negotiations


def counted(most):
    constraint = {"leftOperand": "http://www.w3.org/ns/odrl/2/count", "operator": "lteq", "rightOperand": str(most)}
    return {"permission": [{"constraint": [constraint]}]}


def test_an_agreement_is_used_no_more_often_than_it_allows(lake, journal, party, connector, offer):
    offer("one")
    connector.policies["a:one"] = counted(2)
    for run in ("first", "second"):
        play(lake, journal, party, run)
        pull(lake, journal, party, run)  # the task is tried again: that is no second use
        assert connector.count("negotiate") == 1
    play(lake, journal, party, "third")
    assert connector.count("negotiate") == 2


def test_an_agreement_without_a_number_is_used_again_and_again(lake, journal, party, connector, offer):
    offer("one")
    for run in ("first", "second", "third"):
        play(lake, journal, party, run)
    assert connector.count("negotiate") == 1
