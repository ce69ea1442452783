from __future__ import annotations

import json

import pytest

from battery_pilot.cli import main
from battery_pilot.lake import Lake
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.contracts import Contract
from battery_pilot.pipeline.negotiations import exchanges_of
from battery_pilot.services.connectors.exchanges import Exchange, ExchangeJournal


@pytest.fixture
def lake(tmp_path):
    """A consumer's lake with a refused negotiation, and somebody else's."""
    lake = Lake(tmp_path)
    journal_of(lake).put(
        Contract("passport:public:B1", "B1", "provider", negotiation_id="n-1", error="Policy not fulfilled"),
        Contract("passport:public:B2", "B2", "provider", negotiation_id="n-2"),
    )
    exchanges = ExchangeJournal(exchanges_of(lake))
    exchanges.put(
        Exchange("n-1", "POST", "http://edc/v3/contractnegotiations", {"offer": "o-1"}, 200, {"@id": "n-1"})
    )
    exchanges.put(
        Exchange("n-2", "POST", "http://edc/v3/contractnegotiations", {"offer": "o-2"}, 200, {"@id": "n-2"})
    )
    for _ in range(3):
        exchanges.put(Exchange("n-1", "GET", "http://edc/n-1", None, 200, {"errorDetail": "Policy not fulfilled"}))
    return lake


@pytest.mark.parametrize("identifier", ["n-1", "B1", "passport:public:B1"])
def test_story_is_found_by_negotiation_battery_and_asset(lake, identifier, capsys):
    assert main(["negotiations", "show", identifier, "--lake", str(lake.root)]) == 0
    text = capsys.readouterr().out
    assert "Policy not fulfilled" in text
    assert "POST http://edc/v3/contractnegotiations  200" in text
    assert "(3 times" in text
    assert "o-2" not in text


def test_story_can_be_had_as_json(lake, capsys):
    assert main(["negotiations", "show", "n-1", "--lake", str(lake.root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["battery_id"] for one in found["contracts"]] == ["B1"]
    assert [one["method"] for one in found["exchanges"]] == ["POST", "GET"]


def test_unknown_name_is_told_in_one_sentence(lake, capsys):
    assert main(["negotiations", "show", "n-3", "--lake", str(lake.root)]) == 1
    assert "nothing is known of 'n-3'" in capsys.readouterr().err
