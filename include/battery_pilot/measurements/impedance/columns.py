"""Recognise the columns of an impedance table by their headings and turn its rows into points."""

from __future__ import annotations

import bisect
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from battery_pilot.measurements.text import shown
from battery_pilot.measurements.units import split_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_HEADING = 80
_MINUS_SIGNS = "-\N{MINUS SIGN}\N{EN DASH}"
_MINUS_WORDS = ("minus", "moins", "negative", "negativ", "neg")
_IGNORED = str.maketrans("", "", "()[]{}_. ")
_SPELLINGS = str.maketrans(
    {"é": "e", "è": "e", "ä": "a", "\N{PRIME}": "'", "\N{DOUBLE PRIME}": "''"}
    | dict.fromkeys("\N{RIGHT SINGLE QUOTATION MARK}\N{ACUTE ACCENT}`", "'")
)
_NAMES = {
    "frequency": {
        *("frequency", "freq", "f", "frq", "frequencies", "freqs", "frequenz", "messfrequenz", "frequence"),
        *("频率", "頻率", "周波数", "주파수"),
    },
    "angular": {"omega", "ω", "angularfrequency", "angularfreq", "kreisfrequenz", "pulsation", "角频率", "角周波数"},
    "real": {
        *(
            "z'",
            "z'a",
            "zreal",
            "zre",
            "zr",
            "re",
            "real",
            "rez",
            "realz",
            "realimpedance",
            "realpart",
            "impedancereal",
        ),
        *("impedancere", "zrealpart", "realteil", "realteilz", "partiereelle", "reel", "resistance"),
        *("realvalue", "realvalues", "realz'", "实部", "阻抗实部", "z实部", "实部阻抗", "實部", "実部", "実数部"),
    },
    "imaginary": {
        *("z''", "z''b", 'z"', "zimag", "zim", "zimg", "zi", "im", "imag", "imaginary", "imz", "imagz", "zimaginary"),
        *("imaginaryimpedance", "imaginarypart", "impedanceimaginary", "impedanceimag", "impedanceim", "imagpart"),
        *(
            "imagimpedance",
            "imaginarteil",
            "imaginaerteil",
            "imaginarteilz",
            "imaginaerteilz",
            "partieimaginaire",
            "imaginaire",
            "reactance",
        ),
        *(
            "imagvalue",
            "imagvalues",
            "imaginaryvalue",
            "imaginaryvalues",
            "虚部",
            "阻抗虚部",
            "z虚部",
            "虚部阻抗",
            "虛部",
            "虚数部",
        ),
    },
    "magnitude": {
        *("|z|", "zmod", "zmag", "mag", "mod", "modulus", "magnitude", "modz", "zabs", "abs", "absz", "magz"),
        *("absoluteimpedance", "impedancemagnitude", "impedancemodulus", "betrag", "betragz", "module", "modulez"),
        *("阻抗模", "阻抗模值", "模值", "幅值", "阻抗幅值", "絶対値", "インピーダンス絶対値"),
    },
    "phase": {
        *(
            "phase",
            "phasez",
            "zphz",
            "zphase",
            "phi",
            "φ",
            "theta",
            "θ",
            "phaseangle",
            "argz",
            "arg",
            "zarg",
            "argument",
        ),
        *(
            "phasenwinkel",
            "phasenverschiebung",
            "dephasage",
            "impedancephase",
            "相位",
            "相位角",
            "相角",
            "位相",
            "位相角",
        ),
    },
    "complex": {"z", "zcomplex", "complexz"},
    "spectrum": {"spectrumindex", "cyclenumber", "zcycle"},
    "numbering": {
        *("spectrum", "spectrumnumber", "spectrumno", "spectrumid", "sweep", "sweepindex", "sweepnumber", "loop"),
        *("loopindex", "loopnumber", "cycle", "cycleindex", "cyclecount", "cycleno", "scan", "scannumber", "run"),
        *("measurement", "experiment", "spektrum", "zyklus", "zyklusnummer", "messung", "spectre", "mesure"),
    },
}
_NAME_OF = {spelling: name for name, spellings in _NAMES.items() for spelling in spellings}
_DIGITS = "0123456789"
_COMPLEX_NAMES = ("impedance", "impedanz")
"""Ends of headings that hold complex numbers, or the magnitude where there is a phase."""
_UNITS = {
    **{"frequency": "hertz", "angular": "hertz", "phase": "degree"},
    **dict.fromkeys(("real", "imaginary", "magnitude", "complex"), "ohm"),
}
_ADMITTANCE = re.compile(
    r"[-−\s]*(?:y['\"]*|re[( ]?y|im[( ]?y|\|y\||y_?re\w*|y_?im\w*|admitt\w+|conduct\w+)(?!\w)", re.IGNORECASE
)
_PER_AREA = re.compile(r"(?:ohm|[ωΩ])\W{0,3}c?m\W?[2²]", re.IGNORECASE)


