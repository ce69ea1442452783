"""What must hold for any condition."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.electrochemistry.condition import METRICS, Condition, MeasuredValue
from battery_pilot.passport.aas import canonical_json, concept_description_dicts, flat_values, write_json
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.lexical import to_xsd
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import BatteryItem, BatteryModel, Tier
from battery_pilot.passport.reading import read_passport
from battery_pilot.passport.validation import validate_file

if TYPE_CHECKING:
    from pathlib import Path

FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TIMES = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
NUMBERS = st.one_of(
    st.floats(0, 100),
    st.integers(0, 10**6).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)
MEASURED = st.builds(
    MeasuredValue,
    value=NUMBERS,
    as_of=TIMES,
    method=st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=20).map(
        "measured by {}".format
    ),
    source_sha256=st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=2).map(tuple),
    uncertainty=st.none() | st.floats(0, 1e300),
)
CONDITIONS = st.builds(
    Condition,
    battery_id=st.just("Cell_7"),
    as_of=TIMES,
    values=st.dictionaries(st.sampled_from(sorted(METRICS)), MEASURED, max_size=len(METRICS)),
)


@FEW
@given(condition=CONDITIONS)
def test_nothing_of_a_higher_tier_is_in_the_bytes_of_a_lower_view(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition
) -> None:
    passport = build_passport(battery_model, battery_item, condition, base="https://example.com/dbp")
    leaves = [element for element in passport.elements if element.value is not None]
    for tier in Tier:
        view = passport.view(tier)
        text = canonical_json(view).decode()
        shown = [element for element in leaves if is_visible(element.row.tier, tier)]
        hidden = [element for element in leaves if not is_visible(element.row.tier, tier)]
        assert flat_values(view) == {element.path: element.value for element in shown}
        meanings = {element.row.semantic_id for element in view.elements}
        for element in hidden:
            value = to_xsd(element.value, element.row.value_type)  # type: ignore[arg-type]
            if len(value) >= 8 and value not in {str(other.value) for other in shown}:  # short ones occur by chance
                assert json.dumps(value, ensure_ascii=False) not in text, element.path
            if element.row.semantic_id not in meanings:
                assert f'"{element.row.semantic_id}"' not in text, element.path
        described = {one["id"] for one in concept_description_dicts(view)}
        assert not {element.row.semantic_id for element in hidden} - meanings & described


@FEW
@given(condition=CONDITIONS)
def test_every_passport_that_we_build_validates_and_is_read_back(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, tmp_path: Path
) -> None:
    passport = build_passport(battery_model, battery_item, condition, base="https://example.com/dbp")
    write_json(passport, tmp_path / "p.json")
    assert [finding for finding in validate_file(tmp_path / "p.json") if finding.severity == "error"] == []
    read = read_passport((tmp_path / "p.json").read_bytes())
    assert (read.as_of, read.values) == (condition.as_of, flat_values(passport))
