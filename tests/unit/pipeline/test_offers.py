from __future__ import annotations

import hashlib
import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.errors import InputError, PassportError, ServerRefused, ServerUnavailable
from battery_pilot.lake import Lake
from battery_pilot.passport.history import SqliteHistory
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import Tier
from battery_pilot.passport.signature import read_keys, read_signer
from battery_pilot.pipeline import offers
from battery_pilot.pipeline.bundle import read_bundle
from battery_pilot.pipeline.fleets import INDEX, Granularity, read_members, read_shards
from battery_pilot.pipeline.offers import outbox, publish
from battery_pilot.pipeline.parties import ConnectorParty
from battery_pilot.pipeline.release import record_versions
from battery_pilot.services.connectors.policies import DATE_TIME, Demands, constraints_of

LEGITIMATE = Tier.LEGITIMATE_INTEREST
JANUARY_20 = datetime(2026, 1, 20, tzinfo=UTC)
FOR_AGENCY = Demands(recipients=("agency",))
FEBRUARY_20 = datetime(2026, 2, 20, tzinfo=UTC)


def published(**counts):
    return {"offers": 0, "kept_newer": 0, "not_current": 0, "closed": 0, "withdrawn": 0} | counts


def files_of(lake):
    return {
        path.relative_to(outbox(lake)).as_posix(): path.read_bytes()
        for path in outbox(lake).rglob("*")
        if path.is_file()
    }


def test_a_passport_that_was_not_recorded_is_not_published(
    lake, january, stage_subjects, subject_of, history, party, connector, base, caplog
):
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20))
    assert publish(lake, january, history, party, base, [LEGITIMATE]) == published(not_current=1)
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE])
    before = files_of(lake)
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20, remaining_capacity_ah=4.4))
    assert publish(lake, january, history, party, base, [LEGITIMATE]) == published(not_current=1)
    assert files_of(lake) == before
    assert f"1 passports of window {january.key} are not what the history calls current" in caplog.text


def test_what_was_released_for_a_tier_that_is_no_longer_wanted_is_taken_back(
    lake, january, two_months, history, party, connector, base
):
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [Tier.PUBLIC, LEGITIMATE])
    assert publish(lake, january, history, party, base, [Tier.PUBLIC]) == published(offers=2, withdrawn=2)
    assert {name.partition("/")[0] for name in files_of(lake)} == {"public"}
    assert {offer.tier for offer in connector.offers.values()} == {Tier.PUBLIC}
    assert publish(lake, january, history, party, base, [Tier.PUBLIC]) == published(offers=2)


def test_an_offer_that_cannot_be_taken_back_is_tried_again(
    lake, january, two_months, history, party, connector, base, monkeypatch
):
    def refuse(asset_id):
        raise ServerUnavailable("DELETE", f"http://connector/{asset_id}", 503, "later")

    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE])
    with monkeypatch.context() as patch:
        patch.setattr(connector, "withdraw", refuse)
        with pytest.raises(ServerUnavailable):
            publish(lake, january, history, party, base, [Tier.PUBLIC])
    assert publish(lake, january, history, party, base, [Tier.PUBLIC]) == published(offers=2, withdrawn=2)
    assert {name.partition("/")[0] for name in files_of(lake)} == {"public"}


def test_publishing_leaves_a_bundle_that_can_be_verified_and_an_offer_that_leads_to_it(
    lake, january, two_months, history, party, connector, base
):
    record_versions(lake, january, history, base, "run")
    assert publish(lake, january, history, party, base, [Tier.PUBLIC, LEGITIMATE]) == published(offers=4)
    files = files_of(lake)
    assert len(files) == len(connector.offers) == 4
    for offer in connector.offers.values():
        relative = offer.data_url.removeprefix("http://provider/data/")
        bundle = read_bundle(files[relative])
        assert offer.properties == {"batteryId": bundle.passport.battery_id, "tier": bundle.tier.value}
        assert offer.tier is bundle.tier
        assert relative.startswith(f"{bundle.tier.value}/")


