"""A small valid file of every text format, made up for the tests."""

from __future__ import annotations

import math

import pytest

FREQUENCIES = [10.0 ** (4 - step / 3) for step in range(16)]
# A resistance in series with a resistance and a capacitor in parallel.
SPECTRUM = [0.02 + 0.03 / (1 + 2j * math.pi * frequency * 0.03 * 0.5) for frequency in FREQUENCIES]
LOG = [(10.0 * row, 3.6 + 0.01 * row, 1.5 if row < 8 else -1.5) for row in range(16)]


def _gamry() -> str:
    lines = [
        "EXPLAIN",
        "TAG\tEISPOT",
        "TITLE\tLABEL\tbattery_id=CELL-7\tTest &Identifier",
        "DATE\tLABEL\t4/23/2026\tDate",
        "TIME\tLABEL\t16:43:15\tTime",
        "NOTES\tNOTES\t2\t&Notes...",
        "\ttemperature_celsius=25.5 state_of_charge_percent=50",
        "\t",
        "PSTAT\tPSTAT\tREF3000-1\tPotentiostat",
        "VDC\tPOTEN\t3.70000E+000\tF\tDC &Voltage (V)",
        "FREQINIT\tQUANT\t1.00000E+004\tInitial Fre&q. (Hz)",
        "FREQFINAL\tQUANT\t1.00000E-001\tFinal Fre&q. (Hz)",
        "AREA\tQUANT\t2.00000E+000\t&Area (cm^2)",
        "OCVCURVE\tTABLE\t1",
        "\tPt\tT\tVf\tVm\tAch\tOver\tTemp",
        "\t#\ts\tV vs. Ref.\tV\tV\tbits\tdeg C",
        "\t0\t0.25\t3.7E+000\t3.7E+000\t0\t..........a\t-327.67",
        "EOC\tQUANT\t3.7\tOpen Circuit (V)",
        "FRAMEWORKVERSION\tLABEL\t7.8.2\tFramework Version",
        "ZCURVE\tTABLE",
        "\tPt\tTime\tFreq\tZreal\tZimag\tZsig\tZmod\tZphz\tIdc\tVdc\tIERange",
        "\t#\ts\tHz\tohm\tohm\tV\tohm\t°\tA\tV\t#",
    ]
    for row, (frequency, impedance) in enumerate(zip(FREQUENCIES, SPECTRUM, strict=True)):
        values = (frequency, impedance.real, impedance.imag, 1, abs(impedance), -1.5, 1e-6, 3.7)
        lines.append("\t" + "\t".join([str(row), str(row + 1), *(f"{value:.7g}" for value in values), "12"]))
    return "\n".join(lines) + "\n"


def _mpt() -> str:
    header = [
        "EC-Lab ASCII FILE",
        "Nb header lines : 12                          ",
        "",
        "Potentio Electrochemical Impedance Spectroscopy",
        "Run on channel : 3 (SN 1)",
        "Technique started on : 02/14/2026 10:02:46",
        "Device : SP-150 (SN 2)",
        "EC-Lab for windows v11.18 (software)",
        "Comments : battery_id=CELL-8 temperature_celsius=20",
        "Electrode surface area : 2.500 cm²",
        "",
        "freq/Hz\tRe(Z)/Ohm\t-Im(Z)/Ohm\t|Z|/Ohm\tPhase(Z)/deg\t<Ewe>/V\tcycle number\tCp/µF\t",
    ]
    rows = [
        "\t".join(f"{value:.7E}" for value in (f, z.real, -z.imag, abs(z), -1.0, 3.7, cycle, 1.0))
        for cycle in (1, 2)
        for f, z in zip(FREQUENCIES, SPECTRUM, strict=True)
    ]
    return "\n".join([*header, *rows]) + "\n"


