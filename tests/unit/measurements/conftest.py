"""A small valid file of every text format, made up for the tests."""

from __future__ import annotations

import html
import io
import json
import math
import zipfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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


def _mpt_log() -> str:
    header = [
        "BT-Lab ASCII FILE",
        "Nb header lines : 12                          ",
        "",
        "Modulo Bat",
        "",
        "Run on channel : A1 (SN 0335)",
        "Acquisition started on : 03/31/2026 16:00:00.500",
        "Device : BCS-815 (SN 0433)",
        "BT-Lab for windows v1.75 (software)",
        "Battery capacity : 4.500 A.h",
        "",
        "Ns\ttime/s\tEcell/V\tI/mA\tQ charge/mA.h\tcycle number\tR/Ohm\tTemperature/°C\t",
    ]
    rows = [
        f"{row // 8}\t{time:.15E}\t{voltage:.7E}\t{1000 * current:.7E}\t0.000000000000000E+00\t0.000000000000000E+00"
        "\t1.0000000E+00\t2.5500000E+01"
        for row, (time, voltage, current) in enumerate(LOG)
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


def _versastudio() -> str:
    header = [
        "<Application>",
        "Name=VersaStudio",
        "Version=2.52.3.0",
        "</Application>",
        "",
        "<Action0>",
        "Working Electrode Area (cm2)=3",
        "Name=Common",
        "Comment=battery_id=CELL-20",
        "</Action0>",
        "",
        "<Instrument>",
        "Type=VersaSTAT4",
        "Model=-400",
        "</Instrument>",
        "",
        "<Experiment>",
        "TimeAcquired=2:40:30 PM",
        "DateAcquired=Thursday, July 16, 2026",
        "</Experiment>",
        "",
        *("<Action1>", "Name=Open Circuit", "</Action1>"),
        *("<Action2>", "Segments=1", "Name=Potentiostatic EIS", "</Action2>"),
        "",
        "<Segment1>",
        "Type=2",
        "Definition=Segment #, Point #, E(V), Frequency(Hz), Z Real, Z Imag, ActionId, AC Amplitude, 0",
    ]
    rows = [f"0,{row},3.7,{f:.7g},{z.real:.7g},{z.imag:.7g},21,0.02" for row, (f, z) in enumerate(_points())]
    return "\n".join([*header, *rows, "</Segment1>", "", "<DockingLayout>", "</DockingLayout>"]) + "\n"


def _points() -> list[tuple[float, complex]]:
    return list(zip(FREQUENCIES, SPECTRUM, strict=True))


def _chi() -> str:
    header = [
        "July 6, 2026   15:55:08",
        "A.C. Impedance",
        "File: c:\\cell.bin",
        "Data Source:  Experiment",
        "Instrument Model:  CHI660E",
        "Header: ",
        "Note: battery_id=CELL-21",
        "",
        "Init E (V) = 3.7",
        "High Frequency (Hz) = 1e+4",
        "",
        "Freq/Hz, Z'/ohm, Z\"/ohm, Z/ohm, Phase/deg",
        "",
    ]
    rows = [f"{f:.6e}, {z.real:.6e}, {z.imag:.6e}, {abs(z):.6e}, -1.6" for f, z in _points()]
    return "\n".join([*header, *rows]) + "\n"


def _relaxis() -> str:
    header = [
        "RelaxIS 3.0 Spectrum export",
        "Date: 7/16/2026 2:29:15 PM",
        "Data: Frequency\tData: Z'\tData: Z''\tData: |Z|\tData: Theta (Z)",
        "DC=3.7, TM=33.7\tModel: Unassigned Spectra\tcell\t\t",
    ]
    rows = [f"{f!r}\t{z.real!r}\t{z.imag!r}\t{abs(z)!r}\t-1.6" for f, z in _points()]
    return "\n".join([*header, *rows]) + "\n"


def _parstat() -> str:
    heading = "Potential (V)\tCurrent (A)\tElapsed Time (s)\tFrequency (Hz)\tZre (ohms)\tZim (ohms)\t|Vac| (V)\t"
    direct = "3.7\t-0.1\t10\t0\t0\t0\t0\t"
    rows = [f"3.7\t0.02\t20\t{f!r}\t{z.real!r}\t{z.imag!r}\t0.005\t" for f, z in _points()]
    return "\n".join([heading, direct, *rows, direct]) + "\n"


def _powersuite() -> str:
    rows = [f"{f!r}\t {z.real!r}\t {z.imag!r}" for f, z in _points()]
    return "\n".join(["Frequency\t Zre\t Zimg", *rows]) + "\n"


def _plain() -> str:
    rows = [f"{f!r},{z.real!r},{z.imag!r}" for f, z in zip(FREQUENCIES, SPECTRUM, strict=True)]
    return "\n".join(["# battery_id=CELL-10", "frequency / Hz,Z' / ohm,Z'' / ohm", *rows]) + "\n"


def _bare() -> str:
    return "\n".join(f"{f!r},{z.real!r},{z.imag!r}" for f, z in zip(FREQUENCIES, SPECTRUM, strict=True)) + "\n"


def _layouts() -> str:
    """Two tables below each other with text, a row of units, decimal commas and complex numbers."""
    points = list(zip(FREQUENCIES, SPECTRUM, strict=True))
    first = [f"{frequency:.4f};{1000 * z.real:.5f};{-1000 * z.imag:.5f}".replace(".", ",") for frequency, z in points]
    second = [f"{math.tau * frequency:.4f};({z.real:.6f}{z.imag:+.6f}j)" for frequency, z in points]
    head = ["Messung 12", "Zelle A", "", "Frequenz;Realteil;-Imaginärteil", "[Hz];[mOhm];[mOhm]"]
    return "\n".join([*head, *first, "", "Messung 13", "omega (rad/s);Z (Ohm)", *second]) + "\n"


def _bdf() -> str:
    rows = [f"{time!r},{voltage!r},{current!r},1" for time, voltage, current in LOG]
    return "\n".join(["Test Time / s,Voltage / V,Current / A,Cycle Count / 1", *rows]) + "\n"


def _bdf_records() -> str:
    names = ("Test Time / s", "Voltage / V", "Current / A")
    return json.dumps([dict(zip(names, row, strict=True)) for row in LOG])


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


def _battery_archive() -> str:
    heading = (
        "Date_Time,Test_Time (s),Cycle_Index,Current (A),Voltage (V),Environment_Temperature (C),Cell_Temperature (C)"
    )
    rows = [
        f"2010-09-02 14:35:{40 + row},{time!r},1.0,{amp!r},{volt!r},25.0,25.5"
        for row, (time, volt, amp) in enumerate(LOG)
    ]
    return "\n".join([heading, *rows]) + "\n"


def _log_of_any_origin() -> str:
    """Return a log with lines above its headings, decimal commas and the state of the cell."""
    rows = [f"{time!r};{volt!r};{amp!r};{'C' if amp > 0 else 'D'}".replace(".", ",") for time, volt, amp in LOG]
    return "\n".join(["bench 4", "operator;someone", "", "Time [s];Voltage [V];Current [A];State", *rows]) + "\n"


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


def _clock(second: float) -> str:
    minutes, rest = divmod(second, 60)
    return f"{int(minutes) // 60:02}:{int(minutes) % 60:02}:{rest:06.3f}"


def _neware() -> str:
    heading = (
        "DataPoint,Cycle Index,Step Index,Step Type,Time,Total Time,Current(mA),Voltage(V),"
        "Chg. Cap.(mAh),DChg. Cap.(mAh),Date,Power(W)"
    )
    rows = [
        f"{row},1,{1 if current > 0 else 2},{'CC Chg' if current > 0 else 'CC DChg'},{_clock(time)},{_clock(time)},"
        f"{1000 * current!r},{voltage!r},0.0,0.0,2026-03-31 16:0{row // 6}:{row % 6}0,1.0"
        for row, (time, voltage, current) in enumerate(LOG)
    ]
    return "\n".join([heading, *rows]) + "\n"


def _nested_neware() -> str:
    lines = [
        "Cycle Index,Chg. Cap.(Ah),DChg. Cap.(Ah)",
        ",Step Index,Step Number,Step Type,Step Time",
        ",,DataPoint,Time,Current(A),Voltage(V),Capacity(Ah),Date",
    ]
    for row, (time, voltage, current) in enumerate(LOG):
        if row == 0:
            lines.append("1,0.1,0.1,1,1,CC Chg,00:01:10")
        if row == 8:
            lines.append(",2,2,CC DChg,00:01:10")
        step_time = _clock(time - (70.0 if row >= 8 else 0.0))
        lines.append(f",,{row},{step_time},{current!r},{voltage!r},0.0,2026-03-31 16:0{row // 6}:{row % 6}0")
    return "\n".join(lines) + "\n"


def _novonix() -> str:
    header = ["[Summary]", "Novonix UHPC data file", "Novonix", "Channel: 01", "Cell: CELL-14", "Capacity (Ah): 5"]
    header += ["Area (cm2): 1.000", "Started: 2026-03-31 16:00:00", "Version: 2.13.0", "[End Summary]", "[Data]"]
    heading = "Date and Time,Cycle Number,Run Time (h),Current (A),Potential (V),Capacity (Ah),Temperature (°C)"
    rows = [
        f"2026-03-31 16:0{row // 6}:{row % 6}0,1,{time / 3600!r},{current!r},{voltage!r},0.0,25.5"
        for row, (time, voltage, current) in enumerate(LOG)
    ]
    return "\n".join([*header, heading, *rows]) + "\n"


def _basytec() -> str:
    header = ["~Resultfile from Basytec Battery Test System", "~Battery: CELL-15", "~Testchannel: 3"]
    header += ["~Start of Test: 31.03.2026 16:00:00", "~"]
    heading = "~Time[s]\tDataSet\tLine\tCommand\tU[V]\tI[A]\tAh[Ah]\tT1[°C]\tCyc-Count\tState"
    rows = [
        f"{time!r}\t{row}\t3\t{'Charge' if current > 0 else 'Discharge'}\t{voltage!r}\t{current!r}\t0.0\t25.5\t1\t1"
        for row, (time, voltage, current) in enumerate(LOG)
    ]
    return "\n".join([*header, heading, *rows]) + "\n"


def _landt() -> str:
    heading = "Record,TestTime/Sec,StepTime/Sec,Current/mA,Capacity/mAh,Voltage/V,SysTime,Cycle-Index,Step-State"
    rows = [
        f"{row},{time!r},{time!r},{1000 * current!r},0.0,{voltage!r},2026-03-31 16:0{row // 6}:{row % 6}0,1,"
        f"{'RateC' if current > 0 else 'RateD'}"
        for row, (time, voltage, current) in enumerate(LOG)
    ]
    return "\n".join([heading, *rows]) + "\n"


def _pec() -> str:
    header = ["Request Year:,2026", "Test:,12", "TestRegime Name:,C/25", "Parameter names:,C-Rate (mAh),Mass (kg)"]
    header += ["Parameter values:,64000,1.161"]
    heading = (
        "Test,Cell,Rack,Shelf,Position,Cell ID,Step,Cycle,Total Time (Seconds),Real Time,Voltage (mV),Current (mA),"
        "Charge Capacity (mAh),Discharge Capacity (mAh),Charge Capacity (mWh),Discharge Capacity (mWh),ReasonCode,"
    )
    rows = [
        f"12,1,ACT4,014,1,CELL-16,{1 if current > 0 else 2},0,{time!r},03/31/2026 16:0{row // 6}:{row % 6}0,"
        f"{1000 * voltage!r},{1000 * current!r},0.0,0.0,0.0,0.0,30,"
        for row, (time, voltage, current) in enumerate(LOG)
    ]
    return "\n".join([*header, heading, *rows]) + "\n"


def _digatron() -> str:
    header = ["", "Measurement ID,557", "Battery Name,CELL-17", "Nominal Capacity, 3"]
    heading = "Time Stamp,Step,Status,Prog Time,Step Time,Cycle,Procedure,Voltage,Current,Temperature,Capacity,"
    units = ",,,,,,,[V],[A],[C],[Ah],"
    rows = [
        f"3/31/2026 4:0{row // 6}:{row % 6}0 PM,{3 if current > 0 else 4},{'CHA' if current > 0 else 'DCH'},"
        f"{_clock(time)},{_clock(time)},0,HPPC,{voltage!r},{current!r},25.5,0.0,"
        for row, (time, voltage, current) in enumerate(LOG)
    ]
    return "\n".join([*header, heading, units, *rows]) + "\n"


def _ivium_scan(header: list[str]) -> str:
    report = "channel     : 2\x1c\x1esoftware vs : 4.1170\x1c\x1ehw config   : CompactStat+FRA\x1c\x1e"
    settings = [
        *("Peaks=false", "Solarcell=false", *header, "Method=Impedance", "Technique=Constant E", "E start=3.7"),
        *(f"Frequencies={len(SPECTRUM)}", "Apply wrt OCP=false", "Data Options.Area=2.5"),
        *(f"Report.Process data={report}", "Mconfig=0", "\x11\x01\0\0", "1         ", "Data Objects    "),
        *("0         ", "primary_data    ", "3         ", f"{len(SPECTRUM):<10}"),
    ]
    rows = [
        "".join(f"{value:<12.5E} " for value in (impedance.real, impedance.imag, frequency))
        for frequency, impedance in zip(FREQUENCIES, SPECTRUM, strict=True)
    ]
    return "\r\n".join(["\x11\x01\0\0", *settings, *rows, "7         ", "osc_data        ", "0         "])


def _ivium() -> str:
    first = ["QR=QR,2,1,,1,46000.500000,46000.600000,", "starttime=09/12/2025 12:00:00"]
    end = "\r\n".join(["", "\0\0\0\0", "\0\0\0\0", ""])
    return _ivium_scan(first) + end + _ivium_scan([]) + end


def _ecochemie() -> str:
    points = [
        [frequency, impedance.real, -impedance.imag, *[0.0] * 6]
        for frequency, impedance in zip(FREQUENCIES, SPECTRUM, strict=True)
    ]
    numbers = [f" {value!r}" for point in points for value in point]
    behind = [" 1.0"] * 3 + ["13.07.2022 22:32:00", "12.11.2018 22:33:00", " 2.0"]
    return "\n".join(["VERSION8.0", f" {len(points)}", " 1", *numbers, *behind]) + "\n"


def _elchemea() -> str:
    rows = [f"{f!r} {z.real!r} {z.imag!r}" for f, z in zip(FREQUENCIES, SPECTRUM, strict=True)]
    return "\n".join(["cell in a furnace", "", str(len(rows)), *rows]) + "\n"


def _palmsens_array(kind: int, unit: str, values: list[float]) -> dict[str, object]:
    numbers = [{"V": value} for value in values]
    return {"ArrayType": kind, "Unit": {"Type": f"PalmSens.Units.{unit}"}, "DataValues": numbers}


def _palmsens() -> str:
    arrays = [
        _palmsens_array(1, "Volt", [3.7] * len(SPECTRUM)),
        _palmsens_array(5, "Hertz", FREQUENCIES),
        _palmsens_array(7, "ZRe", [impedance.real for impedance in SPECTRUM]),
        _palmsens_array(8, "ZIm", [-impedance.imag for impedance in SPECTRUM]),
    ]
    measurement = {
        "Title": "Impedance Spectroscopy",
        "TimeStamp": 638_895_740_689_221_400,
        "UTCTimeStamp": 638_895_668_689_221_400,
        "DeviceUsed": 15,
        "DataSet": {"Values": arrays},
        "Method": "#PSTrace, Version=5.11.1006.19013\r\nMETHOD_ID=eis\r\nNOTES=battery_id=CELL-13%20second%20life\r\n",
        "EISDataList": [{"Title": "CH 7: 16 freqs", "DataSet": {"Values": arrays}}],
    }
    return json.dumps({"Type": "PalmSens.DataFiles.SessionFile", "Measurements": [measurement]})


def _field() -> str:
    heading = "Time [s];Velocity [km/h];Battery Voltage [V];Battery Current [A];SoC [%];displayed SoC [%]"
    rows = [f"{time!r};50;{100 * voltage:.1f};{current!r};86.9;100" for time, voltage, current in LOG]
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
        "biologic_log.mpt": _mpt_log(),
        "zplot.z": _zplot(),
        "versastudio.par": _versastudio(),
        "chi.txt": _chi(),
        "relaxis.txt": _relaxis(),
        "parstat.txt": _parstat(),
        "powersuite.txt": _powersuite(),
        "plain.csv": _plain(),
        "bare.csv": _bare(),
        "layouts.csv": _layouts(),
        "log.bdf.csv": _bdf(),
        "log.bdf.json": _bdf_records(),
        "log.bdf.ndjson": _bdf_records().strip("[]").replace("}, {", "}\n{") + "\n",
        "spectrum.bdf.csv": _bdf_impedance(),
        "arbin.csv": _arbin(),
        "battery_archive.csv": _battery_archive(),
        "log.csv": _log_of_any_origin(),
        "maccor.001": _maccor(),
        "nasa.csv": _nasa(),
        "field.csv": _field(),
        "neware.csv": _neware(),
        "neware_nested.csv": _nested_neware(),
        "novonix.csv": _novonix(),
        "basytec.txt": _basytec(),
        "landt.csv": _landt(),
        "pec.csv": _pec(),
        "digatron.csv": _digatron(),
        "ivium.ids": _ivium(),
        "ecochemie.dfr": _ecochemie(),
        "elchemea.i2b": _elchemea(),
        "palmsens.pssession": _palmsens(),
    }


