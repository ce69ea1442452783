"""The figures of a report as pieces of HTML: drawn by matplotlib, coloured by the page."""

# ruff: noqa: TID253 -- draws with matplotlib; nothing that Airflow parses imports this module at its top.
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours are written into the figures as these values and then replaced by style variables, so that the figures
# follow the page into the dark. The hues are those of Okabe and Ito, which colour-blind readers can tell apart.
INK, FAINT, GRID = "#1b2733", "#8a96a3", "#dde3e9"
HUES = ("#0072b2", "#d55e00", "#009e73", "#b0569b", "#b07d00", "#3d9bd1")
_VARIABLES = {INK: "--ink", FAINT: "--faint", GRID: "--line"} | {hue: f"--hue{n}" for n, hue in enumerate(HUES)}

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "path",
    # A battery id may hold dollar signs.
    "text.parse_math": False,
    "date.converter": "concise",
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), FAINT),
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
}

MOST_LINES = 300
MOST_HIGHLIGHTS = 3
MOST_FORECASTS = 6
MOST_SPECTRA = 4

_Draw = Callable[[Figure, pd.DataFrame], None]


def draw_figures(
    conditions: pd.DataFrame, spectra: pd.DataFrame, predictions: pd.DataFrame, forecasts: Mapping[str, Any]
) -> list[str]:
    """Return the four figures of a report as HTML; one without data says so.

    Their colours are the style variables ``--ink``, ``--faint``, ``--line`` and ``--hue0`` to ``--hue5`` of the page.

    :param conditions: see :func:`battery_pilot.report.write_report`, like the other tables.
    :param forecasts: ``count``, ``mae`` and ``baseline_mae``, as far as they are known.
    """
    hues = _hues(conditions, spectra, predictions)
    health = _draw_health(predictions, hues)
    return [
        _figure("fade", "Capacity over use", conditions, _draw_fade(hues), _fade_caption),
        _figure("health", "State of health and forecast", conditions, health, _health_caption),
        _figure("impedance", "Impedance, first and newest", spectra, _draw_spectra(hues), _spectra_caption),
        _figure("accuracy", "Is the forecast worth it?", _errors(forecasts), _draw_errors, _errors_caption),
    ]


def _figure(
    name: str,
    heading: str,
    data: pd.DataFrame,
    draw: _Draw,
    caption: Callable[[pd.DataFrame], str],
) -> str:
    """Return a figure with heading and caption, or a sentence instead when there is nothing to draw."""
    if data.empty:
        return f'<figure class="{name}"><h2>{heading}</h2><p>No data for this figure in this run.</p></figure>'
    return figure_html(name, heading, caption(data), lambda figure: draw(figure, data))


def figure_html(name: str, heading: str, caption: str, draw: Callable[[Figure], None]) -> str:
    """Return a figure as HTML whose colours are the style variables of the page.

    :param name: class of the element and prefix of the ids in it; one of its own for each figure of a page.
    :param heading: plain text without markup.
    :param caption: plain text, which is read to those who do not see the figure too.
    :param draw: draws in :data:`INK`, :data:`FAINT`, :data:`GRID` and :data:`HUES`.
    """
    with mpl.rc_context(SETTINGS | {"svg.hashsalt": name}):
        figure = Figure(layout="constrained")
        draw(figure)
        text = StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    words = escape(caption)
    image = _inline(text.getvalue(), name, f"{heading}. {words}")
    return f'<figure class="{name}"><h2>{heading}</h2>{image}<figcaption>{words}</figcaption></figure>'