class Column(NamedTuple):
    """A column of the file.

    :param position: counted from 0.
    :param heading: as the file has it.
    :param factor: to hertz, ohm or degree; negative for a column such as ``-Im(Z)``.
    :param has_unit: whether the heading states the unit.
    :param number: digits at the end of the heading, which tell spectra side by side apart.
    """

    position: int
    heading: str
    factor: float
    has_unit: bool
    number: str = ""


@dataclass(frozen=True)
class ImpedanceColumns:
    """Where an impedance table has its quantities.

    :param frequency: frequency column.
    :param first: real part, or magnitude when polar.
    :param second: imaginary part, or phase when polar.
    :param polar: magnitude and phase instead of real and imaginary part.
    :param is_complex: both parts stand in one cell; ``first`` and ``second`` are the same column.
    :param spectrum: column that numbers the spectra, if there is one.
    :param witness: column of the phase with its sign turned round, beside an imaginary part that does not say so.
    """

    frequency: Column
    first: Column
    second: Column
    polar: bool = False
    spectrum: Column | None = None
    is_complex: bool = False
    witness: Column | None = None

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions of frequency and impedance."""
        return self.frequency.position, self.first.position, self.second.position

    @property
    def last_position(self) -> int:
        """Position of the last column that is used."""
        return max(*self.positions, self.spectrum.position if self.spectrum else 0)

    def guesses(self) -> list[str]:
        """Return a sentence for each unit that the headings leave open; that of a phase depends on its values."""
        columns = [("Hz", self.frequency), ("ohm", self.first)]
        if not (self.polar or self.is_complex):
            columns.append(("ohm", self.second))
        return [
            f"Column {shown(column.heading)} states no unit and was taken as {unit}."
            for unit, column in columns
            if not column.has_unit
        ]


def recognise(headings: Sequence[str]) -> ImpedanceColumns | None:
    """Find frequency and impedance among the headings of a table with one spectrum a row.

    Real and imaginary part win over magnitude and phase; of equal headings the first wins.

    :param headings: as in the file, for example ``freq/Hz``, ``-Im(Z)/Ohm``, ``Z'' (mΩ)``, ``Z_Phase_Degree``.
    :returns: ``None`` when the headings do not make an impedance table.
    """
    found: dict[str, Column] = {}
    for name, column in _quantities(headings):
        if not column.number:
            found.setdefault(name, column)
    for polar, first, second in ((False, "real", "imaginary"), (True, "magnitude", "phase")):
        if {"frequency", first, second} <= found.keys():
            return ImpedanceColumns(found["frequency"], found[first], found[second], polar, found.get("spectrum"))
    return None


def recognise_all(headings: Sequence[str]) -> tuple[ImpedanceColumns, ...]:
    """Find the spectra that stand side by side in a table of any program.

    Beyond :func:`recognise` this knows angular frequencies, complex numbers in one cell, further names of the column
    that numbers spectra below each other, and headings such as ``Zre 2`` or ``Freq.1`` of a second spectrum.

    :param headings: as in the file.
    :returns: one entry a spectrum, none when the headings do not make an impedance table.
    """
    found: dict[str, list[Column]] = {}
    for name, column in _quantities(headings):
        found.setdefault(name, []).append(column)
    frequencies = found.get("frequency") or found.get("angular") or []
    if not frequencies:
        return ()
    polar = is_complex = False
    pairs = _pairs(found, "real", "imaginary")
    if not pairs:
        pairs = _pairs(found, "magnitude", "phase") or _pairs(found, "complex", "phase")
        polar = bool(pairs)
    if not pairs:
        pairs = [(column, column) for column in found.get("complex", [])]
        is_complex = True
    numberings = found.get("spectrum") or found.get("numbering") or []
    numbering = numberings[0] if numberings and len(pairs) == 1 else None
    by_number = _by_number(frequencies)
    return tuple(
        ImpedanceColumns(
            _last_before(first, by_number.get(first.number, frequencies)),
            first,
            second,
            polar,
            numbering,
            is_complex,
            None if polar or is_complex or second.factor < 0 else _turned_phase(found, second.number),
        )
        for first, second in pairs
    )


def _turned_phase(found: dict[str, list[Column]], number: str) -> Column | None:
    """Return the phase of a spectrum where its heading says that the sign is turned round."""
    phases = (column for column in found.get("phase", []) if column.number == number and column.factor < 0)
    return next(phases, None)


def _pairs(found: dict[str, list[Column]], first: str, second: str) -> list[tuple[Column, Column]]:
    """Pair the columns of two quantities whose headings have the same number, in their order."""
    waiting = {number: iter(columns) for number, columns in _by_number(found.get(second, [])).items()}
    partners = ((column, next(waiting.get(column.number, iter(())), None)) for column in found.get(first, []))
    return [(column, partner) for column, partner in partners if partner is not None]


def _by_number(columns: Sequence[Column]) -> dict[str, list[Column]]:
    """Return columns by the number of their spectrum, in their order."""
    numbered: dict[str, list[Column]] = {}
    for column in columns:
        numbered.setdefault(column.number, []).append(column)
    return numbered


def _last_before(column: Column, others: Sequence[Column]) -> Column:
    """Return the last of other columns, which are in their order, that stands before a column, or else the first."""
    count = bisect.bisect_left(others, column.position, key=lambda other: other.position)
    return others[max(count - 1, 0)]


def unusable(headings: Sequence[str]) -> str | None:
    """Tell why a table of a similar quantity cannot be read as impedance.

    :param headings: as in the file.
    :returns: ``None`` where the headings are about something else altogether.
    """
    names = {name for name, _ in _quantities(headings)}
    if not names & {"frequency", "angular"}:
        return None
    if any(_PER_AREA.search(heading[:_LONGEST_HEADING]) for heading in headings):
        return "the impedance is given for an area (ohm times square centimetre); divide it by the area and say 'ohm'"
    if any(_ADMITTANCE.match(heading[:_LONGEST_HEADING]) for heading in headings):
        return "the table holds admittances; impedances in ohm are expected, export or invert them"
    return None


def holds_impedance(heading: str) -> bool:
    """Tell whether a column holds a frequency or a part of an impedance, whether it is needed or not."""
    quantity = _quantity(heading) if len(heading) <= _LONGEST_HEADING else None
    return quantity is not None and quantity[0] in _UNITS


def _quantities(headings: Sequence[str]) -> list[tuple[str, Column]]:
    found = []
    for index, heading in enumerate(headings):
        quantity = _quantity(heading) if len(heading) <= _LONGEST_HEADING else None
        if quantity is not None:
            name, factor, has_unit, number = quantity
            found.append((name, Column(index, heading, factor, has_unit, number)))
    return found


@lru_cache(maxsize=1024)
def _quantity(heading: str) -> tuple[str, float, bool, str] | None:
    """Return what a column holds, its factor, whether it states a unit and the number of its spectrum.

    A laboratory's files repeat few headings, so that this is kept.
    """
    text, unit = split_unit(heading, _UNITS.values())
    text = text.lower().strip()
    sign = 1.0
    if text and text[0] in _MINUS_SIGNS:
        sign, text = -1.0, text[1:]
    for word in _MINUS_WORDS:
        if text.startswith(word):
            sign, text = -1.0, text.removeprefix(word)
            break
    text = text.translate(_SPELLINGS).translate(_IGNORED)
    name, number = _NAME_OF.get(text), ""
    if name is None:
        name = _NAME_OF.get(text.rstrip(_DIGITS))
        number = text[len(text.rstrip(_DIGITS)) :]
    if name is None and text.endswith(_COMPLEX_NAMES):
        name = "complex"
    if name is None:
        # The number behind the unit: "Phase (rad) 2".
        shorter = heading.rstrip(_DIGITS)
        found = _quantity(shorter.rstrip(" _.#")) if len(shorter) < len(heading) else None
        return None if found is None else (*found[:3], heading[len(shorter) :])
    if unit is not None and unit.name != _UNITS.get(name):
        return None
    factor = sign * (1.0 if unit is None else unit.factor)
    if name == "angular" and (unit is None or unit.factor == 1.0):
        factor = sign / math.tau
    return name, factor, unit is not None, number
