"""Tables with one row a frequency, turned into tables with one row a spectrum."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

SPECTRUM_COLUMNS = ("spectrum_id", "spectrum", "measurement_id", "source_sha256")
"""Names of the column that tells the spectra of a battery apart; the first that is there counts."""

PART = re.compile(r"(?<![a-z])z?[_ .'-]?(real|re|imaginary|imag|im)z?(?![a-z])", re.IGNORECASE)
"""What names a column of real or imaginary parts."""

SIGNIFICANT_DIGITS = 3
"""Frequencies that agree so far are the same: instruments report what they generated, not what was asked for."""

_FREQUENCY = re.compile(r"(frequency|freq|f)[ _./(\[]*(hertz|hz)?[)\]]?", re.IGNORECASE)


def widened(table: pd.DataFrame, battery: str, order_columns: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return one row a spectrum with two columns a frequency, such as ``10_real`` and ``10_imag``, and warnings.

    A table is long if it has one column of frequencies (``frequency_hertz``, ``freq (Hz)`` …), one of real and one of
    imaginary parts, and several frequencies in a spectrum; any other table stays as it is. A spectrum is what has one value
    of the first of :data:`SPECTRUM_COLUMNS`, else one of all ``order_columns``, else all of a battery. Frequencies that
    fewer than half of the spectra have are left out, and so are columns that vary within a spectrum; warnings say so.

    :param battery: column of the battery's id.
    :param order_columns: names of columns that order a battery's spectra.
    :raises InputError: a spectrum has a frequency twice, or no frequency is that of half of the spectra.
    """
    columns = _columns_of(table)
    if columns is None:
        return table, []
    frequency, real, imaginary = columns
    name = next((one for one in SPECTRUM_COLUMNS if one in table), None)
    keys = [battery, *([name] if name else [one for one in order_columns if one in table])]
    hertz = pd.to_numeric(table[frequency], errors="coerce")
    usable = (hertz > 0) & table[keys].notna().all(axis=1)
    table, hertz = table[usable], hertz[usable]
    digits = SIGNIFICANT_DIGITS - 1 - np.floor(np.log10(hertz.to_numpy(float)))
    rounded = np.round(hertz.to_numpy(float) * 10.0**digits) / 10.0**digits
    spectrum = table.groupby(keys, sort=False).ngroup()
    if spectrum.empty or spectrum.value_counts().max() == 1:
        return table, []
    if twice := int(pd.MultiIndex.from_arrays([spectrum, rounded]).duplicated().sum()):
        raise InputError(
            f"long table: {twice} rows repeat a frequency of the same {' and '.join(keys)}; "
            f"expected a column that tells spectra apart: {SPECTRUM_COLUMNS[0]}"
        )
    frequencies, counts = np.unique(rounded, return_counts=True)
    kept = frequencies[counts >= spectrum.nunique() / 2].tolist()
    if not kept:
        raise InputError("long table: no frequency is that of half of the spectra; expected spectra of one grid")
    warnings = (
        [] if len(kept) == len(counts) else [f"{len(counts) - len(kept)} of {len(counts)} frequencies are rare"]
    )
    others = table.drop(columns=[frequency, real, imaginary]).groupby(spectrum)
    varying = [str(one) for one, count in others.nunique().max().items() if count > 1]
    warnings += [f"columns that vary within a spectrum: {', '.join(varying)}"] if varying else []
    wide = [others.first().drop(columns=varying)]
    for part, column in (("real", real), ("imag", imaginary)):
        values = pd.Series(table[column].to_numpy(), [spectrum, rounded]).unstack()[kept]
        wide.append(values.set_axis([f"{one:.{SIGNIFICANT_DIGITS}g}_{part}" for one in kept], axis=1))
    return pd.concat(wide, axis=1).reset_index(drop=True), [f"long table: left out: {one}" for one in warnings]


def _columns_of(table: pd.DataFrame) -> tuple[str, str, str] | None:
    """Return the columns of frequency, real and imaginary part, ``None`` where there is not one of each."""
    numeric = [str(name) for name in table if pd.api.types.is_numeric_dtype(table[name])]
    found: list[list[str]] = [[name for name in numeric if _FREQUENCY.fullmatch(name)], [], []]
    for name in numeric:
        if match := PART.search(name):
            found[1 if match[1].lower().startswith("r") else 2].append(name)
    return (found[0][0], found[1][0], found[2][0]) if all(len(one) == 1 for one in found) else None
