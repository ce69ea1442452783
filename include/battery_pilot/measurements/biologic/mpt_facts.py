"""What the header of BioLogic text exports tells about a measurement."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from battery_pilot.measurements.biologic.techniques import LONG_NAMES, area_facts
from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.text import to_float
from battery_pilot.measurements.times import DATES, ISO, start_facts

_MONTH_DAY_YEAR = re.compile(r"(\d\d)/(\d\d)/(\d{4}) (.*)")
_TECHNIQUE_LINE = 3
"""Below the words of the format, the number of lines and a blank line."""
_AMPERE_HOURS = {"A.h": 1.0, "mA.h": 1e-3, "µA.h": 1e-6}
_SQUARE_CENTIMETRES = {"cm": 1.0, "mm": 0.01}
"""By the letters of the unit; the raised 2 comes in many encodings."""


class Header(NamedTuple):
    """The header of an export.

    :param text: its lines, empty for an export without one.
    """

    text: str

    @property
    def instrument(self) -> str:
        """Maker and model."""
        return f"BioLogic {self.value('Device').partition(' (')[0]}".strip()

    def value(self, name: str) -> str:
        """Return the value of the first line ``name : value``, or an empty string.

        :param name: as in the file, for example ``Device``.
        """
        start = self.text.find(f"\n{name} : ")
        if start < 0:
            return ""
        end = self.text.find("\n", start + 1)
        return self.text[start + len(name) + 4 : end if end > 0 else None].strip()

    def facts(self, warnings: list[str]) -> dict[str, Any]:
        """Return what the header tells, as fields of :class:`battery_pilot.measurements.model.Metadata`.

        The times of the rows count from the start of the acquisition, also where the technique started later.

        :param warnings: receives a sentence about each guess.
        """
        facts = _start(self.value("Acquisition started on") or self.value("Technique started on"), warnings)
        end = self.text.find("(software)\n")
        if end > 0:
            facts["instrument_software"] = self.text[
                self.text.rfind("\n", 0, end) + 1 : end + len("(software)")
            ].strip()
        channel = self.value("Run on channel").partition(" (")[0]
        if channel:
            facts["channel"] = channel
        technique = self._technique()
        if technique:
            facts["technique"] = technique
        area, unit = _with_unit(self.value("Electrode surface area"))
        facts.update(area_facts(area * _SQUARE_CENTIMETRES.get(unit[:2], 0.0), warnings))
        capacity, unit = _with_unit(self.value("Battery capacity"))
        if capacity > 0 and unit in _AMPERE_HOURS:
            facts["nominal_capacity_ah"] = float(f"{capacity * _AMPERE_HOURS[unit]:.7g}")
        comments = "; ".join(part.partition("\n")[0] for part in self.text.split("\nComments : ")[1:])
        if "=" in comments:
            facts.update(facts_in(comments, warnings))
        return facts

    def _technique(self) -> str:
        lines = self.text.split("\n", _TECHNIQUE_LINE + 1)
        name = lines[_TECHNIQUE_LINE].strip() if len(lines) > _TECHNIQUE_LINE else ""
        return "" if " : " in name else LONG_NAMES.get(name, name)


def _start(text: str, warnings: list[str]) -> dict[str, Any]:
    """Return the start; EC-Lab writes month, day and year in this order whatever the language of the computer."""
    found = _MONTH_DAY_YEAR.fullmatch(text)
    if found and found[1] <= "12":
        return start_facts(f"{found[3]}-{found[1]}-{found[2]} {found[4]}", (ISO,), warnings)
    return start_facts(text, DATES, warnings)


def _with_unit(text: str) -> tuple[float, str]:
    """Split a number with a unit; 0 where there is none."""
    value, _, unit = text.partition(" ")
    return to_float(value, decimal_comma=True) or 0.0, unit.strip()
