from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import tempfile
import tracemalloc
from collections import deque
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.errors import ServerError, ServerRefused, ServerUnavailable
from battery_pilot.services.aas_comparison import differences
from battery_pilot.services.aas_push import _Push, push_twins, remove_twin
from battery_pilot.services.aas_pushed import PushedStates, file_name
from battery_pilot.services.aas_twin import Content, Twin
from tests.servers.memory_aas import MemoryAas, silent

CONCEPT = {"modelType": "ConceptDescription", "id": "urn:cd"}


def prop(name, value, value_type="xs:double"):
    return {"modelType": "Property", "idShort": name, "valueType": value_type, "value": str(value)}


def submodel(identifier, values):
    """A submodel with the values in a list of collections, so that paths have indices."""
    members = [{"modelType": "SubmodelElementCollection", "value": [prop("V", value)]} for value in values]
    tests = {
        "modelType": "SubmodelElementList",
        "idShort": "Tests",
        "typeValueListElement": "SubmodelElementCollection",
        "value": members,
    }
    return {"modelType": "Submodel", "id": identifier, "idShort": "Condition", "submodelElements": [tests]}


def twin(number, values=(1, 2, 3), *, as_of="2026-01-20", until="2026-02-01", parts=2, model="m", version=1):
    shell_id = f"urn:b{number}"
    own = [submodel(f"{shell_id}/sm{part}", values) for part in range(parts)]
    shared = [submodel(f"urn:{model}/sm", [version])]
    shell = {
        "modelType": "AssetAdministrationShell",
        "id": shell_id,
        "assetInformation": {"assetKind": "Instance", "globalAssetId": f"urn:a{number}"},
        "submodels": [
            {"type": "ModelReference", "keys": [{"type": "Submodel", "value": one["id"]}]} for one in (*own, *shared)
        ],
    }
    content = Content(shell, own, shared, [CONCEPT])
    digest = hashlib.sha256(json.dumps([shell, own, shared]).encode()).hexdigest()
    return Twin(shell_id, as_of, until, digest, lambda: content)


def expected(*twins):
    documents = [one for each in twins for one in (*each.content.own(), *each.content.shared())]
    return {one["id"]: one for one in documents}


def wrong(memory, *twins):
    """Where the server differs from the twins, by the meaning of the values."""
    here, there = expected(*twins), memory.all()
    found = {one: differences(here.get(one, {}), there.get(one, {})) for one in here.keys() | there.keys()}
    found |= {one: ["not on both sides"] for one in here.keys() ^ there.keys()}
    return {one: places for one, places in found.items() if places}


@pytest.fixture
def memory():
    return MemoryAas()


@pytest.fixture
def states(tmp_path):
    found = PushedStates(tmp_path / "pushed.sqlite")
    yield found
    found.close()


@pytest.mark.parametrize("put_creates", [True, False])
def test_a_fleet_is_brought_to_the_server_and_what_is_shared_once(states, put_creates):
    memory = MemoryAas(put_creates=put_creates)
    fleet = [twin(number) for number in range(150)]
    counts = push_twins(memory.client(), states, fleet)
    assert (counts.pushed, counts.unchanged, counts.refused) == (150, 0, 0)
    assert wrong(memory, *fleet) == {}
    # Few requests in vain: until the first thread has seen that PUT does not create.
    assert sum(memory.writes().values()) <= 150 * 3 + 2 + 8


def test_an_unchanged_fleet_costs_no_write_and_less_than_one_look_per_battery(memory, states):
    fleet = [twin(number) for number in range(150)]
    push_twins(memory.client(), states, fleet)
    memory.asked.clear()
    counts = push_twins(memory.client(), states, fleet)
    assert (counts.pushed, counts.unchanged) == (0, 150)
    assert memory.writes() == {}
    assert 0 < len(memory.asked) <= 6


def test_what_is_unchanged_is_not_even_made(memory, states):
    push_twins(memory.client(), states, [twin(1)])
    digest = twin(1).digest
    unchanged = Twin("urn:b1", "2026-01-20", "2026-02-01", digest, lambda: pytest.fail("was made"))
    assert push_twins(memory.client(), states, [unchanged], read_back=0).unchanged == 1


