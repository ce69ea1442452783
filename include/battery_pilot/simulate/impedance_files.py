"""Impedance spectra as the files that instruments write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from battery_pilot.simulate.impedance import Spectrum


@dataclass(frozen=True)
class ImpedanceFormat:
    """One kind of impedance file.

    :param suffix: ending of the file name.
    :param encode: makes the file's bytes from a spectrum, the note about the cell and the time in UTC.
    """

    suffix: str
    encode: Callable[[Spectrum, str, datetime], bytes]


def impedance_note(battery_id: str, *, temperature_celsius: float, state_of_charge_percent: float) -> str:
    """Return what an operator types into the instrument's comment field."""
    return (
        f"battery_id={battery_id} temperature_celsius={temperature_celsius:.1f} "
        f"state_of_charge_percent={state_of_charge_percent:.0f}"
    )


def gamry_dta(spectrum: Spectrum, note: str, at: datetime) -> bytes:
    """Return a Gamry ``.DTA`` file of a galvanostatic spectrum."""
    header = (
        "EXPLAIN",
        "TAG\tGALVEIS",
        f"TITLE\tLABEL\t{note}\tTest &Identifier",
        f"DATE\tLABEL\t{at:%m/%d/%Y}\tDate",
        f"TIME\tLABEL\t{at:%H:%M:%S}\tTime",
        "NOTES\tNOTES\t1\t&Notes...",
        f"\t{note}",
        "PSTAT\tPSTAT\tREF3000\tPotentiostat",
        f"FREQINIT\tQUANT\t{spectrum.frequency_hertz[0]:.5E}\tInitial Fre&q. (Hz)",
        f"FREQFINAL\tQUANT\t{spectrum.frequency_hertz[-1]:.5E}\tFinal Fre&q. (Hz)",
        "ZCURVE\tTABLE",
        "\tPt\tTime\tFreq\tZreal\tZimag\tZsig\tZmod\tZphz\tIdc\tVdc\tIERange",
        "\t#\ts\tHz\tohm\tohm\tV\tohm\t°\tA\tV\t#",
    )
    rows = (
        f"\t{point}\t{time:.3f}\t{frequency:.7G}\t{z.real:.8G}\t{z.imag:.8G}\t1"
        f"\t{abs(z):.8G}\t{np.degrees(np.angle(z)):.6G}\t0\t{spectrum.dc_bias_volt:.6G}\t12"
        for point, (time, frequency, z) in enumerate(_points(spectrum))
    )
    return _lines(header, rows, "\r\n")


def biologic_mpt(spectrum: Spectrum, note: str, at: datetime) -> bytes:
    """Return a BioLogic EC-Lab ``.mpt`` text export, whose second line counts the header's lines."""
    started = f"{at:%m/%d/%Y %H:%M:%S}"
    header = [
        "EC-Lab ASCII FILE",
        "",
        "",
        "Galvano Electrochemical Impedance Spectroscopy",
        "",
        "Run on channel : 1 (SN 30924)",
        f"Acquisition started on : {started}",
        f"Technique started on : {started}",
        "Device : SP-150",
        f"Comments : {note}",
        "Mode                Single sine",
        "",
        "freq/Hz\tRe(Z)/Ohm\t-Im(Z)/Ohm\t|Z|/Ohm\tPhase(Z)/deg\ttime/s\t<Ewe>/V\t<I>/mA\tcycle number\t",
    ]
    header[1] = f"Nb header lines : {len(header)}                          "
    rows = (
        f"{frequency:.7E}\t{z.real:.7E}\t{-z.imag:.7E}\t{abs(z):.7E}\t{np.degrees(np.angle(z)):.7E}"
        f"\t{time:.6E}\t{spectrum.dc_bias_volt:.7E}\t0.0000000E+00\t1.000000000000000E+000"
        for time, frequency, z in _points(spectrum)
    )
    return _lines(header, rows, "\r\n")


def zplot_z(spectrum: Spectrum, note: str, at: datetime) -> bytes:
    """Return a ZPlot ``.z`` file."""
    header = (
        "ZPLOT2 ASCII",
        "  Measured Data, ZPlot:       3.2c",
        "  Experiment Type:            Sweep Frequency, Control Current",
        f"  Date:                       {at:%m-%d-%Y}",
        f"  Time:                       {at:%H:%M:%S}",
        "  Begin User Comments:        1",
        f"    {note}",
        "  End User Comments:          1",
        f"  Data Points:                {len(spectrum.frequency_hertz)}",
        "  Freq(Hz)\tAmpl\tBias\tTime(Sec)\tZ'(a)\tZ''(b)\tGD\tErr\tRange",
        "End Comments",
    )
    rows = (
        f"{frequency:.6E}\t1.0000E-01\t0.0000E+00\t{time:.6E}\t{z.real:.6E}\t{z.imag:.6E}\t0.0000E+00\t0\t3"
        for time, frequency, z in _points(spectrum)
    )
    return _lines(header, rows, "\n")


def plain_csv(spectrum: Spectrum, note: str, at: datetime) -> bytes:
    """Return a comma-separated table with the facts in comment lines above it."""
    header = (
        *(f"# {fact}" for fact in note.split()),
        f"# started_at={at:%Y-%m-%dT%H:%M:%SZ}",
        "frequency_hertz,real_impedance_ohm,imaginary_impedance_ohm",
    )
    rows = (f"{frequency:.8g},{z.real:.8g},{z.imag:.8g}" for _, frequency, z in _points(spectrum))
    return _lines(header, rows, "\n")


IMPEDANCE_FORMATS = (
    ImpedanceFormat(".DTA", gamry_dta),
    ImpedanceFormat(".mpt", biologic_mpt),
    ImpedanceFormat(".z", zplot_z),
    ImpedanceFormat(".csv", plain_csv),
)
"""The formats in the order in which batteries are dealt to the instruments."""


def _points(spectrum: Spectrum) -> list[tuple[float, float, complex]]:
    """Return time since the start (a few periods at each frequency), frequency and impedance of each point."""
    times = np.cumsum(1.0 + 3.0 / spectrum.frequency_hertz)
    return list(zip(times.tolist(), spectrum.frequency_hertz.tolist(), spectrum.impedance_ohm.tolist(), strict=True))


def _lines(header: Iterable[str], rows: Iterable[str], end: str) -> bytes:
    return "".join(line + end for line in (*header, *rows)).encode("latin-1")
