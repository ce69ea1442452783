from __future__ import annotations

import pytest
from aas_core3_1 import jsonization, types, xmlization

from battery_pilot.errors import PassportError
from battery_pilot.passport.aas_xml import environment_of_xml

NAMESPACE = "https://admin-shell.io/aas/3/1"


def reference(value: str) -> types.Reference:
    return types.Reference(
        types.ReferenceTypes.EXTERNAL_REFERENCE, [types.Key(types.KeyTypes.GLOBAL_REFERENCE, value)]
    )


def everything() -> types.Environment:
    """An environment with one of each kind whose XML is shaped in a way of its own."""
    variable = types.OperationVariable(types.Property(types.DataTypeDefXSD.BOOLEAN, id_short="Flag", value="true"))
    elements: list[types.ISubmodelElement] = [
        types.Property(types.DataTypeDefXSD.DOUBLE, id_short="Number", value="1.5", value_id=reference("urn:v"), semantic_id=reference("urn:s")),
        types.Range(types.DataTypeDefXSD.BOOLEAN, id_short="Limits", min="true", max="false"),
        types.MultiLanguageProperty(id_short="Name", value=[types.LangStringTextType("en", "cell"), types.LangStringTextType("de", "Zelle")]),
        types.File(content_type="image/png", id_short="Picture", value="/aasx/a.png"),
        types.Blob(content_type="text/plain", id_short="Bytes", value=b"abc"),
        types.ReferenceElement(id_short="There", value=reference("urn:r")),
        types.RelationshipElement(first=reference("urn:1"), second=reference("urn:2"), id_short="Both"),
        types.AnnotatedRelationshipElement(first=reference("urn:1"), second=reference("urn:2"), id_short="Noted", annotations=[types.Property(types.DataTypeDefXSD.STRING, id_short="Note", value="x")]),
        types.Entity(entity_type=types.EntityType.SELF_MANAGED_ENTITY, id_short="Thing", global_asset_id="urn:thing", statements=[types.Property(types.DataTypeDefXSD.STRING, id_short="Says", value="")]),
        types.Operation(id_short="Do", input_variables=[variable]),
        types.SubmodelElementList(types.AASSubmodelElements.PROPERTY, id_short="List", order_relevant=True, value_type_list_element=types.DataTypeDefXSD.STRING, value=[types.Property(types.DataTypeDefXSD.STRING, value="a")]),
        types.SubmodelElementCollection(id_short="Group", value=[types.Property(types.DataTypeDefXSD.STRING, id_short="In", value=" a ")]),
    ]  # fmt: skip
    content = types.DataSpecificationIEC61360(
        [types.LangStringPreferredNameTypeIEC61360("en", "Thing")],
        unit="kWh",
        data_type=types.DataTypeIEC61360.REAL_MEASURE,
        value_list=types.ValueList([types.ValueReferencePair("one", reference("urn:one"))]),
        level_type=types.LevelType(min=True, nom=False, typ=False, max=True),
    )
    described = types.ConceptDescription(
        "urn:cd", embedded_data_specifications=[types.EmbeddedDataSpecification(reference("urn:ds"), content)], is_case_of=[reference("urn:more")]
    )  # fmt: skip
    submodel = types.Submodel(
        "urn:sm",
        id_short="Sm",
        submodel_elements=elements,
        qualifiers=[types.Qualifier("Unit", types.DataTypeDefXSD.STRING, value="V")],
        extensions=[
            types.Extension("more", value_type=types.DataTypeDefXSD.STRING, value="x", refers_to=[reference("urn:x")])
        ],
    )
    asset = types.AssetInformation(
        types.AssetKind.INSTANCE, "urn:asset", [types.SpecificAssetID("serialNumber", "7")]
    )
    shell = types.AssetAdministrationShell("urn:aas", asset, submodels=[reference("urn:sm")])
    return types.Environment([shell], [submodel], [described])


def test_xml_says_the_same_as_json_for_every_kind_of_element() -> None:
    environment = everything()
    content, fixes = environment_of_xml(xmlization.to_str(environment).encode())
    assert content == jsonization.to_jsonable(environment)
    assert fixes == []


def test_former_namespace_is_read_and_said() -> None:
    text = xmlization.to_str(everything()).replace(NAMESPACE, "https://admin-shell.io/aas/3/0")
    content, fixes = environment_of_xml(text.encode())
    assert content == jsonization.to_jsonable(everything())
    assert fixes == ["the XML is of metamodel 3.0 (https://admin-shell.io/aas/3/0); it was read as 3.1"]


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("", "no XML"),
        ("<a", "no XML"),
        ("<environment/>", "metamodel 3.0 or 3.1 was expected, not environment of none"),
        ('<aasenv xmlns="http://www.admin-shell.io/aas/2/0"/>', "was expected, not aasenv of http://www.admin-shell.io/aas/2/0"),
        (f'<environment xmlns="{NAMESPACE}"><x xmlns="urn:y"/></environment>', "line 1: x is of another namespace"),
        (f'<environment xmlns="{NAMESPACE}"><submodels/><submodels/></environment>', "submodels stands twice"),
        (f'<environment xmlns="{NAMESPACE}"><submodels><key/></submodels></environment>', "submodel was expected"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares a document type"),
        (f'<environment xmlns="{NAMESPACE}">' + "<a>" * 10_000, "no XML that can be read"),
    ],
)  # fmt: skip
def test_xml_that_is_no_environment_is_refused(xml: str, words: str) -> None:
    with pytest.raises(PassportError, match=words):
        environment_of_xml(xml.encode())


def test_utf16_is_refused_because_a_document_type_could_hide_in_it() -> None:
    with pytest.raises(PassportError, match="not in UTF-8"):
        environment_of_xml('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"))
