from __future__ import annotations

from datetime import date

import pytest

from battery_pilot.errors import InputError
from battery_pilot.stack.demo import Fleet, Progress, _clear
from battery_pilot.stack.runtime import Folders


def test_a_folder_that_no_demo_made_is_never_emptied(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(InputError, match="is not empty and was not made by a demo"):
        _clear(Folders(tmp_path))
    assert (tmp_path / "thesis.txt").exists()


def test_the_folder_of_an_earlier_demo_is_emptied(tmp_path):
    root = tmp_path / "demo"
    _clear(Folders(root))
    (root / "report.html").write_text("old")
    _clear(Folders(root))
    assert not (root / "report.html").exists()


@pytest.mark.parametrize(
    ("months", "start"), [(1, date(2025, 12, 1)), (4, date(2025, 9, 1)), (13, date(2024, 12, 1))]
)
def test_the_simulated_months_end_in_the_past(months, start):
    assert Fleet(12, months, 7).start == start


def test_a_line_of_progress_is_told_once(capsys):
    progress = Progress()
    for text in ("reading", "reading", "", "writing"):
        progress.say(text)
    assert [line.split("] ")[1] for line in capsys.readouterr().out.splitlines()] == ["reading", "writing"]
