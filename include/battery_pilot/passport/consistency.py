"""Contradictions between the values of a passport."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING

from battery_pilot.passport.documents import CLASSES
from battery_pilot.passport.findings import Finding, error, warning
from battery_pilot.passport.life import CLOSED_ON_PATH
from battery_pilot.passport.mapping import row_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from battery_pilot.passport.lexical import Value

MAXIMUM_CAPACITY_RATIO = 1.2
"""A remaining capacity above this multiple of the rated one is taken for a mistake: a wrong cell or a wrong unit."""

_RATED = "TechnicalData.TechnicalPropertyAreas."
_ELECTRIC = _RATED + "CapacityEnergyVoltage."
_CONDITION = "ProductCondition."
_CATEGORY = "TechnicalData.GeneralInformation.BatteryCategory"
_MASS = "TechnicalData.GeneralInformation.BatteryMass"
_STATUS = "BatteryNameplate.LifeCycleStage"
_ENERGY = (_CONDITION + "RemainingEnergy.RemainingEnergyValue", _ELECTRIC + "CertifiedUsableBatteryEnergy")
_CAPACITY = (_CONDITION + "RemainingCapacity.RemainingCapacityValue", _ELECTRIC + "RatedCapacity")

_TOLERANCE_POINTS = 1.0
"""Percentage points by which a share may differ from the one that follows from the amounts: values are rounded."""

# By the paths of rows, in lower case.
_ALLOWED = {
    _CATEGORY: ("ev", "lmt", "industrial", "stationary"),
    _STATUS: (
        *("original", "repurposed", "reused", "re-used", "remanufactured", "waste"),
        *(f"0173-1#07-acc{number:03}#001" for number in range(20, 25)),  # the same words as ECLASS values
    ),
    "DppMetadata.granularity": ("item", "batch", "model"),
    "MaterialComposition.HazardousSubstances[].HazardousSubstanceClass": (
        "acutetoxicity",
        "skincorrosionorirritation",
        "eyedamageorirritation",
    ),
    "Circularity.RecycledContentInformation[].RecycledMaterial": ("cobalt", "lead", "lithium", "nickel"),
}
_POSITIVE = (
    _MASS,
    *(_ELECTRIC + name for name in ("RatedCapacity", "MinVoltage", "NominalVoltage", "MaxVoltage")),
)
_WARRANTY = "TechnicalData.GeneralInformation.WarrantyInformation.WarrantyPeriod"
_PERIOD = re.compile(r"P(?=.*[1-9])(?:\d+Y)?(?:\d+M)?")
_CLASS_ID = "HandoverDocumentation.Documents[].DocumentClassifications[].ClassId"
_CAS_NUMBER = re.compile(r"\d{2,7}-\d{2}-\d")
_CAS_NUMBERS = frozenset(
    {
        "MaterialComposition.BatteryMaterials[].BatteryMaterialIdentifier",
        "MaterialComposition.HazardousSubstances[].HazardousSubstanceIdentifier",
    }
)

_CHECKED = frozenset({*_ALLOWED, *_CAS_NUMBERS, _WARRANTY, _CLASS_ID})

# Smaller value, greater value: paths, or patterns of lists whose indices are the same in both.
_ORDERED = (
    (_ELECTRIC + "MinVoltage", _ELECTRIC + "NominalVoltage"),
    (_ELECTRIC + "NominalVoltage", _ELECTRIC + "MaxVoltage"),
    (_ELECTRIC + "MinVoltage", _ELECTRIC + "MaxVoltage"),
    (
        _RATED + "Temperature.TemperatureRangeIdleState_LowerBoundary",
        _RATED + "Temperature.TemperatureRangeIdleState_UpperBoundary",
    ),
    (
        _RATED + "RoundTripEnergyEfficiency.RoundTripEnergyEfficiencyAt50PercentOfCycleLife",
        _RATED + "RoundTripEnergyEfficiency.InitialRoundTripEnergyEfficiency",
    ),
    ("BatteryNameplate.DateOfManufacture", "BatteryNameplate.DateOfPuttingIntoService"),
)

_BEFORE_STATE = ("BatteryNameplate.DateOfManufacture", "BatteryNameplate.DateOfPuttingIntoService")

# What two parts say of the same thing.
_SAME = (
    ("BatteryNameplate.ManufacturerIdentifier", "TechnicalData.GeneralInformation.ManufacturerIdentifier"),
    ("BatteryNameplate.ManufacturerName", "TechnicalData.GeneralInformation.ManufacturerName"),
    ("BatteryNameplate.URIOfTheProduct", "DppMetadata.uniqueProductIdentifier"),
    ("BatteryNameplate.UniqueFacilityIdentifier", "DppMetadata.facilityId"),
)


def contradictions(values: Mapping[str, Value]) -> Iterator[Finding]:
    """Yield the values that cannot be true together, or cannot be true at all.

    :param values: path to value, as :func:`battery_pilot.passport.reading.flatten` gives them.
    """
    yield from _allowed(values)
    yield from _order(values)
    for first, second in _SAME:
        if first in values and second in values and values[first] != values[second]:
            yield error(first, "contradiction", f"{values[first]!r}, but {second} is {values[second]!r}")
    yield from _remaining(values, *_CAPACITY, "Ah")
    yield from _remaining(values, *_ENERGY, "kWh")
    yield from _shares(values)
    yield from _sums(values)
    yield from _updates(values)
    yield from _closed(values)
    yield from _documents(values)


def _allowed(values: Mapping[str, Value]) -> Iterator[Finding]:
    for path in _POSITIVE:
        if values.get(path) == 0:
            yield error(path, "plausible", "no battery has 0 here; leave an unknown value out")
    for path, value in values.items():
        row = row_path(path)
        fault = _fault(values, path, str(value)) if row in _CHECKED else None
        if fault:
            yield error(path, "allowed-value", f"{value!r} is {fault}")


def _fault(values: Mapping[str, Value], path: str, text: str) -> str | None:
    """Say what a text is instead of one that is allowed, or ``None`` if it is one."""
    row = row_path(path)
    if row in _ALLOWED:
        return None if text.lower() in _ALLOWED[row] else f"none of {', '.join(_ALLOWED[row])}"
    if row == _WARRANTY:
        return None if _PERIOD.fullmatch(text) else "no period of years and months such as P96M"
    if row in _CAS_NUMBERS:
        return None if is_cas_number(text) else "no CAS number: its form or its check digit is wrong"
    is_known = text in CLASSES or not _is_vdi_2770(values, path)
    return None if is_known else f"no class of VDI 2770: {', '.join(CLASSES)}"


def _is_vdi_2770(values: Mapping[str, Value], class_id_path: str) -> bool:
    system = str(values.get(class_id_path.removesuffix("ClassId") + "ClassificationSystem", ""))
    return system.replace(" ", "").upper().startswith("VDI2770")


def is_cas_number(text: str) -> bool:
    """Check the form and the check digit: the other digits from the right, weighted 1, 2, 3 …, modulo 10."""
    if not _CAS_NUMBER.fullmatch(text):
        return False
    digits = [int(digit) for digit in reversed(text.replace("-", ""))]
    return sum(weight * digit for weight, digit in enumerate(digits[1:], start=1)) % 10 == digits[0]


def _order(values: Mapping[str, Value]) -> Iterator[Finding]:
    pairs = list(_ORDERED)
    for path in values:
        if path.startswith("BatteryNameplate.Markings[") and path.endswith(".IssueDate"):
            pairs.append((path, path.removesuffix("IssueDate") + "ExpiryDate"))
    for smaller, greater in pairs:
        low, high = _ordinal(values.get(smaller)), _ordinal(values.get(greater))
        if low is not None and high is not None and type(low) is type(high) and low > high:  # type: ignore[operator]
            yield error(smaller, "contradiction", f"{values[smaller]} is above {greater} ({values[greater]})")
    state = _ordinal(values.get("DppMetadata.lastUpdate"))
    for path in _BEFORE_STATE:
        day = _ordinal(values.get(path))
        if isinstance(day, date) and isinstance(state, date) and day > state:
            # A warning only: clocks of loggers are often wrong, and the state is as old as its measurements.
            message = f"{values[path]} is after the state described ({values['DppMetadata.lastUpdate']})"
            yield warning(path, "contradiction", message)


def _ordinal(value: Value | None) -> float | date | None:
    """Return what values are compared by: a number, or the day of a date or time."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def _remaining(values: Mapping[str, Value], remaining: str, rated: str, unit: str) -> Iterator[Finding]:
    left, full = _float(values, remaining), _float(values, rated)
    if left is None or full is None or left <= full:
        return
    if left > MAXIMUM_CAPACITY_RATIO * full:
        message = f"{left:g} {unit} is above {MAXIMUM_CAPACITY_RATIO:g} times what it was at begin of life ({full:g} {unit})"
        yield error(remaining, "plausible", message)
    else:
        yield warning(remaining, "contradiction", f"{left:g} {unit} is above {rated} ({full:g} {unit})")


