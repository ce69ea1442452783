"""PalmSens ``.pssession`` files: the JSON, most often in UTF-16, that PSTrace and PalmSens's library write.

The numbers of the array types and of the instruments are those of the stubs in PalmSens's own software development kit
(BSD-3-Clause). Versions of PSTrace before 5.8 write all keys in small letters.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa

from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.tables import Points, impedance_measurement
from battery_pilot.measurements.text import shown
from battery_pilot.measurements.times import ASSUMED_ZONE

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "a PalmSens session"
_TYPE = "PalmSens.DataFiles.SessionFile"
_TYPE_CHARACTERS = 200
_LARGEST_BYTES = 1 << 26
# An empty object takes more than twenty times the space of its two characters; sessions have 25 for each and more.
_FEWEST_CHARACTERS_PER_OBJECT = 10
_FREQUENCY, _REAL, _MINUS_IMAGINARY, _POTENTIAL = 5, 7, 8, 1
_INSTRUMENTS = {
    **{1: "PalmSens", 2: "EmStat1", 3: "EmStat2", 4: "PalmSens3", 5: "EmStat2BP", 6: "EmStat3", 7: "EmStat3P"},
    **{8: "EmStat3BP", 9: "PalmSens4", 11: "EmStatPico", 12: "EmStatPico", 14: "EmStat4LR", 15: "EmStat4HR"},
    **{17: "Nexus", 20: "SensitWearable"},
}
_UNITS = {_FREQUENCY: "Hertz", _REAL: "ZRe", _MINUS_IMAGINARY: "ZIm", _POTENTIAL: "Volt"}
_SOFTWARE = re.compile(r"#PSTrace, Version=(\d[\d.]*)")
_METHOD = re.compile(r"METHOD_ID=(\w+)")
_NOTES = re.compile(r"NOTES=([^\r\n]*)")
_CHANNEL = re.compile(r"CH (\d+):")
# .NET counts time in 100 ns from the beginning of the year 1.
_FIRST_MOMENT, _LAST_TICK = datetime(1, 1, 1, tzinfo=UTC), 3_155_378_975_999_999_999


class _Spectrum(NamedTuple):
    """One spectrum: its columns, the direct voltage applied at each point, its title, and the measurement it is from."""

    frequency: list[float]
    real: list[float]
    imaginary: list[float]
    potential: list[float]
    title: str
    measurement: dict[str, Any]


class PalmSensReader:
    """Reads all impedance spectra of a session."""

    name = "palmsens-pssession"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".pssession",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for JSON that names the type of a session in its first key."""
        return 90 if _TYPE in source.head_text[:_TYPE_CHARACTERS] else 0

    def read(self, source: Source) -> Measurement:
        """Read the spectra of all measurements; measurements of other techniques are left out with a warning.

        :raises MeasurementError: when the JSON is broken, larger or deeper than a session is, or holds no spectrum.
        """
        session = _session(source)
        warnings: list[str] = []
        spectra: list[_Spectrum] = []
        others: list[str] = []
        for number, measurement in enumerate(_items(session, "Measurements"), 1):
            found = _spectra(measurement, f"measurement {number}", source, warnings)
            spectra += found
            if not found:
                others.append(_technique(measurement))
        techniques = ", ".join(dict.fromkeys(others)) or "nothing"
        if not spectra:
            problem = f"no impedance in the session, which holds {techniques}; hand in impedance spectroscopy"
            raise source.error("Measurements", problem)
        if others:
            warnings.append(f"{len(others)} measurements that are no impedance ({techniques}) were left out.")
        facts, moments = _times(spectra, warnings)
        points = Points(
            [value for spectrum in spectra for value in spectrum.frequency],
            [value for spectrum in spectra for value in spectrum.real],
            [value for spectrum in spectra for value in spectrum.imaginary],
            [index for index, spectrum in enumerate(spectra) for _ in spectrum.frequency],
        )
        return impedance_measurement(
            source,
            self.name,
            points,
            moments=moments,
            instrument=_instrument(spectra),
            facts={**_metadata(session, spectra, warnings), **facts},
            warnings=warnings,
        )


def _session(source: Source) -> Any:
    if len(source.data) > _LARGEST_BYTES:
        problem = f"a session of more than {_LARGEST_BYTES >> 20} MiB; export its impedance measurements alone"
        raise source.error("file", problem)
    # PSTrace writes a second byte order mark at the end, and control characters within texts.
    text = source.text(_EXPECTED).rstrip("\ufeff\n ")
    if (text.count("{") + text.count("[")) * _FEWEST_CHARACTERS_PER_OBJECT > len(text):
        raise source.error("JSON", "more brackets than any session has; the file is damaged")
    try:
        return json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        problem = f"truncated or damaged JSON ({error.msg}); copy the file again"
        raise source.error(f"character {error.pos}", problem) from error
    except ValueError as error:
        raise source.error("JSON", f"a number longer than any measured one ({error})") from error
    except RecursionError as error:
        raise source.error("JSON", "nested deeper than any session; the file is damaged") from error


def _field(node: Any, name: str) -> Any:
    """Return a value of an object by its key, in either spelling; ``None`` where there is none."""
    if not isinstance(node, dict):
        return None
    return node.get(name, node.get(name.lower()))


def _items(node: Any, name: str) -> list[Any]:
    found = _field(node, name)
    return found if isinstance(found, list) else []


def _text(node: Any, name: str) -> str:
    found = _field(node, name)
    return found if isinstance(found, str) else ""


def _technique(measurement: Any) -> str:
    method = _METHOD.search(_text(measurement, "Method"))
    title = _text(measurement, "Title") or "a measurement without title"
    return f"{title} ({method[1]})" if method else title


