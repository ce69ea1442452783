from __future__ import annotations

import pytest

from battery_pilot.documents import recognise
from battery_pilot.passport.master import read_master
from battery_pilot.simulate import simulate_fleet
from battery_pilot.simulate.catalogue import model_documents, model_facts
from battery_pilot.simulate.design import DESIGNS

MODELS = [design.model for design in DESIGNS]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.model_id)
def test_every_document_is_of_a_known_format_whole_and_without_warnings(model):
    for entry, file in model_documents(model):
        found = recognise(file.content, file.path)
        assert found is not None, file.path
        assert found.warnings == (), file.path
        assert file.path.endswith(f".{found.format}")
        assert entry.file == file.path


def test_pdf_tells_its_title_and_page():
    file = next(file for entry, file in model_documents(MODELS[0]) if entry.purpose == "dismantling_manual")
    found = recognise(file.content, file.path)
    assert (found.title, found.page_count) == (f"Dismantling manual {MODELS[0].model_id}", 1)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.model_id)
def test_materials_weigh_no_more_than_the_battery(model):
    mass = sum(one.mass_kilogram for one in model_facts(model).materials)
    assert 0.5 * model.mass_kilogram < mass <= model.mass_kilogram
    total = next(one for one in model_facts(model).carbon_footprint if len(one.life_cycle_stages) == 4)
    stages = [one for one in model_facts(model).carbon_footprint if len(one.life_cycle_stages) == 1]
    assert total.footprint_kg_co2eq_per_kwh == pytest.approx(sum(one.footprint_kg_co2eq_per_kwh for one in stages))


def test_master_data_of_a_fleet_are_complete_and_read(tmp_path):
    simulate_fleet(tmp_path, batteries=1, months=1, seed=1, cycles_per_month=1)
    data = read_master(tmp_path / "master")
    assert data.facts.keys() == {model.model_id for model in MODELS}
    assert all((tmp_path / "master" / one.file).is_file() for one in data.documents)
    assert data.operators.keys() == {item.operator_id for item in data.batteries.values()}
