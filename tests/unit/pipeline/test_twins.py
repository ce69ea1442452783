from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import create_autospec

import pyarrow.parquet as pq
import pytest

from battery_pilot.errors import NotFound, ServerRefused
from battery_pilot.lake import read_lines, write_bytes, write_lines
from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.history import record
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline.acquire import journal_of, pulled_file
from battery_pilot.pipeline.bundle import make_bundle
from battery_pilot.pipeline.contracts import Contract
from battery_pilot.pipeline.entities import battery_entity
from battery_pilot.pipeline.health_history import history_folder
from battery_pilot.pipeline.release import publish, record_versions
from battery_pilot.pipeline.twins import sync_entities, update_twins, verified, verify, write_back
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.orion import Orion

TIER = Tier.LEGITIMATE_INTEREST
JANUARY_20 = datetime(2026, 1, 20, tzinfo=UTC)
FEBRUARY_20 = datetime(2026, 2, 20, tzinfo=UTC)


@pytest.fixture
def journal(lake):
    return journal_of(lake)


@pytest.fixture
def server():
    """An AAS server that keeps the shells that it is given."""
    double = create_autospec(AasServer, instance=True)
    double.kept = {}

    def get_shell(shell_id):
        if shell_id not in double.kept:
            raise NotFound("GET", "http://aasx/shells", 404, "unknown")
        return double.kept[shell_id]

    def upsert_all(shells, submodels, concept_descriptions):
        double.kept |= {shell["id"]: shell for shell in shells}

    double.get_shell.side_effect = get_shell
    double.upsert_all.side_effect = upsert_all
    return double


@pytest.fixture
def broker():
    """Orion that only counts what it is given, as the real one does."""
    double = create_autospec(Orion, instance=True)
    double.sent = []

    def upsert(entities, *, refused=None):
        found = list(entities)
        double.sent += found
        return len(found)

    double.upsert.side_effect = upsert
    return double


@pytest.fixture
def bundle_of(history, subject_of, base):
    """Record a state of a battery and return the bundle that the provider then offers."""

    def build(battery_id, as_of, **metrics):
        subject = subject_of(battery_id, as_of, **metrics)
        passport = build_passport(subject.model, subject.item, subject.condition, base=base)
        recorded_at = as_of + timedelta(days=9)
        record(history, passport, run="provider", recorded_at=recorded_at, known_until=recorded_at)
        return make_bundle(json.loads(canonical_json(passport.view(TIER))), history.entries(battery_id), TIER)

    return build


@pytest.fixture
def pulled(lake, journal):
    """Leave in the lake what a run pulled of an asset."""

    def put(run, battery_id, data, asset_id=None, counterparty_id="provider"):
        contract = Contract(asset_id or f"passport:{battery_id}", battery_id, counterparty_id, transfer_id="t1")
        journal.put(contract)
        journal.want(run, contract)
        write_bytes(pulled_file(lake, contract), data)

    return put


def test_good_bundles_are_verified_and_their_states_are_written(lake, journal, pulled, bundle_of):
    bundle_of("BP-1", JANUARY_20)
    pulled("run", "BP-1", bundle_of("BP-1", FEBRUARY_20, remaining_capacity_ah=4.4))
    pulled("run", "BP-2", bundle_of("BP-2", JANUARY_20))
    counts = verify(lake, journal, "run", TIER)
    assert (counts["verified"], counts["rejected"], counts["states"]) == (2, 0, 3)
    assert {bundle.passport.battery_id for bundle in verified(lake, journal, "run")} == {"BP-1", "BP-2"}
    table = pq.read_table(history_folder(lake)).to_pylist()
    assert {(row["battery_id"], row["as_of"], row["remaining_capacity_ah"]) for row in table} == {
        ("BP-1", JANUARY_20, 4.5),
        ("BP-1", FEBRUARY_20, 4.4),
        ("BP-2", JANUARY_20, 4.5),
    }


def test_a_tampered_bundle_goes_to_quarantine_and_the_others_go_on(lake, journal, pulled, bundle_of, server):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20).replace(b'"4.5"', b'"4.9"'))
    pulled("run", "BP-2", bundle_of("BP-2", JANUARY_20))
    pulled("run", "BP-3", b"not even JSON")
    counts = verify(lake, journal, "run", TIER)
    assert (counts["verified"], counts["rejected"]) == (1, 2)
    first, second = read_lines(Path(counts["quarantine"]))
    assert first["file"] == "passport:BP-1"
    assert "the passport differs from version 1 of its history" in first["reason"]
    assert second["file"] == "passport:BP-3"
    assert update_twins(lake, journal, "run", server)["updated"] == 1
    assert [row["battery_id"] for row in pq.read_table(history_folder(lake)).to_pylist()] == ["BP-2"]


def test_the_passport_of_another_battery_than_the_offered_one_is_rejected(lake, journal, pulled, bundle_of):
    pulled("run", "BP-1", bundle_of("BP-2", JANUARY_20))
    counts = verify(lake, journal, "run", TIER)
    assert counts["rejected"] == 1
    (reject,) = read_lines(Path(counts["quarantine"]))
    assert reject["reason"] == "bundle of battery BP-2: it was offered as that of BP-1"


def test_a_battery_that_is_offered_twice_counts_once(lake, journal, pulled, bundle_of):
    data = bundle_of("BP-1", JANUARY_20)
    pulled("run", "BP-1", data, "asset-1")
    pulled("run", "BP-1", data, "asset-2")
    counts = verify(lake, journal, "run", TIER)
    assert (counts["verified"], counts["rejected"], counts["states"]) == (1, 1, 1)
    (reject,) = read_lines(Path(counts["quarantine"]))
    assert reject == {"file": "asset-2", "reason": "bundle of battery BP-1: asset-1 is of the same battery"}


