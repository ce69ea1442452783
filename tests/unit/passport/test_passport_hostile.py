"""What a stranger may send to do harm: refused in one sentence, before it costs time or memory."""

from __future__ import annotations

import copy
import json
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import PassportError
from battery_pilot.passport import packages
from battery_pilot.passport.aasx import pack
from battery_pilot.passport.mapping import part_of
from battery_pilot.passport.metamodel import MAXIMUM_FAULTS, environment_faults
from battery_pilot.passport.parsing import MAXIMUM_BYTES, MAXIMUM_NODES, parse_json
from battery_pilot.passport.reading import ReadEnvironment
from battery_pilot.passport.validation import validate, validate_file

NAMESPACE = "https://admin-shell.io/aas/3/1"
KEY = {"type": "ExternalReference", "keys": [{"type": "GlobalReference", "value": "urn:x"}]}
SECONDS = 5
MEGABYTES = 300


def nested_json(_: Path) -> bytes:
    collection = '{"modelType":"SubmodelElementCollection","idShort":"a","value":['
    inside = collection * 10_000 + "]}" * 10_000
    return ('{"submodels":[{"modelType":"Submodel","id":"urn:1","submodelElements":[' + inside + "]}]}").encode()


def nested_xml(_: Path) -> bytes:
    return f'<environment xmlns="{NAMESPACE}">{"<submodelElementCollection><value>" * 10_000}'.encode()


def billion_laughs(_: Path) -> bytes:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 20))
    return f'<!DOCTYPE l [<!ENTITY a0 "ha">{entities}]><environment>&a19;</environment>'.encode()


def external_entity(_: Path) -> bytes:
    return b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><environment>&a;</environment>'


def keys_twice(_: Path) -> bytes:
    return b"{" + b",".join(b'"k%d":1' % number for number in range(200_000)) + b',"k199999":2}'


def huge_number(_: Path) -> bytes:
    return b'{"a":' + b"9" * 5_000_000 + b"}"


def huge_fraction(_: Path) -> bytes:
    return b'{"a":1.' + b"9" * 5_000_000 + b"}"


def broken_utf8(_: Path) -> bytes:
    return b'{"assetAdministrationShells":[{"id":"\xc3\x28"}]}'


def too_many_parts(_: Path) -> bytes:
    return b'{"submodels":[' + b",".join([b"{}"] * (MAXIMUM_NODES + 1)) + b"]}"


def too_many_bytes(_: Path) -> bytes:
    return b" " * (MAXIMUM_BYTES + 1)


def bomb(folder: Path) -> bytes:
    with (folder / "x").open("wb") as stream:
        pack(stream, b"0" * (64 * 2**20), {})
    return (folder / "x").read_bytes()


def long_directory(folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "x", "w") as package:
        for number in range(25_000):
            package.writestr(f"f{number}", b"")
    return (folder / "x").read_bytes()


def name_twice(folder: Path) -> bytes:
    with (folder / "x").open("wb") as stream:
        pack(stream, b"{}", {})
    with zipfile.ZipFile(folder / "x", "a") as package, pytest.warns(UserWarning, match="Duplicate name"):
        package.writestr("aasx/data.json", b'{"other": 1}')
    return (folder / "x").read_bytes()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (nested_json, "recursion"),
        (nested_xml, "no XML that can be read"),
        (billion_laughs, "declares a document type"),
        (external_entity, "declares a document type"),
        (keys_twice, "'k199999' stands twice"),
        (huge_number, "no JSON that can be read"),
        (huge_fraction, "is too great"),
        (broken_utf8, "no JSON that can be read"),
        (too_many_parts, "more than 500000 values"),
        (too_many_bytes, "16777216 bytes"),
        (bomb, "the AAS part has more than 16777216 bytes"),
        (long_directory, "the list of files is longer"),
        (name_twice, "stands twice in the package"),
    ],
)
def test_hostile_file_is_one_finding_within_time_and_memory(
    make: Callable[[Path], bytes], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.aasx"
    path.write_bytes(make(tmp_path))
    tracemalloc.start()
    started = time.process_time()
    try:
        findings = validate_file(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(one.rule, one.severity) for one in findings] == [("readable", "error")]
    assert words in findings[0].message
    assert len(findings[0].message) < 400
    assert time.process_time() - started < SECONDS
    assert peak < MEGABYTES * 2**20


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a" : 1, "a"\n: 2}',
        '{"a": {"b": 1, "b": ":c"}}',
        r'{"a\\": 1, "b": 1, "b": 2}',
        r'{"a": "\":", "b": 1, "b": 2}',
        r'{"a": 1, "\u0061": 2}',
        '{"x": [{"a": 1}, {"a": 1, "a": 1}]}',
    ],
)
def test_key_that_stands_twice_is_refused_however_it_is_written(text: str) -> None:
    with pytest.raises(PassportError, match="stands twice"):
        parse_json(text.encode())


