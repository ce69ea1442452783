"""BioLogic EC-Lab and BT-Lab binary files (``.mpr``).

A file is a row of modules: settings, data, log and others. The data module has the number of points, the numbers of
its columns and, at a fixed place, the records. All this was found in the bytes of files of EC-Lab 10.40 to 11.62 and
BT-Lab 1.79, and by comparison with their text exports.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from battery_pilot.measurements.biologic import mpr_facts
from battery_pilot.measurements.biologic.mpr_columns import Layout, layouts, unknown
from battery_pilot.measurements.biologic.quantities import cycling_columns, find_quantities, left_out
from battery_pilot.measurements.biologic.spectra import BIAS, bias_facts, cartesian, impedance_points
from battery_pilot.measurements.model import CYCLING_COLUMNS, HALF_WRITTEN
from battery_pilot.measurements.tables import Points, cycling_measurement, impedance_measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from battery_pilot.errors import MeasurementError
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_MAGIC = b"BIO-LOGIC MODULAR FILE"
_EXPECTED = "BioLogic modular file"
_FIRST_MODULE = 52
_NAME_END = 41
"""Word MODULE, short name (10 bytes), long name (25 bytes)."""
_LONG_HEADER_MARK = b"\xff\xff\xff\xff"
_DATE_BYTES = 8
_DATE = re.compile(rb"\d\d[/.-]\d\d[/.-]\d\d")
_COPY_AGAIN = "copy the file again, or export it as text (.mpt)"

# By version of the data module: type of the number of columns, place of the records.
_DATA_LAYOUTS = {2: ("<B", 405), 3: ("<B", 406), 10: ("<H", 1007), 11: ("<H", 1007)}
_POINTS_BYTES = 4
_LONGEST_TABLE_HEAD = 2048
_HIGHEST_FREQUENCY_HERTZ = 1e9
_LONGEST_TEST_SECOND = 1e10
_MEASURED = ("Ewe/V", "<Ewe>/V", "I/mA", "<I>/mA", "Re(Z)/Ohm", "-Im(Z)/Ohm")
_LEAST, _MOST = 1e-12, 1e9
"""Nothing that is measured in volt, milliampere or ohm is outside of these."""
_IMPEDANCE = ("Re(Z)/Ohm", "-Im(Z)/Ohm")
_POLAR_IMPEDANCE = ("|Z|/Ohm", "Phase(Z)/deg")


class _Module(NamedTuple):
    """A module: version, date in its header, where its content begins, and how long that should be."""

    version: int
    date: str
    start: int
    length: int

    def content(self, data: bytes) -> bytes:
        return data[self.start : self.start + self.length]


class _Records:
    """The records of the data module by heading; see :class:`.quantities.Table`."""

    def __init__(self, layout: Layout, records: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
        self.headings = layout.headings
        self._layout = layout
        self._records = records

    @property
    def width(self) -> int:
        return self._layout.dtype.itemsize

    @property
    def offsets(self) -> dict[str, int]:
        """Place in the record of each known column."""
        return {name: field[1] for name, field in (self._layout.dtype.fields or {}).items()}

    def __len__(self) -> int:
        return len(self._records)

    def column(self, heading: str) -> FloatArray | None:
        return self.required(self.headings.index(heading)) if heading in self.headings else None

    def required(self, index: int, factor: float = 1.0) -> FloatArray:
        values = self._records[self._layout.fields[index]]
        mask = self._layout.masks[index]
        if mask:
            values = (values & mask) // (mask & -mask)
        numbers: FloatArray = np.multiply(values, factor, dtype=np.float64)
        return numbers

    def optional(self, index: int, name: str, factor: float = 1.0) -> FloatArray | None:  # noqa: ARG002
        return self.required(index, factor)


class BioLogicBinaryReader:
    """Reads impedance and cycling from a binary file; one that is still being written gives its whole records."""

    name = "biologic-mpr"
    kinds: tuple[Kind, ...] = ("impedance", "cycling")
    suffixes: tuple[str, ...] = (".mpr",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 100 for the first words of a modular file."""
        return 100 if source.head.startswith(_MAGIC) else 0

    def read(self, source: Source) -> Measurement:
        """Read the records of the data module and what the other modules tell about them.

        Positive current is oxidation at the working electrode, which is the charge of a full cell; the sign is kept.

        :raises MeasurementError: when there is no data module, no record, or the records do not fit their columns.
        """
        # The bytes of a damaged file can be any number; what counts is checked.
        with np.errstate(all="ignore"):
            return self._read(source)

    def _read(self, source: Source) -> Measurement:
        warnings: list[str] = []
        modules = _modules(source, warnings)
        if "VMP data" not in modules:
            found = ", ".join(modules) or "none"
            problem = f"no data module (modules found: {found}): the file is truncated; {_COPY_AGAIN}"
            raise source.error(f"byte {len(source.data)}", problem)
        records = _records(source, modules["VMP data"], warnings)
        settings, log = modules.get("VMP Set"), modules.get("VMP LOG")
        log_content = log.content(source.data) if log else b""
        facts = mpr_facts.metadata(
            settings.content(source.data) if settings else b"",
            log_content,
            (settings or modules["VMP data"]).date,
            warnings,
        )
        instrument = mpr_facts.instrument(log_content)
        points = _points(records)
        if points is not None:
            facts["columns_left_out"] = tuple(
                heading for heading in records.headings if heading not in ("freq/Hz", "cycle number", *_IMPEDANCE)
            )
            bias = next((heading for heading in BIAS if heading in records.headings), "")
            points = impedance_points(points)
            facts = bias_facts(points, records.column(bias)) | facts
            return impedance_measurement(
                source, self.name, points, instrument=instrument, facts=facts, warnings=warnings
            )
        columns = find_quantities(records.headings, source, "data module", warnings)
        facts["columns_left_out"] = left_out(records.headings, columns)
        values = cycling_columns(records, columns, source, warnings)
        _demand_finite(source, values)
        return cycling_measurement(source, self.name, values, instrument=instrument, facts=facts, warnings=warnings)


