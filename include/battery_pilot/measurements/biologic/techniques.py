"""Names of BioLogic's techniques, and what their settings mean."""

from __future__ import annotations

import math
from typing import Any

SHORT_NAMES = {
    4: "GCPL",
    6: "CV",
    11: "OCV",
    22: "MP",
    24: "CA",
    25: "CP",
    28: "WAIT",
    29: "PEIS",
    30: "GEIS",
    50: "ZIR",
    51: "CVA",
    108: "LSV",
    117: "CstV",
    118: "CstC",
    127: "MB",
    136: "BCD",
}
"""Short name by the number in the settings of binary files."""

LONG_NAMES = {
    "Galvanostatic Cycling with Potential Limitation": "GCPL",
    "Cyclic Voltammetry": "CV",
    "Open Circuit Voltage": "OCV",
    "Chronoamperometry / Chronocoulometry": "CA",
    "Chronopotentiometry": "CP",
    "Wait": "WAIT",
    "Potentio Electrochemical Impedance Spectroscopy": "PEIS",
    "Galvano Electrochemical Impedance Spectroscopy": "GEIS",
    "IR compensation (PEIS)": "ZIR",
    "Cyclic Voltammetry Advanced": "CVA",
    "Linear Sweep Voltammetry": "LSV",
    "Constant Voltage": "CstV",
    "Constant Current": "CstC",
    "Modulo Bat": "MB",
    "Battery Capacity Determination": "BCD",
}
"""Short name by the long one in the header of text exports."""

_DEFAULT_AREA = 0.001


def area_facts(square_centimetre: float, warnings: list[str]) -> dict[str, Any]:
    """Return the electrode area, unless it is none or the one that EC-Lab fills in by itself.

    :param square_centimetre: area as the settings have it.
    :param warnings: receives a sentence when EC-Lab's own value was left out.
    """
    if not 0 < square_centimetre < 1e6:
        return {}
    if math.isclose(square_centimetre, _DEFAULT_AREA):
        warnings.append("The electrode area of 0.001 cm² is what EC-Lab fills in by itself; it was left out.")
        return {}
    return {"electrode_area_square_centimetre": square_centimetre}