def test_what_has_changed_here_and_there_in_a_large_fleet_is_written_together(memory, states, monkeypatch):
    fleet = [twin(number) for number in range(400)]
    push_twins(memory.client(), states, fleet)
    together = []
    write = _Push._write

    def counted(self, pool, twins, lost):
        together.append(len(twins))
        write(self, pool, twins, lost)

    monkeypatch.setattr(_Push, "_write", counted)
    later = [
        twin(number, (4, 5, 6), as_of="2026-01-21") if number % 40 == 0 else fleet[number] for number in range(400)
    ]
    counts = push_twins(memory.client(), states, later)
    assert (counts.pushed, counts.unchanged) == (10, 390)
    assert together == [10]
    assert wrong(memory, *later) == {}


@pytest.mark.parametrize("is_older_last", [True, False])
def test_a_battery_that_comes_again_much_later_ends_in_its_newest_state(memory, states, is_older_last):
    former, latter = twin(0, as_of="2026-01-20"), twin(0, (7, 8, 9), as_of="2026-01-21")
    ends = (latter, former) if is_older_last else (former, latter)
    push_twins(memory.client(), states, [twin(number) for number in range(1, 200)])
    counts = push_twins(memory.client(), states, [ends[0], *(twin(number) for number in range(1, 200)), ends[1]])
    assert counts.kept_newer == is_older_last
    assert wrong(memory, latter, *(twin(number) for number in range(1, 200))) == {}


def test_few_changed_values_are_sent_alone(memory, states):
    push_twins(memory.client(), states, [twin(1)])
    memory.asked.clear()
    changed = twin(1, values=(1, 2.5, 3))
    push_twins(memory.client(), states, [changed], read_back=0)
    assert memory.writes() == {"PATCH": 2}
    assert wrong(memory, changed) == {}


def test_many_changed_values_are_sent_as_submodel(memory, states):
    push_twins(memory.client(), states, [twin(1, range(10))])
    memory.asked.clear()
    changed = twin(1, range(10, 20))
    push_twins(memory.client(), states, [changed])
    assert memory.writes() == {"PUT": 2}
    assert wrong(memory, changed) == {}


def test_another_shape_is_sent_as_submodel(memory, states):
    push_twins(memory.client(), states, [twin(1)])
    memory.asked.clear()
    changed = twin(1, values=(1, 2))
    push_twins(memory.client(), states, [changed])
    assert memory.writes() == {"PUT": 2}
    assert wrong(memory, changed) == {}


def test_elements_are_replaced_where_values_cannot_be_patched(states):
    memory = MemoryAas(patches=False)
    push_twins(memory.client(), states, [twin(1)])
    memory.asked.clear()
    changed = twin(1, values=(9, 2, 3))
    push_twins(memory.client(), states, [changed])
    assert memory.writes() == {"PATCH": 1, "PUT": 2}
    assert wrong(memory, changed) == {}


def test_an_older_state_is_never_shown_whatever_was_between(memory, states):
    newer = twin(1, values=(7,), as_of="2026-02-20", until="2026-03-01")
    push_twins(memory.client(), states, [newer])
    counts = push_twins(memory.client(), states, [twin(1)])
    assert (counts.pushed, counts.kept_newer) == (0, 1)
    assert wrong(memory, newer) == {}
    better_informed = twin(1, values=(8,), as_of="2026-02-20", until="2026-04-01")
    push_twins(memory.client(), states, [better_informed, newer])
    assert wrong(memory, better_informed) == {}


def test_data_of_a_model_never_become_older_with_a_battery_that_was_last_seen_long_ago(memory, states):
    newer = twin(1, until="2026-03-01", version=2)
    push_twins(memory.client(), states, [newer])
    push_twins(memory.client(), states, [twin(2, until="2026-02-01", version=1)])
    assert memory.all()["urn:m/sm"] == expected(newer)["urn:m/sm"]


def test_submodel_that_a_battery_has_no_longer_is_deleted(memory, states):
    push_twins(memory.client(), states, [twin(1, parts=3)])
    fewer = twin(1, parts=2)
    push_twins(memory.client(), states, [fewer])
    assert wrong(memory, fewer) == {}