@pytest.mark.parametrize(
    "text", ['{"a": ":b", "c": {"a": "\\":"}}', '{"a\\\\": ":", "b": [":", {}]}', '{"a": {"a": {"a": 1}}}']
)
def test_key_that_stands_once_in_each_object_is_accepted(text: str) -> None:
    assert parse_json(text.encode()) == json.loads(text)


def test_zip64_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.aasx").write_bytes(b"PK\x03\x04" + b"PK\x06\x07" + b"\0" * 16 + b"PK\x05\x06" + b"\0" * 18)
    assert "ZIP64" in validate_file(tmp_path / "p.aasx")[0].message


def test_package_within_its_limits_is_read_though_files_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_MAXIMUM_FILES", 10)
    with (tmp_path / "p.aasx").open("wb") as stream:
        pack(stream, b"{}", {f"/aasx/files/{n}.pdf": ("application/pdf", b"x") for n in range(9)})
    assert "files, at most 10 are read" in validate_file(tmp_path / "p.aasx")[0].message


def test_faults_are_counted_up_to_a_limit() -> None:
    assert len(environment_faults({"submodels": [{}] * (MAXIMUM_FAULTS + 5)})) == MAXIMUM_FAULTS


@pytest.mark.parametrize("day", ["-0044-03-15", "12026-01-01", "0000-01-01", "2026-02-30"])
def test_day_that_no_calendar_here_has_is_a_fault(day: str, tmp_path: Path) -> None:
    birth = {"modelType": "Property", "idShort": "Birth", "valueType": "xs:date", "value": day}
    content = {"submodels": [{"modelType": "Submodel", "id": "urn:1", "submodelElements": [birth]}]}
    (tmp_path / "p.json").write_text(json.dumps(content))
    assert [one.severity for one in validate_file(tmp_path / "p.json") if one.rule == "aas"] == ["error"]


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every key and index of a JSON, with what it is of."""
    for name, inside in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, name
        if isinstance(inside, dict | list):
            yield from places(inside)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_stands_in_the_place_of_something_gives_findings_and_no_exception(data: st.DataObject) -> None:
    part = {"modelType": "Property", "idShort": "BatteryCategory", "valueType": "xs:string", "value": "ev"}
    qualified = {**part, "qualifiers": [{"type": "Unit", "valueType": "xs:string", "value": "Ah"}], "semanticId": KEY}
    file = {**qualified, "modelType": "File", "idShort": "CompanyLogo", "contentType": "image/png", "value": "/a.png"}
    inside = {"modelType": "SubmodelElementCollection", "idShort": "GeneralInformation", "value": [qualified, file]}
    submodel = {"modelType": "Submodel", "id": "urn:1", "idShort": "TechnicalData", "submodelElements": [inside]}
    shell = {
        "modelType": "AssetAdministrationShell",
        "id": "urn:2",
        "assetInformation": {"assetKind": "Instance", "specificAssetIds": [{"name": "serialNumber", "value": "1"}]},
        "submodels": [{"type": "ModelReference", "keys": [{"type": "Submodel", "value": "urn:1"}]}],
    }
    semantic = {**KEY, "keys": [{"type": "GlobalReference", "value": part_of("TechnicalData").submodel.semantic_id}]}
    content = copy.deepcopy(
        {
            "assetAdministrationShells": [shell],
            "submodels": [{**submodel, "semanticId": semantic}],
            "conceptDescriptions": [],
        }
    )
    for _ in range(data.draw(st.integers(1, 2))):
        node, name = data.draw(st.sampled_from(list(places(content))))
        node[name] = data.draw(st.sampled_from([None, True, 1, -0.5, "", "x", [], {}, [1], [[]], {"a": []}]))
    read = ReadEnvironment(content, files=frozenset({"/a.png"}))
    assert validate(read, package=Path("none.aasx"))


def test_fault_does_not_hide_others(tmp_path: Path) -> None:
    def number(name: str, value: object) -> dict[str, object]:
        return {"modelType": "Property", "idShort": name, "valueType": "xs:float", "value": value}

    inside = [
        number("Good", "1"),
        number("Bad", 5),
        {"modelType": "Nothing"},
        number("Worse", "much"),
        number("1", "1"),
    ]
    group = {"modelType": "SubmodelElementCollection", "idShort": "Group", "value": inside}
    submodel = {"modelType": "Submodel", "id": "urn:1", "idShort": "Sm", "submodelElements": [group], "extra": 1}
    faults = environment_faults({"submodels": [submodel], "more": []})
    assert [path for path, _ in faults] == [
        "submodels[0]",
        "submodels[0].submodelElements[0].value[1].value",
        "submodels[0].submodelElements[0].value[2]",
        "submodels[0].submodelElements[0].value[3]",
        "submodels[0].submodelElements[0].value[4].idShort",
        "more",
    ]
    (tmp_path / "p.json").write_text(json.dumps({"submodels": [submodel]}))
    assert {"aas", "unknown-part", "shell"} <= {one.rule for one in validate_file(tmp_path / "p.json")}
