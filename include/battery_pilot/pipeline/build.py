"""Provider, stage 3: aggregated measurements become passports on disk."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.lake import Lake, Window, read_json, write_lines
from battery_pilot.outbox import shard
from battery_pilot.passport.completeness import Tally, completeness_of
from battery_pilot.passport.master import each_battery, read_master
from battery_pilot.pipeline.lives import with_lives
from battery_pilot.pipeline.shelf import Shelf, content_of
from battery_pilot.pipeline.subjects import (
    SUBJECTS,
    TABLE,
    Subject,
    passport_of,
    read_facts,
    with_facts,
    write_facts,
)
from battery_pilot.pipeline.wanted import WANTED_COLUMNS, Shared, Wanted, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

WANTED = "wanted.parquet"

_PARTS = "parts"
_BLOCK = 1000  # batteries that are held at once while they are staged

SMALL_FLEET = 200
"""Up to this many passports one process is faster than starting several."""


def check_rejects(lake: Lake, window: Window, threshold_percent: float) -> dict[str, Any]:
    """Compare the share of rejected files with the threshold.

    :param threshold_percent: highest share of rejects that a run accepts, 0..100.
    :return: ``files_read``, ``files_rejected``.
    :raises InputError: if more files were rejected.
    """
    folder = lake.current("files", window)
    if folder is None:
        raise InputError(f"window {window.key} has no processed files in {lake.root}: run the process stage first")
    result = read_json(folder / "counts.json")
    files, rejected = result["files_read"], result["files_rejected"]
    if files and 100 * rejected / files > threshold_percent:
        raise InputError(
            f"{rejected} of {files} files were rejected, more than {threshold_percent:g} percent: read the reasons in "
            f"{quarantine_file(lake, window)}, then mend the files or raise reject_threshold_percent"
        )
    return {"files_read": files, "files_rejected": rejected}


def quarantine_file(lake: Lake, window: Window) -> Path:
    """Return the list of a window's rejected files: one JSON object with ``file`` and ``reason`` a line."""
    return lake.root / "quarantine" / f"{window.key}.jsonl"


def build(lake: Lake, master: Path, window: Window, base_iri: str, workers: int = 1) -> dict[str, Any]:
    """Build the AASX package of every battery that the window brought news of, on this machine.

    The window's batteries and aggregates are in memory at once; for a large fleet there is the job ``build_passports.py``,
    which leaves the same files.

    :param lake: the provider's lake.
    :param master: folder with the master-data tables.
    :param window: the window, processed before.
    :param base_iri: prefix of all identifiers.
    :param workers: processes to use for more than a few batteries.
    :return: ``batteries``, ``passports``, and how complete they are: ``complete_percent`` (of the mandatory elements, over
        all passports) and ``incomplete`` (passports that miss any).
    """

    def make(staged: Path) -> Made:
        count = _stage_subjects(staged, lake, master, window, base_iri)
        if workers > 1 and count > SMALL_FLEET:
            return Made(count, _write_in_processes(staged, lake, base_iri, workers, count))
        return Made(count, _write(staged, lake, base_iri, 0, 1))

    return publish_passports(lake, window, make)


@dataclass(frozen=True)
class Made:
    """Passports that were written.

    :param passports: how many.
    :param tally: how complete they are.
    """

    passports: int
    tally: Tally


def publish_passports(lake: Lake, window: Window, make: Callable[[Path], Made]) -> dict[str, Any]:
    """Make the passports of a window its partition, as a whole or not at all, and return what :func:`build` returns.

    :param make: writes passports, ``subjects.jsonl`` and ``models.jsonl`` into an empty folder.
    """
    staged = lake.staging()
    try:
        made = make(staged)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    folder = lake.publish(TABLE, window, staged)
    count, tally = made.passports, made.tally
    log.info("built %d passports for window %s in %s, %s", count, window.key, folder, tally)
    return {"batteries": count, "passports": count, "complete_percent": tally.percent, "incomplete": tally.incomplete}


def aggregates_of(lake: Lake, window: Window) -> Path:
    """Return the folder with one row for each battery that was measured.

    :raises InputError: if the window has not been processed.
    """
    folder = lake.current("aggregates", window)
    if folder is None:
        raise InputError(f"window {window.key} has no aggregates in {lake.root}: run the process stage first")
    return folder


def count_measured(lake: Lake, window: Window) -> int:
    """Return how many batteries were measured in a window, without reading them."""
    import pyarrow.dataset as ds

    return int(ds.dataset(aggregates_of(lake, window), format="parquet").count_rows())