def test_publishing_again_changes_nothing(lake, january, two_months, history, party, connector, base):
    record_versions(lake, january, history, base, "run")
    contents = []
    for _ in range(2):
        publish(lake, january, history, party, base, [LEGITIMATE])
        contents.append((files_of(lake), dict(connector.offers)))
    assert contents[0] == contents[1]


def test_only_current_passports_are_published(lake, january, february, two_months, history, party, connector, base):
    for window in (february, january):
        record_versions(lake, window, history, base, "run")
    assert publish(lake, january, history, party, base, [LEGITIMATE]) == published(offers=1, kept_newer=1)
    assert [offer.properties["batteryId"] for offer in connector.offers.values()] == ["BP-2"]
    publish(lake, february, history, party, base, [LEGITIMATE])
    newest = {read_bundle(data).passport.battery_id: read_bundle(data) for data in files_of(lake).values()}
    assert newest["BP-1"].passport.as_of == FEBRUARY_20
    assert [entry.as_of for entry in newest["BP-1"].entries] == [FEBRUARY_20, JANUARY_20]


def test_a_refusing_connector_fails_the_stage(
    lake, january, two_months, history, connector, party, base, monkeypatch
):
    def refuse(offer):
        raise ServerUnavailable("POST", "http://connector/v3/assets", 503, "later")

    monkeypatch.setattr(connector, "publish", refuse)
    record_versions(lake, january, history, base, "run")
    with pytest.raises(ServerUnavailable):
        publish(lake, january, history, party, base, [LEGITIMATE])


def test_a_connection_without_the_address_of_the_outbox_is_one_sentence(
    lake, january, two_months, history, connector, base
):
    record_versions(lake, january, history, base, "run")
    with pytest.raises(InputError, match="needs asset_base_url in its extra"):
        publish(lake, january, history, ConnectorParty(connector, None, None, None), base, [LEGITIMATE])


@pytest.mark.parametrize(
    "battery_id", ["urn:uuid:" + "ABCD" * 45, "Ä" * 100, "../../etc/passwd", "A B/C?d=e&f#g", "-rf"]
)
def test_every_battery_id_can_be_offered_and_stays_in_the_outbox(
    lake, january, stage_subjects, subject_of, history, party, connector, base, battery_id
):
    stage_subjects(lake, january, subject_of(battery_id, JANUARY_20))
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE])
    ((relative, data),) = files_of(lake).items()
    (offer,) = connector.offers.values()
    assert offer.data_url == f"http://provider/data/{relative}"
    assert read_bundle(data).passport.battery_id == battery_id


def test_long_battery_ids_get_offers_of_their_own(
    lake, january, stage_subjects, subject_of, history, party, connector, base
):
    names = [letter * length for letter in "ab" for length in (160, 161, 199, 200, 300)]
    stage_subjects(lake, january, *(subject_of(name, JANUARY_20) for name in names))
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE])
    assert len(files_of(lake)) == len(connector.offers) == len(names)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    report=st.text("0123456789abcdef", min_size=20, max_size=20),
    tiers=st.sets(st.sampled_from(list(Tier)), min_size=1).map(sorted),
)
def test_the_outbox_never_holds_a_value_above_its_tier(
    tmp_path_factory, january, stage_subjects, subject_of, connector, party, base, report, tiers
):
    folder = tmp_path_factory.mktemp("provider")
    lake, history = Lake(folder / "lake"), SqliteHistory(folder / "history.sqlite")
    subject = subject_of("BP-1", JANUARY_20, dc_resistance_ohm=0.0271)
    secret = subject.model_copy(update={"item": subject.item.model_copy(update={"test_report_ids": (report,)})})
    stage_subjects(lake, january, secret)
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, tiers, demands=FOR_AGENCY)
    files = files_of(lake)
    assert {name.partition("/")[0] for name in files} == {tier.value for tier in tiers}
    for name, data in files.items():
        tier = Tier(name.partition("/")[0])
        assert (report.encode() in data) is is_visible(Tier.AUTHORITY, tier)
        assert (b"0.0271" in data) is is_visible(LEGITIMATE, tier)


