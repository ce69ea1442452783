from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import InputError
from battery_pilot.passport.identifiers import asset_id, derive_identifiers, model_iri, shell_id, slug, submodel_id

if TYPE_CHECKING:
    from battery_pilot.passport.model import BatteryItem, BatteryModel

BATTERY_IDS = st.text(min_size=1, max_size=300)


def test_ids_have_the_documented_form(battery_model: BatteryModel, battery_item: BatteryItem) -> None:
    ids = derive_identifiers("https://example.com/dbp/", battery_model, battery_item)
    assert ids.asset == "https://example.com/dbp/EX%2001/SN%200007%2F%C3%A4"
    assert ids.shell == ids.asset + "/aas"
    assert ids.submodels["ProductCondition"] == ids.asset + "/sm/product-condition"
    assert ids.submodels["TechnicalData"] == "https://example.com/dbp/EX%2001/models/INR-21%2F50/sm/technical-data"


def test_batteries_of_a_model_share_the_technical_data(
    battery_model: BatteryModel, battery_item: BatteryItem
) -> None:
    other = battery_item.model_copy(update={"battery_id": "Cell_8", "serial_number": "SN 8"})
    one, two = (derive_identifiers("urn:x", battery_model, item).submodels for item in (battery_item, other))
    shared = {part for part in one if one[part] == two[part]}
    assert shared == {
        "CarbonFootprint", "Circularity", "HandoverDocumentation", "MaterialComposition", "TechnicalData"
    }  # fmt: skip


@given(
    st.lists(
        st.tuples(st.text("ab/%.", min_size=1), st.text("ab/%.", min_size=1)), min_size=2, max_size=2, unique=True
    )
)
def test_different_batteries_never_get_the_same_asset_id(pair: list[tuple[str, str]]) -> None:
    try:
        one, two = (asset_id("https://x.org", *names) for names in pair)
    except InputError:
        return
    assert one != two


def test_a_serial_number_cannot_collide_with_the_models_branch() -> None:
    item_part = submodel_id(asset_id("https://x.org", "M", "models"), "technical-data")
    assert item_part != submodel_id(model_iri("https://x.org", "M", "sm"), "technical-data")
    assert shell_id("a") == "a/aas"


@pytest.mark.parametrize("serial_number", ["", ".", "..", "  ", "\xa0", "\ud800"])
def test_name_that_cannot_be_a_step_of_an_id_is_refused(serial_number: str) -> None:
    with pytest.raises(InputError, match="step of an identifier"):
        asset_id("https://x.org", "M", serial_number)


@pytest.mark.parametrize(("serial_number", "is_short_enough"), [("電" * 200, True), ("🔋" * 200, False)])
def test_ids_longer_than_the_aas_allows_are_refused(
    battery_model: BatteryModel, battery_item: BatteryItem, serial_number: str, is_short_enough: bool
) -> None:
    item = battery_item.model_copy(update={"serial_number": serial_number})
    if is_short_enough:
        assert len(derive_identifiers("https://x.org", battery_model, item).shell) < 2048
        return
    with pytest.raises(InputError, match="the AAS allows 2048; shorten the serial number"):
        derive_identifiers("https://x.org", battery_model, item)


@pytest.mark.parametrize("base", ["", "example.com", "https://x.org?a=b", "https://x.org#f"])
def test_base_that_is_no_plain_absolute_iri_is_refused(base: str) -> None:
    with pytest.raises(InputError, match="absolute IRI"):
        asset_id(base, "M", "1")


@given(st.lists(BATTERY_IDS, min_size=2, max_size=2, unique=True))
def test_no_two_battery_ids_share_a_slug(pair: list[str]) -> None:
    one, two = (slug(battery_id) for battery_id in pair)
    assert one != two


@given(BATTERY_IDS)
def test_slug_is_a_safe_file_name_and_ngsi_id(battery_id: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,200}", slug(battery_id))


@pytest.mark.parametrize(
    ("battery_id", "expected"),
    [
        ("cell-7", "cell-7"),
        ("B0005", "B0005"),
        ("a_b", "a_095b"),
        ("../x", "_046_046_047x"),
        ("-rf", "_045rf"),
        ("..", "_046_046"),
    ],
)
def test_slug_keeps_letters_digits_and_hyphens(battery_id: str, expected: str) -> None:
    assert slug(battery_id) == expected


def test_long_battery_id_gets_a_digest_that_no_short_one_gets() -> None:
    long = slug("x" * 500)
    assert len(long) == 65
    assert long.endswith("_")
    assert slug(long) != long


def test_empty_battery_id_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        slug("")
