"""Neware's own files, ``.nda`` and ``.ndax``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from battery_pilot.measurements.cycling.neware_nda import MAGIC, read_nda, server_facts
from battery_pilot.measurements.cycling.neware_ndax import DATA, read_ndax
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.tables import cycling_measurement
from battery_pilot.measurements.times import ASSUMED_ZONE

if TYPE_CHECKING:
    from battery_pilot.measurements.cycling.neware_records import Records
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source


class NewareBinaryReader:
    """Reads ``.nda`` of five versions, and ``.ndax`` of six; its current is negative in a discharge."""

    name = "neware-binary"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".nda", ".ndax")
    expects = "a Neware .nda or .ndax file"

    def sniff(self, source: Source) -> int:
        """Return 95 for the first bytes of an ``.nda`` file, or the member of an ``.ndax`` file with the records."""
        return 95 if source.data.startswith(MAGIC) or DATA in source.zip_names else 0

    def read(self, source: Source) -> Measurement:
        """Read the records.

        :raises MeasurementError: for an unknown version, a damaged or oversized file.
        """
        with np.errstate(all="ignore"):  # Damaged numbers become NaN, which is told.
            return self._read(source)

    def _read(self, source: Source) -> Measurement:
        warnings: list[str] = []
        if source.data.startswith(MAGIC):
            records, facts = read_nda(source, warnings), server_facts(source.data)
        else:
            records, facts = read_ndax(source, warnings)
        return _measurement(source, self.name, records, facts, warnings)


def _measurement(
    source: Source, format_name: str, records: Records, facts: dict[str, Any], warnings: list[str]
) -> Measurement:
    _tell_missing(records, warnings)
    values, moments = records.columns, records.moments
    if not values.get("cycle_count", np.ones(1)).any():
        del values["cycle_count"]
    whole = np.logical_and.reduce([np.isfinite(values[name]) for name in CYCLING_COLUMNS])
    if not whole.all():
        warnings.append(f"{np.count_nonzero(~whole)} records without voltage or current were left out.")
        values = {name: column[whole] for name, column in values.items()}
        moments = moments.filter(pa.array(whole))
    facts["columns_left_out"] = records.left_out
    unknown = moments.null_count
    if unknown:
        warnings.append(f"{unknown} times of records cannot be read and were left out.")
    if unknown < len(moments):
        facts["started_at"] = (moments.drop_null() if unknown else moments)[0].as_py().isoformat()
        if not records.zone_is_known:
            facts["time_zone"] = "assumed UTC"
            warnings.append(ASSUMED_ZONE)
    return cycling_measurement(
        source,
        format_name,
        values,
        moments=moments,
        instrument="Neware",
        facts=facts,
        warnings=warnings,
    )


def _tell_missing(records: Records, warnings: list[str]) -> None:
    number = records.number
    lost = int(number[-1] - number[0]) + 1 - len(number)
    if lost > 0:
        after = int(number[np.argmax(np.diff(number) != 1)])
        warnings.append(f"{lost} records are missing, the first after record {after}.")