@pytest.fixture
def signer():
    key = Ed25519PrivateKey.generate()
    return read_signer(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def test_signed_bundles_are_verified_with_the_key_set_of_the_outbox(
    lake, january, two_months, history, party, base, signer
):
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, list(Tier), signer=signer, demands=FOR_AGENCY)
    files = files_of(lake)
    keys = read_keys(files.pop("jwks.json"))
    assert len(files) == 6
    for data in files.values():
        assert read_bundle(data, keys).signed_at <= datetime.now(UTC)
        assert read_bundle(data).signed_at is None


def test_a_bundle_whose_newest_versions_were_withheld_is_refused(
    lake, january, february, two_months, history, party, base, signer
):
    """What nobody could see before: the provider takes versions away again, and all that is left fits together."""
    record_versions(lake, january, history, base, "january")
    publish(lake, january, history, party, base, [LEGITIMATE], signer=signer)
    (path,) = (path for path in outbox(lake).rglob("BP-1.json"))
    old = json.loads(path.read_bytes())
    record_versions(lake, february, history, base, "february")
    publish(lake, february, history, party, base, [LEGITIMATE], signer=signer)
    keys = read_keys((outbox(lake) / "jwks.json").read_bytes())
    signature = json.loads(path.read_bytes())["signature"]
    with pytest.raises(PassportError, match="version 2 was signed on .* entries were withheld"):
        read_bundle(json.dumps({**old, "signature": signature}).encode(), keys)
    del old["signature"]
    assert read_bundle(json.dumps(old).encode()).entries[-1].version == 1
    with pytest.raises(PassportError, match="carries no signature"):
        read_bundle(json.dumps(old).encode(), keys)


def test_former_keys_stay_in_the_key_set(lake, january, two_months, history, party, base, signer):
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE], signer=signer)
    signed_before = next(outbox(lake).rglob("BP-1.json")).read_bytes()
    key = Ed25519PrivateKey.generate()
    other = read_signer(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for _ in range(2):
        publish(lake, january, history, party, base, [LEGITIMATE], signer=other)
    keys = read_keys((outbox(lake) / "jwks.json").read_bytes())
    assert set(keys) == {signer.key_id, other.key_id}
    read_bundle(signed_before, keys)


def test_offers_carry_the_policy_of_their_tier(lake, january, two_months, history, party, connector, base):
    record_versions(lake, january, history, base, "run")
    demands = Demands(recipients=("agency",), roles=("recycler",), valid_days=30)
    publish(lake, january, history, party, base, list(Tier), demands=demands)
    for offer in connector.offers.values():
        assert offer.constraints == constraints_of(offer.tier, demands)
    assert {offer.tier for offer in connector.offers.values()} == set(Tier)


def test_policy_that_cannot_be_is_refused_before_anything_is_released(
    lake, january, two_months, history, party, connector, base
):
    record_versions(lake, january, history, base, "run")
    with pytest.raises(InputError, match="named participants only"):
        publish(lake, january, history, party, base, [LEGITIMATE, Tier.AUTHORITY])
    assert connector.offers == {}
    assert files_of(lake) == {}


def fleet_paths(lake, tier=LEGITIMATE):
    """What a consumer finds by the index of a fleet."""
    folder = outbox(lake) / tier
    shards = read_shards((folder / INDEX).read_bytes())
    found = {}
    for shard, digest in shards.items():
        data = (folder / shard / INDEX).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        found |= {member.battery_id: member for member in read_members(data)}
    return found


def test_a_fleet_is_one_offer_with_an_index_of_its_batteries(
    lake, january, two_months, history, party, connector, base
):
    record_versions(lake, january, history, base, "run")
    counts = publish(lake, january, history, party, base, [LEGITIMATE], granularity=Granularity.FLEET)
    assert counts == published(offers=1)
    (offer,) = connector.offers.values()
    assert (offer.is_folder, offer.properties["granularity"]) == (True, "fleet")
    members = fleet_paths(lake)
    assert set(members) == {"BP-1", "BP-2"}
    for member in members.values():
        assert read_bundle((outbox(lake) / LEGITIMATE / member.path).read_bytes())


def test_index_changes_only_where_a_passport_did(
    lake, january, february, two_months, history, party, connector, base, signer
):
    def release(window):
        record_versions(lake, window, history, base, "run")
        publish(lake, window, history, party, base, [LEGITIMATE], signer=signer, granularity=Granularity.FLEET)
        return fleet_paths(lake)

    first, again, later = release(january), release(january), release(february)
    assert first == again
    assert later["BP-2"] == first["BP-2"]
    assert later["BP-1"].version != first["BP-1"].version


def test_another_granularity_takes_the_former_offers_back(lake, january, two_months, history, party, connector, base):
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE])
    fleet = publish(lake, january, history, party, base, [LEGITIMATE], granularity=Granularity.FLEET)
    assert fleet == published(offers=1, withdrawn=2)
    assert set(connector.offers) == {"passports:legitimate_interest"}
    assert publish(lake, january, history, party, base, [LEGITIMATE]) == published(offers=2, withdrawn=1)
    assert "passports:legitimate_interest" not in connector.offers


