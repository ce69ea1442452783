"""Arbin exports as spreadsheets: channel data in one or more sheets, and a sheet about the test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.columns import demand, find_columns, left_out, plain
from battery_pilot.measurements.cycling.arbin import NAMES
from battery_pilot.measurements.cycling.log import values_of
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.row_times import row_moments
from battery_pilot.measurements.sheets import SheetTable, as_text
from battery_pilot.measurements.tables import cycling_measurement
from battery_pilot.measurements.text import trim_empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.sheets import Workbook
    from battery_pilot.measurements.source import Source

_SHEET = re.compile(r"Channel[_-](\d{1,6})(?:[_-](\d{1,6}))?(?:[_-]\d{1,6})?")
_INFO = "Global_Info"
_ROWS_OF_INFO = 60
_MOMENTS = ("datetime",)


class ArbinSheetReader:
    """Reads the channel data of a MITS export; its sheets go on from each other."""

    name = "arbin-xlsx"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".xlsx", ".xls")
    expects = "an Arbin spreadsheet"

    def sniff(self, source: Source) -> int:
        """Return 90 for a sheet of channel data."""
        book = source.workbook
        return 90 if book is not None and any(_SHEET.fullmatch(name) for name in book.sheet_names) else 0

    def read(self, source: Source) -> Measurement:
        """Read the channel data.

        :raises MeasurementError: for several channels, other headings from one sheet to the next, or a gap in a
            required column.
        """
        book = source.workbook
        sheets = [] if book is None else _channel_sheets(book, source)
        if book is None or not sheets:
            raise source.error(
                "file", "expected a sheet of channel data such as Channel_1-001; export the test again"
            )
        first, *others = sheets
        rows = book.rows(first)
        headings = _headings(rows)
        for sheet in others:
            further = book.rows(sheet)
            if _headings(further) != headings:
                raise source.error(f"sheet {sheet!r}", f"other headings than in {first!r}; export one test to a file")
            rows += further[1:]
        place = f"sheet {first!r}, row 1"
        columns = find_columns(headings, NAMES, source, place)
        demand(columns, CYCLING_COLUMNS, headings, source, place)
        warnings: list[str] = []
        table = SheetTable(source, first, rows, 0, headings, warnings)
        facts = _facts(book)
        wanted = [column.position for column in columns.values()]
        moment = next((index for index, heading in enumerate(headings) if plain(heading) in _MOMENTS), None)
        moments = None
        if moment is not None:
            wanted.append(moment)
            moments = row_moments(table.text(moment), facts, warnings)
        facts["columns_left_out"] = left_out(headings, wanted)
        return cycling_measurement(
            source,
            self.name,
            values_of(table, columns),
            moments=moments,
            instrument="Arbin",
            facts=facts,
            warnings=warnings,
        )


def _headings(rows: Sequence[Sequence[Any]]) -> list[str]:
    return trim_empty([as_text(cell) for cell in rows[0]]) if rows else []


def _channel_sheets(book: Workbook, source: Source) -> list[str]:
    """Return the sheets of the channel in the order of their parts.

    :raises MeasurementError: for several channels, as a measurement is of one cell.
    """
    found = [(match, name) for name in book.sheet_names if (match := _SHEET.fullmatch(name))]
    channels = sorted({int(match[1]) for match, _ in found})
    if len(channels) > 1:
        names = ", ".join(map(str, channels[:8]))
        problem = f"one channel in a file expected, found {len(channels)}: {names}; export each to a file of its own"
        raise source.error("sheets", problem)
    return [name for _, name in sorted(found, key=lambda pair: int(pair[0][2] or 0))]


def _facts(book: Workbook) -> dict[str, Any]:
    """Return channel, item and program from the row below the headings of the sheet about the test."""
    names = [name for name in book.sheet_names if name.lower() == _INFO.lower()]
    rows = book.rows(names[0], _ROWS_OF_INFO) if names else []
    start = next((number for number, row in enumerate(rows) if "Channel" in row or "Chan_Num" in row), None)
    if start is None or start + 1 >= len(rows):
        return {}
    values = dict(zip(map(as_text, rows[start]), map(as_text, rows[start + 1]), strict=False))
    found = {
        "channel": values.get("Channel") or values.get("Chan_Num"),
        "cell_id": values.get("Item ID"),
        "instrument_software": values.get("Software Version"),
    }
    return {name: value for name, value in found.items() if value}
