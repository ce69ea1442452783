"""Units as tables, SAMM models and concept descriptions write them."""

from __future__ import annotations

_SAME = {
    "percent": "%",
    "percentpermonth": "%/month",
    "kilogram": "kg",
    "gram": "g",
    "volt": "v",
    "ampere": "ampere",
    "watt": "w",
    "kilowatt": "kw",
    "kilowatthour": "kwh",
    "amperehour": "ah",
    "degreecelsius": "°c",
    "degc": "°c",
    "minuteunitoftime": "min",
    "minute": "min",
    "secondunitoftime": "s",
    "second": "s",
    "hertz": "hz",
    "years": "year",
    "months": "month",
    "ω": "ohm",
    "c": "1/h",  # a C-rate
    "a": "year",
    "one": "",
    "cycles": "",
    "cycle": "",  # a count, which has no unit here
}


def same_unit(first: str, second: str) -> bool:
    """Tell whether two names mean the same unit.

    :param first: a symbol such as ``kWh``, a SAMM name such as ``kilowattHour``, or its URN.
    :param second: the same.
    """
    return _plain(first) == _plain(second)


def _plain(unit: str) -> str:
    name = unit.rpartition("#")[2].rpartition("unit:")[2].strip().lower()
    return _SAME.get(name, name)
