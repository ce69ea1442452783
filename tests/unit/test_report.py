from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from battery_pilot.report import write_report

if TYPE_CHECKING:
    from pathlib import Path

TIMES = pd.to_datetime(["2026-01-31", "2026-02-28"], utc=True)
CONDITIONS = pd.DataFrame(
    [
        (battery, time, capacity, 5.0, 20.0 * capacity, cycles)
        for battery, first in (("BP-1", 5.0), ("BP-2", 4.8), ("BP-3", 4.9))
        for time, capacity, cycles in zip(TIMES, (first, first - 0.1), (20.0, 40.0), strict=True)
    ],
    columns=[
        "battery_id",
        "as_of",
        "remaining_capacity_ah",
        "rated_capacity_ah",
        "state_of_health_percent",
        "full_equivalent_cycles",
    ],
)
SPECTRA = pd.DataFrame(
    [
        ("BP-1", time, frequency, factor * real, imaginary)
        for time, factor in zip(TIMES, (1.0, 1.2), strict=True)
        for frequency, real, imaginary in ((1000.0, 0.02, 0.001), (1.0, 0.03, -0.005), (0.1, 0.04, -0.002))
    ],
    columns=["battery_id", "measured_at", "frequency_hertz", "real_impedance_ohm", "imaginary_impedance_ohm"],
)
PREDICTIONS = pd.DataFrame(
    [("BP-2", pd.Timestamp("2026-03-31", tz="UTC"), 92.0, 91.0, 93.5)],
    columns=["battery_id", "for_time", "value", "lower", "upper"],
)
DEMANDS = pd.DataFrame(
    [
        ("lmt", "remaining_capacity_ah", "mandatory", "6.7.2.3", 3, 3, ""),
        ("lmt", "self_discharge_increase_percent", "mandatory", "6.7.4.8", 1, 3, "no storage <yet>"),
    ],
    columns=["category", "metric", "demand", "clause", "stated", "batteries", "reason"],
)
SUMMARY: dict[str, Any] = {
    "files_read": 12345,
    "files_rejected": [{"file": "landing/a.csv", "reason": "line 3: truncated"}],
    "batteries": 3,
    "predictions": {"count": 1, "mae": 0.2, "baseline_mae": 0.8},
    "stages": {"parse": 10.0, "build": 2.5},
    "wall_seconds": 83.4,
}
FILLED: dict[str, Any] = {
    "title": "Fleet",
    "conditions": CONDITIONS,
    "spectra": SPECTRA,
    "predictions": PREDICTIONS,
    "demands": DEMANDS,
    "summary": SUMMARY,
}
EMPTY: dict[str, Any] = {
    "title": "Fleet",
    "conditions": CONDITIONS.head(0),
    "spectra": SPECTRA.head(0),
    "predictions": PREDICTIONS.head(0),
    "demands": DEMANDS.head(0),
    "summary": {},
}


