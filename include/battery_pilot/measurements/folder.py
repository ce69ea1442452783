"""Read all instrument files below a folder, in parallel."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import stat
import sys
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.pandas_compat  # Arrow imports it with the first table; a worker finds it imported.

from battery_pilot.documents import recognise
from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.registry import load, read_bytes
from battery_pilot.measurements.writing import PartWriter, half_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FILES_A_TASK = 32
_TASKS_AHEAD = 4


@dataclass(frozen=True)
class FileReport:
    """What became of one file.

    :param path: the file.
    :param kind: what it holds, or ``None`` for a file that cannot be used.
    :param format: short name of its format, or ``None``.
    :param rows: rows of its table.
    :param warnings: sentences about guesses and repairs.
    :param reason: why it cannot be used, or ``None``.
    """

    path: str
    kind: str | None = None
    format: str | None = None
    rows: int = 0
    warnings: tuple[str, ...] = ()
    reason: str | None = None


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder, without hidden ones, in a fixed order.

    Pipes and devices are left out. What cannot be looked at, such as a folder without permission, is among the files, so
    that reading it tells the reason.

    :param folder: where to look.
    """
    closed: list[OSError] = []
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        found += (path for path in paths if _may_be_file(path))
    return sorted([*found, *(Path(error.filename) for error in closed)])


def _may_be_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def read_files(
    paths: Sequence[Path], *, processes: int | None = None, out: Path | None = None
) -> Iterator[FileReport]:
    """Read files in parallel and yield a report of each, in the order of ``paths``.

    A file that cannot be read is a report with the reason, also one that brings down the process that reads it.

    :param paths: the files.
    :param processes: how many work at a time; by default one a processor, 1 reads in this process.
    :param out: folder for the tables as Parquet files of one schema (:data:`battery_pilot.measurements.writing.SCHEMA`),
        one row group a file; ``None`` writes none.
    :raises OSError: when a table cannot be written.
    """
    tasks = [
        (
            paths[start : start + FILES_A_TASK],
            None if out is None else out / f"part-{start // FILES_A_TASK:06d}.parquet",
        )
        for start in range(0, len(paths), FILES_A_TASK)
    ]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    workers = min(processes or os.cpu_count() or 1, len(tasks))
    if workers <= 1:
        for task in tasks:
            yield from _read_task(task)
        return
    yield from _in_parallel(tasks, workers)


_Task = tuple["Sequence[Path]", "Path | None"]


def _pool(workers: int) -> ProcessPoolExecutor:
    # A forked process has all readers imported already; other systems than Linux cannot fork safely.
    method = "fork" if sys.platform == "linux" else "spawn"
    return ProcessPoolExecutor(workers, multiprocessing.get_context(method), initializer=_prepare_worker)


def _prepare_worker() -> None:
    """Let a worker end at Ctrl-C without a word, and with the process that started it, however that ends.

    It shares the memory of what was imported before it began, and leaves the other processors to the other workers.
    """
    gc.freeze()
    pa.set_cpu_count(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _in_parallel(tasks: Iterable[_Task], workers: int) -> Iterator[FileReport]:
    """Keep a few tasks ahead of the one whose reports are due, so that memory does not grow with the folder."""
    waiting = iter(tasks)
    pool = _pool(workers)
    ahead: deque[tuple[_Task, Future[list[FileReport]]]] = deque()
    submit = partial(_submit, ahead)
    try:
        submit(pool, islice(waiting, workers * _TASKS_AHEAD))
        while ahead:
            task, future = ahead.popleft()
            try:
                reports = future.result()
            except BrokenProcessPool:
                # The dead process took the whole pool with it: go on with a new one, and read this task's files alone.
                unfinished = [other for other, _ in ahead]
                ahead.clear()
                pool.shutdown(cancel_futures=True)
                pool = _pool(workers)
                submit(pool, unfinished)
                reports = _read_one_by_one(task)
            submit(pool, islice(waiting, 1))
            yield from reports
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(
    ahead: deque[tuple[_Task, Future[list[FileReport]]]], pool: ProcessPoolExecutor, tasks: Iterable[_Task]
) -> None:
    ahead.extend((task, pool.submit(_read_task, task)) for task in tasks)


def _read_one_by_one(task: _Task) -> list[FileReport]:
    """Read the files of a task that brought its process down, each in a process of its own."""
    paths, part = task
    if part is not None:
        half_written(part).unlink(missing_ok=True)
    reports = []
    for number, path in enumerate(paths):
        own_part = None if part is None else part.with_stem(f"{part.stem}-{number:02d}")
        with _pool(1) as pool:
            try:
                reports += pool.submit(_read_task, ([path], own_part)).result()
            except BrokenProcessPool:
                reason = "the process that read the file was ended, probably for lack of memory; split the file"
                reports.append(FileReport(str(path), reason=reason))
    return reports


def _read_task(task: _Task) -> list[FileReport]:
    paths, part = task
    with PartWriter(part) as writer:
        return [_read_file(path, writer) for path in paths]


def _read_file(path: Path, writer: PartWriter) -> FileReport:
    try:
        data = load(path)
        document = recognise(data, str(path))
        if document is not None:
            return FileReport(str(path), "document", document.format, warnings=document.warnings)
        measurement = read_bytes(data, str(path))
    except MeasurementError as error:
        return FileReport(str(path), reason=f"{error.place}: {error.problem}")
    warnings = measurement.warnings
    left_out = writer.write(measurement, path)
    if left_out:
        warnings += (f"Columns without a place in the common schema were not written: {', '.join(left_out)}.",)
    return FileReport(str(path), measurement.kind, measurement.format, measurement.table.num_rows, warnings)
