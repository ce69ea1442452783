from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from importlib import import_module
from itertools import chain, repeat
from unittest.mock import create_autospec

import pytest
from airflow.triggers.base import TriggerEvent

from battery_pilot.errors import NotFound, ServerRefused, ServerUnavailable
from battery_pilot.pipeline.contracts import Contract, ContractJournal
from battery_pilot.pipeline.parties import ConnectorParty
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.model import Negotiation, NegotiationState, Transfer, TransferState
from battery_pilot_airflow.hooks import ConnectorHook
from battery_pilot_airflow.triggers.connector import ContractsTrigger

REQUESTED = Negotiation("n", NegotiationState.REQUESTED)
FINALIZED = Negotiation("n", NegotiationState.FINALIZED, agreement_id="a")
LOST = ServerUnavailable("GET", "http://connector", None, "timeout")


@pytest.fixture
def connector(monkeypatch):
    double = create_autospec(EdcConnector, instance=True)

    async def party(self):
        assert self.conn_id == "edc"
        return ConnectorParty(double, None, "you", "http://you")

    monkeypatch.setattr(ConnectorHook, "aget_conn", party)
    return double


@pytest.fixture
def journal(tmp_path):
    """A run that has asked for one contract."""
    found = ContractJournal(tmp_path / "contracts.sqlite")
    found.put(Contract("asset", "BP-1", "you", negotiation_id="n"))
    found.want("run", *found.of("you").values())
    return found


def trigger_of(journal, *, awaited="negotiations", patience_second=60.0):
    return ContractsTrigger(
        connector_conn_id="edc",
        journal=str(journal.path),
        run="run",
        awaited=awaited,
        poll_second=0.001,
        deadline=time.time() + patience_second,
    )


def events_of(trigger):
    async def collect():
        return [event async for event in trigger.run()]

    return asyncio.run(asyncio.wait_for(collect(), 20))


def test_a_trigger_can_be_stored_and_made_again(journal):
    trigger = trigger_of(journal, awaited="transfers")
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(import_module(module), name)(**arguments)
    assert type(again) is ContractsTrigger
    assert again.serialize() == (path, arguments)


def test_it_fires_once_everything_has_an_outcome_and_writes_it_down(connector, journal):
    connector.negotiation.side_effect = [REQUESTED, REQUESTED, FINALIZED]
    assert events_of(trigger_of(journal)) == [TriggerEvent({"status": "settled"})]
    assert journal.get("you", "asset").agreement_id == "a"
    assert connector.negotiation.call_count == 3


def test_a_refusal_is_an_outcome(connector, journal):
    connector.negotiation.return_value = Negotiation("n", NegotiationState.TERMINATED, error="not a member")
    assert events_of(trigger_of(journal)) == [TriggerEvent({"status": "settled"})]
    assert journal.get("you", "asset").error == "not a member"


def test_it_gives_up_at_the_deadline_and_tells_how_many_are_pending(connector, journal):
    connector.negotiation.return_value = REQUESTED
    assert events_of(trigger_of(journal, patience_second=0.05)) == [TriggerEvent({"status": "timeout", "pending": 1})]


def test_what_settles_at_the_last_look_counts(connector, journal):
    connector.negotiation.return_value = FINALIZED
    assert events_of(trigger_of(journal, patience_second=-5)) == [TriggerEvent({"status": "settled"})]


def test_it_survives_a_connector_that_restarts(connector, journal):
    connector.negotiation.side_effect = [LOST, LOST, FINALIZED]
    assert events_of(trigger_of(journal)) == [TriggerEvent({"status": "settled"})]


def test_a_connector_that_never_answers_is_given_up_with_an_unknown_number(connector, journal):
    connector.negotiation.side_effect = LOST
    assert events_of(trigger_of(journal, patience_second=0.05)) == [
        TriggerEvent({"status": "timeout", "pending": None})
    ]


def test_the_last_known_number_is_told_when_the_connector_is_lost_later(connector, journal):
    connector.negotiation.side_effect = chain([REQUESTED], repeat(LOST))
    assert events_of(trigger_of(journal, patience_second=0.05)) == [TriggerEvent({"status": "timeout", "pending": 1})]


def test_a_refusal_of_our_own_request_is_not_waited_out(connector, journal):
    connector.negotiation.side_effect = ServerRefused("GET", "http://connector", 401, "wrong key")
    with pytest.raises(ServerRefused, match="wrong key"):
        events_of(trigger_of(journal))


def test_a_negotiation_that_the_connector_lost_is_an_outcome(connector, journal):
    connector.negotiation.side_effect = NotFound("GET", "http://connector", 404, "unknown")
    assert events_of(trigger_of(journal)) == [TriggerEvent({"status": "settled"})]


def test_it_waits_for_transfers_too(connector, journal):
    journal.put(replace(journal.get("you", "asset"), agreement_id="a", transfer_id="t"))
    connector.transfer_state.side_effect = [
        Transfer("t", TransferState.REQUESTED),
        Transfer("t", TransferState.STARTED),
    ]
    assert events_of(trigger_of(journal, awaited="transfers")) == [TriggerEvent({"status": "settled"})]
    connector.negotiation.assert_not_called()


def test_a_run_that_wants_nothing_is_settled_at_once(connector, tmp_path):
    assert events_of(trigger_of(ContractJournal(tmp_path / "empty.sqlite"))) == [TriggerEvent({"status": "settled"})]
    connector.negotiation.assert_not_called()


def test_the_event_loop_is_free_while_the_connector_is_asked(connector, journal):
    """The triggerer serves hundreds of triggers in one thread: a slow connector must not hold them up."""
    connector.negotiation.side_effect = lambda _: time.sleep(0.3) or FINALIZED
    ticks = 0

    async def watch():
        nonlocal ticks
        waiting = asyncio.ensure_future(anext(trigger_of(journal).run()))
        while not waiting.done():
            ticks += 1
            await asyncio.sleep(0.01)

    asyncio.run(watch())
    assert ticks > 5


def test_a_user_who_ends_the_task_ends_the_negotiation(connector, journal):
    asyncio.run(trigger_of(journal).on_kill())
    connector.terminate_negotiation.assert_called_once_with("n", "cancelled on our side")


def test_a_restart_of_the_triggerer_ends_nothing(connector, journal):
    connector.negotiation.side_effect = repeat(REQUESTED)

    async def stopped():
        trigger = trigger_of(journal)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(trigger.run()), 0.05)
        await trigger.cleanup()

    asyncio.run(stopped())
    connector.terminate_negotiation.assert_not_called()
    connector.negotiation.side_effect = [FINALIZED]
    assert events_of(trigger_of(journal)) == [TriggerEvent({"status": "settled"})]
    assert connector.negotiate.call_count == 0
