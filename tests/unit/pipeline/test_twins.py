from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from battery_pilot.errors import PassportError, ServerRefused
from battery_pilot.lake import read_lines, write_bytes, write_lines
from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.history import SqliteHistory, record
from battery_pilot.passport.model import Tier
from battery_pilot.passport.reading import read_passport
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.bundle import make_bundle
from battery_pilot.pipeline.contracts import Contract
from battery_pilot.pipeline.entities import battery_entity, model_entity
from battery_pilot.pipeline.health_history import history_folder
from battery_pilot.pipeline.offers import publish
from battery_pilot.pipeline.owners import Owners
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.pipeline.release import record_versions
from battery_pilot.pipeline.twins import sync_entities, update_twins, verified, verify, write_back
from battery_pilot.services.orion import EntityRefused

TIER = Tier.LEGITIMATE_INTEREST
JANUARY_20 = datetime(2026, 1, 20, tzinfo=UTC)
FEBRUARY_20 = datetime(2026, 2, 20, tzinfo=UTC)


@pytest.fixture
def journal(lake):
    return journal_of(lake)


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
    assert {passport.battery_id for passport in verified(lake, journal, "run")} == {"BP-1", "BP-2"}
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


def test_nothing_that_was_rejected_before_is_used_later(lake, journal, pulled, bundle_of, memory, server, broker):
    pulled("run", "BP-1", b"garbage")
    verify(lake, journal, "run", TIER)
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    assert update_twins(lake, journal, "run", server) == {"updated": 0, "unchanged": 0, "kept_newer": 0}
    assert sync_entities(lake, journal, "run", broker) == {"entities": 0, "written": 0}
    assert memory.asked == []


def test_a_run_that_pulled_nothing_verifies_nothing(lake, journal):
    counts = verify(lake, journal, "scheduled__2026-01-01T00:00:00+00:00", TIER)
    assert (counts["verified"], counts["rejected"], counts["states"]) == (0, 0, 0)


def test_twins_are_brought_to_the_state_of_the_passports(lake, journal, pulled, bundle_of, memory, server):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "run", TIER)
    assert update_twins(lake, journal, "run", server) == {"updated": 1, "unchanged": 0, "kept_newer": 0}
    (passport,) = verified(lake, journal, "run")
    sent = (passport.shell, *passport.submodels, *passport.concept_descriptions)
    assert memory.all() == {one["id"]: one for one in sent}
    (twin,) = journal.twins().values()
    assert (twin.battery_id, twin.as_of, twin.sha256) == ("BP-1", JANUARY_20.isoformat(), passport.sha256)
    assert update_twins(lake, journal, "run", server) == {"updated": 0, "unchanged": 1, "kept_newer": 0}


def test_an_older_state_never_replaces_a_newer_twin(lake, journal, pulled, bundle_of, memory, server, broker):
    older = bundle_of("BP-1", JANUARY_20)
    pulled("new", "BP-1", bundle_of("BP-1", FEBRUARY_20, remaining_capacity_ah=4.4))
    verify(lake, journal, "new", TIER)
    update_twins(lake, journal, "new", server)
    shown = journal.twins()
    memory.asked.clear()

    pulled("late", "BP-1", older)
    verify(lake, journal, "late", TIER)
    assert update_twins(lake, journal, "late", server) == {"updated": 0, "unchanged": 0, "kept_newer": 1}
    assert sync_entities(lake, journal, "late", broker) == {"entities": 0, "written": 0}
    assert memory.asked == []
    assert journal.twins() == shown


def test_a_correction_of_the_same_point_in_time_replaces_the_twin(lake, journal, pulled, bundle_of, server):
    pulled("first", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "first", TIER)
    update_twins(lake, journal, "first", server)
    pulled("second", "BP-1", bundle_of("BP-1", JANUARY_20, remaining_capacity_ah=4.45))
    verify(lake, journal, "second", TIER)
    assert update_twins(lake, journal, "second", server)["updated"] == 1