def _modules(source: Source, warnings: list[str]) -> dict[str, _Module]:
    """Return the modules of the file by their short names."""
    data, place = source.data, _FIRST_MODULE
    modules: dict[str, _Module] = {}
    while data.startswith(b"MODULE", place):
        header = data[place + _NAME_END : place + _NAME_END + 24]
        is_long = header.startswith(_LONG_HEADER_MARK)
        size = 16 if is_long else 8
        date = header[size : size + _DATE_BYTES]
        if len(header) < 24:
            break
        if not _DATE.fullmatch(date):
            problem = f"module header of an unknown form: a date was expected, {date!r} found; {_COPY_AGAIN}"
            raise source.error(f"byte {place + _NAME_END + size}", problem)
        length, version = struct.unpack_from("<4xQI" if is_long else "<II", header)
        start = place + _NAME_END + size + _DATE_BYTES
        name = data[place + 6 : place + 16].decode("latin-1").strip(" \0")
        modules.setdefault(name, _Module(version, date.decode(), start, length))
        place = start + length
    if place < len(data):
        warnings.append(f"{len(data) - place} bytes from byte {place} on are no module and were left out.")
    elif place > len(data) and "VMP data" in modules and name != "VMP data":
        warnings.append(f"The file ends inside its module {name}; the data before it are whole.")
    return modules


def _records(source: Source, module: _Module, warnings: list[str]) -> _Records:
    """Return the records of the data module, as many of those announced as the file holds whole."""
    points, ids, first = _table_head(source, module, warnings)
    announced = module.length - first
    available = min(announced, len(source.data) - module.start - first)
    if points == 0 or available <= 0:
        problem = f"no data rows ({points} announced): the measurement was not begun, or the file is truncated"
        raise source.error("data module", problem)
    width = announced // points if announced % points == 0 else None
    strangers = unknown(ids)
    candidates = [
        _Records(layout, _rows(source, layout, module.start + first, available, points))
        for layout in layouts(ids, width if strangers else None)
        if announced <= points * layout.dtype.itemsize
    ]
    fits = not strangers and any(announced == points * records.width for records in candidates)
    if not fits:
        candidates = [records for records in candidates if _is_plausible(records)]
    different = {tuple(sorted(records.offsets.items())): records for records in candidates}
    if len(different) != 1:
        raise _unfit(source, ids, points, announced)
    (records,) = different.values()
    if not len(records):
        problem = f"none of {points} rows is whole, {available} bytes of records found: truncated file; {_COPY_AGAIN}"
        raise source.error("data module", problem)
    if strangers:
        numbers = ", ".join(map(str, strangers))
        warnings.append(
            f"Columns of unknown meaning (numbers {numbers}) were left out; their width fills up the rows."
        )
    if len(records) < points:
        missing = points - len(records)
        warnings.append(f"{HALF_WRITTEN}{missing} of {points} announced rows are missing at the end.")
    return records


