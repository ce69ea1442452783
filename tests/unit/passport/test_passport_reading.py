from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from basyx.aas.adapter.aasx import AASXWriter, DictSupplementaryFileContainer

from battery_pilot.errors import PassportError
from battery_pilot.passport import packages
from battery_pilot.passport.aas import (
    canonical_json,
    concept_description_dicts,
    environment,
    flat_values,
    passport_sha256,
    submodel_dicts,
    to_store,
)
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.model import Tier
from battery_pilot.passport.reading import flatten, read_aasx, read_environment, read_passport
from battery_pilot.passport.shell import shell_dict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from battery_pilot.passport.building import Passport


@pytest.mark.parametrize("tier", list(Tier))
def test_what_was_written_is_read(passport: Passport, tier: Tier) -> None:
    view = passport.view(tier)
    read = read_passport(canonical_json(view))
    assert (read.battery_id, read.as_of, read.sha256) == ("Cell_7", passport.as_of, passport_sha256(view))
    assert read.values == flat_values(view)
    assert read.shell == shell_dict(view)
    assert read.submodels == submodel_dicts(view)
    assert read.concept_descriptions == concept_description_dicts(view)


def test_digest_does_not_depend_on_the_order_that_a_server_returns(passport: Passport) -> None:
    content = environment(passport)
    for name in ("submodels", "conceptDescriptions"):
        content[name].reverse()
    assert read_passport(json.dumps(content).encode()).sha256 == passport_sha256(passport)


def test_aasx_with_json_part_is_read(passport: Passport, tmp_path: Path) -> None:
    write_aasx(passport, tmp_path / "p.aasx")
    assert read_aasx(tmp_path / "p.aasx") == read_passport(canonical_json(passport))


def test_aasx_with_xml_part_is_read(passport: Passport, tmp_path: Path) -> None:
    view = passport.view(Tier.LEGITIMATE_INTEREST)
    plain = [element for element in view.elements if not element.path.endswith("CRateOfRelevantCycleLifeTest")]
    view = type(view)(**{**view.__dict__, "elements": tuple(plain)})  # basyx writes its decimal with an exponent
    with AASXWriter(tmp_path / "p.aasx", failsafe=False) as writer:
        writer.write_aas(view.identifiers.shell, to_store(view), DictSupplementaryFileContainer())  # type: ignore[no-untyped-call]
    read = read_aasx(tmp_path / "p.aasx")
    assert read.battery_id == "Cell_7"
    assert read.values.keys() == flat_values(view).keys()


def changed(passport: Passport, change: Callable[[dict[str, Any]], object]) -> bytes:
    content = environment(passport)
    change(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["assetAdministrationShells"].append(dict(c["assetAdministrationShells"][0], id="urn:2")), "exactly one shell"),
        (lambda c: c.pop("assetAdministrationShells"), "exactly one shell"),
        (lambda c: c.update(extra=1), "extra"),
        (lambda c: c["submodels"][0].update(id=5), r"submodels\[0\].id: Expected a str"),
        (lambda c: c["submodels"][0].update(idShort="1 bad"), r"submodels\[0\].idShort"),
        (lambda c: c["submodels"][0]["submodelElements"][0].update(modelType="Nothing"), r"submodelElements\[0\]"),
        (lambda c: c["submodels"].append(dict(c["submodels"][0], id="urn:2")), "two submodels are called"),
        (lambda c: c.update(submodels=[one for one in c["submodels"] if one["idShort"] != "DppMetadata"]), "DppMetadata.lastUpdate"),
    ],
)  # fmt: skip
def test_what_is_no_passport_is_refused_with_its_place(
    passport: Passport, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(PassportError, match=words):
        read_passport(changed(passport, change))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no JSON"),
        (b"[]", "a JSON object was expected"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": "\xff"}', "no JSON"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper than 64"),
        (b'{"a":' * 100_000, "no JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", "no JSON"),
        ("{}".encode("utf-16"), "no JSON"),
        (b"{}", "it is empty"),
    ],
)  # fmt: skip
def test_hostile_or_broken_json_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(PassportError, match=words):
        read_passport(data)


def test_too_many_bytes_are_refused_before_parsing(passport: Passport) -> None:
    with pytest.raises(PassportError, match="at most 1000 are read"):
        read_passport(canonical_json(passport), maximum_bytes=1000)


def test_battery_is_named_by_serial_number_or_asset_where_no_specific_id_does(passport: Passport) -> None:
    def without_names(content: dict[str, Any]) -> None:
        content["assetAdministrationShells"][0]["assetInformation"].pop("specificAssetIds")

    assert read_passport(changed(passport, without_names)).battery_id == "SN 0007/ä"


def test_time_without_zone_is_refused(passport: Passport) -> None:
    data = canonical_json(passport).replace(b'"2026-03-01T12:00:00Z"', b'"2026-03-01T12:00:00"')
    with pytest.raises(PassportError, match="no time zone"):
        read_passport(data)


