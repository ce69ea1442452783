from __future__ import annotations

import pytest

from battery_pilot.errors import InputError
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.contracts import Contract
from battery_pilot.pipeline.negotiations import exchanges_of, story, story_of_run
from battery_pilot.services.connectors.exchanges import Exchange, ExchangeJournal

FLEET = Contract("passports:public", "", "you", negotiation_id="n", agreement_id="a", transfer_id="t")


@pytest.fixture
def journal(lake):
    return journal_of(lake)


def test_the_agreement_of_a_large_fleet_has_a_story(lake, journal):
    """More batteries than SQLite takes names in one question."""
    members = [
        Contract(f"passports:public/B{number}", f"B{number}", "you", "n", "a", "t") for number in range(40_000)
    ]
    journal.put(FLEET, *members)
    exchanges = ExchangeJournal(exchanges_of(lake))
    for process in ("n", "t", "other"):
        exchanges.put(Exchange(process, "GET", f"http://edc/{process}", None, 200, None))
    found = story(lake, "a")
    assert len(found["contracts"]) == 40_001
    assert [one["process_id"] for one in found["exchanges"]] == ["n", "t"]
    assert [one["process_id"] for one in story(lake, "B7")["exchanges"]] == ["n", "t"]


def test_a_run_is_told_with_errors_first_and_batteries_of_a_fleet_last(lake, journal):
    contracts = [
        Contract("passports:public/B1", "B1", "you", agreement_id="a"),
        FLEET,
        Contract("passport:public:B2", "B2", "you", error="refused"),
    ]
    journal.put(*contracts)
    journal.want("run", *contracts)
    told = story_of_run(lake, "run", 2)
    assert [one["asset_id"] for one in told.pop("contracts")] == ["passport:public:B2", "passports:public"]
    assert told == {"wanted": 3, "agreed": 2, "failed": 1}


def test_a_run_that_asked_for_nothing_has_no_story(lake, journal):
    for place in (lake, type(lake)(lake.root / "empty")):
        with pytest.raises(InputError, match="nothing is known of a run 'other'"):
            story_of_run(place, "other", 2)
