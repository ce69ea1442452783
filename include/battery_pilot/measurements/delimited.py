"""Read the columns of a large delimited table, and name the line where it breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.text import check_last_line, number, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_MISSING = pa.array(["", "nan", "NaN", "NAN", "N/A", "null", "NULL", "None", "-"])
_LINES_FOR_THE_END = 30


class DelimitedTable:
    r"""Some columns of a delimited table, as text until they are asked for.

    :param text: the whole file with line ends ``\n``.
    :param source: name for error messages.
    :param heading_line: line of the headings, from 1; the data begin below it.
    :param headings: as in the file.
    :param delimiter: delimiter of the cells.
    :param wanted: positions of the columns to read.
    :param warnings: receives a sentence about each guess and each column that is left out.
    :raises MeasurementError: for a row with another number of cells than headings, and for a cut end.
    """

    def __init__(
        self,
        text: str,
        source: Source,
        heading_line: int,
        headings: Sequence[str],
        delimiter: str,
        wanted: Sequence[int],
        warnings: list[str],
    ) -> None:
        self._source = source
        self._headings = headings
        self._warnings = warnings
        offset = 0
        for _ in range(heading_line):
            offset = text.find("\n", offset) + 1 or len(text)
        body = text[offset:].rstrip("\n ")
        self._lines = [(line, row) for line, row in enumerate(body.split("\n"), heading_line + 1) if row]
        if not self._lines:
            raise source.error("table", "no data rows; the file is truncated or empty")
        self._table = self._parse(body, delimiter, wanted)
        if not text.endswith("\n"):
            tail = self._lines[-_LINES_FOR_THE_END:]
            check_last_line(tail, delimiter, source, warnings, used=len(headings) - 1 in wanted)
        self._decimal_comma = delimiter != "," and any("," in row for _, row in self._lines[:_LINES_FOR_THE_END])

    def _parse(self, body: str, delimiter: str, wanted: Sequence[int]) -> pa.Table:
        broken: list[csv.InvalidRow] = []

        def remember(row: csv.InvalidRow) -> str:
            if not broken:
                broken.append(row)
            return "skip"

        names = [str(index) for index in range(len(self._headings))]
        chosen = [str(index) for index in wanted]
        try:
            table = csv.read_csv(
                pa.BufferReader(body.encode()),
                csv.ReadOptions(use_threads=False, column_names=names),
                csv.ParseOptions(delimiter=delimiter, invalid_row_handler=remember),
                csv.ConvertOptions(include_columns=chosen, column_types=dict.fromkeys(chosen, pa.string())),
            )
        except pa.ArrowInvalid as error:
            raise self._source.error("table", f"cannot be split into rows and columns: {error}") from error
        if broken:
            problem = (
                f"{broken[0].actual_columns} columns found, {broken[0].expected_columns} expected: "
                "the file is truncated or damaged; copy it again"
            )
            self.refuse(broken[0].number - 1, problem)
        if table.num_rows != len(self._lines):
            raise self._source.error("table", "a double quote is opened and not closed in its line")
        return table

    def refuse(self, row: int, problem: str) -> NoReturn:
        """Refuse the file for what is in a row.

        :param row: data row from 0.
        :param problem: what was found and what was expected.
        :raises MeasurementError: always.
        """
        raise self._source.error(f"line {self.line(row)}", problem)

    def line(self, row: int) -> int:
        """Return the line in the file, from 1, of a data row, from 0."""
        return self._lines[row][0]

    def text(self, index: int) -> pa.ChunkedArray:
        """Return a column as text without surrounding blanks.

        :param index: position of the column.
        """
        return pc.utf8_trim_whitespace(self._table.column(str(index)))

    def required(self, index: int, factor: float = 1.0) -> FloatArray:
        """Return a column of numbers without gaps.

        :param index: position of the column.
        :param factor: to the unit of the Battery Data Format.
        :raises MeasurementError: naming the line of the first cell that is no finite number.
        """
        values = self._floats(index) * factor
        gaps = np.flatnonzero(~np.isfinite(values))
        if len(gaps):
            row = int(gaps[0])
            found = shown(self.text(index)[row].as_py())
            self.refuse(row, f"{self._headings[index]}: expected a number, found {found}")
        return values

    def optional(self, index: int, name: str, factor: float = 1.0) -> FloatArray | None:
        """Return a column of numbers with NaN in its gaps, or ``None`` with a warning when it holds other text.

        :param index: position of the column.
        :param name: canonical name, for the warning.
        :param factor: to the unit of the Battery Data Format.
        """
        try:
            return self._floats(index) * factor
        except MeasurementError as error:
            self._warnings.append(f"{name} was left out: {error.place}: {error.problem}.")
            return None

    def _floats(self, index: int) -> FloatArray:
        texts = self.text(index)
        if self._decimal_comma:
            texts = pc.replace_substring(texts, ",", ".")
        texts = pc.if_else(pc.is_in(texts, value_set=_MISSING), pa.scalar(None, pa.string()), texts)
        try:
            return _to_numpy(pc.cast(texts, pa.float64()))
        except pa.ArrowInvalid:
            # Arrow refuses some spellings that are numbers, such as "+1"; this way is slow and names the line.
            return np.array(
                [
                    np.nan if token is None else number(token, self._source, self.line(row), self._headings[index])
                    for row, token in enumerate(texts.to_pylist())
                ],
                dtype=np.float64,
            )


def _to_numpy(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    values: np.ndarray[Any, np.dtype[np.float64]] = column.to_numpy()
    return values
