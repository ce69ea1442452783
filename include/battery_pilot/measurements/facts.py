"""What a file tells about its measurement besides the numbers: cell and conditions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.text import shown, to_float
from battery_pilot.measurements.times import DATES, ISO, start_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXT_FACTS = ("battery_id", "cell_id", "channel", "instrument_software")
_NUMBER_FACTS = (
    "temperature_celsius",
    "state_of_charge_percent",
    "nominal_capacity_ah",
    "electrode_area_square_centimetre",
    "dc_bias_volt",
)
_NAMES = (*_TEXT_FACTS, *_NUMBER_FACTS, "started_at")
_START = re.compile(
    r"\s*(?:date and time(?: measurement)?|start(?:ed)?(?: (?:on|at|date|time|of test|of measurement))?|measured (?:on|at)"
    r"|startzeit|startdatum)\s*[:=,;\t]+\s*([^,;\t]+)[,;\s]*",
    re.IGNORECASE,
)
_FACT = re.compile(rf"\b({'|'.join(_NAMES)})=([^\s;]+)")


def facts_in(text: str, warnings: list[str]) -> dict[str, Any]:
    """Return the ``key=value`` tokens in notes or comments whose key is a known fact.

    :param text: for example ``cell 7, battery_id=ABC temperature_celsius=25.0``; a value ends at a blank or semicolon.
    :param warnings: receives a sentence for each value that cannot be used.
    """
    facts: dict[str, Any] = {}
    if not any(part.endswith(_NAMES) for part in text.split("=")[:-1]):
        return facts  # Most texts hold none, and this tells so much sooner than the pattern.
    for name, value in _FACT.findall(text):
        _add(name, value.rstrip(","), facts, warnings)
    return facts


def leading_facts(lines: Sequence[str], warnings: list[str]) -> dict[str, Any]:
    """Return the facts in the ``# key=value`` lines at the top of a table.

    A line with one equals sign may have blanks in its value.

    :param lines: lines of the file from the first.
    :param warnings: receives a sentence for each key or value that cannot be used.
    """
    facts: dict[str, Any] = {}
    for line in lines:
        if not line.lstrip().startswith("#"):
            if line.strip():
                break
            continue
        content = line.strip().lstrip("#")
        if content.count("=") != 1:
            facts.update(facts_in(content, warnings))
            continue
        name, _, value = content.partition("=")
        if name.strip() in _NAMES:
            _add(name.strip(), value.strip(), facts, warnings)
        else:
            warnings.append(f"Comment key {shown(name.strip())} is not known and was left out.")
    return facts


def start_above(lines: Sequence[str], warnings: list[str]) -> dict[str, Any]:
    """Return ``started_at`` from a line of text such as ``Date and time:,2022-04-28 13:42:47`` above a table.

    :param lines: the text above the table.
    :param warnings: receives a sentence for a date that cannot be read, is ambiguous or has no zone.
    """
    found = next(filter(None, map(_START.fullmatch, lines)), None)
    return {} if found is None else start_facts(found[1], DATES, warnings)


def _add(name: str, value: str, facts: dict[str, Any], warnings: list[str]) -> None:
    if name == "started_at":
        facts.update(start_facts(value, (ISO,), warnings))
    elif name in _NUMBER_FACTS:
        parsed = to_float(value, decimal_comma=True)
        if parsed is None:
            warnings.append(f"{name}={shown(value)} is not a number and was left out.")
        else:
            facts[name] = parsed
    elif value:
        facts[name] = value
