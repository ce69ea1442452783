"""Units in the headings of instrument files, and their factors to the units of the Battery Data Format."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from battery_pilot.measurements.text import unquote

if TYPE_CHECKING:
    from collections.abc import Container


class Unit(NamedTuple):
    """A unit of the Battery Data Format and the factor that leads to it.

    :param name: word that ends a BDF machine name, for example ``volt``.
    :param factor: multiply a value by it to get the BDF unit.
    """

    name: str
    factor: float


_UNITS = {
    "s": Unit("second", 1.0),
    "sec": Unit("second", 1.0),
    "second": Unit("second", 1.0),
    "seconds": Unit("second", 1.0),
    "ms": Unit("second", 1e-3),
    "min": Unit("second", 60.0),
    "h": Unit("second", 3600.0),
    "hr": Unit("second", 3600.0),
    "V": Unit("volt", 1.0),
    "volt": Unit("volt", 1.0),
    "mV": Unit("volt", 1e-3),
    "A": Unit("ampere", 1.0),
    "ampere": Unit("ampere", 1.0),
    "mA": Unit("ampere", 1e-3),
    "uA": Unit("ampere", 1e-6),
    "µA": Unit("ampere", 1e-6),
    "Ah": Unit("ah", 1.0),
    "mAh": Unit("ah", 1e-3),
    "uAh": Unit("ah", 1e-6),
    "µAh": Unit("ah", 1e-6),
    "As": Unit("ah", 1 / 3600),
    "mAs": Unit("ah", 1e-3 / 3600),
    "Wh": Unit("wh", 1.0),
    "mWh": Unit("wh", 1e-3),
    "uWh": Unit("wh", 1e-6),
    "µWh": Unit("wh", 1e-6),
    "Ws": Unit("wh", 1 / 3600),
    "mWs": Unit("wh", 1e-3 / 3600),
    "W": Unit("watt", 1.0),
    "watt": Unit("watt", 1.0),
    "mW": Unit("watt", 1e-3),
    "Hz": Unit("hertz", 1.0),
    "hertz": Unit("hertz", 1.0),
    "mHz": Unit("hertz", 1e-3),
    "kHz": Unit("hertz", 1e3),
    "MHz": Unit("hertz", 1e6),
    "GHz": Unit("hertz", 1e9),
    "1/s": Unit("hertz", 1.0),
    "s^-1": Unit("hertz", 1.0),
    "rad/s": Unit("hertz", 1 / math.tau),
    "rads^-1": Unit("hertz", 1 / math.tau),
    "rads-1": Unit("hertz", 1 / math.tau),
    "ohm": Unit("ohm", 1.0),
    "ohms": Unit("ohm", 1.0),
    "Ω": Unit("ohm", 1.0),
    "mOhm": Unit("ohm", 1e-3),
    "mohm": Unit("ohm", 1e-3),
    "mΩ": Unit("ohm", 1e-3),
    "uOhm": Unit("ohm", 1e-6),
    "µOhm": Unit("ohm", 1e-6),
    "µΩ": Unit("ohm", 1e-6),
    "MOhm": Unit("ohm", 1e6),
    "MΩ": Unit("ohm", 1e6),
    "kOhm": Unit("ohm", 1e3),
    "kohm": Unit("ohm", 1e3),
    "kΩ": Unit("ohm", 1e3),
    "deg": Unit("degree", 1.0),
    "degree": Unit("degree", 1.0),
    "degrees": Unit("degree", 1.0),
    "°": Unit("degree", 1.0),
    "rad": Unit("degree", math.degrees(1.0)),
    "radian": Unit("degree", math.degrees(1.0)),
    "radians": Unit("degree", math.degrees(1.0)),
    "mrad": Unit("degree", math.degrees(1e-3)),
    "C": Unit("celsius", 1.0),
    "degC": Unit("celsius", 1.0),
    "°C": Unit("celsius", 1.0),
    "℃": Unit("celsius", 1.0),
    "celsius": Unit("celsius", 1.0),
    "%": Unit("percent", 1.0),
    "Pa": Unit("pa", 1.0),
    "1": Unit("", 1.0),
}
# The Greek capital omega and the ohm sign look alike; "mhz" or "mohm" in capitals could be milli or mega.
_SPELLINGS = str.maketrans(
    {" ": "", ".": "", "·": "", "*": "", "\N{OHM SIGN}": "Ω", "\N{GREEK SMALL LETTER MU}": "µ", "⁻": "^-", "¹": "1"}
)
_ANY_CASE = {unit.lower(): known for unit, known in _UNITS.items() if not unit.startswith(("m", "M"))}


def unit_of(text: str) -> Unit | None:
    """Return the unit that a heading states, or ``None`` for one that is not known.

    :param text: unit as written, for example ``mV``, ``Ohm`` or ``A.h``.
    """
    text = text.translate(_SPELLINGS)
    return _UNITS.get(text) or _ANY_CASE.get(text.lower())


def split_unit(heading: str, allowed: Container[str]) -> tuple[str, Unit | None]:
    """Split a heading into quantity and unit: ``Z' (mΩ)``, ``freq/Hz``, ``Voltage / V``, ``I[A]``, ``Z_Real_Ohm``.

    :param heading: as the file has it.
    :param allowed: names of the units that can be meant; ZPlot's ``Z'(a)`` is no current.
    :returns: quantity, and ``None`` when the heading states no unit of these.
    """
    heading = unquote(heading)
    if heading.endswith((")", "]", "}")):
        start = max(heading.rfind(bracket) for bracket in "([{")
        unit = unit_of(heading[start + 1 : -1]) if start > 0 else None
        if unit is not None and unit.name in allowed:
            return heading[:start].strip(), unit
    for name, found, text in (*map(heading.rpartition, "/_,"), heading.partition("/")):
        unit = unit_of(text) if found else None
        if unit is not None and unit.name in allowed:
            return name.strip(), unit
    return heading, None
