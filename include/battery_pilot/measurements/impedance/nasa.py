"""The impedance tables of NASA's PCoE battery data set, which hold no frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from battery_pilot.measurements.impedance.headings import headings_in

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind
    from battery_pilot.measurements.source import Source

_HEADINGS = "Sense_current,Battery_current,Current_ratio,Battery_impedance"


class NasaImpedanceReader:
    """Recognises a table that cannot be used, to say why."""

    name = "nasa-pcoe-impedance"
    kinds: tuple[Kind, ...] = ()
    suffixes: tuple[str, ...] = ()
    expects = "NASA PCoE impedance table"

    def sniff(self, source: Source) -> int:
        """Return 90 for the headings of the table, unless somebody has added a column of frequencies."""
        line = source.first_data_line[1]
        return 90 if line.startswith(_HEADINGS) and headings_in(line) is None else 0

    def read(self, source: Source) -> NoReturn:
        """Refuse the table.

        :raises MeasurementError: always.
        """
        problem = (
            "a NASA PCoE impedance table holds complex impedances but no frequencies, so it is not a spectrum; "
            "add a column of frequencies and hand it in as impedance CSV"
        )
        raise source.error("header", problem)
