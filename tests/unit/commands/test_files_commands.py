from __future__ import annotations

import csv
import json

import pytest


def test_read_tells_what_an_impedance_file_holds(run, impedance_file):
    answer = run("read", impedance_file, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert list(answer.json) == ["kind", "format", "instrument", "spectra", "metadata", "warnings"]
    assert (answer.json["kind"], answer.json["format"]) == ("impedance", "impedance-csv")
    (spectrum,) = answer.json["spectra"]
    assert list(spectrum) == [
        "points",
        "frequency_max_hertz",
        "frequency_min_hertz",
        "impedance_at_max_ohm",
        "impedance_at_min_ohm",
    ]
    assert spectrum["points"] == 31
    assert (spectrum["frequency_max_hertz"], spectrum["frequency_min_hertz"]) == (10000.0, 0.01)
    assert spectrum["impedance_at_min_ohm"] == pytest.approx([0.05, 0], abs=1e-4)
    assert answer.json["metadata"]["temperature_celsius"] == 25.0


def test_read_tells_what_a_cycler_file_holds(run, cycling_file):
    answer = run("read", cycling_file, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert list(answer.json) == [
        "kind",
        "format",
        "instrument",
        "rows",
        "duration_second",
        "columns",
        "metadata",
        "warnings",
    ]
    assert (answer.json["kind"], answer.json["rows"], answer.json["duration_second"]) == ("cycling", 120, 7140.0)
    assert answer.json["columns"] == ["test_time_second", "voltage_volt", "current_ampere", "cycle_count"]


def test_read_without_json_prints_the_same_facts_for_people(run, impedance_file, cycling_file):
    assert "frequency_max_hertz   10000" in run("read", impedance_file).out
    assert "duration_second  7140" in run("read", cycling_file).out


def test_impedance_checks_and_fits_a_spectrum(run, impedance_file):
    answer = run("impedance", impedance_file, "--circuit", "R0-p(R1,C1)", "--json")
    assert (answer.code, answer.err) == (0, "")
    validity, circuit = answer.json["validity"], answer.json["circuit"]
    assert list(validity) == ["m", "mu", "max_residual_percent", "valid", "trusted_hertz"]
    assert validity["valid"] is True
    assert 0 <= validity["mu"] <= 1
    assert isinstance(validity["m"], int)
    assert list(circuit) == ["string", "parameters", "relative_rmse", "aic"]
    assert circuit["string"] == "R0-p(R1,C1)"
    assert list(circuit["parameters"]) == ["R0", "R1", "C1"]
    for parameter in circuit["parameters"].values():
        assert list(parameter) == ["value", "unit", "standard_error"]
    assert [circuit["parameters"][name]["unit"] for name in ("R0", "R1", "C1")] == ["ohm", "ohm", "F"]
    assert [circuit["parameters"][name]["value"] for name in ("R0", "R1", "C1")] == pytest.approx(
        [0.02, 0.03, 0.5], rel=1e-3
    )
    assert circuit["relative_rmse"] < 1e-3
    assert answer.json["polarisation_resistance_ohm"] == pytest.approx(0.03, rel=1e-3)


def test_impedance_chooses_a_circuit_where_none_is_given(run, impedance_file):
    answer = run("impedance", impedance_file, "--json")
    assert answer.code == 0
    assert answer.json["circuit"]["relative_rmse"] < 0.01


def test_impedance_keeps_to_what_is_known_of_the_parameters(run, impedance_file):
    known = ("--fix", "R0=0.021", "--bound", "R1=0.001:0.02", "--share", "CPE1_alpha,CPE2_alpha")
    answer = run("impedance", impedance_file, "--circuit", "R0-p(R1,CPE1)-p(R2,CPE2)", *known, "--json")
    parameters = answer.json["circuit"]["parameters"]
    assert parameters["R0"]["value"] == pytest.approx(0.021)
    assert parameters["R0"]["standard_error"] is None
    assert parameters["R1"]["value"] <= 0.02
    assert parameters["CPE1_alpha"] == parameters["CPE2_alpha"]
    same = run("impedance", impedance_file, "--circuit", "R0-p(R1,CPE1)", "--weighting", "unit", "--json")
    assert same.json["circuit"]["parameters"]["R1"]["value"] == pytest.approx(0.03, rel=1e-3)


def test_impedance_chooses_among_the_given_circuits(run, impedance_file):
    answer = run("impedance", impedance_file, "--circuit", "R0-C1", "--circuit", "R0-p(R1,C1)", "--json")
    assert answer.json["circuit"]["string"] == "R0-p(R1,C1)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--fix", "R0"), "expected NAME=VALUE"),
        (("--bound", "R0=1"), "expected NAME=LOW:HIGH"),
        (("--bound", "R0=1:a"), "expected NAME=LOW:HIGH"),
        (("--fix", "R9=1"), "has no parameter R9"),
        (("--fix", "R0=1", "--bound", "R0=0:2"), "restricted twice"),
    ],
)
def test_a_wrong_restriction_is_named(run, impedance_file, words, message):
    answer = run("impedance", impedance_file, "--circuit", "R0-p(R1,C1)", *words)
    assert answer.code in (1, 2)
    assert message in answer.err