def test_submodels_that_others_added_to_the_shell_stay(memory, states):
    push_twins(memory.client(), states, [twin(1, parts=1)])
    reference = {"type": "ModelReference", "keys": [{"type": "Submodel", "value": "urn:predictions"}]}
    memory.documents["shells"]["urn:b1"]["submodels"].append(reference)
    push_twins(memory.client(), states, [twin(1, parts=3)])
    push_twins(memory.client(), states, [twin(1, parts=2)])
    assert memory.documents["shells"]["urn:b1"]["submodels"] == [
        *twin(1, parts=2).content.shell["submodels"],
        reference,
    ]


class DropsReferences(MemoryAas):
    """As FA³ST does when a submodel is replaced."""

    def _do(self, method, path, body):
        answer = super()._do(method, path, body)
        if method == "PUT" and path.startswith("/submodels/") and answer[0] == 204:
            for shell in self.documents["shells"].values():
                kept = [one for one in shell["submodels"] if path_of(one["keys"][0]["value"]) not in path]
                shell["submodels"] = kept
        return answer


def test_shell_refers_to_its_submodels_also_where_the_server_drops_that_with_each_replacement(states):
    memory = DropsReferences()
    push_twins(memory.client(), states, [twin(1, range(10)), twin(2)])
    changed = twin(1, range(10, 20))
    push_twins(memory.client(), states, [changed, twin(2)])
    assert wrong(memory, changed, twin(2)) == {}


def with_file(made, name, path):
    """The twin with a File element in its first submodel and in that of its model."""
    element = {
        "modelType": "File",
        "idShort": "Sheet",
        "contentType": "application/pdf",
        "value": f"/aasx/files/{name}",
    }
    for one in (made.content.submodels[0], made.content.shared_submodels[0]):
        one["submodelElements"].append(element)
    content = replace(made.content, files={element["value"]: path})
    return replace(made, digest=f"{made.digest} {name}", make=lambda: content)


def test_files_go_with_their_submodels_and_again_only_where_these_are_replaced(memory, states, tmp_path):
    (tmp_path / "sheet.pdf").write_bytes(b"%PDF-1")
    (tmp_path / "new.pdf").write_bytes(b"%PDF-2")
    fleet = [with_file(twin(number), "a.pdf", tmp_path / "sheet.pdf") for number in range(3)]
    assert push_twins(memory.client(), states, fleet, read_back=1).attachments == 4
    assert set(memory.attachments.values()) == {b"%PDF-1"}
    assert push_twins(memory.client(), states, fleet, read_back=1).attachments == 0
    one_value = with_file(twin(0, values=(1, 2.5, 3), as_of="2026-01-21"), "a.pdf", tmp_path / "sheet.pdf")
    assert push_twins(memory.client(), states, [one_value], read_back=1).attachments == 0
    replaced = with_file(twin(0, values=range(10), as_of="2026-01-22"), "b.pdf", tmp_path / "new.pdf")
    assert push_twins(memory.client(), states, [replaced], read_back=0).attachments == 2
    assert memory.attachments["urn:b0/sm0", "Sheet"] == b"%PDF-2"
    assert memory.attachments["urn:b1/sm0", "Sheet"] == b"%PDF-1"


def test_a_server_without_attachments_is_asked_once_and_gets_all_else(states, tmp_path):
    (tmp_path / "sheet.pdf").write_bytes(b"%PDF-1")
    memory = MemoryAas(fault=lambda method, path, done: 501 if path.endswith("/attachment") and not done else None)
    fleet = [with_file(twin(number), "a.pdf", tmp_path / "sheet.pdf") for number in range(70)]
    counts = push_twins(memory.client(), states, fleet, workers=1, read_back=1)
    assert (counts.pushed, counts.attachments) == (70, 0)
    assert sum(path.endswith("/attachment") for _, path in memory.asked) == 1


@pytest.mark.parametrize("status", [404, 501])
def test_a_server_without_concept_descriptions_gets_all_else(states, status):
    memory = MemoryAas(
        fault=lambda method, path, done: status if "concept-descriptions" in path and not done else None
    )
    fleet = [twin(number) for number in range(70)]
    for expected_counts in ((70, 0), (0, 70)):
        counts = push_twins(memory.client(), states, fleet, read_back=1)
        assert (counts.pushed, counts.unchanged, counts.refused) == (*expected_counts, 0)
    assert wrong(memory, *fleet) == {CONCEPT["id"]: ["not on both sides"]}


