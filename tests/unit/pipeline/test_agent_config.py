from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from battery_pilot.cli import main
from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.reading import read_file, read_passport, walk
from battery_pilot.pipeline.agent_config import ACTIVE, agent_configuration, mark_active
from battery_pilot.pipeline.entity_table import entity_rows

SOURCES = {row.source for name in ("Battery", "BatteryModel") for row in entity_rows(name)}


@pytest.fixture
def content(subject_of, base):
    subject = subject_of("BP-1", datetime(2026, 1, 20, tzinfo=UTC))
    return canonical_json(build_passport(subject.model, subject.item, subject.condition, base=base))


def marked_paths(submodels):
    return {
        path
        for submodel in submodels
        for path, node in walk(submodel)
        if any(one["type"] == ACTIVE for one in node.get("qualifiers", []))
    }


def test_exactly_the_mapped_elements_are_marked_and_only_once(content):
    submodels = read_passport(content).submodels
    marked = mark_active(submodels)
    there = {path for submodel in submodels for path, _ in walk(submodel)}
    assert marked_paths(marked) == SOURCES & there != set()
    assert marked_paths(submodels) == set()
    assert mark_active(marked) == marked


def test_configuration_has_every_attribute_of_the_table_as_active():
    types = agent_configuration()["types"]
    assert [one["name"] for one in types["Battery"]["active"]] == [row.attribute for row in entity_rows("Battery")]
    assert types["BatteryModel"]["lazy"] == []
    capacity = next(one for one in types["Battery"]["active"] if one["name"] == "remainingCapacity")
    assert capacity["metadata"]["unitCode"]["value"] == "AMH"


def test_a_marked_passport_is_still_a_passport_with_the_same_values(content, tmp_path, capsys):
    (tmp_path / "p.json").write_bytes(content)
    assert main(["orion", "agent-config", "--mark", str(tmp_path / "p.json"), str(tmp_path / "marked.json")]) == 0
    assert json.loads(capsys.readouterr().out) == agent_configuration()
    marked = read_file(tmp_path / "marked.json")
    assert marked.values == read_passport(content).values
    assert marked_paths(marked.submodels)