def wanted_batteries(
    lake: Lake, master: Path, window: Window, base_iri: str, measured: Collection[str], staged: Path
) -> tuple[Shared, Iterator[Wanted]]:
    """Return what the batteries of a window share, and the batteries, which are read one after the other.

    :param measured: ids of those that were measured.
    :param staged: gets the facts of the batteries' models, when the last battery was yielded.
    :raises InputError: the master data have faults, or lack a battery that was measured.
    """
    data = read_master(master, batteries=())
    shelf = Shelf(lake, window, data, master)
    facts = {model_id: shelf.facts_of(model_id) for model_id in data.models}
    missing = min((one for one in measured if one not in data.model_of), default=None)
    if missing is not None:
        raise InputError(f"battery {missing} was processed but is not in the master data any more")

    def each() -> Iterator[Wanted]:
        items = (item for item in each_battery(master, data) if item.battery_id in measured)
        models: set[str] = set()
        for one in with_lives(lake, window, data, base_iri, items):
            models.add(one.item.model_id)
            yield one.model_copy(update={"documents": shelf.of_battery(one.item.battery_id)})
        write_facts(staged, {model_id: facts[model_id] for model_id in models})

    return Shared(data.models, facts, data.operators), each()


def stage_wanted(
    lake: Lake, master: Path, window: Window, base_iri: str, measured: Collection[str], staged: Path
) -> tuple[Shared, int]:
    """Write the batteries of a window as a Parquet table of :data:`WANTED_COLUMNS`, a few at a time.

    The parameters are those of :func:`wanted_batteries`.

    :return: what the batteries share, and how many they are.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    shared, batteries = wanted_batteries(lake, master, window, base_iri, measured, staged)
    columns = pa.schema([(name, pa.string()) for name in WANTED_COLUMNS])
    count = 0
    with pq.ParquetWriter(staged / WANTED, columns) as table:
        while block := list(islice(batteries, _BLOCK)):
            count += len(block)
            cells = [[one.item.battery_id for one in block], [one.model_dump_json() for one in block]]
            table.write_table(pa.table(cells, schema=columns))
    return shared, count


def write_part(subjects: Iterable[Subject], lake: Lake, base_iri: str, staged: Path, name: str) -> Made:
    """Write the passports of some batteries, and their lines of ``subjects.jsonl`` as a file of its own.

    :param name: of that file; :func:`join_parts` brings the files together in the order of their names.
    """
    found = Tally()

    def records() -> Iterator[dict[str, Any]]:
        nonlocal found
        for subject in subjects:
            found += _write_passport(subject, lake, base_iri, staged)
            yield subject.model_dump(mode="json")

    return Made(write_lines(staged / _PARTS / name, records()), found)


def join_parts(staged: Path) -> None:
    """Make one ``subjects.jsonl`` of what :func:`write_part` wrote, and remove what only the making needed."""
    folder = staged / _PARTS
    with (staged / SUBJECTS).open("wb") as whole:
        for path in sorted(folder.glob("*")):
            with path.open("rb") as part:
                shutil.copyfileobj(part, whole)
            path.unlink()  # a large fleet's file and its parts need not be on the disk together
    shutil.rmtree(folder, ignore_errors=True)
    (staged / WANTED).unlink(missing_ok=True)


def _stage_subjects(staged: Path, lake: Lake, master: Path, window: Window, base_iri: str) -> int:
    """Write the batteries that the window brought news of by their names, and the facts of models; return how many."""
    import pyarrow.dataset as ds

    rows = ds.dataset(aggregates_of(lake, window), format="parquet").to_table()
    places = {battery_id: place for place, battery_id in enumerate(rows["battery_id"].to_pylist())}
    shared, batteries = wanted_batteries(lake, master, window, base_iri, set(places), staged)

    def records() -> Iterator[dict[str, Any]]:
        for wanted in sorted(batteries, key=lambda one: one.item.battery_id):
            place = places.get(wanted.item.battery_id)
            row = {} if place is None else rows.slice(place, 1).to_pylist()[0]
            yield subject_of(wanted, row, shared).model_dump(mode="json")

    return write_lines(staged / SUBJECTS, records())


def _write_in_processes(staged: Path, lake: Lake, base_iri: str, workers: int, count: int) -> Tally:
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_write, staged, lake, base_iri, part, workers) for part in range(workers)]
        found = Tally()
        for job in jobs:
            found += job.result()
    log.debug("wrote %d passports in %d processes", count, workers)
    return found


def _write(staged: Path, lake: Lake, base_iri: str, part: int, parts: int) -> Tally:
    """Write every ``parts``-th passport of the staged subjects, starting with number ``part``."""
    facts, found = read_facts(staged), Tally()
    with (staged / SUBJECTS).open(encoding="utf-8") as lines:
        # Lines of other parts are skipped as text: parsing them is what would cost.
        for line in islice(lines, part, None, parts):
            subject = with_facts(Subject.model_validate_json(line), facts)
            found += _write_passport(subject, lake, base_iri, staged)
    return found


def _write_passport(subject: Subject, lake: Lake, base_iri: str, staged: Path) -> Tally:
    from battery_pilot.passport.aasx import write_aasx
    from battery_pilot.passport.identifiers import slug

    passport = passport_of(subject, base_iri)
    name = slug(passport.battery_id)
    folder = staged / shard(name)
    folder.mkdir(parents=True, exist_ok=True)
    write_aasx(passport, folder / f"{name}.aasx", partial(content_of, lake))
    return Tally.of(completeness_of(passport))
