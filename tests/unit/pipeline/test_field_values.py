from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from unittest.mock import create_autospec

import pytest

from battery_pilot.errors import NotFound, ServerRefused
from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.reading import flatten, read_passport
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.contracts import Twin
from battery_pilot.pipeline.entities import battery_entity
from battery_pilot.pipeline.field_values import METHOD, apply_field_values
from battery_pilot.pipeline.sent_entities import Sent, SentEntities, entity_digest, footprint
from battery_pilot.pipeline.shown import twin_of_read
from battery_pilot.services.aas_push import push_twins
from battery_pilot.services.aas_pushed import PushedStates
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.ngsi import attribute, attributes_of
from battery_pilot.services.orion import Orion
from tests.servers.memory_aas import MemoryAas

AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
LATER = AS_OF + timedelta(days=3)
CHARGE = "ProductCondition.StateOfCharge.StateOfChargeValue"


@pytest.fixture
def passport(subject_of, base):
    subject = subject_of("BP-1", AS_OF, state_of_charge_percent=50.0, deep_discharge_events=2.0)
    return read_passport(canonical_json(build_passport(subject.model, subject.item, subject.condition, base=base)))


@pytest.fixture
def server(passport):
    """The consumer's server, with the twin of the battery."""
    double = create_autospec(AasServer, instance=True)
    double.kept = {one["id"]: copy.deepcopy(one) for one in passport.submodels}

    def get(identifier):
        if identifier not in double.kept:
            raise NotFound("GET", "http://aasx", 404, "unknown")
        return copy.deepcopy(double.kept[identifier])

    def put_property(identifier, path, element):
        node = double.kept[identifier]
        for step in path.split("."):
            children = node.get("submodelElements") or node["value"]
            node = next(one for one in children if one["idShort"] == step)
        node.update(element)

    double.get_submodel.side_effect = get
    double.put_submodel.side_effect = lambda submodel: double.kept.update({submodel["id"]: submodel})
    double.put_property.side_effect = put_property
    return double


@pytest.fixture
def states(tmp_path):
    found = PushedStates(tmp_path / "pushed.sqlite")
    yield found
    found.close()


@pytest.fixture
def place(lake, passport, server, states, tmp_path):
    """A twin that was synced to a broker, and a way to let applications write there."""
    journal = journal_of(lake)
    journal.put_twins([Twin(passport.shell["id"], "BP-1", "provider", AS_OF.isoformat(), passport.sha256)])
    entity = battery_entity(passport)
    sent = SentEntities(tmp_path / "sent.sqlite", "here", "passport")
    values = {name: footprint(one) for name, one in attributes_of(entity).items()}
    sent.put([(entity, Sent(entity_digest(entity), values))])
    broker = create_autospec(Orion, instance=True)
    broker.entities.side_effect = lambda entity_type, modified: iter([copy.deepcopy(entity)])

    class Place:
        shown = entity

        def __init__(self):
            self.server = server

        def write(self, name, value, *, at=None, modified=LATER):
            """Set a value, with a time of its own or, as most applications do, leaving ours."""
            notes = {} if at is not None else entity.get(name, {}).get("metadata", {})
            written = attribute(value, **({"as_of": at} if at else {}))
            moment = attribute(modified)
            entity[name] = {**written, "metadata": {**notes, **written.get("metadata", {}), "dateModified": moment}}

        def apply(self):
            return apply_field_values(journal, broker, sent, self.server, states)

        def values(self):
            return flatten(list(server.kept.values()))

        def writes(self):
            return server.put_submodel.call_count + server.put_property.call_count

    return Place()


def test_what_we_sent_ourselves_is_not_written_back(place):
    assert place.apply() == {"applied": 0, "refused": 0, "twins": 0}
    assert place.writes() == 0


def test_a_value_of_an_application_reaches_the_twin_once(place):
    place.write("stateOfCharge", 75.5)
    assert place.apply() == {"applied": 1, "refused": 0, "twins": 1}
    assert place.values()[CHARGE] == 75.5
    assert place.values()["ProductCondition.StateOfCharge.LastUpdate"] == "2026-01-23T00:00:00Z"
    writes = place.writes()
    assert place.apply()["applied"] == 0
    assert place.writes() == writes