def _shares(values: Mapping[str, Value]) -> Iterator[Finding]:
    """Compare percentages with the amounts that they follow from (DIN DKE SPEC 99100, 6.7.2.4 and 6.7.2.7)."""
    certified = _CONDITION + "StateOfCertifiedEnergy.StateOfCertifiedEnergyValue"
    yield from _share(values, certified, _ENERGY, lambda part: 100 * part)
    yield from _share(values, _ELECTRIC + "CapacityFade", _CAPACITY, lambda part: 100 * (1 - part))
    yield from _share(values, "BatteryPilotCondition.CapacityFade.Value", _CAPACITY, lambda part: 100 * (1 - part))


def _share(values: Mapping[str, Value], path: str, amounts: tuple[str, str], formula: object) -> Iterator[Finding]:
    stated, part, whole = _float(values, path), _float(values, amounts[0]), _float(values, amounts[1])
    if stated is None or part is None or not whole or part > MAXIMUM_CAPACITY_RATIO * whole:
        return
    follows = formula(part / whole)  # type: ignore[operator]
    if abs(stated - follows) <= _TOLERANCE_POINTS:
        return
    message = f"{stated:g} %, but {follows:.3g} % follows from {amounts[0]} and {amounts[1]}"
    yield (
        error(path, "contradiction", message)
        if _same_time(values, path, amounts[0])
        else warning(path, "contradiction", f"{message}; they are of different times")
    )


