from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.commands.output import print_fields, print_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_names_and_values_stand_in_columns(capsys):
    print_fields({"a": 1, "longer": 0.123456789, "none": None, "list": [1.5, "x"], "empty": []})
    assert capsys.readouterr().out.splitlines() == [
        "a       1",
        "longer  0.123457",
        "none    -",
        "list    1.5, x",
        "empty   -",
    ]


@pytest.mark.parametrize("kind", [list, tuple])
def test_what_is_nested_is_indented_and_numbered(capsys, kind):
    print_fields({"outer": {"inner": 1}, "items": kind([{"x": 1}, {"x": 2}])})
    assert capsys.readouterr().out.splitlines() == ["outer", "  inner  1", "items 1", "  x  1", "items 2", "  x  2"]


def test_json_keeps_letters_and_refuses_nan(capsys):
    print_json({"name": "Köln"})
    assert json.loads(capsys.readouterr().out) == {"name": "Köln"}
    with pytest.raises(ValueError, match="JSON compliant"):
        print_json({"value": float("nan")})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_any_json_object_can_be_printed_both_ways(capsys, content):
    print_fields(content)
    capsys.readouterr()
    print_json(content)
    assert json.loads(capsys.readouterr().out) == content
