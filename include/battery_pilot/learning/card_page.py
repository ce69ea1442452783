"""The model card as one HTML file: parity plot, residuals, coverage of the intervals and what the model looks at."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.report import write_page
from battery_pilot.report_figures import FAINT, HUES, INK, figure_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from battery_pilot.learning.regression import Array

MOST_POINTS = 5000
MOST_FEATURES = 15


@dataclass(frozen=True)
class Predictions:
    """Predictions for batteries that the model had not seen.

    :param battery: id for each row.
    :param truth: what was measured.
    :param predicted: what the model said.
    :param lower: lower end of the prediction interval, not above the prediction.
    :param upper: upper end, not below it.
    :param probability: share that the interval is meant to cover.
    """

    battery: Sequence[str]
    truth: Array
    predicted: Array
    lower: Array
    upper: Array
    probability: float


def write_card(
    path: Path,
    *,
    title: str,
    quantity: str,
    verdict: str,
    tested: Predictions,
    importance: Mapping[str, float],
    importance_means: str,
    facts: Mapping[str, Mapping[str, Any]],
    warnings: Sequence[str] = (),
) -> None:
    """Write the card; the same arguments give the same bytes.

    :param path: the file to write.
    :param title: heading.
    :param quantity: what is predicted, with its unit.
    :param verdict: one sentence: is the model better than its baselines?
    :param tested: rows of the test.
    :param importance: feature to a number of at least about 0.
    :param importance_means: what that number is.
    :param facts: heading to a table of names and values.
    :param warnings: shown before everything else.
    """
    figures = [
        _parity(tested, quantity),
        _residuals(tested, quantity),
        _coverage(tested),
        *([_importance(importance, importance_means)] if importance else []),
    ]
    notes = "".join(f"<li>{escape(one)}</li>" for one in warnings)
    tables = "".join(_table(heading, values) for heading, values in facts.items())
    body = (f"<ul>{notes}</ul>" if notes else "") + f'<div class="parts">{"".join(figures)}{tables}</div>'
    write_page(path, title, f"<p>{escape(verdict)}</p>", body)


def _parity(tested: Predictions, quantity: str) -> str:
    rows = _sample(len(tested.truth))

    def draw(figure: Figure) -> None:
        figure.set_size_inches(5.2, 4.6)
        axes = figure.subplots()
        truth, predicted = tested.truth[rows], tested.predicted[rows]
        ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
        axes.plot(ends, ends, color=FAINT, lw=1)
        axes.vlines(truth, tested.lower[rows], tested.upper[rows], color=HUES[5], alpha=0.25, lw=0.8)
        axes.plot(truth, predicted, ".", color=HUES[0], ms=5)
        axes.set(xlabel=f"Measured: {quantity}", ylabel="Predicted")

    caption = f"Predicted over measured values of {_batteries(tested)}, with intervals. On the line they are equal."
    return figure_html("parity", "Parity", caption + _sampling(tested), draw)


def _residuals(tested: Predictions, quantity: str) -> str:
    error = tested.predicted - tested.truth

    def draw(figure: Figure) -> None:
        figure.set_size_inches(5.2, 4.6)
        axes = figure.subplots()
        axes.hist(error, bins=min(40, max(5, len(error) // 5)), color=HUES[0])
        axes.axvline(0, color=INK, lw=1)
        axes.axvline(float(error.mean()), color=HUES[1], lw=1.5, ls="--")
        axes.set(xlabel=f"Predicted - measured: {quantity}", ylabel="Rows")

    mean, spread = float(error.mean()), float(error.std())
    caption = f"Errors on the test batteries: mean {mean:.4g} (dashed), standard deviation {spread:.4g}."
    return figure_html("residuals", "Residuals", caption, draw)


def _coverage(tested: Predictions) -> str:
    """Draw the coverage for every width of the interval, not only the published one."""
    error = tested.truth - tested.predicted
    reach = np.where(error < 0, tested.lower - tested.predicted, tested.upper - tested.predicted)
    ratio = np.sort(np.where(error == 0, 0, np.abs(error) / np.maximum(np.abs(reach), 1e-300)))
    inside = float(np.mean(ratio <= 1))

    def draw(figure: Figure) -> None:
        figure.set_size_inches(5.2, 4.6)
        axes = figure.subplots()
        axes.step(ratio, np.arange(1, len(ratio) + 1) / len(ratio) * 100, where="post", color=HUES[0])
        axes.axvline(1, color=FAINT, lw=1)
        axes.axhline(100 * tested.probability, color=FAINT, lw=1, ls="--")
        axes.set(
            xlabel="Width, as a multiple of the interval's", ylabel="Truths inside (%)", xlim=(0, 2), ylim=(0, 102)
        )

    caption = (
        f"{100 * inside:.1f} % of the truths lie inside the interval, which is meant to cover "
        f"{100 * tested.probability:.0f} %."
    )
    return figure_html("coverage", "Coverage of the intervals", caption, draw)


def _importance(importance: Mapping[str, float], means: str) -> str:
    top = sorted(importance.items(), key=lambda one: -one[1])[:MOST_FEATURES][::-1]

    def draw(figure: Figure) -> None:
        figure.set_size_inches(6.4, 1.2 + 0.28 * len(top))
        axes = figure.subplots()
        # Numbered, because shortened names may be the same.
        axes.barh(range(len(top)), [value for _, value in top], color=HUES[0])
        axes.set_yticks(range(len(top)), [textwrap.shorten(name.replace("_", " "), 40) for name, _ in top])
        axes.set(xlabel=means)

    caption = f"{means}. The {len(top)} largest of {len(importance)} features."
    return figure_html("importance", "What the model looks at", caption, draw)


def _table(heading: str, values: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(str(name))}</th><td class="number">{escape(_text(value))}</td></tr>'
        for name, value in values.items()
    )
    return f"<section><h2>{escape(heading)}</h2><table><tbody>{rows}</tbody></table></section>"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _batteries(tested: Predictions) -> str:
    count = len(set(tested.battery))
    return "1 battery" if count == 1 else f"{count} batteries"


def _sample(rows: int) -> slice:
    return slice(None, None, max(1, -(-rows // MOST_POINTS)))


def _sampling(tested: Predictions) -> str:
    step = _sample(len(tested.truth)).step
    return "" if step == 1 else f" Every {step}th row is drawn."