def _inline(svg: str, name: str, description: str) -> str:
    """Make a stand-alone SVG part of the page: unique ids, the page's width and colours, a title for screen readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r'<svg role="img" \1', svg, count=1)
    svg = re.sub(r'height="[^"]*"', "", svg, count=1)
    svg = re.sub(r"(<svg[^>]*>)", lambda tag: f"{tag[1]}<title>{description}</title>", svg, count=1)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return re.sub(r"\n\s*", "\n", svg)


def _hues(conditions: pd.DataFrame, spectra: pd.DataFrame, predictions: pd.DataFrame) -> dict[Any, str]:
    """Give the batteries that stand out one colour for all figures: the weakest, then the most changed."""
    weakest = _weakest(predictions, "value") if len(predictions) else _weakest(conditions, "state_of_health_percent")
    chosen = dict.fromkeys([*weakest[:MOST_FORECASTS], *_most_changed(spectra)])
    return {battery: HUES[number % len(HUES)] for number, battery in enumerate(chosen)}


def _draw_fade(hues: Mapping[Any, str]) -> _Draw:
    def draw(figure: Figure, conditions: pd.DataFrame) -> None:
        figure.set_size_inches(6.4, 4.2)
        axes = figure.subplots()
        table = conditions.assign(
            percent=100.0 * conditions["remaining_capacity_ah"] / conditions["rated_capacity_ah"]
        )
        weakest = _weakest(table, "percent")[:MOST_HIGHLIGHTS]
        chosen = {battery: hues.get(battery, INK) for battery in weakest}
        _draw_fleet(axes, table, "full_equivalent_cycles", "percent", chosen)
        axes.set(xlabel="Full equivalent cycles", ylabel="Remaining capacity (% of rated)")

    return draw


def _fade_caption(conditions: pd.DataFrame) -> str:
    count = conditions["battery_id"].nunique()
    return (
        f"Remaining capacity of {_batteries(count)} in percent of the rated capacity over full equivalent cycles. "
        f"Coloured: the batteries with the least capacity left.{_sampling(count)}"
    )


def _draw_health(predictions: pd.DataFrame, hues: Mapping[Any, str]) -> _Draw:
    def draw(figure: Figure, conditions: pd.DataFrame) -> None:
        figure.set_size_inches(6.4, 4.2)
        axes = figure.subplots()
        table = conditions.assign(as_of=utc(conditions["as_of"]))
        source, column = (predictions, "value") if len(predictions) else (table, "state_of_health_percent")
        weakest = _weakest(source, column)[: MOST_FORECASTS if len(predictions) else MOST_HIGHLIGHTS]
        chosen = {battery: hues.get(battery, INK) for battery in weakest}
        _draw_fleet(axes, table, "as_of", "state_of_health_percent", chosen)
        for battery, hue in chosen.items() if len(predictions) else ():
            _draw_forecast(axes, table[table["battery_id"] == battery], predictions, battery, hue)
        axes.set(ylabel="State of health (%)")

    return draw


def _draw_forecast(axes: Axes, own: pd.DataFrame, predictions: pd.DataFrame, battery: Any, hue: str) -> None:
    """Draw the expected values with their intervals, joined to the last measured value by a dashed line."""
    ahead = predictions[predictions["battery_id"] == battery]
    ahead = ahead.assign(for_time=utc(ahead["for_time"])).sort_values("for_time")
    measured = own.dropna(subset=["state_of_health_percent"]).sort_values("as_of").tail(1)
    times = np.concatenate([measured["as_of"].to_numpy(), ahead["for_time"].to_numpy()])
    values = np.concatenate([measured["state_of_health_percent"].to_numpy(), ahead["value"].to_numpy()])
    axes.plot(times, values, color=hue, lw=1.2, ls="--")
    errors = np.abs(ahead[["lower", "upper"]].to_numpy().T - ahead["value"].to_numpy())
    style: dict[str, Any] = {"fmt": "D", "ms": 4.5, "capsize": 3.0, "lw": 1.2, "color": hue}
    axes.errorbar(ahead["for_time"].to_numpy(), ahead["value"].to_numpy(), yerr=errors, **style)


def _health_caption(conditions: pd.DataFrame) -> str:
    count = conditions["battery_id"].nunique()
    return (
        f"Measured state of health of {_batteries(count)} (dots) and, where a forecast was made, what is expected "
        f"next (diamonds) with the 90 % interval. Coloured: the weakest batteries.{_sampling(count)}"
    )


def _draw_fleet(axes: Axes, table: pd.DataFrame, x: str, y: str, highlighted: Mapping[Any, str]) -> None:
    """Draw each battery as a faint line and the highlighted ones in colour, with their ids in a legend."""
    table = table.dropna(subset=[x, y]).sort_values(["battery_id", x])
    lines = dict(list(table.groupby("battery_id", sort=True)))
    chosen = list(lines)[:: max(1, -(-len(lines) // MOST_LINES))]
    for battery in chosen:
        if battery not in highlighted:
            axes.plot(lines[battery][x], lines[battery][y], color=FAINT, lw=0.8, alpha=0.45)
    for battery, hue in highlighted.items():
        if battery in lines:
            axes.plot(lines[battery][x], lines[battery][y], color=hue, lw=1.8, marker="o", ms=3.5, label=str(battery))
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="lower left", frameon=False, fontsize=9)


def _draw_spectra(hues: Mapping[Any, str]) -> _Draw:
    def draw(figure: Figure, spectra: pd.DataFrame) -> None:
        batteries = _most_changed(spectra)
        figure.set_size_inches(3.2 * len(batteries), 2.6)
        for axes, battery in zip(np.ravel(figure.subplots(1, len(batteries))), batteries, strict=True):
            own = spectra[spectra["battery_id"] == battery].sort_values("frequency_hertz")
            _draw_nyquist(axes, own, hues.get(battery, INK))
            axes.set_title(str(battery), fontsize=10, loc="left")

    return draw


def _draw_nyquist(axes: Axes, own: pd.DataFrame, hue: str) -> None:
    """Draw the first and the newest spectrum of one battery with equal scales."""
    scale, unit = (1.0, "Ω") if own["real_impedance_ohm"].max() >= 1.0 else (1000.0, "mΩ")
    own = own.assign(real=scale * own["real_impedance_ohm"], imaginary=-scale * own["imaginary_impedance_ohm"])
    times = sorted(own["measured_at"].unique())
    styles: dict[Any, dict[str, Any]] = {times[0]: {"color": FAINT, "mfc": "none"}, times[-1]: {"color": hue}}
    for time, style in styles.items():
        points = own[own["measured_at"] == time]
        label = f"{pd.Timestamp(time):%d %b %Y}"
        axes.plot(points["real"], points["imaginary"], marker="o", ms=3, lw=1.0, label=label, **style)
    # Room above the curves for the legend.
    axes.set_ylim(top=own["imaginary"].max() + 0.3 * (own["real"].max() - own["real"].min()))
    axes.set_aspect("equal", adjustable="box")
    axes.set(xlabel=f"Re Z ({unit})", ylabel=f"−Im Z ({unit})")
    axes.legend(loc="upper left", frameon=False, fontsize=8)


def _most_changed(spectra: pd.DataFrame) -> list[Any]:
    """Return the batteries whose real impedance at the lowest frequency grew most, relative to their first spectrum."""
    if spectra.empty:
        return []
    lowest = spectra.sort_values(["measured_at", "frequency_hertz"]).drop_duplicates(["battery_id", "measured_at"])
    ends = lowest.groupby("battery_id")["real_impedance_ohm"].agg(["first", "last"])
    growth = (ends["last"] / ends["first"]).sort_values(ascending=False, kind="stable")
    return list(growth.index[:MOST_SPECTRA])


def _spectra_caption(spectra: pd.DataFrame) -> str:
    count = spectra["battery_id"].nunique()
    which = (
        "of all batteries" if count <= MOST_SPECTRA else f"of the {MOST_SPECTRA} most changed of {count} batteries"
    )
    return f"First (grey) and newest (coloured) impedance spectrum {which}; equal scales on both axes."


def _errors(forecasts: Mapping[str, Any]) -> pd.DataFrame:
    """Return the mean absolute errors of model and baseline; empty unless both are known."""
    errors = [forecasts.get("mae"), forecasts.get("baseline_mae")]
    if None in errors:
        return pd.DataFrame()
    return pd.DataFrame({"name": ["Forecast", "Last value"], "error": errors, "count": forecasts.get("count", 0)})


def _draw_errors(figure: Figure, errors: pd.DataFrame) -> None:
    figure.set_size_inches(6.4, 2.4)
    axes = figure.subplots()
    bars = axes.barh(errors["name"], errors["error"], color=[HUES[0], FAINT], height=0.6)
    axes.bar_label(bars, fmt="%.2f", padding=4)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.margins(x=0.12)
    axes.set(xlabel="Mean absolute error (percentage points of state of health)")


def _errors_caption(errors: pd.DataFrame) -> str:
    model, baseline = errors["error"]
    verdict = "is no better than"
    if model < baseline:
        verdict = f"errs {100.0 * (1.0 - model / baseline):.0f} % less than"
    return (
        f"The forecast {verdict} the assumption that the last measured value stays, on data kept out of the training. "
        f"{errors['count'].iloc[0]} forecasts were made in this run."
    )


def _weakest(table: pd.DataFrame, column: str) -> list[Any]:
    """Return the batteries by their newest value, the smallest first."""
    if table.empty:
        return []
    time = "as_of" if "as_of" in table else "for_time"
    newest = table.dropna(subset=[column]).sort_values(time, kind="stable").drop_duplicates("battery_id", keep="last")
    return list(newest.sort_values([column, "battery_id"])["battery_id"])


def _batteries(count: int) -> str:
    return "one battery" if count == 1 else f"{count} batteries"


def _sampling(count: int) -> str:
    step = max(1, -(-count // MOST_LINES))
    return f" One battery in {step} is drawn." if step > 1 else ""


def utc(times: pd.Series[Any]) -> pd.Series[Any]:
    """Return times in UTC without a zone, as figures need them."""
    return pd.to_datetime(times, utc=True).dt.tz_localize(None)
