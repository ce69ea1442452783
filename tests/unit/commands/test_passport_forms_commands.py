from __future__ import annotations

import json
from pathlib import Path

import pytest

from battery_pilot.cli import main

BATTERYPASS = {
    "PerformanceAndDurability": {
        "batteryTechnicalProperties": {"ratedCapacity": 60.0, "minimumVoltage": 270.0},
        "batteryCondition": {"stateOfCharge": {"stateOfChargeValue": 71.5, "lastUpdate": "2026-03-01T12:00:00Z"}},
    },
    "GeneralProductInformation": {"batteryCategory": "ev", "colour": "blue"},
}


def test_import_writes_tables_and_says_what_is_missing_and_not_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.json").write_text(json.dumps(BATTERYPASS), encoding="utf-16")
    assert (
        main(["passport", "import", str(tmp_path / "p.json"), "--out", str(tmp_path / "out"), "--model-id", "M1"])
        == 0
    )
    printed = capsys.readouterr().out
    assert "missing  models.maximum_voltage_volt" in printed
    assert "note     GeneralProductInformation.colour: not understood" in printed
    assert "UTF-16" in printed
    header, row = (tmp_path / "out" / "models.csv").read_text(encoding="utf-8").splitlines()
    found = dict(zip(header.split(","), row.split(","), strict=True))
    assert (found["model_id"], found["category"], found["rated_capacity_ah"]) == ("M1", "ev", "60.0")
    condition = json.loads((tmp_path / "out" / "condition.json").read_text(encoding="utf-8"))
    assert condition["values"]["state_of_charge_percent"]["value"] == 71.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "p.json"], "say where to"),
        (["import", "none.json", "--out", "out"], "no such file"),
        (["import", "p.json", "--passport", "q.json"], "does not carry models.model_id"),
        (["export", "p.json", "--form", "batterypass", "--out", "q.json"], "environment"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.json").write_text(json.dumps(BATTERYPASS))
    assert main(["passport", *arguments]) != 0
    printed = capsys.readouterr().err
    assert words in printed
    assert len(printed.strip().splitlines()) == 1
