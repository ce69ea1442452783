from __future__ import annotations

from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import InputError
from battery_pilot.pipeline.identify import identify

KNOWN = frozenset({"BP-1", "BP-0001", "BP-0002", "B0005"})


def test_the_word_of_the_file_comes_first():
    found = identify(PurePath("2026-01-31/BP-0002_eis.z"), "BP-0001", KNOWN)
    assert found.battery_id == "BP-0001"
    assert "the file is believed" in found.warning


def test_a_name_counts_between_boundaries_only():
    assert identify(PurePath("x/BP-0001_cycling_2026-01.csv"), None, KNOWN).battery_id == "BP-0001"
    with pytest.raises(InputError, match="unknown battery"):
        identify(PurePath("x/BP-00017.csv"), None, KNOWN)


def test_the_innermost_folder_is_asked_after_the_name():
    assert identify(PurePath("BP-0002/B0005/01353.csv"), None, KNOWN).battery_id == "B0005"


def test_the_longest_id_wins():
    assert identify(PurePath("BP-1_BP-0002.csv"), None, KNOWN).battery_id == "BP-0002"


def test_two_ids_of_the_same_length_are_ambiguous():
    with pytest.raises(InputError, match="ambiguous name .*BP-0001 and BP-0002"):
        identify(PurePath("BP-0001_vs_BP-0002.csv"), None, KNOWN)


def test_an_unknown_id_in_the_file_yields_to_the_path_with_a_warning():
    found = identify(PurePath("BP-0001.txt"), "some comment", KNOWN)
    assert found.battery_id == "BP-0001"
    assert "'some comment' is not in the master data" in found.warning


def test_an_unknown_battery_is_named_in_the_reason():
    with pytest.raises(InputError, match="battery 'XX-9' is not in the master data"):
        identify(PurePath("measurement.csv"), "XX-9", KNOWN)


@given(st.text(max_size=60), st.text(max_size=20))
def test_only_known_batteries_are_ever_found(name, inside):
    try:
        found = identify(PurePath("folder") / (name.replace("/", "_").replace("\0", "_") or "x"), inside, KNOWN)
    except InputError:
        return
    assert found.battery_id in KNOWN


def test_letters_of_every_language_are_letters():
    known = frozenset({"Zelle-ä", "BP-1"})
    assert identify(PurePath("2026-01-01/Zelle-ä_eis.csv"), None, known).battery_id == "Zelle-ä"
    with pytest.raises(InputError, match="unknown battery"):
        identify(PurePath("BP-1ä.csv"), None, known)
