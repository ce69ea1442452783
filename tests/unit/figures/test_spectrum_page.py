from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from battery_pilot.figures.spectrum_page import spectrum_page


class Page(HTMLParser):
    """Elements with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.open = tag
        self.texts.setdefault(tag, []).append("")

    def handle_data(self, data):
        if self.open:
            self.texts[self.open][-1] += data

    def handle_endtag(self, tag):
        self.open = ""


def panels(view):
    return {panel["title"]: panel for panel in json.loads(Page(spectrum_page(view)).texts["script"][0])}


def test_all_that_the_view_holds_has_a_panel(view):
    assert list(panels(view)) == [
        "Nyquist",
        "Bode, modulus",
        "Bode, phase",
        "Residuals of the fit",
        "Relaxation times",
    ]
    bare = replace(view, fitted_ohm=None, distribution=None)
    assert list(panels(bare)) == ["Nyquist", "Bode, modulus", "Bode, phase"]


def test_the_points_are_those_of_the_spectrum(view):
    nyquist = panels(view)["Nyquist"]
    assert nyquist["equal"] is True
    measured, fitted = nyquist["series"]
    assert measured["x"] == pytest.approx(1e3 * view.impedance_ohm.real, rel=1e-5)
    assert measured["y"] == pytest.approx(-1e3 * view.impedance_ohm.imag, rel=1e-5)
    assert fitted["x"] == pytest.approx(0.99e3 * view.impedance_ohm.real, rel=1e-5)
    assert [mark["text"] for mark in nyquist["marks"]] == [label for _, label in view.decades]


def test_the_same_number_is_the_same_frequency_in_each_linked_series(view):
    for panel in panels(view).values():
        for series in panel["series"]:
            if series.get("linked"):
                assert [text.split("\n")[0] for text in series["texts"]] == [
                    text.split("\n")[0] for text in panels(view)["Nyquist"]["series"][0]["texts"]
                ]


def test_a_point_tells_its_frequency_and_impedance(view):
    text = panels(view)["Nyquist"]["series"][0]["texts"][0]
    first = view.impedance_ohm[0]
    assert text.startswith(f"10 kHz\nRe {1e3 * first.real:.4g} mΩ, Im {1e6 * first.imag:.4g} µΩ\n|Z| ")


def test_axes_have_units(view):
    labels = {name: (panel["x"]["label"], panel["y"]["label"]) for name, panel in panels(view).items()}
    assert labels["Nyquist"] == ("Re Z (mΩ)", "−Im Z (mΩ)")
    assert labels["Bode, modulus"] == ("Frequency (Hz)", "|Z| (mΩ)")
    assert labels["Bode, phase"] == ("Frequency (Hz)", "−phase (°)")
    assert labels["Relaxation times"][1] == "γ (mΩ per ln τ)"


def test_peaks_of_the_relaxation_times_are_marked_on_the_curve(view):
    panel = panels(view)["Relaxation times"]
    (curve,) = panel["series"]
    for mark, peak in zip(panel["marks"], view.distribution.peaks, strict=True):
        assert mark["x"] == peak.time_constant_second
        assert mark["y"] == pytest.approx(np.interp(np.log(mark["x"]), np.log(curve["x"]), curve["y"]), rel=1e-3)
        assert mark["text"].startswith(f"{1e3 * peak.resistance_ohm:.3g} mΩ, ")


def test_text_from_files_is_shown_and_never_run(view):
    hostile = "</script><img src=x onerror=alert(1)> @@PANELS@@"
    page = Page(spectrum_page(replace(view, title=hostile, circuit=hostile, notes=(hostile,))))
    assert page.texts["h1"] == [hostile]
    assert page.texts["title"] == [hostile]
    assert hostile in page.texts["p"]
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert "img" not in {tag for tag, _ in page.elements}
    names = [series["name"] for panel in json.loads(page.texts["script"][0]) for series in panel["series"]]
    assert f"fit {hostile}" in names


def test_the_page_needs_no_network(view):
    text = spectrum_page(view)
    page = Page(text)
    assert not {"link", "img", "iframe", "base"} & {tag for tag, _ in page.elements}
    assert not [attributes for _, attributes in page.elements if {"src", "href"} & set(attributes)]
    policy = next(attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'")
    # The name of SVG's vocabulary is no address that is fetched.
    assert set(re.findall(r"https?://[\w./]+", text)) == {"http://www.w3.org/2000/svg"}
    assert len(text) < 100_000


def test_no_place_of_the_template_is_left_open(view):
    assert "@@" not in spectrum_page(view)


@pytest.mark.parametrize("impedance", [0.02 + 0j, 1e9 - 1e-3j])
def test_a_flat_spectrum_is_drawn(view, impedance):
    flat = np.full(view.frequency_hertz.size, impedance)
    assert panels(replace(view, impedance_ohm=flat, fitted_ohm=flat))["Nyquist"]["series"]
