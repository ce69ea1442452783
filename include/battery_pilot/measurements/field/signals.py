"""Choose the signals of a CAN log that tell of the whole battery."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from battery_pilot.measurements.field.beside import MAPPING_FILE
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.text import shown
from battery_pilot.measurements.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.measurements.field.dbc import Signal
    from battery_pilot.measurements.field.mapping import ColumnMapping, Place
    from battery_pilot.measurements.source import Source

_BATTERY = re.compile(r"pack|batt|bms|hv(?!ac|il)|traction|total|^lb_", re.IGNORECASE)
_PART_OR_LIMIT = re.compile(
    r"cell|brick|module|min|max|_mn|_mx|lim|target|req|_rq|cmd|command|set|desired|avail|allow|pred|peak|fault|error"
    r"|isol|charger|chrgr|dcdc|heat|cool|clnt|link|12v|lowvolt|aux|delta|avg|average|end|warn|valid|cont|coil|fuse"
    r"|motor|cabin|duct|blower|cable|asic|fet|debug|dbg|hist|hvac|hvil",
    re.IGNORECASE,
)
_NAMES = {
    "voltage_volt": re.compile(r"volt|vlt|_u(_|$)|^u_", re.IGNORECASE),
    "current_ampere": re.compile(r"current|curr|crnt|amp|_i(_|$)|^i_", re.IGNORECASE),
    "temperature_t1_celsius": re.compile(r"temp|_te?(_|$)", re.IGNORECASE),
    "state_of_charge_percent": re.compile(r"soc|state_?of_?charge", re.IGNORECASE),
}
_SHOWN_CANDIDATES = 8


class Chosen(NamedTuple):
    """A signal and the way from its value to the canonical column: factor first, then offset."""

    signal: Signal
    factor: float
    offset: float


def choose_signals(
    source: Source, mapping: ColumnMapping | None, signals: Mapping[str, Signal], warnings: list[str]
) -> dict[str, Chosen]:
    """Return the signal of each canonical column that a log has.

    :param source: the log, for the error message.
    :param mapping: names the signals; ``None`` leaves it to names and units.
    :param signals: those of the DBC whose messages the log has, by their full names.
    :param warnings: receives a sentence about each guess.
    :raises MeasurementError: for voltage or current without a signal, or with several.
    """
    if mapping is not None:
        named = {
            column: _named(source, place, column, signals)
            for column, place in mapping.places().items()
            if place.signal is not None
        }
        if named.keys() >= set(CYCLING_COLUMNS[1:]):
            return named
        if named:
            raise source.error("signals", f"{MAPPING_FILE} must name the signals of both voltage and current")
    return _guessed(source, signals, warnings)


def _named(source: Source, place: Place, column: str, signals: Mapping[str, Signal]) -> Chosen:
    """Return the signal that a mapping names."""
    wanted = place.signal or ""
    found = [signal for name, signal in signals.items() if wanted in (name, signal.name)]
    if len(found) != 1:
        close = [signal.full_name for signal in found] or get_close_matches(wanted, signals, _SHOWN_CANDIDATES, 0.5)
        what = "several signals are" if found else "no signal of the messages in this log is"
        hint = f"; possible are {', '.join(close)}" if close else "; do DBC and log belong together?"
        raise source.error("signals", f"{what} called {shown(wanted)} ({column}){hint}")
    unit = unit_of(place.unit or found[0].unit)
    fits = unit is not None and column.endswith(f"_{unit.name}")
    factor = place.factor if place.factor is not None else unit.factor if unit is not None and fits else 1.0
    return Chosen(found[0], factor, place.offset)


def _guessed(source: Source, signals: Mapping[str, Signal], warnings: list[str]) -> dict[str, Chosen]:
    candidates = {column: _candidates(column, signals) for column in _NAMES}
    _prefer_one_message(candidates)
    chosen: dict[str, Chosen] = {}
    for column, found in candidates.items():
        names = ", ".join(signal.full_name for signal in found[:_SHOWN_CANDIDATES])
        if len(found) == 1:
            chosen[column] = Chosen(found[0], _factor(found[0]), 0.0)
            warnings.append(f"{column} was taken from signal {names}, by its name and unit.")
        elif column in CYCLING_COLUMNS:
            what = f"several signals fit {column}: {names}" if found else f"no signal fits {column}"
            problem = f'{what}; name it in {MAPPING_FILE}, for example [voltage] signal = "Message.Signal"'
            raise source.error("signals", problem)
        elif found:
            warnings.append(f"{column} was left out: several signals fit, {names}; name one in {MAPPING_FILE}.")
    return chosen


def _candidates(column: str, signals: Mapping[str, Signal]) -> list[Signal]:
    """Return the signals that may be a quantity of the whole battery; their own names count more than their message's."""
    found = [
        signal
        for signal in signals.values()
        if (unit := unit_of(signal.unit)) is not None
        and column.endswith(f"_{unit.name}")
        and _NAMES[column].search(signal.name)
        and not _PART_OR_LIMIT.search(signal.name)
    ]
    by_name = [signal for signal in found if _BATTERY.search(signal.name)]
    return by_name or [signal for signal in found if _BATTERY.search(signal.message)]


def _prefer_one_message(candidates: dict[str, list[Signal]]) -> None:
    """Keep voltages and currents that share a message, where there are such: they were measured together."""
    columns = CYCLING_COLUMNS[1:]
    shared = set.intersection(*({signal.message for signal in candidates[column]} for column in columns))
    for column in columns:
        if shared:
            candidates[column] = [signal for signal in candidates[column] if signal.message in shared]


def _factor(signal: Signal) -> float:
    unit = unit_of(signal.unit)
    return 1.0 if unit is None else unit.factor
