from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from battery_pilot.figures.spectrum_figure import draw_nyquist, draw_spectrum, save_figure


def axes_of(view):
    return {axes.get_ylabel(): axes for axes in draw_spectrum(view).get_axes()}


def test_all_that_the_view_holds_is_drawn_with_units(view):
    axes = axes_of(view)
    assert set(axes) == {"−Im Z (mΩ)", "(Z − fit) / |Z| (%)", "|Z| (mΩ)", "−phase (°)", "γ (mΩ per ln τ)"}
    assert axes["−Im Z (mΩ)"].get_xlabel() == "Re Z (mΩ)"
    assert axes["−phase (°)"].get_xlabel() == "Frequency (Hz)"
    assert axes["γ (mΩ per ln τ)"].get_xlabel().startswith("Relaxation time τ (s)")


def test_what_the_view_does_not_hold_is_not_drawn(view):
    bare = replace(view, fitted_ohm=None, distribution=None, notes=())
    assert set(axes_of(bare)) == {"−Im Z (mΩ)", "|Z| (mΩ)", "−phase (°)"}


def test_nyquist_has_equal_scales_and_capacitive_points_upwards(view):
    axes = Figure().subplots()
    draw_nyquist(axes, view)
    assert axes.get_aspect() == 1
    points = axes.get_lines()[0]
    assert np.asarray(points.get_ydata()) == pytest.approx(-1e3 * view.impedance_ohm.imag)
    assert (np.asarray(points.get_ydata()) > 0).all()


def test_nyquist_names_the_decades(view):
    axes = Figure().subplots()
    draw_nyquist(axes, view)
    assert {"10 mHz", "1 Hz", "10 kHz"} <= {text.get_text() for text in axes.texts}


def test_bode_and_residuals_share_a_logarithmic_frequency(view):
    axes = axes_of(view)
    for label in ("(Z − fit) / |Z| (%)", "|Z| (mΩ)", "−phase (°)"):
        assert axes[label].get_xscale() == "log"
        assert np.asarray(axes[label].get_lines()[0].get_xdata()) == pytest.approx(view.frequency_hertz)


def test_peaks_are_named_with_resistance_and_time_constant(view):
    axes = axes_of(view)["γ (mΩ per ln τ)"]
    resistances = [text.get_text().split("\n")[0] for text in axes.texts]
    assert len(resistances) == len(view.distribution.peaks) == 2
    assert all(text.endswith(" mΩ") for text in resistances)


def test_a_resistor_is_drawn_without_peaks(view):
    from battery_pilot.electrochemistry.impedance.drt import relaxation_times

    impedance = np.full(view.frequency_hertz.size, 0.02 + 0j)
    flat = relaxation_times(view.frequency_hertz, impedance)
    resistor = replace(view, impedance_ohm=impedance, fitted_ohm=impedance, distribution=flat)
    assert draw_spectrum(resistor).get_axes()


def test_names_from_files_are_text_and_never_markup(view, tmp_path):
    save_figure(view, tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert "<script" not in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_drawing_leaves_the_settings_of_matplotlib_alone(view, tmp_path):
    before = dict(mpl.rcParams)
    save_figure(view, tmp_path / "a.png")
    assert dict(mpl.rcParams) == before