def _table_head(source: Source, module: _Module, warnings: list[str]) -> tuple[int, tuple[int, ...], int]:
    """Return the number of points, the numbers of the columns, and where in the module the records begin."""
    content = source.data[module.start : module.start + min(module.length, _LONGEST_TABLE_HEAD)]
    if module.version in _DATA_LAYOUTS:
        count_type, first = _DATA_LAYOUTS[module.version]
        points, ids = _numbers(content, count_type)
        if len(content) >= first and ids:
            return points, ids, first
        raise source.error(f"byte {module.start}", f"the head of the data module is truncated; {_COPY_AGAIN}")
    for count_type in ("<H", "<B"):
        points, ids = _numbers(content, count_type)
        if not ids or unknown(ids):
            continue
        layout = next(layouts(ids, None))
        first = module.length - points * layout.dtype.itemsize
        ends = _POINTS_BYTES + struct.calcsize(count_type) + 2 * len(ids)
        if ends <= first < _LONGEST_TABLE_HEAD and not any(content[ends:first]):
            warnings.append(
                f"Version {module.version} of the data module is not known; its records were found by size."
            )
            return points, ids, first
    problem = f"version {module.version} of the data module is not known; export the measurement as text (.mpt)"
    raise source.error(f"byte {module.start}", problem)


def _numbers(content: bytes, count_type: str) -> tuple[int, tuple[int, ...]]:
    """Return the number of points and the numbers of the columns; none when the content is too short."""
    start = _POINTS_BYTES + struct.calcsize(count_type)
    if len(content) < start:
        return 0, ()
    (points,) = struct.unpack_from("<I", content)
    (count,) = struct.unpack_from(count_type, content, _POINTS_BYTES)
    if len(content) < start + 2 * count:
        return points, ()
    return points, struct.unpack_from(f"<{count}H", content, start)


def _rows(
    source: Source, layout: Layout, start: int, available: int, points: int
) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Return the whole records between a byte and the end of the data."""
    width = layout.dtype.itemsize
    return np.frombuffer(source.data, layout.dtype, min(points, available // width), start)


def _is_plausible(records: _Records) -> bool:
    """Tell whether the numbers are such as a wrong width of a column would not give."""
    seconds, frequency = records.column("time/s"), records.column("freq/Hz")
    if not len(records) or (seconds is None and frequency is None):
        return False
    if seconds is not None:
        ascends = bool((seconds[0] > -1) & (np.diff(seconds) >= 0).all() & (seconds[-1] < _LONGEST_TEST_SECOND))
        if not ascends or (len(seconds) > 1 and seconds[0] == seconds[-1]):
            return False
    if frequency is not None and not ((frequency >= 0) & (frequency < _HIGHEST_FREQUENCY_HERTZ)).all():
        return False
    measured = (np.abs(column) for column in map(records.column, _MEASURED) if column is not None)
    return all(bool(((size == 0) | ((size > _LEAST) & (size < _MOST))).all()) for size in measured)


def _unfit(source: Source, ids: Sequence[int], points: int, announced: int) -> MeasurementError:
    """Return the error for records that do not fit their columns."""
    strangers = unknown(ids)
    problem = f"{announced} bytes of records do not fit {points} points of {len(ids)} columns"
    if strangers:
        problem += f", of which the numbers {', '.join(map(str, strangers[:8]))} are of unknown width"
        return source.error("data module", f"{problem}; export the measurement as text (.mpt)")
    return source.error("data module", f"{problem}: the file is damaged; {_COPY_AGAIN}")


def _points(records: _Records) -> Points | None:
    """Return the points of an impedance technique, or ``None`` for any other.

    Impedance techniques have no column ``mode``. Others, such as Modulo Bat, write impedance between the rows of a log.
    """
    frequency = records.column("freq/Hz")
    if frequency is None:
        return None
    if "mode" in records.headings and not (frequency != 0).all():
        return None
    real, minus_imaginary = (records.column(heading) for heading in _IMPEDANCE)
    if real is None or minus_imaginary is None:
        magnitude, phase = (records.column(heading) for heading in _POLAR_IMPEDANCE)
        if magnitude is None or phase is None:
            return None
        real, imaginary = cartesian(magnitude, phase)
    else:
        imaginary = -minus_imaginary
    cycle = records.column("cycle number")
    return Points(frequency, real, imaginary, records.column("z cycle") if cycle is None else cycle)


def _demand_finite(source: Source, values: Mapping[str, FloatArray]) -> None:
    """Refuse rows without time, voltage or current."""
    for name in CYCLING_COLUMNS:
        gaps = np.flatnonzero(~np.isfinite(values[name]))
        if len(gaps):
            problem = f"{name}: expected a number, found {values[name][gaps[0]]}: the file is damaged; {_COPY_AGAIN}"
            raise source.error(f"data row {gaps[0] + 1}", problem)