def _spectra(measurement: Any, place: str, source: Source, warnings: list[str]) -> list[_Spectrum]:
    """Return the spectra of a measurement.

    Its own data set is the measurement as recorded. It runs several scans together, and holds but the last channel of
    several: then the scans come from the list of what was plotted.
    """
    scans = [
        (_text(plotted, "Title"), scan)
        for plotted in _items(measurement, "EISDataList")
        for scan in _items(plotted, "SubScans") or [plotted]
    ]
    own = _spectrum(measurement, measurement, scans[0][0] if scans else "", place, source, warnings)
    if own and len(scans) == 1:
        plotted = _spectrum(scans[0][1], measurement, "", place, source, warnings)
        if plotted and plotted[:3] != own[:3]:
            warnings.append(f"{place.capitalize()} plots other points than it recorded; the recorded ones were read.")
    if own and len(scans) <= 1:
        return [own]
    found = [_spectrum(scan, measurement, title, place, source, warnings) for title, scan in scans]
    return [spectrum for spectrum in found if spectrum]


def _spectrum(
    node: Any, measurement: Any, title: str, place: str, source: Source, warnings: list[str]
) -> _Spectrum | None:
    """Return the spectrum in a node's data set, or ``None`` where it has no impedance."""
    columns: dict[int, list[float]] = {}
    for array in _items(_field(node, "DataSet"), "Values"):
        kind = _field(array, "ArrayType")
        if kind in _UNITS and kind not in columns:
            columns[kind] = _numbers(array, place, source)
            unit = _text(_field(array, "Unit"), "Type").rpartition(".")[2]
            if unit != _UNITS[kind]:
                warnings.append(f"Values in the unit {shown(unit)} were taken as those of {_UNITS[kind]}.")
    if not {_FREQUENCY, _REAL, _MINUS_IMAGINARY} <= columns.keys():
        return None
    frequency, real, imaginary = (columns[kind] for kind in (_FREQUENCY, _REAL, _MINUS_IMAGINARY))
    if not len(frequency) == len(real) == len(imaginary):
        problem = f"{len(frequency)} frequencies, {len(real)} real and {len(imaginary)} imaginary parts"
        raise source.error(place, f"{problem}: the file is damaged; export it again")
    imaginary = [-value for value in imaginary]
    return _Spectrum(frequency, real, imaginary, columns.get(_POTENTIAL, []), title, measurement)


def _numbers(array: Any, place: str, source: Source) -> list[float]:
    try:
        values = [_field(item, "V") for item in _items(array, "DataValues")]
        if all(type(value) in (int, float) for value in values):
            return list(map(float, values))
    except OverflowError:
        pass
    name = shown(_text(array, "Description"))
    raise source.error(place, f"{name}: expected numbers as its values; the file is damaged")


def _times(spectra: list[_Spectrum], warnings: list[str]) -> tuple[dict[str, Any], pa.Array | None]:
    """Return the facts about the start of the first spectrum, and the time of each point."""
    starts = [_moment(spectrum.measurement, "UTCTimeStamp") for spectrum in spectra]
    local = [_moment(spectrum.measurement, "TimeStamp") for spectrum in spectra]
    known = [utc or computer for utc, computer in zip(starts, local, strict=True)]
    facts: dict[str, Any] = {} if known[0] is None else {"started_at": known[0].isoformat()}
    if known != starts:
        facts["time_zone"] = "assumed UTC"
        warnings.append(ASSUMED_ZONE)
    rows = [moment for moment, spectrum in zip(known, spectra, strict=True) for _ in spectrum.frequency]
    return facts, pa.array(rows, pa.timestamp("us", tz="UTC"))


def _moment(measurement: Any, name: str) -> datetime | None:
    ticks = _field(measurement, name)
    if not isinstance(ticks, int) or not 0 < ticks <= _LAST_TICK:
        return None
    return _FIRST_MOMENT + timedelta(microseconds=ticks // 10)


def _instrument(spectra: list[_Spectrum]) -> str:
    """Return maker and model, as far as one instrument measured all spectra."""
    models = {str(_field(spectrum.measurement, "DeviceUsed")) for spectrum in spectra}
    model = next((name for number, name in _INSTRUMENTS.items() if models == {str(number)}), "")
    return f"PalmSens {model}".strip()


def _metadata(session: Any, spectra: list[_Spectrum], warnings: list[str]) -> dict[str, Any]:
    method = _text(spectra[0].measurement, "Method")
    facts: dict[str, Any] = {}
    technique, software = _METHOD.search(method), _SOFTWARE.search(method)
    if technique:
        facts["technique"] = technique[1]
    if software:
        facts["instrument_software"] = f"PSTrace {software[1]}"
    elif _text(session, "CoreVersion"):
        facts["instrument_software"] = f"PalmSens.Core {_text(session, 'CoreVersion')}"
    channels = list(dict.fromkeys(found[1] for spectrum in spectra if (found := _CHANNEL.match(spectrum.title))))
    if len(channels) == 1:
        facts["channel"] = channels[0]
    elif channels:
        warnings.append(f"The spectra are of the channels {', '.join(channels)}, one after another.")
    potentials = {value for spectrum in spectra for value in spectrum.potential}
    if len(potentials) == 1:
        facts["dc_bias_volt"] = potentials.pop()
    elif potentials:
        lowest, highest = min(potentials), max(potentials)
        warnings.append(f"The direct voltage was between {lowest:g} V and {highest:g} V; the table does not tell it.")
    notes = _NOTES.search(method)
    facts.update(
        facts_in(f"{_text(spectra[0].measurement, 'Title')}\n{unquote(notes[1]) if notes else ''}", warnings)
    )
    return facts
