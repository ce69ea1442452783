"""Time one reader on one file and print the seconds of each pass and the number of rows as JSON.

Runs in the environment of the reader, so that no peer is a dependency of the project.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 1.5
FEWEST, MOST = 3, 300


def battery_pilot() -> Callable[[str], int]:
    """Our own reader, from the file on disk to the canonical table."""
    from battery_pilot.measurements import read

    return lambda path: read(Path(path)).table.num_rows


def battery_pilot_spectra() -> Callable[[str], int]:
    """Our own reader, from the file on disk to arrays of frequency and complex impedance, as the peers yield them."""
    from battery_pilot.measurements import read

    return lambda path: sum(len(spectrum.frequency_hertz) for spectrum in read(path).spectra)


def battery_pilot_folder() -> Callable[[str], int]:
    """Our own reader on all files of a folder, one after the other."""
    from battery_pilot.measurements import read

    return lambda folder: sum(read(path).table.num_rows for path in Path(folder).iterdir())


def impedance(instrument: str) -> Callable[[str], int]:
    """Return impedance.py's reader of an instrument's files."""
    from impedance.preprocessing import readFile

    return lambda path: len(readFile(path, instrument=instrument)[0])


def yadg() -> Callable[[str], int]:
    """Return yadg's reader of EC-Lab files."""
    from yadg.extractors import extract

    return lambda path: extract(filetype="eclab.mpr", path=path).to_dataset().sizes["uts"]


def galvani() -> Callable[[str], int]:
    """Return galvani's reader of EC-Lab files."""
    from galvani import BioLogic

    return lambda path: len(BioLogic.MPRfile(path).data)


def cellpy(instrument: str) -> Callable[[str], int]:
    """Return cellpy's ``get``, with the arguments that this kind of file needs."""
    import cellpy

    arguments: dict[str, Any] = {"instrument": instrument, "mass": 1.0, "nominal_capacity": 1.0}
    if instrument == "maccor_txt":
        arguments["model"] = "one"
    return lambda path: len(cellpy.get(path, **arguments).data.raw)


def pyarrow_csv(delimiter: str, skipped_lines: str) -> Callable[[str], int]:
    """Return pyarrow's bare CSV reader with its default options."""
    from pyarrow import csv

    read, parse = csv.ReadOptions(skip_rows=int(skipped_lines)), csv.ParseOptions(delimiter=delimiter)
    return lambda path: csv.read_csv(path, read, parse).num_rows


def pandas_excel() -> Callable[[str], int]:
    """Return pandas' reader of workbooks with openpyxl."""
    import pandas as pd

    return lambda path: len(pd.read_excel(path, engine="openpyxl"))


def pandas_csv_folder() -> Callable[[str], int]:
    """Return pandas' CSV reader on all files of a folder."""
    import pandas as pd

    return lambda folder: sum(len(pd.read_csv(path)) for path in Path(folder).iterdir())


READERS = {
    function.__name__: function
    for function in (
        battery_pilot,
        battery_pilot_spectra,
        battery_pilot_folder,
        impedance,
        yadg,
        galvani,
        cellpy,
        pyarrow_csv,
        pandas_excel,
        pandas_csv_folder,
    )
}


def main(reader: str, path: str, *arguments: str) -> None:
    """Measure and print."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()):
        read = READERS[reader](*arguments)
        rows = read(path)
        read(path)
        seconds: list[float] = []
        while len(seconds) < FEWEST or (sum(seconds) < SECONDS and len(seconds) < MOST):
            start = time.perf_counter()
            read(path)
            seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(seconds), "rows": rows}))


if __name__ == "__main__":
    main(*sys.argv[1:])