def _same_time(values: Mapping[str, Value], first: str, second: str) -> bool:
    times = {values.get(f"{path.rpartition('.')[0]}.LastUpdate") for path in (first, second)}
    return len(times - {None}) < 2


def _sums(values: Mapping[str, Value]) -> Iterator[Finding]:
    for path in values:
        if path.startswith("Circularity.RecycledContentInformation[") and path.endswith(".PreConsumerShare"):
            other = path.replace("PreConsumerShare", "PostConsumerShare")
            total = (_float(values, path) or 0) + (_float(values, other) or 0)
            if total > 100:
                yield error(path, "contradiction", f"with the post-consumer share it sums up to {total:g} %")
    total = _total(values, "MaterialComposition.HazardousSubstances[", ".HazardousSubstanceConcentration")
    if total > 100:
        path = "MaterialComposition.HazardousSubstances"
        yield error(path, "contradiction", f"the concentrations sum up to {total:g} %")
    mass = _float(values, _MASS)
    total = _total(values, "MaterialComposition.BatteryMaterials[", ".BatteryMaterialMass")
    if mass and total > 1.01 * mass:
        path = "MaterialComposition.BatteryMaterials"
        yield error(path, "contradiction", f"the materials weigh {total:g} kg, the whole battery {mass:g} kg")


def _total(values: Mapping[str, Value], start: str, end: str) -> float:
    paths = [path for path in values if path.startswith(start) and path.endswith(end)]
    return sum(_float(values, path) or 0 for path in paths)


def _updates(values: Mapping[str, Value]) -> Iterator[Finding]:
    """Compare the times of the values with the time of the passport."""
    newest = _moment(values.get("DppMetadata.lastUpdate"))
    for path, value in values.items():
        moment = _moment(value) if path.endswith((".LastUpdate", ".RPCLastUpdated")) else None
        if newest and moment and moment > newest:
            message = f"{value} is after DppMetadata.lastUpdate ({values['DppMetadata.lastUpdate']})"
            yield warning(path, "contradiction", message)


def _closed(values: Mapping[str, Value]) -> Iterator[Finding]:
    path, closed_on = "DppMetadata.dppStatus", values.get(CLOSED_ON_PATH)
    if closed_on and str(values.get(path)).lower() == "active":
        yield error(path, "contradiction", f"{values[path]!r}, but the passport was closed on {closed_on}")


def _moment(value: Value | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _documents(values: Mapping[str, Value]) -> Iterator[Finding]:
    """Look for documents that are named by their identifier and are not among those of part 2."""
    documents = "HandoverDocumentation.Documents["
    known = {value for path, value in values.items() if path.startswith(documents) and "DocumentIdentifier" in path}
    if not known:
        return  # the part is not in this file; another may have it
    for path, value in values.items():
        if path.endswith("]") and _LISTS_OF_DOCUMENTS.match(path) and value not in known:
            yield warning(path, "document", f"no document of HandoverDocumentation has the identifier {value!r}")


_LISTS_OF_DOCUMENTS = re.compile(
    r"(BatteryNameplate\.(EUDeclarationOfConformity|ResultsOfTestReportsProvingCompliance)"
    r"|CarbonFootprint\..*WebLinkToPublicCarbonFootprintStudy"
    r"|ProductCondition\.InformationOnAccidents"
    r"|Circularity\.(DismantlingAndRemovalInformation|SafetyMeasures\.SafetyInstructions|EndOfLifeInformation\..*))\[\d+\]$"
)


def _float(values: Mapping[str, Value], path: str) -> float | None:
    value = values.get(path)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