def test_a_twin_is_noted_only_after_the_server_has_it(lake, journal, pulled, bundle_of, memory, server):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "run", TIER)

    def interrupt(method, path, done):
        raise KeyboardInterrupt

    memory.fault = interrupt
    with pytest.raises(KeyboardInterrupt):
        update_twins(lake, journal, "run", server)
    assert [twin.as_of for twin in journal.twins().values()] == [None]


def test_the_broker_gets_the_entities_of_the_twins(lake, journal, pulled, bundle_of, server, broker):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "run", TIER)
    update_twins(lake, journal, "run", server)
    assert sync_entities(lake, journal, "run", broker) == {"entities": 1, "written": 2}
    (passport,) = verified(lake, journal, "run")
    assert broker.sent == [battery_entity(passport), model_entity(passport)]
    assert sync_entities(lake, journal, "run", broker) == {"entities": 1, "written": 0}
    assert len(broker.sent) == 2


def test_predictions_are_added_to_twin_and_entity_of_their_battery(
    lake, journal, pulled, bundle_of, memory, server, broker, tmp_path
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
    update_twins(lake, journal, "run", server)
    assert write_back(lake, journal, "run", tmp_path / "predictions.jsonl", server, broker) == {"predictions": 1}
    shell_id = next(one.shell["id"] for one in verified(lake, journal, "run") if one.battery_id == "BP-1")
    submodel_id = memory.documents["shells"][shell_id]["submodels"][-1]["keys"][-1]["value"]
    submodel = memory.documents["submodels"][submodel_id]
    assert submodel["id"] == submodel_id
    assert submodel["idShort"] == "BatteryPilotPredictions"
    (entity,) = broker.sent
    assert entity["predicted__state_of_health_percent"]["value"] == 88.0
    assert entity["predicted__state_of_health_percent__modelVersion"]["value"] == "abc123"


def test_several_predictions_of_a_battery_are_one_submodel_and_one_entity(
    lake, journal, pulled, bundle_of, memory, server, broker, tmp_path
):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "run", TIER)
    both = {"state_of_health_percent": 88.0, "remaining_useful_life_cycles": 640.0}
    write_lines(
        tmp_path / "predictions.jsonl",
        [
            {"battery_id": "BP-1", "metric": metric, "value": value, "lower": value - 5, "upper": value + 5,
             "for_time": "2026-02-19T00:00:00+00:00", "model_version": f"model of {metric}"}
            for metric, value in both.items()
        ],
    )  # fmt: skip
    update_twins(lake, journal, "run", server)
    assert write_back(lake, journal, "run", tmp_path / "predictions.jsonl", server, broker) == {"predictions": 1}
    submodel = list(memory.documents["submodels"].values())[-1]
    (listed,) = submodel["submodelElements"]
    assert len(listed["value"]) == 2
    (entity,) = broker.sent
    for metric, value in both.items():
        assert entity[f"predicted__{metric}"]["value"] == value
        assert entity[f"predicted__{metric}__modelVersion"]["value"] == f"model of {metric}"


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


def rejects(counts):
    return [line["reason"] for line in read_lines(Path(counts["quarantine"]))]


@pytest.fixture
def shown(lake, journal, pulled, bundle_of, memory, server):
    """A victim's twin, verified and on the server."""
    pulled("before", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "before", TIER)
    update_twins(lake, journal, "before", server)
    (shell,) = memory.documents["shells"].values()
    return shell


def passport_of(subject_of, base, battery_id, replacing):
    subject = subject_of(battery_id, JANUARY_20)
    content = canonical_json(build_passport(subject.model, subject.item, subject.condition, base=base).view(TIER))
    for old, new in replacing.items():
        content = content.replace(old.encode(), new.encode())
    return read_passport(content)


SN = "https://example.com/dbp/EX01/SN-"


@pytest.mark.parametrize("counterparty_id", ["provider", "mallory"])
def test_a_passport_with_the_shell_of_another_battery_is_refused(journal, shown, subject_of, base, counterparty_id):
    stolen = passport_of(subject_of, base, "Evil", {"SN-Evil": "SN-BP-1"})
    assert (stolen.battery_id, stolen.shell["id"]) == ("Evil", shown["id"])
    with pytest.raises(PassportError, match=f"shell {shown['id']} is that of battery BP-1 from provider"):
        Owners(journal).claim(stolen, counterparty_id)


