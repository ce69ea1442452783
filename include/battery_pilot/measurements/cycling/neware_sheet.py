"""Neware exports as spreadsheets: a sheet of records, or several that go on from each other, and sheets of facts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.cycling.neware import is_record_table, record_columns, records_measurement
from battery_pilot.measurements.sheets import SheetTable, as_text
from battery_pilot.measurements.text import to_float, trim_empty
from battery_pilot.measurements.times import DATES, start_facts
from battery_pilot.measurements.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.sheets import Workbook
    from battery_pilot.measurements.source import Source

_NAMES = ("record", "detail_", "记录", "详细")
# Labels of the sheet about the test, each with its value to the right.
_LABELS = {
    "barcode": "cell_id",
    "start time": "started_at",
    "nominal capacity": "nominal_capacity_ah",
    "p/n": None,
    "builder": None,
    "remarks": None,
}
_CELLS_TO_VALUE = 2
# Headings of the last two rows of the older sheet.
_DEVICE = ("Equipment", "Unit", "Channel")
_BATTERY, _START = "Battery of Number(P/N)", "Start time"
_ROWS_OF_FACTS = 60


class NewareSheetReader:
    """Reads the record sheets of a Neware export in the order of the workbook."""

    name = "neware-xlsx"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".xlsx", ".xls")
    expects = "a Neware spreadsheet"

    def sniff(self, source: Source) -> int:
        """Return 85 for a sheet of records with the headings of one."""
        book = source.workbook
        return 85 if book is not None and _record_sheets(book) else 0

    def read(self, source: Source) -> Measurement:
        """Read the records.

        :raises MeasurementError: for other headings from one sheet to the next, or a gap in a required column.
        """
        book = source.workbook
        sheets = [] if book is None else _record_sheets(book)
        if book is None or not sheets:
            raise source.error("file", "expected a sheet of Neware records; export the record layer")
        first, *others = sheets
        rows = book.rows(first)
        headings = trim_empty([as_text(cell) for cell in rows[0]])
        for sheet in others:
            further = book.rows(sheet)
            if trim_empty([as_text(cell) for cell in further[0]]) != headings:
                raise source.error(f"sheet {sheet!r}", f"other headings than in {first!r}; export one test to a file")
            rows += further[1:]
        warnings: list[str] = []
        columns = record_columns(headings, source, f"sheet {first!r}, row 1")
        table = SheetTable(source, first, rows, 0, headings, warnings)
        facts = _facts(book, warnings)
        return records_measurement(source, self.name, table, headings, columns, facts=facts, warnings=warnings)


def _record_sheets(book: Workbook) -> list[str]:
    """Return the names of the sheets whose first row has the headings of records."""
    candidates = [name for name in book.sheet_names if name.lower().startswith(_NAMES)]
    return [
        name for name in candidates if is_record_table([as_text(cell) for row in book.rows(name, 1) for cell in row])
    ]


def _facts(book: Workbook, warnings: list[str]) -> dict[str, Any]:
    """Return cell, channel, start and nominal capacity from the sheet about the test."""
    for sheet in book.sheet_names:
        if sheet.lower() == "test":
            return _labelled_facts(book.rows(sheet, _ROWS_OF_FACTS), warnings)
        if sheet.lower() == "info":
            return _headed_facts(book.rows(sheet, _ROWS_OF_FACTS), warnings)
    return {}


def _labelled_facts(rows: Sequence[Sequence[Any]], warnings: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for row in rows:
        texts = [as_text(cell) for cell in row]
        for position, label in enumerate(texts):
            name = _LABELS.get(label.rstrip(":").lower())
            value = next(filter(None, texts[position + 1 : position + 1 + _CELLS_TO_VALUE]), "")
            if name is None or not value or value.rstrip(":").lower() in _LABELS:
                continue
            if name == "started_at":
                facts |= start_facts(value, DATES, warnings)
            elif name == "cell_id":
                facts[name] = value
            else:
                facts |= _capacity(value)
    return facts


def _capacity(text: str) -> dict[str, float]:
    """Return the nominal capacity in a text such as ``2000mAh``; without a unit it is not known."""
    number = text.rstrip("mAh ")
    unit, value = unit_of(text[len(number) :]), to_float(number)
    return {"nominal_capacity_ah": value * unit.factor} if value and unit is not None and unit.name == "ah" else {}


def _headed_facts(rows: Sequence[Sequence[Any]], warnings: list[str]) -> dict[str, Any]:
    for headings, cells in itertools.pairwise(rows):
        values = dict(zip(map(as_text, headings), map(as_text, cells), strict=False))
        if values.keys() >= {*_DEVICE}:
            facts = start_facts(values.get(_START, ""), DATES, warnings)
            facts["channel"] = "-".join(values[name] for name in _DEVICE)
            if values.get(_BATTERY):
                facts["cell_id"] = values[_BATTERY]
            return facts
    return {}