def test_number_that_is_not_finite_is_refused(passport: Passport) -> None:
    data = canonical_json(passport).replace(
        b'"value":"4.2","valueType":"xs:float"', b'"value":"INF","valueType":"xs:float"'
    )
    with pytest.raises(PassportError, match="INF is no finite number"):
        read_passport(data)


def test_further_languages_of_a_text_have_paths_of_their_own() -> None:
    texts = [{"language": "de", "text": "Zelle"}, {"language": "en", "text": "cell"}]
    element = {"modelType": "MultiLanguageProperty", "idShort": "Name", "value": texts}
    submodel = {"modelType": "Submodel", "id": "urn:1", "idShort": "Sm", "submodelElements": [element]}
    assert flatten([submodel]) == {"Sm.Name": "cell", "Sm.Name@de": "Zelle"}


def test_types_of_values_are_those_of_the_aas() -> None:
    kinds = {"xs:boolean": "true", "xs:integer": "7", "xs:decimal": "0.5", "xs:date": "2024-01-01"}
    elements = [
        {"modelType": "Property", "idShort": f"P{number}", "valueType": kind, "value": text}
        for number, (kind, text) in enumerate(kinds.items())
    ]
    submodel = {"modelType": "Submodel", "id": "urn:1", "submodelElements": elements}
    assert list(flatten([submodel]).values()) == [True, 7, 0.5, "2024-01-01"]


TYPES = b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'


def package(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"../../etc/passwd": b""}, "leads outside"),
        ({"/etc/passwd": b""}, "leads outside"),
        ({"a\\..\\b": b""}, "leads outside"),
        ({"C:/b": b""}, "leads outside"),
        ({f"f{number}": b"" for number in range(1001)}, "1001 files"),
        ({"_rels/.rels": b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"}, "declares a document type"),
        ({"_rels/.rels/[0].last.piece": b""}, "cut into pieces"),
        ({"readme.txt": b"no passport"}, "no AASX package"),
        ({"_rels/.rels": b"<Relationships", "[Content_Types].xml": TYPES}, "no AASX package"),
        ({"_rels/.rels": b"<a/>", "[Content_Types].xml": b"<Types"}, "no AASX package"),
    ],
)
def test_package_that_is_hostile_or_none_is_refused(entries: dict[str, bytes], words: str, tmp_path: Path) -> None:
    with pytest.raises(PassportError, match=words):
        read_aasx(package(tmp_path / "p.aasx", entries))


@pytest.mark.parametrize(
    ("former", "other", "words"),
    [
        (b'TargetMode="Internal"', b'TargetMode="External"', "leads outside of the package"),
        (b"http://admin-shell.io/aasx", b"http://www.admin-shell.io/aasx", "type of former versions"),
    ],
)
def test_relationships_that_other_writers_get_wrong_are_followed_and_said(
    passport: Passport, former: bytes, other: bytes, words: str, tmp_path: Path
) -> None:
    write_aasx(passport, tmp_path / "p.aasx")
    with zipfile.ZipFile(tmp_path / "p.aasx") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    changed_entries = {
        name: content.replace(former, other) if name.endswith(".rels") else content
        for name, content in entries.items()
    }
    assert changed_entries != entries
    read = read_environment(package(tmp_path / "q.aasx", changed_entries))
    assert read.content == environment(passport)
    assert any(words in fix for fix in read.fixes)
    without_origin = {name: content for name, content in entries.items() if name != "_rels/.rels"}
    with pytest.raises(PassportError, match="lead to 0 parts of the kind aasx-origin"):
        read_environment(package(tmp_path / "r.aasx", without_origin))


def test_file_that_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.aasx").write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(PassportError, match="no AASX package"):
        read_aasx(tmp_path / "p.aasx")


def test_package_that_unpacks_to_too_much_is_refused_without_unpacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "MAXIMUM_PACKAGE_BYTES", 100_000)
    bomb = package(tmp_path / "p.aasx", {"zeros": b"\0" * 1_000_000})
    assert bomb.stat().st_size < 100_000
    with pytest.raises(PassportError, match="1000000 bytes unpacked"):
        read_aasx(bomb)


def test_aas_part_that_is_too_large_is_refused(passport: Passport, tmp_path: Path) -> None:
    write_aasx(passport, tmp_path / "p.aasx")
    with pytest.raises(PassportError, match="more than 1000 bytes"):
        read_aasx(tmp_path / "p.aasx", maximum_bytes=1000)


def test_xml_part_with_a_document_type_is_refused(passport: Passport, tmp_path: Path) -> None:
    with AASXWriter(tmp_path / "p.aasx", failsafe=False) as writer:
        writer.write_aas(passport.identifiers.shell, to_store(passport), DictSupplementaryFileContainer())  # type: ignore[no-untyped-call]
    with zipfile.ZipFile(tmp_path / "p.aasx") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in entries if name.endswith("data.xml"))
    entries[name] = b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + entries[name].partition(b"?>")[2]
    with pytest.raises(PassportError, match="declares a document type"):
        read_aasx(package(tmp_path / "q.aasx", entries))