def test_the_provenance_of_the_old_value_does_not_stand_beside_the_new_one(place):
    before = place.values()
    assert "BatteryPilotCondition.StateOfCharge.SourceFiles[0]" in before
    place.write("stateOfCharge", 75.5)
    place.apply()
    after = place.values()
    assert after["BatteryPilotCondition.StateOfCharge.Method"] == METHOD
    assert after["BatteryPilotCondition.StateOfCharge.AsOf"] == "2026-01-23T00:00:00Z"
    assert "BatteryPilotCondition.StateOfCharge.SourceFiles[0]" not in after
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert all(".StateOfCharge." in path for path in changed)


def test_a_value_older_than_the_twin_is_not_written(place):
    place.write("stateOfCharge", 10.0, at=AS_OF - timedelta(days=1))
    assert place.apply()["applied"] == 0
    assert place.values()[CHARGE] == 50.0


def test_a_time_of_the_applications_own_counts_before_the_time_of_the_write(place):
    place.write("stateOfCharge", 60.0, at=AS_OF + timedelta(days=1))
    place.apply()
    assert place.values()["ProductCondition.StateOfCharge.LastUpdate"] == "2026-01-21T00:00:00Z"


def test_a_change_of_state_reaches_the_nameplate(place):
    place.write("lifeCycleStage", "Repurposed")
    assert place.apply()["applied"] == 1
    assert place.values()["BatteryNameplate.LifeCycleStage"] == "Repurposed"
    assert place.apply()["applied"] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("stateOfCharge", 250.0), ("stateOfCharge", "full"), ("deepDischargeEvents", 2.5), ("lifeCycleStage", "lost"),
     ("overchargeEvents", 1)],
)  # fmt: skip
def test_a_value_that_the_passport_cannot_hold_is_refused_and_counted(place, name, value):
    place.write(name, value)
    assert place.apply() == {"applied": 0, "refused": 1, "twins": 0}
    assert place.writes() == 0


@pytest.mark.parametrize("name", ["remainingCapacity", "serialNumber", "theirOwn"])
def test_what_applications_may_not_set_is_not_written(place, name):
    place.write(name, "x" if name == "serialNumber" else 1.0)
    assert place.apply() == {"applied": 0, "refused": 0, "twins": 0}


def test_a_value_of_the_future_is_not_taken(place):
    place.write("stateOfCharge", 60.0, at=datetime.now(UTC) + timedelta(days=3))
    assert place.apply()["applied"] == 0


def test_an_entity_of_a_shell_that_is_not_ours_is_left_alone(place):
    place.shown["refAAS"] = attribute("https://example.com/somebody-elses/aas")
    place.write("stateOfCharge", 75.5)
    assert place.apply()["applied"] == 0
    assert place.writes() == 0


def test_without_knowing_what_we_sent_nothing_is_taken_for_an_applications(place, tmp_path):
    (tmp_path / "sent.sqlite").unlink()
    SentEntities(tmp_path / "sent.sqlite", "here", "passport")
    place.write("stateOfCharge", 75.5)
    assert place.apply()["applied"] == 0


def test_an_applied_value_is_no_fault_of_the_server_and_gives_way_to_the_next_state(
    place, passport, lake, states, subject_of, base
):
    memory = MemoryAas()
    place.server = memory.client()
    assert push_twins(place.server, states, [twin_of_read(passport, lake)]).pushed == 1
    place.write("stateOfCharge", 33.0)
    assert place.apply()["applied"] == 1
    memory.asked.clear()

    def charge():
        return flatten(list(memory.documents["submodels"].values()))[CHARGE]

    applied = charge()
    assert push_twins(place.server, states, [twin_of_read(passport, lake)], read_back=1).unchanged == 1
    assert (charge(), memory.writes()) == (applied, {})
    subject = subject_of("BP-1", LATER + timedelta(days=1), state_of_charge_percent=50.0, deep_discharge_events=2.0)
    later = read_passport(canonical_json(build_passport(subject.model, subject.item, subject.condition, base=base)))
    assert push_twins(place.server, states, [twin_of_read(later, lake)], read_back=1).pushed == 1
    assert charge() != applied


def test_a_fault_of_the_server_beside_an_applied_value_is_found(place, passport, lake, states):
    memory = MemoryAas()
    place.server = memory.client()
    push_twins(place.server, states, [twin_of_read(passport, lake)])
    place.write("stateOfCharge", 33.0)
    place.apply()
    other = next(one for one in memory.documents["submodels"].values() if one["idShort"] == "TechnicalData")
    other["submodelElements"].pop()
    with pytest.raises(ServerRefused, match="TechnicalData|expected"):
        push_twins(place.server, states, [twin_of_read(passport, lake)], read_back=1)
