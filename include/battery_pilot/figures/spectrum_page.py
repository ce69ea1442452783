"""The page of an impedance spectrum: one HTML file that shows values under the mouse and zooms, without a network."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.figures.spectrum_view import prefix_of, quantity

if TYPE_CHECKING:
    from collections.abc import Callable

    from battery_pilot.electrochemistry.impedance.drt import RelaxationTimes
    from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats
    from battery_pilot.figures.spectrum_view import SpectrumView

_FREQUENCY = {"label": "Frequency (Hz)", "log": True}


def spectrum_page(view: SpectrumView) -> str:
    """Return the page; the same view gives the same text.

    The script in ``spectrum_page.html`` draws the panels from JSON: ``title``, ``x`` and ``y`` (``label``, ``log``),
    ``equal`` (one scale for both axes), ``series`` (``x``, ``y``, ``texts``, ``hue``, ``line``, ``dots``, ``linked``:
    the same number is the same frequency in each linked series), ``marks`` (``x``, ``y``, ``text``) and ``shades``
    (pairs of x).
    """
    template = (files("battery_pilot.figures") / "spectrum_page.html").read_text(encoding="utf-8")
    content = {
        "TITLE": escape(view.title),
        "NOTES": "".join(f"<p>{escape(note)}</p>" for note in view.notes),
        "PANELS": _script_json(_panels(view)),
    }
    head, *parts = template.split("@@")
    # Text between two marks is the name of a place; what is put there is never searched again.
    return head + "".join(content[part] if number % 2 == 0 else part for number, part in enumerate(parts))


def _script_json(value: object) -> str:
    """Return JSON that cannot end the script element which holds it."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _panels(view: SpectrumView) -> list[dict[str, Any]]:
    texts = [
        f"{quantity(frequency, 'Hz')}\nRe {quantity(z.real, 'Ω', 4)}, Im {quantity(z.imag, 'Ω', 4)}\n"
        f"|Z| {quantity(abs(z), 'Ω', 4)}, phase {np.angle(z, deg=True):.1f}°"
        for frequency, z in zip(view.frequency_hertz.tolist(), view.impedance_ohm.tolist(), strict=True)
    ]
    panels = [_nyquist(view, texts), _bode_modulus(view, texts), _bode_phase(view, texts)]
    if view.fitted_ohm is not None:
        panels.append(_residuals(view, texts))
    if view.distribution is not None:
        panels.append(_relaxation(view.distribution))
    return panels


def _nyquist(view: SpectrumView, texts: list[str]) -> dict[str, Any]:
    size, unit = view.unit
    measured = view.impedance_ohm / size
    places = [(complex(measured[index]), label) for index, label in view.decades]
    return {
        "title": "Nyquist",
        "x": {"label": f"Re Z ({unit})"},
        "y": {"label": f"−Im Z ({unit})"},
        "equal": True,
        "series": _curves(view, lambda z: z.real / size, lambda z: -z.imag / size, texts),
        "marks": [{"x": z.real, "y": -z.imag, "text": label} for z, label in places],
    }


def _bode_modulus(view: SpectrumView, texts: list[str]) -> dict[str, Any]:
    size, unit = view.unit
    modulus = np.abs(view.impedance_ohm)
    return {
        "title": "Bode, modulus",
        "x": _FREQUENCY,
        "y": {"label": f"|Z| ({unit})", "log": bool(modulus.max() > 10 * modulus.min())},
        "series": _curves(view, lambda z: view.frequency_hertz, lambda z: np.abs(z) / size, texts),
    }


def _bode_phase(view: SpectrumView, texts: list[str]) -> dict[str, Any]:
    return {
        "title": "Bode, phase",
        "x": _FREQUENCY,
        "y": {"label": "−phase (°)"},
        "series": _curves(view, lambda z: view.frequency_hertz, lambda z: -np.angle(z, deg=True), texts),
    }


def _curves(
    view: SpectrumView, x: Callable[[Complexes], Floats], y: Callable[[Complexes], Floats], texts: list[str]
) -> list[dict[str, Any]]:
    """Return the measured points and, if there is a fit, its line."""
    measured, fitted = view.impedance_ohm, view.fitted_ohm
    points = {"name": "measured", "hue": 0, "dots": True, "linked": True, "texts": texts}
    curves = [{"x": _numbers(x(measured)), "y": _numbers(y(measured)), **points}]
    if fitted is not None:
        line = {"name": f"fit {view.circuit}", "hue": 1, "line": True}
        curves.append({"x": _numbers(x(fitted)), "y": _numbers(y(fitted)), **line})
    return curves


def _residuals(view: SpectrumView, texts: list[str]) -> dict[str, Any]:
    residual = view.residual_percent
    series = [
        {
            "x": _numbers(view.frequency_hertz),
            "y": _numbers(part),
            "name": name,
            "texts": [f"{text}\n{name} off by {value:.2f} %" for text, value in zip(texts, part, strict=True)],
            "hue": hue,
            "line": True,
            "dots": True,
            "linked": True,
        }
        for name, part, hue in (("Re", residual.real, 0), ("Im", residual.imag, 1))
    ]
    return {
        "title": "Residuals of the fit",
        "x": _FREQUENCY,
        "y": {"label": "(Z − fit) / |Z| (%)"},
        "series": series,
    }


def _relaxation(distribution: RelaxationTimes) -> dict[str, Any]:
    tau, gamma = distribution.time_constant_second, distribution.gamma_ohm
    size, prefix = prefix_of(float(gamma.max()))
    measured = 1 / (2 * np.pi * distribution.frequency_hertz)
    texts = [
        f"τ {quantity(t, 's')} ({quantity(1 / (2 * np.pi * t), 'Hz')})\nγ {quantity(g, 'Ω')} per ln τ"
        for t, g in zip(tau.tolist(), gamma.tolist(), strict=True)
    ]
    marks = [
        {
            "x": peak.time_constant_second,
            "y": float(np.interp(np.log(peak.time_constant_second), np.log(tau), gamma)) / size,
            "text": f"{quantity(peak.resistance_ohm, 'Ω')}, {quantity(peak.time_constant_second, 's')}",
        }
        for peak in distribution.peaks
    ]
    curve = {"x": _numbers(tau), "y": _numbers(gamma / size), "name": "γ", "texts": texts, "hue": 0, "line": True}
    return {
        "title": "Relaxation times",
        "x": {"label": "τ (s); grey: not measured", "log": True},
        "y": {"label": f"γ ({prefix}Ω per ln τ)"},
        "series": [curve],
        "marks": marks,
        "shades": [[float(tau[0]), float(measured[0])], [float(measured[-1]), float(tau[-1])]],
    }


def _numbers(values: Floats) -> list[float]:
    """Return values for JSON with as many digits as a screen shows."""
    return [float(f"{value:.6g}") for value in values.tolist()]