def test_a_circuit_with_more_arcs_than_the_cell_has_gives_no_nan(run, impedance_file):
    answer = run("impedance", impedance_file, "--circuit", "L0-R0-p(R1,CPE1)-p(R2,CPE2)-p(R3,C3)-W1", "--json")
    assert answer.code == 0
    assert answer.json["circuit"]["parameters"]["R3"]["unit"] == "ohm"


def test_impedance_without_json_prints_the_same_facts_for_people(run, impedance_file):
    out = run("impedance", impedance_file, "--circuit", "R0-p(R1,C1)").out
    assert "string         R0-p(R1,C1)" in out
    assert "valid                 True" in out


def test_impedance_tells_the_relaxation_times(run, impedance_file):
    (peak,) = run("impedance", impedance_file, "--json").json["drt"]["peaks"]
    assert peak["time_constant_second"] == pytest.approx(0.015, rel=0.05)
    assert peak["resistance_ohm"] == pytest.approx(0.03, rel=0.02)


def test_a_spectrum_too_narrow_for_relaxation_times_says_so_and_keeps_the_rest(run, impedance_file):
    lines = impedance_file.read_text().splitlines()
    rows = [lines[2].split(",")] * 9
    narrow = [f"{1000 - 10 * k},{float(row[1]) * (1 + 0.01 * k)},{-0.001 - 0.0001 * k}" for k, row in enumerate(rows)]
    impedance_file.write_text("\n".join([*lines[:2], *narrow, ""]))
    answer = run("impedance", impedance_file, "--circuit", "R0-p(R1,C1)", "--json")
    assert answer.code == 0
    assert answer.json["drt"] is None
    assert "span 0.036 decades" in answer.json["absent"]["drt"]
    assert answer.json["circuit"]["string"] == "R0-p(R1,C1)"