class Page(HTMLParser):
    """A page's ids, tags and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(path: Path, **changes: Any) -> str:
    write_report(path, **FILLED | changes)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(tmp_path_factory.mktemp("report") / "new" / "report.html")


def test_the_page_tells_what_must_be_stated_and_is_not(text: str) -> None:
    assert "self_discharge_increase_percent" in text
    assert "1 of 3" in text
    assert "no storage &lt;yet&gt;" in text


def test_the_page_loads_nothing_and_runs_nothing(text: str) -> None:
    addresses = set(re.findall(r'(?:https?:)?//[^\s"\'<>]+', text))
    assert {address for address in addresses if "www.w3.org" not in address} == set()
    assert "<script" not in text
    assert "@import" not in text


def test_every_tag_is_closed_and_every_id_is_unique(text: str) -> None:
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))


def test_references_inside_a_figure_point_to_ids_of_the_page(text: str) -> None:
    references = set(re.findall(r'(?:href="|url\()#([^")]+)', text))
    assert references
    assert references <= set(Page(text).ids)


def test_the_same_arguments_give_the_same_bytes(text: str, tmp_path: Path) -> None:
    assert report(tmp_path / "again.html") == text


def test_four_figures_have_a_title_for_screen_readers_and_a_caption(text: str) -> None:
    assert Page(text).tags.count("figure") == 4
    titles = re.findall(r'<svg role="img"[^>]*><title>([^<]+)</title>', text)
    captions = re.findall(r"<figcaption>([^<]+)</figcaption>", text)
    assert [title.endswith(caption) for title, caption in zip(titles, captions, strict=True)] == [True] * 4


def test_figures_take_their_colours_from_the_page_in_light_and_dark(text: str) -> None:
    assert re.findall(r"#[0-9a-f]{6}\b", text[text.index("<body") :]) == []
    used = set(re.findall(r"var\((--\w+)\)", text))
    light, dark = text.split("@media (prefers-color-scheme:dark)")
    assert all(f"{name}:#" in light and f"{name}:#" in dark for name in used)


def test_numbers_stages_and_rejects_are_shown(text: str) -> None:
    assert "<strong>12\u202f345</strong> files read" in text
    assert "<strong>1</strong> files set aside" in text
    assert "<strong>1 min 23 s</strong> from start to end" in text
    assert '<th scope="row">parse</th><td class="number">10.0 s</td>' in text
    assert '<th scope="row">landing/a.csv</th><td>line 3: truncated</td>' in text


def test_the_forecast_is_compared_with_the_last_value(text: str) -> None:
    assert "errs 75 % less than the assumption that the last measured value stays" in text


def test_a_forecast_that_does_not_help_is_said_to_be_no_better(tmp_path: Path) -> None:
    worse = SUMMARY | {"predictions": {"count": 1, "mae": 0.9, "baseline_mae": 0.8}}
    assert "The forecast is no better than the assumption" in report(tmp_path / "r.html", summary=worse)


def test_what_is_absent_is_said_to_be_absent(tmp_path: Path) -> None:
    page = report(tmp_path / "r.html", **EMPTY)
    assert page.count("No data for this figure in this run.") == 4
    assert "No battery condition was recorded." in page
    assert "No counts were recorded." in page
    assert "No stage times were recorded." in page
    assert "<svg" not in page


def test_tables_without_any_column_are_absent_too(tmp_path: Path) -> None:
    nothing = pd.DataFrame()
    page = report(tmp_path / "r.html", conditions=nothing, spectra=nothing, predictions=nothing)
    assert page.count("No data for this figure in this run.") == 3


def test_missing_counts_are_left_out_and_not_shown_as_zero(tmp_path: Path) -> None:
    page = report(tmp_path / "r.html", summary={"batteries": 3, "agreements": None})
    assert "batteries" in page
    assert "contracts agreed" not in page
    assert "files read" not in page


def test_a_run_without_rejects_says_so(tmp_path: Path) -> None:
    assert "None: every file was read." in report(tmp_path / "r.html", summary=SUMMARY | {"files_rejected": []})


def test_long_lists_of_rejects_are_cut_with_their_count(tmp_path: Path) -> None:
    rejects = [{"file": f"{n}.csv", "reason": "empty"} for n in range(60)]
    page = report(tmp_path / "r.html", summary=SUMMARY | {"files_rejected": rejects})
    assert "… and 10 more." in page
    assert "49.csv" in page
    assert "50.csv" not in page


@pytest.mark.parametrize("hostile", ["<script>x</script>", "--><script>x</script>", "$x$ & \"y\" 'z'"])
def test_text_from_outside_stays_text(tmp_path: Path, hostile: str) -> None:
    page = report(
        tmp_path / "r.html",
        title=hostile,
        conditions=CONDITIONS.replace("BP-1", hostile),
        spectra=SPECTRA.replace("BP-1", hostile),
        predictions=PREDICTIONS.replace("BP-2", hostile),
        summary=SUMMARY | {"stages": {hostile: 1.0}, "files_rejected": [{"file": hostile, "reason": hostile}]},
    )
    assert "<script" not in page
    assert Page(page).open == []


def test_values_that_could_not_be_measured_leave_the_figure_without_them(tmp_path: Path) -> None:
    unmeasured = CONDITIONS.assign(remaining_capacity_ah=float("nan"), state_of_health_percent=float("nan"))
    page = report(tmp_path / "r.html", conditions=unmeasured)
    assert Page(page).tags.count("svg") == 4
