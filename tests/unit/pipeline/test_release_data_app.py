"""What the provider released is what its data app hands out."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi.testclient import TestClient

from battery_pilot.passport.model import Tier
from battery_pilot.passport.reading import read_passport
from battery_pilot.pipeline.bundle import read_bundle
from battery_pilot.pipeline.offers import outbox, publish
from battery_pilot.pipeline.release import record_versions
from battery_pilot.services.data_app import create_app
from battery_pilot.services.data_app.access import AccessJournal, Keys

KEY = "key-of-the-public-tier"


def test_a_released_passport_is_read_from_the_data_app_as_by_its_consumer(
    lake, january, stage_subjects, subject_of, history, party, connector, base, tmp_path
):
    stage_subjects(lake, january, subject_of("BP-1", datetime(2026, 1, 20, tzinfo=UTC)))
    record_versions(lake, january, history, base, "run")
    publish(lake, january, history, party, base, [Tier.PUBLIC, Tier.LEGITIMATE_INTEREST])
    keys = Keys({"connector": (KEY, Tier.PUBLIC)})
    client = TestClient(
        create_app(outbox(lake), keys, AccessJournal(tmp_path / "access")), headers={"X-Api-Key": KEY}
    )
    bundle = read_bundle(client.get("/passports/BP-1").content)
    assert (bundle.tier, bundle.passport.battery_id) == (Tier.PUBLIC, "BP-1")
    assert read_passport(client.get("/passports/BP-1?format=aas").content).battery_id == "BP-1"
    assert client.get("/passports/BP-1?format=values").json()
    for offer in connector.offers.values():
        status = client.get("/files/" + offer.data_url.removeprefix(party.outbox_url + "/")).status_code
        assert status == (200 if offer.tier is Tier.PUBLIC else 404)
