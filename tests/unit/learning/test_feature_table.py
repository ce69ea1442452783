from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from battery_pilot.errors import InputError
from battery_pilot.learning.feature_table import MOST_CATEGORIES, above_zero, first_rows, read_table, thinned, views

if TYPE_CHECKING:
    from pathlib import Path

BASE = {"battery_id": ["A", "A", "B"], "soh": [1.0, 0.9, 0.95]}


def table_of(folder: Path, name: str = "t.parquet", **columns: object):
    path = folder / name
    frame = pd.DataFrame(BASE | columns)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return read_table(path, "soh")


@pytest.mark.parametrize(
    ("real", "imaginary"),
    [
        ("1000_real", "1000_imag"),
        ("ZReal_2e+04Hz", "ZImag_2e+04Hz"),
        ("Re_10Hz", "Im_10Hz"),
        ("zre 0.1", "zim 0.1"),
        ("real_impedance_ohm_3", "imaginary_impedance_ohm_3"),
        ("f5.Real", "f5.Imag"),
        ("ReZ_10Hz", "ImZ_10Hz"),
    ],
)
@pytest.mark.parametrize("file", ["t.parquet", "t.csv"])
def test_pairs_of_real_and_imaginary_columns_are_one_impedance(
    tmp_path: Path, real: str, imaginary: str, file: str
) -> None:
    found = table_of(tmp_path, file, **{real: [3.0, 1, 2], imaginary: [4.0, -1, 0]})
    ((_, impedance),) = found.impedance.items()
    assert impedance.tolist() == [3 + 4j, 1 - 1j, 2]
    assert found.plain == {}
    assert found.warnings == ()


def test_complex_texts_and_lists_are_impedance_too(tmp_path: Path) -> None:
    texts = table_of(tmp_path, Z_10Hz=["(0.02-0.003j)", "0.01+1e-3i", None])
    assert texts.impedance["Z_10Hz"][:2].tolist() == [0.02 - 0.003j, 0.01 + 0.001j]
    assert np.isnan(texts.impedance["Z_10Hz"][2])
    lists = table_of(
        tmp_path,
        real_impedance_ohm=[[1.0, 2], [3, 4], [5, 6]],
        imaginary_impedance_ohm=[[0.0, -1], [-2, -3], [-4, -5]],
    )
    assert [one.tolist() for one in lists.impedance.values()] == [[1, 3 - 2j, 5 - 4j], [2 - 1j, 4 - 3j, 6 - 5j]]


def test_single_part_is_a_plain_number_and_words_with_re_or_im_in_them_are_no_part(tmp_path: Path) -> None:
    found = table_of(tmp_path, Re=[0.1, 0.2, 0.3], Rct=[0.2, 0.2, 0.4], temperature=[1, 2, 3], times=[1, 2, 3])
    assert list(found.plain) == ["Re", "Rct", "temperature", "times"]
    assert found.impedance == {}


