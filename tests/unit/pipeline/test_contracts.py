from __future__ import annotations

from dataclasses import replace

from battery_pilot.pipeline.contracts import Contract, ContractJournal


def test_what_was_put_is_found_again_by_another_process(tmp_path):
    contract = Contract("passport:1", "BP-0001", "provider", negotiation_id="n1")
    ContractJournal(tmp_path / "deep" / "journal.sqlite").put(contract)
    assert ContractJournal(tmp_path / "deep" / "journal.sqlite").get("passport:1") == contract


def test_a_change_replaces_and_never_duplicates(tmp_path):
    journal = ContractJournal(tmp_path / "journal.sqlite")
    contract = Contract("passport:1", "BP-0001", "provider")
    journal.put(contract)
    journal.put(replace(contract, agreement_id="a1"))
    journal.want("run", "passport:1")
    journal.want("run", "passport:1")
    assert journal.wanted("run") == [replace(contract, agreement_id="a1")]


def test_a_run_sees_only_what_it_wants(tmp_path):
    journal = ContractJournal(tmp_path / "journal.sqlite")
    for number in (2, 1):
        journal.put(Contract(f"passport:{number}", f"BP-{number}", "provider"))
    journal.want("first", "passport:1")
    journal.want("second", "passport:2")
    journal.want("second", "passport:1")
    assert [one.asset_id for one in journal.wanted("second")] == ["passport:1", "passport:2"]
    assert [one.asset_id for one in journal.wanted("first")] == ["passport:1"]
    assert journal.wanted("third") == []


def test_a_twin_is_unknown_until_it_was_shown(tmp_path):
    journal = ContractJournal(tmp_path / "journal.sqlite")
    assert journal.twin("BP-1") is None
    journal.put_twin("BP-1", "2026-01-01T00:00:00+00:00", "a" * 64)
    journal.put_twin("BP-1", "2026-02-01T00:00:00+00:00", "b" * 64)
    assert journal.twin("BP-1") == ("2026-02-01T00:00:00+00:00", "b" * 64)
