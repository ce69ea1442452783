from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.services.aas_comparison import differences
from battery_pilot.services.aas_values import changed_properties, fingerprint, typed_value, value_only


def prop(value, value_type="xs:double", name="V"):
    return {"modelType": "Property", "idShort": name, "valueType": value_type, "value": value}


def submodel(*elements):
    return {"modelType": "Submodel", "id": "urn:sm", "idShort": "S", "submodelElements": list(elements)}


@pytest.mark.parametrize(
    ("value_type", "sent", "found"),
    [
        ("xs:double", "1", "1.0"),
        ("xs:double", "1E2", "100"),
        ("xs:double", "0.1", "1e-1"),
        ("xs:decimal", "1.50", "1.5"),
        ("xs:integer", "+5", "5"),
        ("xs:boolean", "1", "true"),
        ("xs:dateTime", "2026-01-02T12:00:00+01:00", "2026-01-02T11:00:00Z"),
        ("xs:dateTime", "2026-01-02T11:00:00.000Z", "2026-01-02T11:00:00+00:00"),
        ("xs:double", "INF", "INF"),
    ],
)
def test_the_same_value_written_differently_is_no_difference(value_type, sent, found):
    assert differences(submodel(prop(sent, value_type)), submodel(prop(found, value_type))) == []


@pytest.mark.parametrize(
    ("value_type", "sent", "found"),
    [
        ("xs:string", "1", "1.0"),
        ("xs:double", "1", "1.0000001"),
        ("xs:dateTime", "2026-01-02T12:00:00", "2026-01-02T12:00:00Z"),
        ("xs:boolean", "true", "false"),
        ("xs:double", "1", None),
    ],
)
def test_another_value_is_a_difference_with_its_path(value_type, sent, found):
    (text,) = differences(submodel(prop(sent, value_type)), submodel(prop(found, value_type)))
    assert text.startswith(f"V: expected {sent!r}, found ")


def test_path_leads_through_lists_and_collections():
    def nested(value):
        return submodel(
            {
                "modelType": "SubmodelElementList",
                "idShort": "L",
                "value": [{"modelType": "SubmodelElementCollection", "value": [prop(value)]}],
            }
        )

    assert differences(nested("1"), nested("2")) == ["L[0].V: expected '1', found '2'"]


@pytest.mark.parametrize("found", [[prop("1")], [prop("1"), prop("2", name="W"), prop("3", name="X")]])
def test_missing_and_added_elements_are_differences(found):
    assert len(differences(submodel(prop("1"), prop("2", name="W")), submodel(*found))) == 1


def test_what_servers_add_sort_and_leave_out_is_no_difference():
    reference = {"type": "ModelReference", "keys": [{"type": "Submodel", "value": "urn:a"}]}
    other = {"type": "ModelReference", "keys": [{"type": "Submodel", "value": "urn:b"}]}
    assert differences({"id": "s", "submodels": [reference]}, {"id": "s", "submodels": [other, reference]}) == []
    assert differences(submodel(prop("1"), prop("2", name="W")), submodel(prop("2", name="W"), prop("1"))) == []
    assert differences({"kind": "Instance", "id": "x"}, {"id": "x", "extra": 1, "qualifiers": []}) == []
    assert differences({"id": "s", "submodels": [reference]}, {"id": "s", "submodels": [other]}) != []


@pytest.mark.parametrize(
    ("value", "value_type", "expected"),
    [
        ("1.50", "xs:decimal", 1.5),
        ("0.12345678901234567890", "xs:decimal", None),
        ("NaN", "xs:double", None),
        ("9007199254740993", "xs:long", 9007199254740993),
        ("false", "xs:boolean", False),
        ("2026-01-01", "xs:date", "2026-01-01"),
        ("007", "xs:string", "007"),
    ],
)
def test_value_only_form_keeps_the_value_or_says_that_it_cannot(value, value_type, expected):
    assert value_only(prop(value, value_type)) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_survives_the_value_only_form(number):
    sent = value_only(prop(repr(number)))
    assert typed_value(repr(sent), "xs:double") == typed_value(repr(number), "xs:double")


@given(st.lists(st.text(), min_size=1, max_size=6), st.lists(st.text(), min_size=1, max_size=6))
def test_changed_properties_are_exactly_those_whose_values_differ(before, after):
    old, new = (
        submodel(*(prop(value, "xs:string", f"P{place}") for place, value in enumerate(values)))
        for values in (before, after)
    )
    changes = changed_properties(fingerprint(old), new)
    if len(before) != len(after):
        assert changes is None
    else:
        places = [place for place, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
        assert [path for path, _ in changes] == [f"P{place}" for place in places]


def file(value):
    return {"modelType": "File", "idShort": "Sheet", "contentType": "application/pdf", "value": value}


@pytest.mark.parametrize("kept", ["/aasx/files/ab.pdf", "ab.pdf", "/tmp/basyx/dXJu-Sheet-ab.pdf", "/x/9/ab.pdf"])
def test_a_file_may_be_kept_at_another_place_under_its_name(kept):
    assert differences(file("/aasx/files/ab.pdf"), file(kept)) == []


@pytest.mark.parametrize("kept", ["/aasx/files/cd.pdf", None, ""])
def test_another_file_is_a_difference(kept):
    assert differences(file("/aasx/files/ab.pdf"), file(kept)) != []


def test_an_address_of_a_file_elsewhere_is_compared_whole():
    assert differences(file("https://example.com/ab.pdf"), file("https://example.org/ab.pdf")) != []


def test_specific_asset_ids_may_come_in_another_order_and_must_all_be_there():
    def shell(*names):
        return {"assetInformation": {"specificAssetIds": [{"name": name, "value": name.upper()} for name in names]}}

    assert differences(shell("a", "b"), shell("b", "a")) == []
    assert differences(shell("a", "b"), shell("b")) != []
    assert differences(shell("a", "b"), shell("b", "c")) != []
