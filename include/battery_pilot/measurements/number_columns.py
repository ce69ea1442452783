"""Columns of numbers, with or without gaps, as every kind of table gives them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray


class NumberColumns(ABC):
    """The columns of a table by their position.

    :param source: the file, for error messages.
    :param headings: one a column.
    :param warnings: receives a sentence about each column that is left out.
    """

    def __init__(self, source: Source, headings: Sequence[str], warnings: list[str]) -> None:
        self._source = source
        self._headings = headings
        self._warnings = warnings

    def required(self, index: int, factor: float = 1.0) -> FloatArray:
        """Return a column of numbers without gaps; times of a sheet count in seconds.

        :param index: position of the column.
        :param factor: to the unit of the Battery Data Format.
        :raises MeasurementError: naming the row of the first cell that is no finite number.
        """
        values = self._scaled(index, factor)
        known = np.isfinite(values)
        if not known.all():
            self._refuse_cell(int(np.flatnonzero(~known)[0]), index)
        return values

    def optional(self, index: int, name: str, factor: float = 1.0) -> FloatArray | None:
        """Return a column of numbers with NaN in its gaps, or ``None`` with a warning when it holds other text.

        :param index: position of the column.
        :param name: canonical name, for the warning.
        :param factor: to the unit of the Battery Data Format.
        """
        try:
            return self._scaled(index, factor)
        except MeasurementError as error:
            self._warnings.append(f"{name} was left out: {error.place}: {error.problem}.")
            return None

    def refuse(self, row: int, problem: str) -> NoReturn:
        """Refuse the file for what is in a row.

        :param row: data row from 0.
        :param problem: what was found and what was expected.
        :raises MeasurementError: always.
        """
        raise self._source.error(self._place(row), problem)

    def _scaled(self, index: int, factor: float) -> FloatArray:
        values = self._floats(index)
        return values if factor == 1.0 else values * factor

    def _refuse_cell(self, row: int, index: int) -> NoReturn:
        self.refuse(row, f"{self._headings[index]}: expected a number, found {shown(self._cell_text(row, index))}")

    @abstractmethod
    def _floats(self, index: int) -> FloatArray:
        """Return the numbers of a column, NaN in its gaps."""

    @abstractmethod
    def _place(self, row: int) -> str:
        """Return where in the file a data row, from 0, stands."""

    @abstractmethod
    def _cell_text(self, row: int, index: int) -> str:
        """Return a cell as text, for a message."""
