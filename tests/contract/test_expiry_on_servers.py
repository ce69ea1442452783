"""The removal of expired data on an AAS server and in a context broker."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from battery_pilot.electrochemistry.condition import Condition, MeasuredValue
from battery_pilot.errors import NotFound
from battery_pilot.lake import Lake, write_bytes
from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.history import SqliteHistory, record
from battery_pilot.passport.model import BatteryItem, BatteryModel, Tier
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.bundle import make_bundle
from battery_pilot.pipeline.contracts import Contract, Receipt
from battery_pilot.pipeline.entities import battery_entity_id
from battery_pilot.pipeline.expiry import remove_expired
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.pipeline.twins import sync_entities, update_twins, verify
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.orion import Orion

TIER = Tier.LEGITIMATE_INTEREST
AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
END = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def model(unique):
    return BatteryModel(
        model_id=unique,
        manufacturer_name="Beispiel Zellen GmbH",
        manufacturer_id="EX01",
        category="stationary",
        mass_kilogram=0.07,
        nominal_voltage_volt=3.6,
        minimum_voltage_volt=2.5,
        maximum_voltage_volt=4.2,
        rated_capacity_ah=5.0,
        certified_energy_kwh=0.018,
    )


@pytest.fixture
def receive(model, tmp_path):
    """Leave in a consumer's lake what a pull leaves there, under an agreement that ends or not."""
    history = SqliteHistory(tmp_path / "provider.sqlite")
    lake = Lake(tmp_path / "lake")
    journal = journal_of(lake)

    def put(name, expires_at):
        value = MeasuredValue(value=4.5, as_of=AS_OF, method="full discharge", source_sha256=("a" * 64,))
        item = BatteryItem(
            battery_id=name, model_id=model.model_id, serial_number=name, manufactured_on="2024-02-29",
            facility_id="plant-1", street="Hauptstraße 1", zip_code="10115", city="Berlin", country_code="DE",
        )  # fmt: skip
        condition = Condition(battery_id=name, as_of=AS_OF, values={"remaining_capacity_ah": value})
        passport = build_passport(model, item, condition, base="https://example.com/dbp")
        record(history, passport, run="provider", recorded_at=AS_OF, known_until=AS_OF)
        data = make_bundle(canonical_json(passport.view(TIER)), history.entries(name), TIER)
        contract = Contract(f"asset:{name}", name, "provider", agreement_id=f"of {name}", transfer_id="t")
        journal.put(contract)
        journal.want("run", contract)
        write_bytes(pulled_file(lake, contract), data)
        digest = hashlib.sha256(data).hexdigest()
        end = expires_at.isoformat() if expires_at else None
        journal.put_receipts(
            [Receipt("provider", f"asset:{name}", name, f"of {name}", digest, digest, "{}", AS_OF.isoformat(), end)]
        )
        return passport.identifiers

    return lake, journal, put


def test_expired_twins_and_entities_are_removed_and_the_others_stay(aas_url, orion_url, unique, receive):
    lake, journal, put = receive
    server = AasServer(aas_url)
    orion = Orion(orion_url, service=unique, service_path="/dbp", wait_second=0.05)
    gone, stays = put(f"{unique}-1", END), put(f"{unique}-2", None)
    verify(lake, journal, "run", TIER)
    update_twins(lake, journal, "run", server)
    sync_entities(lake, journal, "run", orion)

    assert remove_expired(lake, journal, END, server, orion) == {"removed": 1, "twins": 1, "held": 1}

    shell = server.get_shell(stays.shell)
    for reference in shell["submodels"]:
        server.get_submodel(reference["keys"][-1]["value"])
    with pytest.raises(NotFound):
        server.get_shell(gone.shell)
    for identifier in {own for own in gone.submodels.values() if own.startswith(gone.asset)}:
        with pytest.raises(NotFound):
            server.get_submodel(identifier)
    assert [one["id"] for one in orion.entities("Battery")] == [battery_entity_id(f"{unique}-2")]
    assert orion.count("BatteryModel") == 1

    # The other one's time is over too: nothing of the model is left either.
    (held,) = journal.receipts(held=True)
    journal.put_receipts([Receipt(*[*vars(held).values()][:8], END.isoformat())])
    assert remove_expired(lake, journal, END, server, orion)["twins"] == 1
    for reference in shell["submodels"]:
        with pytest.raises(NotFound):
            server.get_submodel(reference["keys"][-1]["value"])
    assert (orion.count("Battery"), orion.count("BatteryModel")) == (0, 0)
