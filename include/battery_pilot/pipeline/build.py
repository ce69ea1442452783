"""Provider, stage 3: aggregated measurements become passports on disk."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.lake import Lake, Window, read_json, write_lines
from battery_pilot.passport.master import MasterData, read_master
from battery_pilot.pipeline.subjects import TABLE, Subject, passport_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

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
    """Build the passport of every battery that the window brought news of, as AAS JSON and AASX.

    :param lake: the provider's lake.
    :param master: folder with the master-data tables.
    :param window: the window, processed before.
    :param base_iri: prefix of all identifiers.
    :param workers: processes to use for a large fleet.
    :return: ``batteries``, ``passports``.
    """
    staged = lake.staging()
    try:
        count = write_lines(
            staged / "subjects.jsonl",
            (subject.model_dump(mode="json") for subject in _subjects(lake, read_master(master), window)),
        )
        if workers > 1 and count > SMALL_FLEET:
            _write_in_processes(staged, base_iri, workers, count)
        else:
            _write(staged, base_iri, 0, 1)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    folder = lake.publish(TABLE, window, staged)
    log.info("built %d passports for window %s in %s", count, window.key, folder)
    return {"batteries": count, "passports": count}


def _subjects(lake: Lake, master: MasterData, window: Window) -> Iterator[Subject]:
    import pyarrow.dataset as ds

    from battery_pilot.electrochemistry.health import condition_from_aggregates

    folder = lake.current("aggregates", window)
    if folder is None:
        raise InputError(f"window {window.key} has no aggregates in {lake.root}: run the process stage first")
    for batch in ds.dataset(folder, format="parquet").to_batches():
        for row in batch.to_pylist():
            item = master.batteries.get(row["battery_id"])
            if item is None:
                raise InputError(f"battery {row['battery_id']} was processed but is not in the master data any more")
            model = master.models[item.model_id]
            yield Subject(model=model, item=item, condition=condition_from_aggregates(row, model.ratings()))


def _write_in_processes(staged: Path, base_iri: str, workers: int, count: int) -> None:
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_write, staged, base_iri, part, workers) for part in range(workers)]
        for job in jobs:
            job.result()
    log.debug("wrote %d passports in %d processes", count, workers)


def _write(staged: Path, base_iri: str, part: int, parts: int) -> None:
    """Write every ``parts``-th passport of the staged subjects, starting with number ``part``."""
    from battery_pilot.passport.aas import write_aasx, write_json
    from battery_pilot.passport.identifiers import slug

    with (staged / "subjects.jsonl").open(encoding="utf-8") as lines:
        # Lines of other parts are skipped as text: parsing them is what would cost.
        for line in islice(lines, part, None, parts):
            passport = passport_of(Subject.model_validate_json(line), base_iri)
            name = slug(passport.battery_id)
            folder = staged / shard(name)
            folder.mkdir(parents=True, exist_ok=True)
            write_json(passport, folder / f"{name}.json")
            write_aasx(passport, folder / f"{name}.aasx")


def shard(name: str) -> str:
    """Return the sub-folder for a name, so that no folder holds a million files."""
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()[:2]