def test_nothing_that_was_rejected_before_is_used_later(lake, journal, pulled, bundle_of, server, broker):
    pulled("run", "BP-1", b"garbage")
    verify(lake, journal, "run", TIER)
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    assert update_twins(lake, journal, "run", server) == {"updated": 0, "unchanged": 0, "kept_newer": 0}
    assert sync_entities(lake, journal, "run", broker) == {"entities": 0}
    server.upsert_all.assert_not_called()


def test_a_run_that_pulled_nothing_verifies_nothing(lake, journal):
    counts = verify(lake, journal, "scheduled__2026-01-01T00:00:00+00:00", TIER)
    assert (counts["verified"], counts["rejected"], counts["states"]) == (0, 0, 0)


def test_twins_are_brought_to_the_state_of_the_passports(lake, journal, pulled, bundle_of, server):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "run", TIER)
    assert update_twins(lake, journal, "run", server) == {"updated": 1, "unchanged": 0, "kept_newer": 0}
    (bundle,) = verified(lake, journal, "run")
    server.upsert_all.assert_called_once_with(
        shells=[passport.shell],
        submodels=bundle.passport.submodels,
        concept_descriptions=bundle.passport.concept_descriptions,
    )
    assert journal.twin("BP-1") == (JANUARY_20.isoformat(), bundle.passport.sha256)
    assert update_twins(lake, journal, "run", server) == {"updated": 0, "unchanged": 1, "kept_newer": 0}


def test_an_older_state_never_replaces_a_newer_twin(lake, journal, pulled, bundle_of, server, broker):
    older = bundle_of("BP-1", JANUARY_20)
    pulled("new", "BP-1", bundle_of("BP-1", FEBRUARY_20, remaining_capacity_ah=4.4))
    verify(lake, journal, "new", TIER)
    update_twins(lake, journal, "new", server)
    shown = journal.twin("BP-1")
    server.reset_mock()

    pulled("late", "BP-1", older)
    verify(lake, journal, "late", TIER)
    assert update_twins(lake, journal, "late", server) == {"updated": 0, "unchanged": 0, "kept_newer": 1}
    assert sync_entities(lake, journal, "late", broker) == {"entities": 0}
    server.upsert_all.assert_not_called()
    assert journal.twin("BP-1") == shown


def test_a_correction_of_the_same_point_in_time_replaces_the_twin(lake, journal, pulled, bundle_of, server):
    pulled("first", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "first", TIER)
    update_twins(lake, journal, "first", server)
    pulled("second", "BP-1", bundle_of("BP-1", JANUARY_20, remaining_capacity_ah=4.45))
    verify(lake, journal, "second", TIER)
    assert update_twins(lake, journal, "second", server)["updated"] == 1


def test_a_twin_is_noted_only_after_the_server_has_it(lake, journal, pulled, bundle_of, server):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "run", TIER)
    server.upsert_all.side_effect = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        update_twins(lake, journal, "run", server)
    assert journal.twin("BP-1") is None


def test_the_broker_gets_the_entities_of_the_twins(lake, journal, pulled, bundle_of, server, broker):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "run", TIER)
    update_twins(lake, journal, "run", server)
    assert sync_entities(lake, journal, "run", broker) == {"entities": 1}
    (bundle,) = verified(lake, journal, "run")
    assert broker.sent == [battery_entity(bundle.passport)]


def test_predictions_are_added_to_twin_and_entity_of_their_battery(
    lake, journal, pulled, bundle_of, server, broker, tmp_path
):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    pulled("run", "BP-2", bundle_of("BP-2", JANUARY_20))
    verify(lake, journal, "run", TIER)
    prediction = {
        "metric": "state_of_health_percent",
        "value": 88.0,
        "lower": 86.5,
        "upper": 89.0,
        "for_time": "2026-02-19T00:00:00+00:00",
        "model_version": "abc123",
        "trained_on": False,
    }
    write_lines(
        tmp_path / "predictions.jsonl", [{"battery_id": name, **prediction} for name in ("BP-1", "BP-unknown")]
    )
    assert write_back(lake, journal, "run", tmp_path / "predictions.jsonl", server, broker) == {"predictions": 1}
    (shell_id, submodel_id), _ = server.add_submodel_reference.call_args
    (submodel,) = server.put_submodel.call_args.args
    assert submodel["id"] == submodel_id
    assert submodel["idShort"] == "BatteryPilotPredictions"
    assert shell_id == next(
        one.passport.shell["id"] for one in verified(lake, journal, "run") if one.passport.battery_id == "BP-1"
    )
    (entity,) = broker.sent
    assert entity["predicted__state_of_health_percent"]["value"] == 88.0
    assert entity["predicted__state_of_health_percent__modelVersion"]["value"] == "abc123"


def test_what_a_provider_releases_a_consumer_verifies(
    lake, journal, pulled, january, stage_subjects, subject_of, history, party, connector, base
):
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20))
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [TIER])
    (offer,) = connector.offers.values()
    data = (lake.root / "outbox" / offer.data_url.removeprefix("http://provider/data/")).read_bytes()
    pulled("run", offer.properties["batteryId"], data, offer.asset_id)
    assert verify(lake, journal, "run", TIER)["verified"] == 1
