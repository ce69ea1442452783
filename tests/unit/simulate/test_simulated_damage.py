from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.simulate.damage import DAMAGE_KINDS, DamageKind, RawFile, damage

TABLE = b"# battery_id=BP-0007\n" + b"1.25,3.7012,0.5\n" * 40
FILE = RawFile("BP-0007_cycling_2026-01.csv", TABLE)


def damaged(kind: DamageKind, original: RawFile = FILE, seed: int = 1) -> RawFile:
    return damage(original, kind, battery_id="BP-0007", random=np.random.default_rng(seed))


@pytest.mark.parametrize("kind", DAMAGE_KINDS)
def test_a_damaged_copy_never_has_the_name_of_the_original(kind: DamageKind) -> None:
    assert damaged(kind).name != FILE.name


@pytest.mark.parametrize("separator", [b",", b"\t"])
def test_a_truncated_file_ends_within_the_second_number_of_a_row(separator: bytes) -> None:
    original = RawFile(FILE.name, TABLE.replace(b",", separator))
    content = damaged("truncated", original).content
    assert original.content.startswith(content)
    assert content.rpartition(b"\n")[2] == b"1.25" + separator + b"3"


def test_an_empty_file_has_no_byte() -> None:
    assert damaged("empty").content == b""


def test_a_binary_file_has_the_ending_of_a_text_format() -> None:
    file = damaged("binary", RawFile("BP-0007_cycling_2026-01.001", TABLE))
    assert file.name.endswith(("_copy.DTA", "_copy.csv"))
    with pytest.raises(UnicodeDecodeError):
        file.content.decode()


def test_a_file_of_an_unknown_battery_names_it_in_content_and_name() -> None:
    file = damaged("unknown battery")
    assert file.name == "XX-0007_cycling_2026-01.csv"
    assert file.content == TABLE.replace(b"BP-0007", b"XX-0007")