def test_a_document_that_is_not_found_for_a_moment_after_it_was_sent_is_no_fault(states, monkeypatch):
    monkeypatch.setattr("battery_pilot.services.aas_twin.SECOND_LOOK_SECOND", 0)
    missed = set()

    def lose_sight(method, path, done):
        if method != "GET" or done or path in missed:
            return None
        missed.add(path)
        return 404

    assert push_twins(MemoryAas(fault=lose_sight).client(), states, [twin(1)], read_back=1).pushed == 1
    assert missed


def test_removed_battery_leaves_what_others_share(memory, states):
    push_twins(memory.client(), states, [twin(1), twin(2)])
    remove_twin(memory.client(), states, "urn:b1")
    assert wrong(memory, twin(2)) == {}
    assert push_twins(memory.client(), states, [twin(1)]).pushed == 1
    assert wrong(memory, twin(1), twin(2)) == {}


def test_a_server_that_lost_everything_gets_everything_again(memory, states):
    fleet = [twin(number) for number in range(150)]
    push_twins(memory.client(), states, fleet)
    for documents in memory.documents.values():
        documents.clear()
    assert push_twins(memory.client(), states, fleet).pushed == 150
    assert wrong(memory, *fleet) == {}


def test_a_loss_that_shows_only_in_what_changes_is_made_good(memory, states):
    push_twins(memory.client(), states, [twin(1)])
    for documents in memory.documents.values():
        documents.clear()
    changed = twin(1, values=(5, 6, 7))
    assert push_twins(memory.client(), states, [changed]).pushed == 1
    assert wrong(memory, changed) == {}


def test_numbers_and_times_may_be_written_differently_by_the_server(states):
    memory = MemoryAas(rewrite=lambda document: json.loads(json.dumps(document).replace('"2"', '"2.00"')))
    assert push_twins(memory.client(), states, [twin(1)], read_back=1).pushed == 1


def test_a_server_that_keeps_something_else_is_found_out_with_the_path_and_corrected_by_the_next_push(memory, states):
    memory.rewrite = lambda document: json.loads(json.dumps(document).replace('"value": "3"', '"value": "4"'))
    with pytest.raises(ServerRefused, match=r"urn:b1/sm0.*Tests\[2\]\.V: expected '3', found '4'"):
        push_twins(memory.client(), states, [twin(1)], read_back=1)
    memory.rewrite = lambda document: document
    assert push_twins(memory.client(), states, [twin(1)]).pushed == 1
    assert wrong(memory, twin(1)) == {}


def test_all_on_request_finds_a_change_by_another_hand(memory, states):
    push_twins(memory.client(), states, [twin(1), twin(2)])
    memory.documents["submodels"]["urn:b2/sm1"]["submodelElements"][0]["value"][0]["value"][0]["value"] = "99"
    with pytest.raises(ServerRefused, match=r"urn:b2/sm1.*Tests\[0\]\.V: expected '1', found '99'"):
        push_twins(memory.client(), states, [twin(1), twin(2)], read_back=1)
    assert wrong(memory, twin(1), twin(2)) == {}


def test_what_is_refused_of_one_battery_keeps_no_other_back(memory, states):
    memory.fault = lambda method, path, done: 400 if method != "GET" and "submodels" in path and b7 in path else None
    b7 = path_of("urn:b7/sm0")
    memory.documents["submodels"]["urn:b7/sm0"] = {}
    fleet = [twin(number) for number in range(50)]
    with pytest.raises(ServerRefused, match="the first of 1 refusals"):
        push_twins(memory.client(), states, fleet)
    assert set(expected(*fleet[:7], *fleet[8:])) <= set(memory.all())
    memory.fault = lambda method, path, done: None
    memory.asked.clear()
    counts = push_twins(memory.client(), states, fleet)
    assert (counts.pushed, counts.unchanged) == (1, 49)
    assert wrong(memory, *fleet) == {}


def path_of(identifier):
    from battery_pilot.services.aas_connection import encode_id

    return encode_id(identifier)


