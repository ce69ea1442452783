from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.lake import write_bytes
from battery_pilot.outbox import bundle_path, collection_id, model_name
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline.fleets import INDEX, Member, read_members, read_shards
from battery_pilot.pipeline.model_folders import is_empty, models_of, place, take_out
from battery_pilot.services.connectors.model import ASSET_ID

TIER = Tier.PUBLIC


def release(outbox, name, content):
    """Write a bundle as the stage `publish` does, and return what an index says of it."""
    write_bytes(outbox / bundle_path(name, TIER), content)
    path = bundle_path(name, TIER).removeprefix(f"{TIER}/")
    return Member(name, path, hashlib.sha256(content).hexdigest())


def members_of(outbox, model):
    folder = outbox / TIER / "models" / model
    shards = read_shards((folder / INDEX).read_bytes())
    found = [one for shard in shards for one in read_members((folder / shard / INDEX).read_bytes())]
    assert all(hashlib.sha256((folder / one.path).read_bytes()).hexdigest() == one.version for one in found)
    assert {path.stem for path in folder.rglob("*.json")} == {one.battery_id for one in found}
    return {one.battery_id: one.version for one in found}


STEPS = st.lists(
    st.tuples(st.sampled_from(["B1", "B2", "B3"]), st.sampled_from(["M1", "M2", None]), st.binary(max_size=2)),
    max_size=12,
)


@settings(deadline=None, max_examples=30)
@given(STEPS)
def test_each_battery_is_in_the_folder_of_its_latest_model_and_in_no_other(steps):
    with tempfile.TemporaryDirectory() as folder:
        outbox = Path(folder)
        wanted = {}
        for name, model, content in steps:
            if model is None:
                take_out(outbox, TIER, [bundle_path(name, TIER).removeprefix(f"{TIER}/")])
                wanted.pop(name, None)
            else:
                place(outbox, TIER, [(model, release(outbox, name, content))])
                wanted[name] = model, hashlib.sha256(content).hexdigest()
        for model in models_of(outbox, TIER):
            mine = {name: version for name, (of, version) in wanted.items() if of == model}
            assert members_of(outbox, model) == mine
            assert is_empty(outbox, TIER, model) is not bool(mine)
        assert {model for model, _ in wanted.values()} <= set(models_of(outbox, TIER))


def test_only_the_models_whose_batteries_change_are_touched(tmp_path):
    one, two = release(tmp_path, "B1", b"1"), release(tmp_path, "B2", b"2")
    assert place(tmp_path, TIER, [("M1", one), ("M2", two)]) == {"M1", "M2"}
    assert place(tmp_path, TIER, [("M1", one)]) == {"M1"}
    assert place(tmp_path, TIER, [("M2", one)]) == {"M1", "M2"}
    assert take_out(tmp_path, TIER, ["00/B9.json"]) == set()


def test_placing_again_leaves_no_temporary_file(tmp_path):
    one = release(tmp_path, "B1", b"1")
    for _ in range(2):
        place(tmp_path, TIER, [("M1", one)])
    assert [path.name for path in tmp_path.rglob("*.json*") if path.name.startswith(".")] == []


@pytest.mark.parametrize("model", ["INR-21%2F50", "%C3%84%20%22quoted%22", "x" * 300])
def test_every_model_has_a_name_that_connectors_and_folders_take(model):
    name = model_name(f"https://example.com/dbp/EX01/models/{model}")
    assert ASSET_ID.fullmatch(collection_id(Tier.LEGITIMATE_INTEREST, name))
    assert "/" not in name


def test_models_of_two_manufacturers_have_different_names():
    assert model_name("https://e.com/A/models/M") != model_name("https://e.com/B/models/M")
