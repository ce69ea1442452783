"""The command that reads instrument files: one, or all below a folder."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from battery_pilot.commands.files import positive
from battery_pilot.commands.output import print_fields, print_json
from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from battery_pilot.measurements.folder import FileReport

_REJECTS_SHOWN = 20


def register(commands: Any) -> None:
    """Add the command to a parser."""
    read = commands.add_parser("read", help="tell what an instrument file, or a folder of them, holds")
    read.add_argument("path", type=Path, metavar="PATH", help="file or folder")
    read.add_argument("--json", action="store_true", help="print one JSON object")
    read.add_argument(
        "--out",
        type=Path,
        metavar="FILE.parquet",
        help="write the canonical table; for a folder, a folder of Parquet files with one schema",
    )
    read.add_argument(
        "--processes",
        type=positive,
        metavar="N",
        help="for a folder: how many work at a time (default: one a processor)",
    )
    read.set_defaults(run=_read)

    formats = commands.add_parser("formats", help="list the file formats that can be read")
    formats.add_argument("--json", action="store_true", help="print one JSON list")
    formats.set_defaults(run=_formats)


def _read(chosen: argparse.Namespace) -> int:
    if chosen.path.is_dir():
        return _read_folder(chosen)
    from battery_pilot.documents import recognise
    from battery_pilot.measurements import load, read_bytes
    from battery_pilot.measurements.summary import summarise, summarise_document
    from battery_pilot.measurements.writing import write_table

    data = load(chosen.path)
    document = recognise(data, str(chosen.path))
    show = print_json if chosen.json else print_fields
    if document is not None:
        if chosen.out is not None:
            raise InputError(f"{chosen.path}: a document ({document.content_type}) has no table to write")
        show(summarise_document(document))
        return 0
    measurement = read_bytes(data, str(chosen.path))
    if chosen.out is not None:
        write_table(measurement, chosen.out)
    show(summarise(measurement))
    return 0


def _read_folder(chosen: argparse.Namespace) -> int:
    """Read everything below a folder; fails only when nothing in it can be used."""
    from battery_pilot.measurements.folder import files_below, read_files

    paths = files_below(chosen.path)
    if not paths:
        raise InputError(f"{chosen.path}: no files in this folder")
    if chosen.out is not None and chosen.out.exists() and (chosen.out.is_file() or any(chosen.out.iterdir())):
        raise InputError(f"{chosen.out}: exists already; name a new folder for the tables of a folder")
    reports = read_files(paths, processes=chosen.processes, out=chosen.out)
    formats: dict[str, Counter[str]] = {}
    rejects: list[FileReport] = []
    for report in _with_progress(reports, len(paths)):
        if report.reason is not None:
            rejects.append(report)
            continue
        counts = formats.setdefault(f"{report.format} ({report.kind})", Counter())
        counts.update(files=1, rows=report.rows, files_with_warnings=int(bool(report.warnings)))
    if chosen.json:
        print_json(
            {
                "files": len(paths),
                "formats": {name: dict(counts) for name, counts in sorted(formats.items())},
                "rejects": [{"file": report.path, "reason": report.reason} for report in rejects],
            }
        )
    else:
        _print_formats(formats, rejects)
    return 0 if formats else 1


def _formats(chosen: argparse.Namespace) -> int:
    from battery_pilot.measurements import formats

    rows = [
        {"format": name, "kinds": list(reader.kinds), "content": reader.expects, "endings": list(reader.suffixes)}
        for name, reader in sorted(formats().items())
    ]
    if chosen.json:
        print_json(rows)
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("format", "kinds", "content", "usual endings", box=None)
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else ", ".join(value) for value in row.values()))
    Console(highlight=False).print(table)
    return 0


def _with_progress(reports: Iterator[FileReport], total: int) -> Iterable[FileReport]:
    """Show a progress bar on standard error, where a person looks at it."""
    if not sys.stderr.isatty():
        return reports
    from rich.console import Console
    from rich.progress import track

    return track(reports, "reading", total, console=Console(stderr=True), transient=True)


def _print_formats(formats: dict[str, Counter[str]], rejects: list[FileReport]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("format", box=None)
    for heading in ("files", "rows", "with warnings"):
        table.add_column(heading, justify="right")
    for name, counts in sorted(formats.items()):
        table.add_row(name, *(f"{counts[key]:,}" for key in ("files", "rows", "files_with_warnings")))
    table.add_row("rejected", f"{len(rejects):,}", "", "")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for report in rejects[:_REJECTS_SHOWN]:
        console.print(f"{report.path}: {report.reason}", markup=False)
    if len(rejects) > _REJECTS_SHOWN:
        console.print(f"… and {len(rejects) - _REJECTS_SHOWN} more rejects; --json lists all")