@pytest.mark.parametrize("name", ["plot.html", "plot.svg"])
def test_impedance_draws_what_it_prints(run, impedance_file, tmp_path, name):
    answer = run("impedance", impedance_file, "--circuit", "R0-p(R1,C1)", "--plot", tmp_path / name, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["circuit"]["string"] == "R0-p(R1,C1)"
    assert len((tmp_path / name).read_text(encoding="utf-8")) > 5000


def test_a_plot_of_an_unknown_kind_is_refused_before_anything_is_read(run, tmp_path):
    answer = run("impedance", tmp_path / "missing.csv", "--plot", tmp_path / "plot.gif")
    assert answer.code == 1
    assert answer.err.startswith(f"battery-pilot: {tmp_path / 'plot.gif'}: cannot tell what kind of figure to draw")


def test_cycles_are_summarised_one_object_a_cycle(run, cycling_file):
    answer = run("cycles", cycling_file, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert [cycle["cycle_count"] for cycle in answer.json] == [1, 2]
    # 20 minutes at 1 A.
    assert [cycle["charge_ah"] for cycle in answer.json] == pytest.approx([20 / 60, 20 / 60], rel=0.06)
    assert answer.json[0]["mean_temperature_celsius"] is None


def test_cycles_with_ratings_find_the_capacity(run, cycling_file):
    ratings = ("--rated-capacity", 0.33, "--minimum-voltage", 3.0, "--maximum-voltage", 4.2)
    cycles = run("cycles", cycling_file, "--json", *ratings).json
    assert any(cycle["capacity_ah"] for cycle in cycles)
    assert run("cycles", cycling_file, "--json").json[0]["capacity_ah"] is None


def test_cycles_without_json_print_a_table_with_one_line_a_cycle(run, cycling_file):
    lines = run("cycles", cycling_file).out.splitlines()
    assert len(lines) == 3
    assert "charge_ah" in lines[0]
    assert "source_sha256" not in lines[0]


@pytest.mark.parametrize("given", [("--rated-capacity", 5), ("--minimum-voltage", 2.5, "--maximum-voltage", 4.2)])
def test_ratings_belong_together(run, cycling_file, given):
    answer = run("cycles", cycling_file, *given)
    assert answer.code == 1
    assert "belong together: give all three or none" in answer.err


@pytest.mark.parametrize("number", ["-1", "0", "nan", "inf", "many"])
def test_a_rating_is_a_number_above_zero(run, cycling_file, number):
    answer = run("cycles", cycling_file, f"--rated-capacity={number}")
    assert answer.code == 2
    assert "--rated-capacity" in answer.err.splitlines()[-1]


def test_the_end_of_discharge_lies_below_the_end_of_charge(run, cycling_file):
    answer = run("cycles", cycling_file, "--rated-capacity", 5, "--minimum-voltage", 4.2, "--maximum-voltage", 2.5)
    assert answer.code == 1
    assert answer.err == "battery-pilot: --minimum-voltage 4.2 is not below --maximum-voltage 2.5\n"


def test_simulate_writes_a_fleet_and_tells_what(run, tmp_path):
    fleet = ("--batteries", 2, "--months", 1, "--cycles-per-month", 1, "--seed", 3, "--start", "2025-03-01")
    answer = run("simulate", tmp_path / "fleet", *fleet, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json == {
        "folder": str(tmp_path / "fleet"),
        "batteries": 2,
        "months": 1,
        "good_files": 4,
        "damaged": [],
        "landing_dates": ["2025-03-31"],
    }
    assert len(list((tmp_path / "fleet" / "landing" / "2025-03-31").iterdir())) == 4
    assert (tmp_path / "fleet" / "master" / "batteries.csv").exists()


def test_simulate_names_the_damaged_files(run, tmp_path):
    fleet = ("--batteries", 10, "--months", 1, "--cycles-per-month", 1)
    answer = run("simulate", tmp_path / "json", *fleet, "--json")
    damaged = answer.json["damaged"]
    assert damaged
    assert all((tmp_path / "json" / one["path"]).exists() for one in damaged)
    assert damaged[0]["path"] in run("simulate", tmp_path / "text", *fleet).out


def test_the_same_seed_gives_the_same_bytes(run, tmp_path):
    for name in ("one", "two"):
        run("simulate", tmp_path / name, "--batteries", 1, "--months", 1, "--cycles-per-month", 1)
    contents = [
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("one", "two")
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    "given", ["--batteries=0", "--months=-1", "--batteries=some", "--start=2026-13-01", "--seed=x"]
)
def test_simulate_refuses_a_wrong_number_on_the_command_line(run, tmp_path, given):
    answer = run("simulate", tmp_path / "fleet", given)
    assert answer.code == 2
    assert given.partition("=")[0] in answer.err
    assert not (tmp_path / "fleet").exists()


@pytest.mark.parametrize("given", ["--cycles-per-month=1000", "--seed=-1"])
def test_simulate_refuses_a_number_out_of_range_in_one_line(run, tmp_path, given):
    answer = run("simulate", tmp_path / "fleet", given)
    assert answer.code == 1
    assert answer.err.count("\n") == 1


def test_master_template_writes_tables_to_fill_in(run, tmp_path):
    answer = run("master", "template", tmp_path / "master")
    assert (answer.code, answer.err) == (0, "")
    for table, key in (("models.csv", "model_id"), ("batteries.csv", "battery_id")):
        (header,) = csv.reader((tmp_path / "master" / table).read_text().splitlines())
        assert header[0] == key


def test_master_template_never_overwrites(run, tmp_path):
    run("master", "template", tmp_path)
    (tmp_path / "models.csv").write_text("filled in")
    answer = run("master", "template", tmp_path)
    assert answer.code == 1
    assert str(tmp_path) in answer.err
    assert (tmp_path / "models.csv").read_text() == "filled in"


def broken_input(folder):
    """Files that no command can use, by what is wrong with them."""
    (folder / "a folder").mkdir()
    (folder / "binary.csv").write_bytes(b"\x7fELF\x02\x01\x00\x00")
    (folder / "empty.csv").write_bytes(b"")
    (folder / "prose.csv").write_text("Dear diary, today nothing happened.\n")
    (folder / "torn.csv").write_text("Test Time / s,Voltage / V,Current / A\n0,3.6,1\n1,3.\n2,3.6,1\n")
    return ["missing.csv", "a folder", "binary.csv", "empty.csv", "prose.csv", "torn.csv"]


@pytest.mark.parametrize("command", ["read", "impedance", "cycles"])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_bad_input_gives_one_line_that_names_the_file(run, tmp_path, command, more):
    for name in broken_input(tmp_path):
        answer = run(command, tmp_path / name, *more)
        assert (answer.code, answer.out) == (1, ""), name
        assert answer.err.startswith("battery-pilot: "), name
        assert answer.err.count("\n") == 1, answer.err
        assert str(tmp_path / name) in answer.err


def test_a_file_of_the_wrong_kind_is_named_with_the_right_one(run, impedance_file, cycling_file):
    answer = run("impedance", cycling_file)
    assert answer.code == 1
    assert answer.err == f"battery-pilot: {cycling_file}: holds cycling data, expected an impedance spectrum\n"
    answer = run("cycles", impedance_file)
    assert answer.code == 1
    assert answer.err == f"battery-pilot: {impedance_file}: holds impedance spectra, expected the log of a cycler\n"


@pytest.mark.parametrize("index", [1, -1])
def test_a_spectrum_that_is_not_there_is_named(run, impedance_file, index):
    answer = run("impedance", impedance_file, f"--spectrum={index}")
    assert answer.code == 1
    assert f"{impedance_file}: has no spectrum {index}" in answer.err


def test_a_spectrum_too_short_to_analyse_names_the_file(run, impedance_file):
    impedance_file.write_text("\n".join(impedance_file.read_text().splitlines()[:5]) + "\n")
    answer = run("impedance", impedance_file)
    assert answer.code == 1
    assert answer.err.startswith(f"battery-pilot: {impedance_file}: ")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("circuit", ["", "R0-", "R0-p(R1", "X1", "R0-R0"])
def test_a_circuit_that_is_none_is_shown(run, impedance_file, circuit):
    answer = run("impedance", impedance_file, f"--circuit={circuit}")
    assert answer.code == 1
    assert repr(circuit) in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("command", [("simulate",), ("master", "template")])
def test_a_file_where_a_folder_is_wanted_is_one_line(run, tmp_path, command):
    (tmp_path / "file").write_text("x")
    answer = run(*command, tmp_path / "file")
    assert answer.code == 1
    assert str(tmp_path / "file") in answer.err
    assert answer.err.count("\n") == 1


def test_numbers_that_were_not_measured_are_null_and_never_nan(run, cycling_file, impedance_file):
    for words in (
        ("read", cycling_file),
        ("read", impedance_file),
        ("cycles", cycling_file),
        ("impedance", impedance_file),
    ):
        answer = run(*words, "--json")
        assert json.dumps(answer.json, allow_nan=False)


def test_a_cycle_off_its_counter_by_more_than_one_percent_is_told(run, tmp_path):
    header = "test_time_second,voltage_volt,current_ampere,cycle_count,charging_capacity_ah,discharging_capacity_ah"
    rows = [f"{60 * minute},3.7,1.0,1,{1.05 * minute / 60},0.0" for minute in range(30)]
    path = tmp_path / "log.bdf.csv"
    path.write_text("\n".join([header, *rows, ""]))
    answer = run("cycles", path, "--json")
    assert answer.code == 0
    assert answer.err == f"{path}: cycle 1: integrated charge and counters differ by 4.76 %\n"


def test_checkups_prints_tests_and_pulses(run, tmp_path):
    file = tmp_path / "log.csv"
    program = [(0.0, 4.2, 4.2)] * 10 + [(-0.1, 4.19 - 0.00165 * row, 0) for row in range(720)] + [(0.0, 3.1, 0)] * 5
    rows = [f"{60 * row},{volt:.5f},{ampere}" for row, (ampere, volt, _) in enumerate(program)]
    file.write_text("Test Time / s,Voltage / V,Current / A\n" + "\n".join(rows) + "\n")
    ratings = ("--rated-capacity", 2, "--minimum-voltage", 3, "--maximum-voltage", 4.2)
    answer = run("checkups", file, *ratings, "--json")
    ((test,),) = [one["tests"] for one in answer.json]
    assert test["capacity_ah"] == pytest.approx(0.1 * 12, rel=0.01)
    assert (test["charging"], test["c_rate"]) == (False, pytest.approx(0.05))
    assert "capacity_ah" in run("checkups", file, *ratings).out
    assert "no check-up" in run("checkups", file, "--rated-capacity", 0.1, *ratings[2:]).out