def test_a_passport_of_a_battery_that_another_counterparty_brought_is_refused(journal, shown, subject_of, base):
    other = passport_of(subject_of, base, "BP-1", {"SN-BP-1": "SN-other"})
    with pytest.raises(PassportError, match="is that of battery BP-1 from provider"):
        Owners(journal).claim(other, "mallory")


def test_two_passports_of_one_run_cannot_bring_the_same_shell(journal, subject_of, base):
    owners = Owners(journal)
    owners.claim(passport_of(subject_of, base, "BP-1", {}), "provider")
    with pytest.raises(PassportError, match="is that of battery BP-1"):
        owners.claim(passport_of(subject_of, base, "Evil", {"SN-Evil": "SN-BP-1"}), "provider")


def test_the_owner_of_a_twin_may_bring_it_again(journal, shown, subject_of, base):
    owners = Owners(journal)
    owners.claim(passport_of(subject_of, base, "BP-1", {}), "provider")
    owners.save()
    assert [twin.as_of for twin in journal.twins().values()] == [JANUARY_20.isoformat()]


@pytest.mark.parametrize(
    ("replacing", "reason"),
    [
        ({f"{SN}Evil/aas": f"{SN}BP-1/aas"}, "is not that of its asset, expected"),
        ({f"{SN}Evil/sm/nameplate": f"{SN}BP-1/sm/nameplate"}, "submodel .*BP-1/sm/nameplate is not one of asset"),
        ({f"{SN}Evil/sm/nameplate": f"{SN}Evil/sm/deep/nameplate"}, "deep/nameplate is not one of asset"),
    ],
)
def test_the_ids_of_a_battery_follow_from_its_asset(journal, subject_of, base, replacing, reason):
    with pytest.raises(PassportError, match=reason):
        Owners(journal).claim(passport_of(subject_of, base, "Evil", replacing), "mallory")


def test_a_model_part_cannot_have_the_id_of_a_part_of_a_battery(journal, shown, subject_of, base):
    technical = "models/INR-21%2F50/sm/technical-data"
    stolen = passport_of(subject_of, base, "Evil", {technical: "SN-BP-1/sm/nameplate"})
    with pytest.raises(PassportError, match="SN-BP-1/sm/nameplate is part of one battery"):
        Owners(journal).claim(stolen, "provider")


def test_what_several_batteries_share_changes_only_by_the_hand_that_brought_it(journal, shown, subject_of, base):
    changed = {"Beispiel Zellen GmbH": "Mallory Ltd"}
    owners = Owners(journal)
    owners.claim(passport_of(subject_of, base, "Two", {}), "mallory")
    with pytest.raises(PassportError, match="technical-data differs from what provider brought first"):
        owners.claim(passport_of(subject_of, base, "Three", changed), "mallory")
    owners.claim(passport_of(subject_of, base, "Four", changed), "provider")


def test_a_stolen_shell_goes_to_quarantine_and_the_twin_stays(
    lake, journal, pulled, shown, memory, server, subject_of, item_of, base, tmp_path
):
    subject = subject_of("Evil", JANUARY_20)
    item = item_of("Evil", serial_number="SN-BP-1")
    passport = build_passport(subject.model, item, subject.condition, base=base)
    theirs = SqliteHistory(tmp_path / "evil.sqlite")
    record(theirs, passport, run="evil", recorded_at=JANUARY_20, known_until=JANUARY_20)
    data = make_bundle(canonical_json(passport.view(TIER)), theirs.entries("Evil"), TIER)
    pulled("run", "Evil", data, counterparty_id="mallory")
    counts = verify(lake, journal, "run", TIER)
    assert (counts["verified"], counts["rejected"], counts["states"]) == (0, 1, 0)
    assert "is that of battery BP-1 from provider" in rejects(counts)[0]
    update_twins(lake, journal, "run", server)
    assert memory.documents["shells"] == {shown["id"]: shown}


