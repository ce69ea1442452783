from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize("index", [0, 1], ids=["json", "aasx"])
def test_our_own_passports_are_valid(run, passport_files, index):
    answer = run("passport", "validate", passport_files[index], "--json")
    assert (answer.code, answer.err) == (0, "")
    assert [one for one in answer.json["findings"] if one["severity"] == "error"] == []


def test_a_passport_with_errors_gives_exit_code_one_and_their_places(run, passport_files):
    path, _ = passport_files
    text = path.read_text().replace('"value":"4.5","valueType":"xs:float"', '"value":"-4.5","valueType":"xs:float"')
    assert text != path.read_text()
    path.write_text(text)
    answer = run("passport", "validate", path, "--json")
    assert answer.code == 1
    errors = [one for one in answer.json["findings"] if one["severity"] == "error"]
    assert set(errors[0]) == {"path", "rule", "severity", "message"}
    assert "ProductCondition.RemainingCapacity.RemainingCapacityValue" in {one["path"] for one in errors}
    shown = run("passport", "validate", path)
    assert shown.code == 1
    assert shown.out.splitlines()[-1].startswith(f"{path}: {len(errors)} errors, ")


@pytest.mark.parametrize("content", [b"", b"not JSON", b"[]", b"{}", b'{"submodels": 7}', b"\x00\xff"])
def test_what_is_no_passport_has_errors(run, tmp_path, content):
    path = tmp_path / "passport.json"
    path.write_bytes(content)
    answer = run("passport", "validate", path, "--json")
    assert answer.code == 1
    assert [one["severity"] for one in answer.json["findings"]]


def test_a_package_that_is_none_has_an_error(run, tmp_path):
    path = tmp_path / "passport.aasx"
    path.write_bytes(b"PK\x03\x04 but no more")
    answer = run("passport", "validate", path)
    assert answer.code == 1
    assert str(path) in answer.out


@pytest.mark.parametrize("index", [0, 1], ids=["json", "aasx"])
def test_show_prints_the_values_of_a_passport(run, passport_files, index):
    answer = run("passport", "show", passport_files[index], "--json")
    assert (answer.code, answer.err) == (0, "")
    assert list(answer.json) == ["battery_id", "as_of", "values"]
    assert answer.json["battery_id"] == "BP-1"
    assert answer.json["as_of"] == "2026-01-20T00:00:00+00:00"
    assert answer.json["values"]["ProductCondition.RemainingCapacity.RemainingCapacityValue"] == 4.5


def test_show_without_json_prints_the_same_values_for_people(run, passport_files):
    lines = run("passport", "show", passport_files[0]).out.splitlines()
    assert lines[0].split() == ["battery_id", "BP-1"]
    assert any(
        line.split()[-2:] == ["ProductCondition.RemainingCapacity.RemainingCapacityValue", "4.5"] for line in lines
    )


@pytest.mark.parametrize("action", ["validate", "show"])
@pytest.mark.parametrize("name", ["missing.json", "missing.aasx", "folder.json", "table.csv"])
def test_bad_input_gives_one_line_that_names_the_file(run, tmp_path, action, name):
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    answer = run("passport", action, tmp_path / name)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.count("\n") == 1
    assert str(tmp_path / name) in answer.err


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"assetAdministrationShells": 7}', b"PK\x03\x04 but no more", b"\xff"]
)
def test_show_of_what_is_no_passport_is_one_line_that_names_the_file_once(run, tmp_path, content):
    path = tmp_path / "strange.json"
    path.write_bytes(content)
    answer = run("passport", "show", path)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.count("\n") == 1
    assert answer.err.startswith(f"battery-pilot: {path}: ")
    assert answer.err.count(str(path)) == 1


def test_json_never_holds_nan(run, passport_files):
    for action in ("validate", "show"):
        assert json.dumps(run("passport", action, passport_files[0], "--json").json, allow_nan=False)