def _column_letters(index: int) -> str:
    letters = ""
    while index >= 0:
        index, rest = divmod(index, 26)
        letters = chr(ord("A") + rest) + letters
        index -= 1
    return letters


def _xlsx_cell(reference: str, value: object) -> str:
    if isinstance(value, float | int):
        return f'<c r="{reference}"><v>{value!r}</v></c>'
    return f'<c r="{reference}" t="inlineStr"><is><t>{html.escape(str(value))}</t></is></c>' if value else ""


def _xlsx_sheet(rows: Sequence[Sequence[object]]) -> str:
    lines = (
        f'<row r="{number}">'
        + "".join(_xlsx_cell(f"{_column_letters(index)}{number}", value) for index, value in enumerate(row))
        + "</row>"
        for number, row in enumerate(rows, 1)
    )
    return f'<worksheet xmlns="{_SHEET_NAMESPACE}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


_SHEET_NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE_NAMESPACE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def _xlsx(sheets: Mapping[str, Sequence[Sequence[object]] | str], **members: str) -> bytes:
    """Return an xlsx file; a sheet is given by its rows or as XML, further members by name."""
    names = "".join(
        f'<sheet name="{html.escape(name)}" sheetId="{number}" r:id="rId{number}"/>'
        for number, name in enumerate(sheets, 1)
    )
    links = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE_NAMESPACE}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in range(1, len(sheets) + 1)
    )
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    target = f'<Relationship Id="rId1" Type="{_OFFICE_NAMESPACE}/officeDocument" Target="xl/workbook.xml"/>'
    content = {
        "_rels/.rels": f'<Relationships xmlns="{package}">{target}</Relationships>',
        "xl/workbook.xml": (
            f'<workbook xmlns="{_SHEET_NAMESPACE}" xmlns:r="{_OFFICE_NAMESPACE}"><sheets>{names}</sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}">{links}</Relationships>',
    }
    for number, rows in enumerate(sheets.values(), 1):
        content[f"xl/worksheets/sheet{number}.xml"] = rows if isinstance(rows, str) else _xlsx_sheet(rows)
    return _zipped(content | members)


def _zipped(content: Mapping[str, str]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return file.getvalue()


def _ods(sheets: Mapping[str, Sequence[Sequence[object]] | str]) -> bytes:
    """Return an ods file; a sheet is given by its rows or as the XML of its rows."""

    def cell(value: object) -> str:
        if isinstance(value, float | int):
            return f'<table:table-cell office:value-type="float" office:value="{value!r}"/>'
        text = html.escape(str(value))
        return f'<table:table-cell office:value-type="string"><text:p>{text}</text:p></table:table-cell>'

    def row(values: Sequence[object]) -> str:
        return f"<table:table-row>{''.join(map(cell, values))}</table:table-row>"

    tables = "".join(
        f'<table:table table:name="{name}">{rows if isinstance(rows, str) else "".join(map(row, rows))}</table:table>'
        for name, rows in sheets.items()
    )
    spaces = " ".join(
        f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{prefix}:1.0"'
        for prefix in ("office", "table", "text")
    )
    body = f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body>"
    return _zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
            "META-INF/manifest.xml": "<manifest:manifest/>",
            "content.xml": f"<office:document-content {spaces}>{body}</office:document-content>",
        }
    )


@pytest.fixture(scope="session")
def make_xlsx() -> Callable[..., bytes]:
    """Function that makes an xlsx file from rows, or XML, by the names of sheets."""
    return _xlsx


@pytest.fixture(scope="session")
def make_ods() -> Callable[..., bytes]:
    """Function that makes an ods file from rows, or the XML of rows, by the names of sheets."""
    return _ods