def _zplot() -> str:
    header = [
        "ZPLOT2 ASCII",
        "  Measured Data, ZPlot:       3.2c",
        "  Date:                       10-25-2025",
        "  Time:                       12:32:21",
        "  Begin User Comments:        1",
        "battery_id=CELL-9 temperature_celsius=21.5",
        "  End User Comments:          1",
        f"  Data Points:                {len(FREQUENCIES)}",
        "  Freq(Hz)\tAmpl\tBias\tTime(Sec)\tZ'(a)\tZ''(b)\tGD\tErr\tRange",
        "End Comments",
    ]
    rows = [
        f"{f:.6E}\t1.0000E-02\t0.0000E+00\t2.590000E+00\t{z.real:.4E}\t{z.imag:.4E}\t0.0000E+00\t0\t4"
        for f, z in zip(FREQUENCIES, SPECTRUM, strict=True)
    ]
    return "\n".join([*header, *rows]) + "\n"


def _plain() -> str:
    rows = [f"{f!r},{z.real!r},{z.imag!r}" for f, z in zip(FREQUENCIES, SPECTRUM, strict=True)]
    return "\n".join(["# battery_id=CELL-10", "frequency / Hz,Z' / ohm,Z'' / ohm", *rows]) + "\n"


def _bare() -> str:
    return "\n".join(f"{f!r},{z.real!r},{z.imag!r}" for f, z in zip(FREQUENCIES, SPECTRUM, strict=True)) + "\n"


def _bdf() -> str:
    rows = [f"{time!r},{voltage!r},{current!r},1" for time, voltage, current in LOG]
    return "\n".join(["Test Time / s,Voltage / V,Current / A,Cycle Count / 1", *rows]) + "\n"


def _bdf_impedance() -> str:
    rows = [f"{f!r},{z.real!r},{z.imag!r}" for f, z in zip(FREQUENCIES, SPECTRUM, strict=True)]
    return "\n".join(["frequency_hertz,real_impedance_ohm,imaginary_impedance_ohm", *rows]) + "\n"


def _arbin() -> str:
    heading = "Data_Point,Test_Time,DateTime,Step_Index,Cycle_Index,Current,Voltage,Charge_Capacity,Temperature"
    rows = [
        f"{row},{time!r},{1499006353 + time!r},2,0,{current!r},{voltage!r},0.0,25.{row}"
        for row, (time, voltage, current) in enumerate(LOG)
    ]
    return "\n".join([heading, *rows]) + "\n"


def _maccor() -> str:
    header = (
        "Today's Date 04/04/2026  Date of Test:\t03/31/2026\t Filename:\tC:\\a.001\tComment/Barcode: CELL-11, NMC"
    )
    heading = "Rec#\tCyc#\tStep\tTest (Min)\tStep (Min)\tAmp-hr\tWatt-hr\tAmps\tVolts\tState\tES\tDPt Time"
    rows = [
        f"{row}\t0\t{1 if current > 0 else 2}\t{time / 60!r}\t0\t0\t0\t{abs(current):.10f}\t{voltage:.8f}"
        f"\t{'C' if current > 0 else 'D'}\t1\t03/31/2026 16:0{row // 6}:{row % 6}1"
        for row, (time, voltage, current) in enumerate(LOG)
    ]
    return "\n".join([header, heading, *rows]) + "\n"


def _nasa() -> str:
    heading = "Voltage_measured,Current_measured,Temperature_measured,Current_load,Voltage_load,Time"
    rows = [f"{voltage!r},{-abs(current)!r},24.5,1.5,3.0,{time!r}" for time, voltage, current in LOG]
    return "\n".join([heading, *rows]) + "\n"


@pytest.fixture(scope="session")
def spectrum() -> list[tuple[float, complex]]:
    """Frequencies in hertz and impedances in ohm of the sample impedance files."""
    return list(zip(FREQUENCIES, SPECTRUM, strict=True))


@pytest.fixture(scope="session")
def cycler_log() -> list[tuple[float, float, float]]:
    """Test time, voltage and current of the sample cycling files."""
    return LOG


@pytest.fixture(scope="session")
def samples() -> dict[str, str]:
    """Text of a valid file by file name."""
    return {
        "gamry.dta": _gamry(),
        "biologic.mpt": _mpt(),
        "zplot.z": _zplot(),
        "plain.csv": _plain(),
        "bare.csv": _bare(),
        "log.bdf.csv": _bdf(),
        "spectrum.bdf.csv": _bdf_impedance(),
        "arbin.csv": _arbin(),
        "maccor.001": _maccor(),
        "nasa.csv": _nasa(),
    }
