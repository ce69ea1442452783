from __future__ import annotations

from dataclasses import replace

from battery_pilot.pipeline.contracts import Contract, ContractJournal, Shared, Twin


def test_what_was_put_is_found_again_by_another_process(tmp_path):
    contract = Contract("passport:1", "BP-0001", "provider", negotiation_id="n1")
    ContractJournal(tmp_path / "deep" / "journal.sqlite").put(contract)
    assert ContractJournal(tmp_path / "deep" / "journal.sqlite").get("provider", "passport:1") == contract


def test_a_change_replaces_and_never_duplicates(tmp_path):
    journal = ContractJournal(tmp_path / "journal.sqlite")
    contract = Contract("passport:1", "BP-0001", "provider")
    journal.put(contract)
    journal.put(replace(contract, agreement_id="a1"))
    journal.want("run", contract)
    journal.want("run", contract)
    assert journal.wanted("run") == [replace(contract, agreement_id="a1")]


def test_a_run_sees_only_what_it_wants(tmp_path):
    journal = ContractJournal(tmp_path / "journal.sqlite")
    one, two = (Contract(f"passport:{number}", f"BP-{number}", "provider") for number in (1, 2))
    journal.put(two, one)
    journal.want("first", one)
    journal.want("second", two, one)
    assert journal.wanted("second") == [one, two]
    assert journal.wanted("first") == [one]
    assert journal.wanted("third") == []


def test_two_counterparties_may_name_their_assets_alike(tmp_path):
    journal = ContractJournal(tmp_path / "journal.sqlite")
    ours, theirs = (Contract("passport:1", "BP-1", name, agreement_id=f"a-{name}") for name in ("a", "b"))
    journal.put(ours, theirs)
    journal.want("run", theirs)
    assert journal.get("a", "passport:1") == ours
    assert journal.of("b") == {"passport:1": theirs}
    assert journal.wanted("run") == [theirs]


def test_a_refused_agreement_is_remembered_for_its_counterparty(tmp_path):
    journal = ContractJournal(tmp_path / "journal.sqlite")
    journal.refuse("provider", "a1")
    journal.refuse("provider", "a1")
    assert journal.refused("provider") == {"a1"}
    assert journal.refused("other") == set()


def test_a_twin_is_unknown_until_it_was_put_and_then_replaced(tmp_path):
    journal = ContractJournal(tmp_path / "journal.sqlite")
    assert journal.twins() == {}
    twin = Twin("https://example.com/1/aas", "BP-1", "provider")
    journal.put_twins([twin])
    later = replace(twin, as_of="2026-02-01T00:00:00+00:00", sha256="b" * 64)
    journal.put_twins([later])
    assert journal.twins() == {twin.shell_id: later}


def test_shared_content_is_known_by_its_id(tmp_path):
    journal = ContractJournal(tmp_path / "journal.sqlite")
    shared = Shared("https://example.com/concept", "provider", "a" * 64)
    journal.put_shared([shared])
    journal.put_shared([])
    assert journal.shared() == {shared.identifier: shared}
