from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import create_autospec

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.errors import InputError, ServerUnavailable
from battery_pilot.lake import Lake
from battery_pilot.passport.aas import shell_dict
from battery_pilot.passport.history import SqliteHistory
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline import release
from battery_pilot.pipeline.bundle import read_bundle
from battery_pilot.pipeline.parties import ConnectorParty
from battery_pilot.pipeline.release import outbox, publish, push, record_versions
from battery_pilot.pipeline.subjects import passports
from battery_pilot.services.aas_server import AasServer

LEGITIMATE = Tier.LEGITIMATE_INTEREST
JANUARY_20 = datetime(2026, 1, 20, tzinfo=UTC)
FEBRUARY_20 = datetime(2026, 2, 20, tzinfo=UTC)
CAPACITY = "ProductCondition.RemainingCapacity.RemainingCapacityValue"


@pytest.fixture
def server():
    return create_autospec(AasServer, instance=True)


@pytest.fixture
def two_months(lake, january, february, stage_subjects, subject_of):
    """BP-1 was measured in both months, BP-2 in January only."""
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20), subject_of("BP-2", JANUARY_20))
    stage_subjects(lake, february, subject_of("BP-1", FEBRUARY_20, remaining_capacity_ah=4.4))


def pushed_shells(server):
    return [shell["id"] for call in server.upsert_all.call_args_list for shell in call.kwargs["shells"]]


def published(**counts):
    return {"offers": 0, "kept_newer": 0, "not_current": 0, "withdrawn": 0} | counts


def files_of(lake):
    return {
        path.relative_to(outbox(lake)).as_posix(): path.read_bytes()
        for path in outbox(lake).rglob("*")
        if path.is_file()
    }


def test_a_window_is_pushed_with_its_shells_and_each_submodel_once(lake, january, two_months, server, history, base):
    assert push(lake, january, server, history, base) == {"pushed": 2, "kept_newer": 0}
    (call,) = server.upsert_all.call_args_list
    assert call.kwargs["shells"] == [shell_dict(passport) for passport in passports(lake, january, base)]
    ids = [submodel["id"] for submodel in call.kwargs["submodels"]]
    referenced = {
        key["value"]
        for shell in call.kwargs["shells"]
        for reference in shell["submodels"]
        for key in reference["keys"]
    }
    assert len(ids) == len(set(ids))
    assert set(ids) == referenced
    concepts = [one["id"] for one in call.kwargs["concept_descriptions"]]
    assert len(concepts) == len(set(concepts))


def test_a_battery_whose_history_holds_a_newer_state_is_not_pushed(
    lake, january, february, two_months, server, history, base
):
    record_versions(lake, february, history, base, "february")
    assert push(lake, january, server, history, base) == {"pushed": 1, "kept_newer": 1}
    (newer, older) = passports(lake, january, base)
    assert (newer.battery_id, older.battery_id) == ("BP-1", "BP-2")
    assert pushed_shells(server) == [older.identifiers.shell]


def test_the_state_that_the_history_holds_is_pushed_again(lake, january, two_months, server, history, base):
    record_versions(lake, january, history, base, "first")
    assert push(lake, january, server, history, base) == {"pushed": 2, "kept_newer": 0}


def test_a_fleet_is_pushed_in_chunks(lake, january, two_months, server, history, base, monkeypatch):
    monkeypatch.setattr(release, "CHUNK", 1)
    assert push(lake, january, server, history, base)["pushed"] == 2
    assert server.upsert_all.call_count == 2


def test_a_server_that_does_not_answer_fails_the_push(lake, january, two_months, server, history, base):
    server.upsert_all.side_effect = ServerUnavailable("PUT", "http://aas/shells", None, "timeout")
    with pytest.raises(ServerUnavailable):
        push(lake, january, server, history, base)


def test_recording_again_adds_nothing(lake, january, two_months, history, base):
    first = record_versions(lake, january, history, base, "dag/run-1")
    assert first == {"new_versions": 2, "unchanged": 0, "history_versions": 2}
    before = history.entries("BP-1")
    again = record_versions(lake, january, history, base, "dag/run-2")
    assert again == {"new_versions": 0, "unchanged": 2, "history_versions": 2}
    assert history.entries("BP-1") == before
    assert before[0].run == "dag/run-1"


@pytest.fixture
def old_news(lake, january, february, stage_subjects, subject_of):
    """February brought only a file of the old days: the same point in time, but more is known of it."""
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20))
    stage_subjects(lake, february, subject_of("BP-1", JANUARY_20, remaining_capacity_ah=4.4))


def test_windows_of_the_same_state_are_recorded_once_each_and_the_later_one_stays_current(
    lake, january, february, old_news, history, base
):
    for window, new in ((january, 1), (february, 1), (january, 0), (february, 0)):
        assert record_versions(lake, window, history, base, "run")["new_versions"] == new
        assert history.current("BP-1").known_until == max(entry.known_until for entry in history.entries("BP-1"))
    assert [entry.known_until for entry in history.entries("BP-1")] == [january.end, february.end]


def test_a_window_that_knows_less_of_the_same_state_is_neither_pushed_nor_published(
    lake, january, february, old_news, server, history, party, connector, base
):
    for window in (january, february):
        record_versions(lake, window, history, base, "run")
    assert push(lake, january, server, history, base) == {"pushed": 0, "kept_newer": 1}
    assert publish(lake, january, history, party, base, [LEGITIMATE]) == published(kept_newer=1)
    assert push(lake, february, server, history, base) == {"pushed": 1, "kept_newer": 0}
    assert publish(lake, february, history, party, base, [LEGITIMATE]) == published(offers=1)
    (data,) = files_of(lake).values()
    assert read_bundle(data).passport.values[CAPACITY] == 4.4


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


def test_a_backfill_is_recorded_and_never_makes_the_current_state_older(
    lake, january, february, two_months, history, base
):
    record_versions(lake, february, history, base, "february")
    assert record_versions(lake, january, history, base, "backfill")["new_versions"] == 2
    assert history.current("BP-1").as_of == FEBRUARY_20


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
    publish(lake, january, history, party, base, tiers)
    files = files_of(lake)
    assert {name.partition("/")[0] for name in files} == {tier.value for tier in tiers}
    for name, data in files.items():
        tier = Tier(name.partition("/")[0])
        assert (report.encode() in data) is is_visible(Tier.AUTHORITY, tier)
        assert (b"0.0271" in data) is is_visible(LEGITIMATE, tier)