def test_fleet_of_a_tier_that_is_not_wanted_any_more_is_taken_back(
    lake, january, two_months, history, party, connector, base
):
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE], granularity=Granularity.FLEET)
    publish(lake, january, history, party, base, [Tier.PUBLIC], granularity=Granularity.FLEET)
    assert set(connector.offers) == {"passports:public"}


def test_a_battery_that_was_released_before_is_in_the_new_kind_of_offer_too(
    lake, january, february, two_months, history, party, connector, base, signer
):
    for window in (january, february):
        record_versions(lake, window, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE], signer=signer)
    publish(lake, february, history, party, base, [LEGITIMATE], signer=signer, granularity=Granularity.FLEET)
    switched = fleet_paths(lake)
    assert set(switched) == {"BP-1", "BP-2"}
    publish(lake, february, history, party, base, [LEGITIMATE], granularity=Granularity.BATTERY)
    assert len(connector.offers) == 2
    assert not list(outbox(lake).rglob(INDEX))
    publish(lake, january, history, party, base, [LEGITIMATE], granularity=Granularity.FLEET)
    assert fleet_paths(lake) == switched


def test_a_change_of_granularity_that_breaks_off_is_completed_by_the_next_run(
    lake, january, february, two_months, history, party, connector, base, monkeypatch
):
    for window in (january, february):
        record_versions(lake, window, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE])
    with monkeypatch.context() as patch:
        patch.setattr(connector, "publish", lambda offer: connector.fetch(offer.asset_id, maximum_bytes=1))
        with pytest.raises(ServerRefused):
            publish(lake, february, history, party, base, [LEGITIMATE], granularity=Granularity.MODEL)
    counts = publish(lake, february, history, party, base, [LEGITIMATE], granularity=Granularity.MODEL)
    assert counts["offers"] == 1
    assert set(fleet_paths(lake, f"{LEGITIMATE}/models/EX01_047INR-21_04750")) == {"BP-1", "BP-2"}


@pytest.fixture
def two_models(lake, january, stage_subjects, subject_of, model, item_of):
    """BP-1 and BP-2 are of one model, BP-3 is of another."""
    other = subject_of("BP-3", JANUARY_20).model_copy(
        update={
            "model": model.model_copy(update={"model_id": "LFP-100"}),
            "item": item_of("BP-3", model_id="LFP-100"),
        }
    )
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20), subject_of("BP-2", JANUARY_20), other)


