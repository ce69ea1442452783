"""Write an Arbin CSV, repeated to about 17,000 rows, as a workbook in Arbin's layout."""

from __future__ import annotations

import csv
import sys

from openpyxl import Workbook

ROWS = 17_143
HEADINGS = {
    "Test_Time": "Test_Time(s)",
    "DateTime": "Date_Time",
    "Step_Time": "Step_Time(s)",
    "Current": "Current(A)",
    "Voltage": "Voltage(V)",
    "Charge_Capacity": "Charge_Capacity(Ah)",
    "Discharge_Capacity": "Discharge_Capacity(Ah)",
    "Charge_Energy": "Charge_Energy(Wh)",
    "Discharge_Energy": "Discharge_Energy(Wh)",
    "dV/dt": "dV/dt(V/s)",
    "Internal_Resistance": "Internal_Resistance(Ohm)",
    "Temperature": "Aux_Temperature_1(C)",
}


def main(source: str, target: str) -> None:
    """Write the workbook."""
    with open(source, newline="") as file:  # noqa: PTH123
        headings, *rows = csv.reader(file)
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Channel_1-001")
    sheet.append([HEADINGS.get(heading, heading) for heading in headings])
    time = headings.index("Test_Time")
    duration = float(rows[-1][time]) + 1.0
    for number in range(ROWS):
        repetition, row = divmod(number, len(rows))
        cells = [float(cell) if cell else None for cell in rows[row]]
        cells[time] += duration * repetition
        sheet.append(cells)
    book.save(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
