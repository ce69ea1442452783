from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from battery_pilot.errors import InputError
from battery_pilot.figures.spectrum_view import power_of_ten, quantity, save_spectrum


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123456, "Ω", "12.3 mΩ"),
        (1e-3, "Ω", "1 mΩ"),
        (10.0**-2, "Hz", "10 mHz"),
        (10.0**4, "Hz", "10 kHz"),
        (-2.5e6, "Ω", "-2.5 MΩ"),
        (4e-7, "s", "400 ns"),
        (0.0, "Ω", "0 nΩ"),
    ],
)
def test_a_quantity_has_a_prefix_that_leaves_a_handy_number(value, unit, text):
    assert quantity(value, unit) == text


@pytest.mark.parametrize(("value", "text"), [(0.01, "10⁻²"), (1, "10⁰"), (1e12, "10¹²")])
def test_a_power_of_ten_needs_no_markup(value, text):
    assert power_of_ten(value) == text


def test_the_impedance_is_shown_in_a_unit_of_its_size(view):
    assert view.unit == (1e-3, "mΩ")
    assert replace(view, impedance_ohm=1e8 * view.impedance_ohm).unit == (1e6, "MΩ")


def test_residuals_are_relative_to_the_measured_modulus(view):
    assert np.abs(view.residual_percent) == pytest.approx(np.full(view.frequency_hertz.size, 1.0))
    assert replace(view, fitted_ohm=None).residual_percent.size == 0


def test_every_decade_that_was_measured_is_marked(view):
    marked = view.decades
    assert [label for _, label in marked] == ["10 mHz", "100 mHz", "1 Hz", "10 Hz", "100 Hz", "1 kHz", "10 kHz"]
    for index, label in marked:
        assert label == quantity(10 ** round(np.log10(view.frequency_hertz[index])), "Hz")


def test_decades_whose_labels_would_cover_each_other_are_marked_once(view):
    arc = 0.02 + 0.03 / (1 + 2j * np.pi * view.frequency_hertz * 0.01)
    labels = [label for _, label in replace(view, impedance_ohm=arc).decades]
    assert labels == ["10 mHz", "1 Hz", "10 Hz", "100 Hz", "1 kHz"]


def test_a_decade_without_a_point_near_it_is_not_marked(view):
    few = [0, 3, 20]
    sparse = replace(view, frequency_hertz=view.frequency_hertz[few], impedance_ohm=view.impedance_ohm[few])
    assert [label for _, label in sparse.decades] == ["10 kHz"]


@pytest.mark.parametrize("name", ["a.gif", "a", ".png"])
def test_an_ending_that_is_no_kind_of_figure_is_refused(view, tmp_path, name):
    with pytest.raises(InputError, match=r"end the name in \.html, \.png, \.svg, \.pdf"):
        save_spectrum(view, tmp_path / name)


@pytest.mark.parametrize("name", ["a.html", "a.svg"])
def test_a_place_that_cannot_be_written_is_named(view, name):
    with pytest.raises(InputError, match=f"/nowhere/{name}: cannot be written"):
        save_spectrum(view, Path("/nowhere") / name)


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.html", b"<!doctype html>"), ("a.PNG", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")],
)
def test_the_ending_chooses_the_kind(view, tmp_path, name, start):
    save_spectrum(view, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize("kind", ["html", "svg"])
def test_the_same_view_gives_the_same_bytes(view, tmp_path, kind):
    for name in ("once", "again"):
        save_spectrum(view, tmp_path / f"{name}.{kind}")
    assert (tmp_path / f"once.{kind}").read_bytes() == (tmp_path / f"again.{kind}").read_bytes()