def test_text_is_left_out_with_a_warning_and_excluded_columns_without(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = MOST_CATEGORIES + 1
    columns = {"maker": [f"m{one}" for one in range(rows)], "Q": range(rows), "R": range(rows)}
    pd.DataFrame({"battery_id": "A", "soh": 0.9} | columns).to_csv(path, index=False)
    found = read_table(path, "soh", exclude=["Q"])
    assert found.names == ("R",)
    (warning,) = found.warnings
    assert "'maker'" in warning
    assert "Q" not in warning


def test_rows_without_target_or_battery_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({"battery_id": ["A", None, "B"], "soh": [1, 0.9, None], "R": [1, 2, 3]}).to_csv(path, index=False)
    found = read_table(path, "soh")
    assert found.target.tolist() == [1]
    assert "2 of 3 rows left out" in found.warnings[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("battery_id,R\nA,1\n", "no column 'soh'; found 'battery_id', 'R'"),
        ("cell,soh\nA,1\n", "no column 'battery_id'"),
        ("battery_id,soh\nA,1\n", "no feature columns"),
        ("battery_id,soh,R\nA,,1\n", "no row has a battery_id and a finite soh"),
        ("", "cannot be read as csv"),
    ],
)
def test_unusable_table_is_refused_with_what_is_missing(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_table(path, "soh")


def test_damaged_parquet_and_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read_table(tmp_path / "t.parquet", "soh")
    with pytest.raises(InputError, match=r"expected a \.parquet or \.csv"):
        read_table(tmp_path / "t.xlsx", "soh")


def test_polar_view_is_modulus_and_phase(tmp_path: Path) -> None:
    found = table_of(
        tmp_path, **{"1_real": [10.0, 1, 1], "1_imag": [0.0, -1, 0], "T": [-5, 20, 25], "R": [1, 10, 100]}
    )
    polar = views(found, found.names, above_zero(found))["polar"]
    assert polar[:, 0] == pytest.approx([1, np.log10(2) / 2, 0])
    assert polar[:, 1] == pytest.approx([0, -np.pi / 4, 0])
    assert polar[:, 2].tolist() == [-5, 20, 25]
    assert polar[:, 3] == pytest.approx([0, 1, 2])


def test_change_since_first_looks_at_the_battery_s_own_past_only(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = np.repeat(["A", "B", "C"], 10)
    order = np.concatenate([random.permutation(10) for _ in range(3)])
    base = pd.DataFrame({"battery_id": names, "soh": 1.0, "cycle": order, "R": random.uniform(1, 2, 30)})

    def features(frame: pd.DataFrame) -> np.ndarray:
        frame.to_parquet(tmp_path / "t.parquet")
        found = read_table(tmp_path / "t.parquet", "soh")
        return views(found, found.names, frozenset({"R"}))["since first"]

    before = features(base)
    past = (order <= 4).nonzero()[0]
    future = base.copy()
    later = base["cycle"] > 4
    future.loc[later, "R"] = random.permutation(future.loc[later, "R"].to_numpy()) * 100
    assert (features(future)[past] == before[past]).all(), "a changed future"
    assert (features(future) != before).any()
    assert (features(base[~later])[:, :] == before[past]).all(), "a missing future"
    other = base.copy()
    other.loc[other["battery_id"] != "A", "R"] *= 7
    assert (features(other)[names == "A"] == before[names == "A"]).all(), "another battery"


def test_first_row_is_that_of_the_lowest_order(tmp_path: Path) -> None:
    assert first_rows(np.array(["A", "B", "A", "B"]), np.array([5.0, 1, 2, 9])).tolist() == [2, 1, 2, 1]


def test_dates_order_but_are_no_feature(tmp_path: Path) -> None:
    found = table_of(tmp_path, as_of=pd.to_datetime(["2024-03-01", "2024-01-01", "2024-02-01"]), R=[1, 2, 3])
    assert found.names == ("R",)
    assert np.argsort(found.order).tolist() == [1, 2, 0]
    assert found.warnings == ()


@pytest.mark.parametrize("file", ["t.parquet", "t.csv"])
def test_numbers_with_a_unit_are_numbers_and_texts_of_few_values_are_categories(tmp_path: Path, file: str) -> None:
    found = table_of(
        tmp_path, file, soc=["50 %", "50%", None], temperature=["-10 degC", "25 degC", "2.5e1 degC"], chemistry=["LFP", None, "NMC"]
    )  # fmt: skip
    assert found.plain["temperature"].tolist() == [-10, 25, 25]
    assert found.plain["soc"][:2].tolist() == [50, 50]
    assert np.isnan(found.plain["soc"][2])
    assert found.plain["chemistry=LFP"].tolist() == [1, 0, 0]
    assert found.plain["chemistry=NMC"].tolist() == [0, 0, 1]
    assert found.warnings == ()


def test_texts_that_are_names_or_have_several_units_are_no_numbers(tmp_path: Path) -> None:
    found = table_of(tmp_path, x=[1.0, 2, 3], cell=["25C01", "25C02", "35C01"], span=["1 h", "2 h", "30 min"])
    assert set(found.plain) == {"x", *(f"cell={one}" for one in ("25C01", "25C02", "35C01")), "span=1 h", "span=2 h", "span=30 min"}  # fmt: skip
    many = pd.DataFrame(
        {"battery_id": range(MOST_CATEGORIES + 1), "soh": 1.0, "x": 1.0, "remark": [f"r{one}" for one in range(MOST_CATEGORIES + 1)]}
    )  # fmt: skip
    many.to_parquet(tmp_path / "many.parquet")
    read = read_table(tmp_path / "many.parquet", "soh")
    assert set(read.plain) == {"x"}
    assert "'remark'" in read.warnings[0]


def test_categorical_and_decimal_columns_are_read_as_what_they_hold(tmp_path: Path) -> None:
    found = table_of(
        tmp_path, soc=pd.Categorical([0.5, 0.1, 0.5]), ohm=[Decimal("0.1"), None, Decimal("0.3")], kind=pd.Categorical(["a", "b", "a"])
    )  # fmt: skip
    assert found.plain["soc"].tolist() == [0.5, 0.1, 0.5]
    assert found.plain["ohm"][[0, 2]].tolist() == [0.1, 0.3]
    assert found.plain["kind=b"].tolist() == [0, 1, 0]


def test_thinning_keeps_every_battery_and_its_first_row(tmp_path: Path) -> None:
    frame = pd.DataFrame({"battery_id": ["B"] * 7 + ["A"], "soh": 1.0, "cycle": [6, 5, 4, 3, 2, 1, 0, 9], "x": 1.0})
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", "soh")
    small = thinned(table, 4)
    assert sorted(zip(small.battery.tolist(), small.order.tolist(), strict=True)) == [
        ("A", 9), ("B", 0), ("B", 2), ("B", 4), ("B", 6),
    ]  # fmt: skip
    assert thinned(table, 8) is table