def test_a_bundle_of_another_tier_than_the_one_asked_for_is_rejected(lake, journal, pulled, bundle_of):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    counts = verify(lake, journal, "run", Tier.AUTHORITY)
    assert rejects(counts) == ["bundle of battery BP-1: it is of tier legitimate_interest, asked for was authority"]


def test_a_state_that_is_to_come_is_rejected(lake, journal, pulled, bundle_of):
    """It would keep every real state from the twin for good."""
    pulled("run", "BP-1", bundle_of("BP-1", datetime(2126, 1, 1, tzinfo=UTC)))
    assert "which is to come" in rejects(verify(lake, journal, "run", TIER))[0]


def test_a_bundle_that_has_changed_since_it_was_verified_is_left_out(lake, journal, pulled, bundle_of, caplog):
    pulled("run", "BP-1", bundle_of("BP-1", JANUARY_20))
    verify(lake, journal, "run", TIER)
    pulled("run", "BP-1", bundle_of("BP-1", FEBRUARY_20))
    assert list(verified(lake, journal, "run")) == []
    assert "has changed since it was verified" in caplog.text


def test_a_twin_that_shows_the_state_already_is_not_written_again(lake, journal, shown, memory, server):
    memory.asked.clear()
    assert update_twins(lake, journal, "before", server)["unchanged"] == 1
    assert memory.writes() == {}


def test_a_twin_that_the_server_has_lost_is_written_again(lake, journal, shown, memory, server):
    memory.documents["shells"].clear()
    assert update_twins(lake, journal, "before", server)["updated"] == 1
    assert memory.documents["shells"] == {shown["id"]: shown}


def test_a_changed_twin_keeps_the_references_that_were_added_to_it(
    lake, journal, pulled, bundle_of, shown, memory, server
):
    reference = {"type": "ModelReference", "keys": [{"type": "Submodel", "value": f"{SN}BP-1/sm/predictions"}]}
    memory.documents["shells"][shown["id"]] = {**shown, "submodels": [*shown["submodels"], reference]}
    pulled("run", "BP-1", bundle_of("BP-1", FEBRUARY_20, remaining_capacity_ah=4.4))
    verify(lake, journal, "run", TIER)
    assert update_twins(lake, journal, "run", server)["updated"] == 1
    assert memory.documents["shells"][shown["id"]]["submodels"] == [*shown["submodels"], reference]


def test_what_several_batteries_share_is_written_once(lake, journal, pulled, bundle_of, memory, server):
    for battery_id in ("BP-1", "BP-2"):
        pulled("run", battery_id, bundle_of(battery_id, JANUARY_20))
    verify(lake, journal, "run", TIER)
    update_twins(lake, journal, "run", server)
    posts = [path for method, path in memory.asked if method == "POST"]
    assert memory.documents["concept-descriptions"]
    assert len(posts) == len(memory.all())
    names = [one["idShort"] for one in memory.documents["submodels"].values()]
    assert names.count("TechnicalData") == 1


def test_an_entity_that_the_broker_refuses_is_left_out_and_counted(lake, journal, shown, broker):
    def upsert(entities, *, refused):
        first, *others = entities
        refused.append(EntityRefused(ServerRefused("POST", "http://orion", 413, "too large"), first["id"]))
        broker.sent += others
        return len(others)

    broker.upsert.side_effect = upsert
    assert sync_entities(lake, journal, "before", broker) == {"entities": 1, "written": 1, "left_out": 1}
    broker.upsert.side_effect = lambda entities, *, refused: len(list(entities))
    assert sync_entities(lake, journal, "before", broker) == {"entities": 1, "written": 1}


def test_a_broker_that_refuses_everything_is_an_error(lake, journal, shown, broker):
    refusal = EntityRefused(ServerRefused("POST", "http://orion", 400, "bad tenant"), "x")
    broker.upsert.side_effect = lambda entities, *, refused: refused.append(refusal) or 0
    with pytest.raises(ServerRefused, match="bad tenant"):
        sync_entities(lake, journal, "before", broker)
