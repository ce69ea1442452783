"""Conversions between values of a passport and of its other forms, by the names that the forms' tables use."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from battery_pilot.passport.form_facts import Facts
    from battery_pilot.passport.lexical import Value

_MONTHS = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?")
_MONTH_OF_YEAR = re.compile(r"--(0[1-9]|1[0-2])(Z|[+-]\d\d:\d\d)?")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_STATUS = {
    "Original": "original",
    "Repurposed": "repurposed",
    "Reused": "re-used",
    "Remanufactured": "remanufactured",
    "Waste": "waste",
}
_CATENA_X_CATEGORY = {"ev": "EV", "lmt": "LMT", "industrial": "industrial", "stationary": "industrial"}
_FOOTPRINTS = ("CarbonFootprint", "ProductCarbonFootprints", None)
_PHASES = {
    "RawMaterialExtraction": "A1 - raw material supply (and upstream production)",
    "MainProduction": "A3 - production",
    "Distribution": "A4 - transport to final destination",
    "Recycling": "C3 - recycling, waste treatment",
}
_STAGES = set(_PHASES)
_MODELS = {"model/step", "model/gltf+json", "model/gltf-binary", "application/step", "model/stl"}
_DRAWINGS = {"image/vnd.dxf", "application/dxf", "application/acad", "image/vnd.dwg"}


def _same(path: str, facts: Facts) -> Any:
    return facts.values[path]


def _texts(path: str, facts: Facts) -> list[dict[str, str]]:
    return [{language: text} for language, text in facts.texts.get(path, ())]


def _lower_status(path: str, facts: Facts) -> str | None:
    return _STATUS.get(str(facts.values[path]))


def _catena_x_category(path: str, facts: Facts) -> str | None:
    return _CATENA_X_CATEGORY.get(str(facts.values[path]))


def _start_of_day(path: str, facts: Facts) -> str:
    return f"{facts.values[path]}T00:00:00Z"


def _months(path: str, facts: Facts) -> int | None:
    period = _MONTHS.fullmatch(str(facts.values[path]))
    if period is None or not any(period.groups()):
        return None
    return 12 * int(period[1] or 0) + int(period[2] or 0)


def _month_of_year(path: str, facts: Facts) -> str | None:
    months = _months(path, facts)
    return f"--{months:02d}" if months is not None and 1 <= months <= 12 else None


def _digest_urn(path: str, facts: Facts) -> str:
    return f"urn:batterypilot:{hashlib.sha256(str(facts.values[path]).encode()).hexdigest()}"


def _times_1000(path: str, facts: Facts) -> float:
    return _shifted(facts.values[path], 3)


def _per_1000(path: str, facts: Facts) -> float:
    return _shifted(facts.values[path], -3)


def _shifted(value: Any, places: int) -> float:
    return float(Decimal(repr(value)).scaleb(places))  # exact where a product of floats would not be


def _document_uri(path: str, facts: Facts) -> str | None:
    """Return the web address of a document: of its file, or its identifier where that is one."""
    identifier = str(facts.values[path])
    file = _file(identifier, facts)
    for text in (str(facts.values[file]) if file else "", identifier):
        if _ABSOLUTE.fullmatch(text) and not text.startswith("file:"):
            return text
    return None


def _document_mime(path: str, facts: Facts) -> str | None:
    file = _file(str(facts.values[path]), facts)
    return facts.content_types.get(file) if file else None


def _document_type(path: str, facts: Facts) -> str | None:
    mime = _document_mime(path, facts)
    if mime is None:
        return None
    if mime in _MODELS:
        return "Model3D"
    return "Drawing" if mime in _DRAWINGS else "OtherManual"


def _life_cycle_phase(path: str, facts: Facts) -> str:
    value = str(facts.values[path])
    return _PHASES.get(value, value)


def _impact_unit(path: str, facts: Facts) -> str:
    value = str(facts.values[path])
    return "kwH" if value == "kWh" else value  # as the published schema spells it


def _single_stage(path: str, facts: Facts) -> Any:
    """Return the value of a footprint of one life-cycle stage."""
    footprint = path.partition("].")[0] + "]"
    several = f"{footprint}.LifeCyclePhases[1]" in facts.values
    return None if several or f"{footprint}.LifeCyclePhases[0]" not in facts.values else facts.values[path]


def _whole_footprint(path: str, facts: Facts) -> float | None:
    """Return the footprint of all life-cycle stages: as stated, or the sum over all four."""
    footprints: dict[str, set[str]] = {}
    for stage, _ in facts.paths((*_FOOTPRINTS, "LifeCyclePhases", None)):
        footprints.setdefault(stage.partition("].")[0] + "]", set()).add(str(facts.values[stage]))
    amounts = {name: facts.values.get(f"{name}.PcfCO2eq") for name in footprints}
    for name, stages in footprints.items():
        if stages >= _STAGES and isinstance(amounts[name], int | float):
            return float(amounts[name] or 0)
    single = {next(iter(stages)): amounts[name] for name, stages in footprints.items() if len(stages) == 1}
    if not single.keys() >= _STAGES or not all(isinstance(amount, int | float) for amount in single.values()):
        return None
    return float(sum(Decimal(repr(single[stage])) for stage in sorted(_STAGES)))


def _file(identifier: str, facts: Facts) -> str | None:
    document = facts.document(identifier)
    path = f"{document}.DocumentVersions[0].DigitalFiles[0]"
    return path if document and path in facts.values else None


WRITE: dict[str, Callable[[str, Facts], Any]] = {
    "": _same,
    "texts": _texts,
    "lower_status": _lower_status,
    "catena_x_category": _catena_x_category,
    "start_of_day": _start_of_day,
    "months": _months,
    "month_of_year": _month_of_year,
    "digest_urn": _digest_urn,
    "times_1000": _times_1000,
    "per_1000": _per_1000,
    "document_uri": _document_uri,
    "document_mime": _document_mime,
    "document_type": _document_type,
    "life_cycle_phase": _life_cycle_phase,
    "impact_unit": _impact_unit,
    "single_stage": _single_stage,
    "whole_footprint": _whole_footprint,
}
"""From path and facts to what the form takes, or ``None`` where it can take nothing."""


def _read_same(raw: Any) -> Iterable[tuple[str, Value]]:
    return [("", raw)]


def _read_texts(raw: list[dict[str, str]]) -> Iterable[tuple[str, Value]]:
    texts = {language: text for one in raw for language, text in one.items()}
    main = "en" if "en" in texts else next(iter(texts), None)
    return [("" if language == main else f"@{language}", text) for language, text in texts.items()]


def _read_status(raw: str) -> Iterable[tuple[str, Value]]:
    return [("", next((name for name, lower in _STATUS.items() if lower == raw), raw))]


def _read_phase(raw: str) -> Iterable[tuple[str, Value]]:
    return [("", next((name for name, phase in _PHASES.items() if phase == raw), raw))]


def _read_month(raw: str) -> Iterable[tuple[str, Value]]:
    if not _MONTH_OF_YEAR.fullmatch(raw):
        raise ValueError("a month such as --06 was expected")
    return [("", f"P{int(raw[2:4])}M")]


READ: dict[str, Callable[[Any], Iterable[tuple[str, Value]]]] = {
    "": _read_same,
    "texts": _read_texts,
    "lower_status": _read_status,
    "start_of_day": lambda raw: [("", raw[:10])],
    "month_of_year": _read_month,
    "times_1000": lambda raw: [("", _shifted(raw, -3))],
    "per_1000": lambda raw: [("", _shifted(raw, 3))],
    "document_uri": _read_same,
    "life_cycle_phase": _read_phase,
    "impact_unit": lambda raw: [("", "kWh" if raw == "kwH" else raw)],
    "single_stage": _read_same,
}
"""The way back, to pairs of what is appended to the path and value; forms lose what has no way back."""
