"""A battery's state of health over time as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path


def draw(target: Path, battery_id: str, points: Sequence[tuple[datetime, float | None]]) -> None:
    """Write the figure.

    :param target: ends with ``.svg`` or ``.png``.
    :param battery_id: stands above the figure.
    :param points: time and state of health in percent; points without one are left out.
    :raises InputError: another ending, or no point has a state of health.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    if target.suffix not in {".svg", ".png"}:
        raise InputError(f"{target}: the figure is written as .svg or .png")
    known = [(when, percent) for when, percent in points if percent is not None]
    if not known:
        raise InputError(f"battery {battery_id}: no version states a remaining and a rated capacity")
    # The same history gives the same bytes, and a name is text and no formula.
    with mpl.rc_context({"svg.hashsalt": "battery-pilot", "text.parse_math": False}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        times, percents = zip(*known, strict=True)
        axes.plot(times, percents, marker="o", markersize=4)
        axes.set(title=f"Battery {battery_id}", xlabel="as of", ylabel="state of health, %")
        axes.grid(visible=True, alpha=0.3)
        figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else {"Software": None})