def test_each_model_is_one_offer_with_an_index_of_its_batteries(
    lake, january, two_models, history, party, connector, base
):
    record_versions(lake, january, history, base, "run")
    counts = publish(lake, january, history, party, base, [LEGITIMATE], granularity=Granularity.MODEL)
    assert counts == published(offers=2)
    found = {
        offer.properties["model"]: set(fleet_paths(lake, offer.data_url.removeprefix("http://provider/data/")))
        for offer in connector.offers.values()
    }
    assert found == {"EX01_047INR-21_04750": {"BP-1", "BP-2"}, "EX01_047LFP-100": {"BP-3"}}
    assert all(offer.is_folder and offer.properties["granularity"] == "model" for offer in connector.offers.values())
    for path in (outbox(lake) / LEGITIMATE / "models").rglob("BP-*.json"):
        assert read_bundle(path.read_bytes()).passport.battery_id == path.stem
        assert path.stat().st_nlink == 2
    before = files_of(lake), dict(connector.offers)
    publish(lake, january, history, party, base, [LEGITIMATE], granularity=Granularity.MODEL)
    assert (files_of(lake), connector.offers) == before


def test_a_model_whose_last_battery_is_closed_is_offered_no_more(
    lake, january, two_models, history, party, connector, base, monkeypatch
):
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE], granularity=Granularity.MODEL)
    monkeypatch.setattr(offers, "_is_closed", lambda passport: passport.battery_id != "BP-1")
    counts = publish(lake, january, history, party, base, [LEGITIMATE], granularity=Granularity.MODEL)
    assert counts == published(offers=1, closed=2, withdrawn=3)
    assert set(connector.offers) == {"passports:legitimate_interest:EX01_047INR-21_04750"}
    assert {path.stem for path in (outbox(lake) / LEGITIMATE).rglob("BP-*.json")} == {"BP-1"}


def test_offers_of_models_are_taken_back_for_another_granularity(
    lake, january, two_models, history, party, connector, base
):
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE], granularity=Granularity.MODEL)
    assert publish(lake, january, history, party, base, [LEGITIMATE]) == published(offers=3, withdrawn=2)
    assert {offer.is_folder for offer in connector.offers.values()} == {False}
    assert not (outbox(lake) / LEGITIMATE / "models" / "EX01_047LFP-100").exists()


def test_a_connector_that_knows_dates_alone_is_offered_a_date(
    lake, january, two_months, history, party, connector, base, monkeypatch
):
    record_versions(lake, january, history, base, "run")
    monkeypatch.setattr(connector, "enforced_operands", frozenset({DATE_TIME}))
    publish(lake, january, history, party, base, [LEGITIMATE], demands=Demands(valid_days=365))

    ends = {
        one.right_operand
        for offer in connector.offers.values()
        for one in offer.constraints
        if one.left_operand == DATE_TIME
    }
    assert all(datetime.fromisoformat(end) > datetime.now(UTC) + timedelta(days=365) for end in ends)
    assert len(ends) == 1


@pytest.mark.parametrize("granularity", [Granularity.MODEL, Granularity.FLEET])
def test_a_connector_of_single_files_keeps_its_offers_when_it_is_asked_for_folders(
    lake, january, two_months, history, party, connector, base, monkeypatch, granularity
):
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [LEGITIMATE])
    before = files_of(lake), dict(connector.offers)
    monkeypatch.setattr(connector, "offers_folders", False)
    with pytest.raises(InputError, match="single files only; choose 'battery'"):
        publish(lake, january, history, party, base, [LEGITIMATE], granularity=granularity)
    assert (files_of(lake), connector.offers) == before


@pytest.mark.parametrize("granularity", [Granularity.MODEL, Granularity.FLEET])
def test_indexes_are_the_same_however_many_batteries_are_written_into_them_at_once(
    lake, january, two_models, history, party, base, monkeypatch, granularity
):
    def released():
        publish(lake, january, history, party, base, [LEGITIMATE], granularity=granularity)
        return files_of(lake)

    record_versions(lake, january, history, base, "run")
    together = released()
    shutil.rmtree(outbox(lake))
    monkeypatch.setattr(offers, "INDEXED_AT_ONCE", 1)
    assert released() == together
