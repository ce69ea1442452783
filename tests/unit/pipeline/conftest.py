"""A fleet in a lake, and a data space in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest.mock import create_autospec

import pytest

from battery_pilot.electrochemistry.condition import Condition, MeasuredValue
from battery_pilot.errors import NotFound, ServerRefused
from battery_pilot.lake import Lake, Window, write_lines
from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.history import SqliteHistory, record
from battery_pilot.passport.model import BatteryItem, BatteryModel, Tier
from battery_pilot.pipeline.bundle import make_bundle
from battery_pilot.pipeline.parties import ConnectorParty
from battery_pilot.pipeline.subjects import TABLE, Subject
from battery_pilot.services.answers import TooLarge
from battery_pilot.services.connectors.model import (
    Agreement,
    CatalogueEntry,
    Counterparty,
    Negotiation,
    NegotiationState,
    Offer,
    Transfer,
    TransferState,
)
from battery_pilot.services.orion import Orion
from tests.servers.memory_aas import MemoryAas

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

SIGNED_AT = datetime(2026, 1, 1, tzinfo=UTC)
BASE = "https://example.com/dbp"
TIER = Tier.LEGITIMATE_INTEREST
JANUARY_20 = datetime(2026, 1, 20, tzinfo=UTC)
FEBRUARY_20 = datetime(2026, 2, 20, tzinfo=UTC)


@dataclass
class FakeConnector:
    """Both sides of a data space in memory; every negotiation and transfer succeeds at once unless told otherwise."""

    offers: dict[str, Offer] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    calls: list[tuple[str, str]] = field(default_factory=list)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    forgetful: bool = False
    policies: dict[str, dict[str, object]] = field(default_factory=dict)
    enforced_operands = frozenset({"everything"})
    agreements_serve_once: bool = False
    offers_folders: bool = True

    def publish(self, offer: Offer) -> None:
        self.offers[offer.asset_id] = offer

    def withdraw(self, asset_id: str) -> None:
        self.offers.pop(asset_id, None)

    def catalogue(self, counterparty: Counterparty, *, filter: object = None) -> Iterator[CatalogueEntry]:
        for offer in self.offers.values():
            yield CatalogueEntry(offer.asset_id, offer.title, offer.properties, {}, counterparty)

    def negotiate(self, entry: CatalogueEntry) -> str:
        self.calls.append(("negotiate", entry.asset_id))
        return f"n:{entry.asset_id}"

    def negotiation(self, negotiation_id: str) -> Negotiation:
        if self.forgetful:
            raise NotFound("GET", "http://connector", 404, "unknown")
        asset_id = negotiation_id.removeprefix("n:")
        if asset_id in self.slow:
            return Negotiation(negotiation_id, NegotiationState.REQUESTED)
        if asset_id in self.refusals:
            return Negotiation(negotiation_id, NegotiationState.TERMINATED, error=self.refusals[asset_id])
        return Negotiation(negotiation_id, NegotiationState.FINALIZED, agreement_id=f"a:{asset_id}")

    def find_agreement(
        self, asset_id: str, counterparty: Counterparty, *, without: Collection[str] = ()
    ) -> str | None:
        del counterparty
        known = ("agreed", asset_id) in self.calls and f"a:{asset_id}" not in without
        return f"a:{asset_id}" if known else None

    def transfer(self, agreement_id: str, counterparty: Counterparty) -> str:
        del counterparty
        self.calls.append(("transfer", agreement_id.removeprefix("a:")))
        transfer_id = f"t{len(self.calls)}:{agreement_id.removeprefix('a:')}"
        self.transfers[transfer_id] = Transfer(transfer_id, TransferState.STARTED)
        return transfer_id

    def transfer_state(self, transfer_id: str) -> Transfer:
        if self.forgetful:
            raise NotFound("GET", "http://connector", 404, "unknown")
        return self.transfers[transfer_id]

    def agreement(self, agreement_id: str) -> Agreement:
        return Agreement(agreement_id, self.policies.get(agreement_id, {}), SIGNED_AT)

    def fetch(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> bytes:
        asset_id = transfer_id.partition(":")[2]
        if path:
            self.calls.append(("fetch", path))
            asset_id = f"{asset_id}/{path}"
        if asset_id not in self.files:
            raise ServerRefused("GET", "http://provider/data", 410, "gone")
        if len(self.files[asset_id]) > maximum_bytes:
            raise TooLarge("GET", "http://provider/data", 200, "too large")
        return self.files[asset_id]

    def negotiations_under_way(self, counterparty: Counterparty) -> dict[str, str]:
        del counterparty
        return {asset_id: f"n:{asset_id}" for call, asset_id in self.calls if call == "negotiate"}

    def terminate_negotiation(self, negotiation_id: str, reason: str) -> None:
        self.calls.append(("terminate negotiation", negotiation_id))
        self.refusals[negotiation_id.removeprefix("n:")] = reason

    def terminate(self, transfer_id: str, reason: str) -> None:
        self.calls.append(("terminate", transfer_id))
        self.transfers[transfer_id] = Transfer(transfer_id, TransferState.TERMINATED, reason)

    def count(self, call: str) -> int:
        return sum(name == call for name, _ in self.calls)


@pytest.fixture(scope="session")
def base() -> str:
    return BASE


@pytest.fixture(scope="session")
def january() -> Window:
    return Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))


@pytest.fixture(scope="session")
def february() -> Window:
    return Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture(scope="session")
def model() -> BatteryModel:
    return BatteryModel(
        model_id="INR-21/50",
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


@pytest.fixture(scope="session")
def item_of() -> Callable[..., BatteryItem]:
    def build(battery_id: str, **facts: object) -> BatteryItem:
        known = {
            "battery_id": battery_id,
            "model_id": "INR-21/50",
            "serial_number": f"SN-{battery_id}",
            "manufactured_on": "2024-02-29",
            "facility_id": "plant-1",
            "street": "Hauptstraße 1",
            "zip_code": "10115",
            "city": "Berlin",
            "country_code": "DE",
            "test_report_ids": ("REPORT-SECRET-1",),
        }
        return BatteryItem(**{**known, **facts})

    return build


@pytest.fixture(scope="session")
def subject_of(model: BatteryModel, item_of: Callable[..., BatteryItem]) -> Callable[..., Subject]:
    """A battery at one point in time, with the metrics that are given."""

    def build(battery_id: str, as_of: datetime, **metrics: float) -> Subject:
        values = {
            metric: MeasuredValue(value=value, as_of=as_of, method="full discharge", source_sha256=("a" * 64,))
            for metric, value in ({"remaining_capacity_ah": 4.5} | metrics).items()
        }
        return Subject(
            model=model,
            item=item_of(battery_id),
            condition=Condition(battery_id=battery_id, as_of=as_of, values=values),
        )

    return build


@pytest.fixture(scope="session")
def stage_subjects() -> Callable[..., None]:
    """Leave in the lake what the build stage leaves for those after it."""

    def write(lake: Lake, window: Window, *subjects: Subject) -> None:
        staged = lake.staging()
        write_lines(staged / "subjects.jsonl", (subject.model_dump(mode="json") for subject in subjects))
        lake.publish(TABLE, window, staged)

    return write


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def history(tmp_path) -> SqliteHistory:
    return SqliteHistory(tmp_path / "history.sqlite")


@pytest.fixture
def connector() -> FakeConnector:
    return FakeConnector()


@pytest.fixture
def party(connector: FakeConnector) -> ConnectorParty:
    return ConnectorParty(connector, "http://provider/data/", "provider", "http://provider/protocol")


@pytest.fixture
def two_months(lake, january, february, stage_subjects, subject_of):
    """BP-1 was measured in both months, BP-2 in January only."""
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20), subject_of("BP-2", JANUARY_20))
    stage_subjects(lake, february, subject_of("BP-1", FEBRUARY_20, remaining_capacity_ah=4.4))


@pytest.fixture
def old_news(lake, january, february, stage_subjects, subject_of):
    """February brought only a file of the old days: the same point in time, but more is known of it."""
    stage_subjects(lake, january, subject_of("BP-1", JANUARY_20))
    stage_subjects(lake, february, subject_of("BP-1", JANUARY_20, remaining_capacity_ah=4.4))


@pytest.fixture
def memory():
    return MemoryAas()


@pytest.fixture
def server(memory):
    return memory.client()


@pytest.fixture
def broker():
    """Orion that keeps what it is given."""
    double = create_autospec(Orion, instance=True, place="http://orion battery /dbp")
    double.sent = []

    def upsert(entities, *, refused=None):
        found = list(entities)
        double.sent += found
        return len(found)

    double.upsert.side_effect = upsert
    double.count.side_effect = lambda entity_type: sum(one["type"] == entity_type for one in double.sent)
    double.read.side_effect = lambda entities: {
        one["id"]: one for one in double.sent if one["id"] in {wanted["id"] for wanted in entities}
    }

    def delete(identifiers, entity_type):
        gone = set(identifiers)
        double.sent[:] = [one for one in double.sent if one["id"] not in gone or one["type"] != entity_type]

    double.delete.side_effect = delete
    return double


@pytest.fixture
def bundle_of(history, subject_of, base):
    """Record a state of a battery and return the bundle that the provider then offers."""

    def build(battery_id, as_of, **metrics):
        subject = subject_of(battery_id, as_of, **metrics)
        passport = build_passport(subject.model, subject.item, subject.condition, base=base)
        recorded_at = as_of + timedelta(days=9)
        record(history, passport, run="provider", recorded_at=recorded_at, known_until=recorded_at)
        return make_bundle(canonical_json(passport.view(TIER)), history.entries(battery_id), TIER)

    return build