@pytest.mark.parametrize("after", [1, 40, 150])
def test_a_server_that_goes_away_stops_the_push_and_the_next_one_completes_it(memory, states, after):
    calls = itertools.count()

    def fault(method, path, done):
        if next(calls) >= after:
            raise silent(method, path)

    memory.fault = fault
    fleet = [twin(number) for number in range(70)]
    with pytest.raises(ServerUnavailable):
        push_twins(memory.client(), states, fleet)
    memory.fault = lambda method, path, done: None
    push_twins(memory.client(), states, fleet)
    assert wrong(memory, *fleet) == {}


class Forgetful(MemoryAas):
    """Keeps nothing of single batteries, so that it does not count."""

    def _post(self, documents, body):
        return (201, b"") if body["id"].startswith("urn:b") else super()._post(documents, body)


def test_memory_does_not_grow_with_the_fleet(states):
    def peak(count):
        memory = Forgetful()
        memory.asked = deque(maxlen=1)
        tracemalloc.start()
        push_twins(memory.client(), states, (twin(number, until=str(count)) for number in range(count)), read_back=0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(200)
    few = peak(200)
    assert peak(1500) < 1.2 * few + 100_000


def test_each_address_has_a_file_of_its_own():
    names = [file_name(address) for address in ("http://a:1", "http://a:1/x", "http://b:1")]
    assert len(set(names)) == 3
    assert names[0].startswith("a_1-")


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("push"), st.integers(0, 3), st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(1, 3)
        ),
        st.tuples(st.just("remove"), st.integers(0, 3)),
        st.tuples(st.just("lose"), st.integers(0, 20)),
    ),
    min_size=1,
    max_size=8,
)
FAULTS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["before", "after", "refuse"])), max_size=4)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, faults=FAULTS, put_creates=st.booleans(), patches=st.booleans())
def test_whatever_happens_a_second_run_brings_the_server_to_the_wanted_state(steps, faults, put_creates, patches):
    memory = MemoryAas(put_creates=put_creates, patches=patches)
    model: dict[int, Twin] = {}
    pending = iter(faults)
    with tempfile.TemporaryDirectory() as folder:
        states = PushedStates(Path(folder) / "pushed.sqlite")
        try:
            for moment, step in enumerate(steps):
                _arm(memory, next(pending, None))
                _take(step, memory, states, model, moment)
            memory.fault = lambda method, path, done: None
            for number in set(range(4)) - model.keys():
                remove_twin(memory.client(), states, f"urn:b{number}")
            push_twins(memory.client(), states, model.values(), workers=1)
            # A sample may miss what the server lost long ago; looking at all says so, and sends it again.
            with contextlib.suppress(ServerRefused):
                push_twins(memory.client(), states, model.values(), workers=1, read_back=1)
            push_twins(memory.client(), states, model.values(), workers=1, read_back=1)
        finally:
            states.close()
    # What several batteries share may stay behind the last of them.
    left = {} if model else {"urn:m/sm", "urn:cd"} & memory.all().keys()
    assert wrong(memory, *model.values()).keys() == set(left)


def _take(step, memory, states, model, moment):
    kind, number, *rest = step
    try:
        if kind == "push":
            values, parts = rest
            # What is pushed is what is wanted from now on, whether or not this run succeeds.
            model[number] = twin(number, values, parts=parts, as_of=f"{moment:04}")
            push_twins(memory.client(), states, [model[number]], workers=1)
        elif kind == "remove":
            model.pop(number, None)
            remove_twin(memory.client(), states, f"urn:b{number}")
        elif kind == "lose":
            for documents in memory.documents.values():
                documents.clear()
    except ServerError:
        pass


def _arm(memory, fault):
    """Let one of the next requests go wrong: lost on the way, lost on the way back, or refused."""
    if fault is None:
        memory.fault = lambda method, path, done: None
        return
    at, kind = fault
    calls = itertools.count()

    def go_wrong(method, path, done):
        if done:
            if current[0] == at and kind == "after":
                raise silent(method, path)
            return None
        current[0] = next(calls)
        if current[0] != at:
            return None
        if kind == "before":
            raise silent(method, path)
        return 400 if kind == "refuse" and method in {"PUT", "POST", "PATCH"} else None

    current = [-1]
    memory.fault = go_wrong
