from __future__ import annotations

from battery_pilot.passport.value_only import value_only


def element(kind, name, **content):
    return {"modelType": kind, "idShort": name, **content}


def test_every_kind_of_element_has_its_value_only_form():
    texts = [{"language": "de", "text": "Zelle"}, {"language": "en", "text": "cell"}]
    member = {"modelType": "Property", "valueType": "xs:boolean", "value": "true"}
    environment = {
        "submodels": [
            element(
                "Submodel",
                "S",
                submodelElements=[
                    element("Property", "Number", valueType="xs:double", value="4.5"),
                    element("Property", "Count", valueType="xs:int", value="7"),
                    element("Property", "Date", valueType="xs:date", value="2026-01-01"),
                    element("Property", "Missing", valueType="xs:int"),
                    element("MultiLanguageProperty", "Name", value=texts),
                    element("File", "Manual", contentType="application/pdf", value="/aasx/files/m.pdf"),
                    element("SubmodelElementList", "Flags", value=[member, member]),
                    element("SubmodelElementCollection", "Inner", value=[element("SubmodelElementList", "Empty")]),
                ],
            ),
            element("Submodel", "Bare"),
        ]
    }
    assert value_only(environment) == {
        "S": {
            "Number": 4.5,
            "Count": 7,
            "Date": "2026-01-01",
            "Missing": None,
            "Name": [{"de": "Zelle"}, {"en": "cell"}],
            "Manual": {"contentType": "application/pdf", "value": "/aasx/files/m.pdf"},
            "Flags": [True, True],
            "Inner": {"Empty": []},
        },
        "Bare": {},
    }
