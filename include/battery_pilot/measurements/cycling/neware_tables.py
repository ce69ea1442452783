"""The tables in Neware's ``.ndax`` files.

A table is a header page and pages of records. A page begins with one byte for its kind, one unused, the number of its
records in two, and a bit for each place that holds a record; it ends with its CRC-32.

Layouts after the code of NewareNDA and fastnda (both BSD 3-clause); the check sums after the bytes of files of the
versions 2, 5, 14, 16 and 17.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from battery_pilot.measurements.cycling.neware_records import COPY_AGAIN, IntArray, layout

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source

# Kinds of tables, in the first byte of each.
DATA_TABLE, AUXILIARY_TABLE, STEP_TABLE, RUN_TABLE = 1, 5, 7, 18

_PAGE_BYTES, _BITS_AT, _RECORDS_AT, _CHECK_BYTES = 4096, 4, 132, 4
_PAGE_BYTES_2, _RECORDS_AT_2 = 512, 5
_CHECK = np.dtype("<u4")


def _whole_record(size: int, shift: int) -> np.dtype[np.void]:
    """Return the layout of versions 2 and 5, which hold all of a record in one place."""
    return layout(
        size,
        mark=(0, "u1"),
        number=(1 + shift, "<u4"),
        cycle=(5 + shift, "<u4"),
        step_index=(9 + shift, "u1"),
        time=(16 + shift, "<u8"),
        voltage=(24 + shift, "<i4"),
        current=(28 + shift, "<i4"),
        charging_capacity_ah=(36 + shift, "<i8"),
        discharging_capacity_ah=(44 + shift, "<i8"),
        charging_energy_wh=(52 + shift, "<i8"),
        discharging_energy_wh=(60 + shift, "<i8"),
        year=(68 + shift, "<u2"),
        month=(70 + shift, "u1"),
        day=(71 + shift, "u1"),
        hour=(72 + shift, "u1"),
        minute=(73 + shift, "u1"),
        second=(74 + shift, "u1"),
        range=(75 + shift, "<i4"),
    )


def _whole_auxiliary(size: int, shift: int) -> np.dtype[np.void]:
    return layout(size, mark=(0, "u1"), number=(1 + shift, "<u4"), temperature=(34 + shift, "<i2"))


def _run_record(size: int) -> np.dtype[np.void]:
    return layout(
        size,
        time=(0, "<u4"),
        charging_capacity_ah=(5, "<f4"),
        discharging_capacity_ah=(9, "<f4"),
        charging_energy_wh=(13, "<f4"),
        discharging_energy_wh=(17, "<f4"),
        interval=(29, "<i4"),
        unix=(33, "<u4"),
        step=(37, "<u4"),
        number=(41, "<u4"),
        millisecond=(45, "<u2"),
    )


def _step_record(size: int) -> np.dtype[np.void]:
    return layout(size, cycle=(0, "<u4"), step_index=(4, "<u4"))


_PAIR = layout(8, voltage=(0, "<f4"), current=(4, "<f4"))
_ONE_VALUE = layout(4, value=(0, "<f4"))
MARK_DATA, MARK_AUXILIARY, MARK_CHAMBER = 0x55, 0x65, 0x74
_VOLT_AND_TEMPERATURE = layout(7, mark=(0, "u1"), value=(1, "<f4"), temperature=(5, "<i2"))
# Version and kind to the layout of a record.
_LAYOUTS = {
    (2, DATA_TABLE): _whole_record(94, 7),
    (2, AUXILIARY_TABLE): _whole_auxiliary(94, 7),
    (5, DATA_TABLE): _whole_record(87, 0),
    (5, AUXILIARY_TABLE): _whole_auxiliary(87, 0),
    **{(version, DATA_TABLE): _PAIR for version in (11, 14, 16, 17)},
    **{(version, AUXILIARY_TABLE): _VOLT_AND_TEMPERATURE for version in (11, 16)},
    **{(version, AUXILIARY_TABLE): _ONE_VALUE for version in (14, 17)},
    **{(version, RUN_TABLE): _run_record(size) for version, size in ((11, 47), (14, 55), (16, 100), (17, 100))},
    **{(version, STEP_TABLE): _step_record(size) for version, size in ((11, 37), (14, 37), (16, 100), (17, 100))},
}
WHOLE_VERSIONS = (2, 5)
# The chamber's records of version 11 are longer than the others.
_CHAMBER_11 = layout(88, mark=(0, "u1"), number=(1, "<u4"), temperature=(35, "<i2"))


class Table(NamedTuple):
    """A table of the archive.

    :param version: version of its layout.
    :param records: its records.
    :param place: number of the place, from 1, of each record.
    """

    version: int
    records: Any
    place: IntArray


def read_table(content: bytes, name: str, kind: int, source: Source, warnings: list[str]) -> Table:
    """Return a table of the archive.

    :param content: the member.
    :param name: its name in the archive.
    :param kind: what the member must hold.
    :raises MeasurementError: for an unknown version, and for a truncated or damaged page.
    """
    if len(content) < _RECORDS_AT:
        raise source.error(name, f"truncated after {len(content)} bytes; {COPY_AGAIN}")
    version = content[2]
    record = _LAYOUTS.get((version, content[0]))
    if record is None or content[0] != kind:
        problem = f"table {content[0]} of version {version}, which cannot be read; export the test from BTSDA as CSV"
        raise source.error(name, problem)
    if (
        version == 11
        and kind == AUXILIARY_TABLE
        and content[_PAGE_BYTES + _RECORDS_AT :][:1] == bytes([MARK_CHAMBER])
    ):
        record = _CHAMBER_11
    page_bytes, begin = (_PAGE_BYTES_2, _RECORDS_AT_2) if version == 2 else (_PAGE_BYTES, _RECORDS_AT)
    pages = _checked_pages(content, page_bytes, name, source, warnings)
    places = (page_bytes - begin - _CHECK_BYTES) // record.itemsize
    bits = np.unpackbits(pages[:, _BITS_AT:begin], axis=1, bitorder="little", count=places)
    place = np.flatnonzero(bits).astype(np.int32) + np.int32(1)
    shape, strides = (len(pages), places), (page_bytes, record.itemsize)
    every: Any = (
        np.ndarray(shape, record, content, page_bytes + begin, strides) if len(pages) else np.empty(shape, record)
    )
    return Table(version, every[bits.astype(bool)], place)


def _checked_pages(content: bytes, page_bytes: int, name: str, source: Source, warnings: list[str]) -> Any:
    """Return the bytes of the pages with records, after a comparison with their check sums."""
    surplus = len(content) % page_bytes
    if surplus:
        raise source.error(name, f"truncated: the last page has {surplus} of {page_bytes} bytes; {COPY_AGAIN}")
    pages = np.frombuffer(content, np.uint8).reshape(-1, page_bytes)[1:]
    stated = np.ascontiguousarray(pages[:, -_CHECK_BYTES:]).view(_CHECK).ravel().tolist()
    view, unchecked = memoryview(content), 0
    for number, check in enumerate(stated, start=1):
        begin = number * page_bytes
        if check == 0:
            unchecked += 1
        elif zlib.crc32(view[begin : begin + page_bytes - _CHECK_BYTES]) != check:
            raise source.error(f"{name}, byte {begin}", f"damaged page: its check sum does not fit; {COPY_AGAIN}")
    if unchecked:
        warnings.append(f"{unchecked} pages of {name} have no check sum; damage in them cannot be noticed.")
    return pages
