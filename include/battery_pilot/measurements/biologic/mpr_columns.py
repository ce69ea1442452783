"""The columns of the data module of BioLogic ``.mpr`` files.

Which number stands for which column was found by laying binary files beside their text exports (``.mpt``).
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FLAGS = {
    1: ("mode", 0x03),
    2: ("ox/red", 0x04),
    3: ("error", 0x08),
    21: ("control changes", 0x10),
    31: ("Ns changes", 0x20),
    65: ("counter inc.", 0x80),
}
"""Columns that share one byte at the place of the first of them: heading of the text export and bits."""

COLUMNS = {
    4: ("time/s", "<f8"),
    5: ("control/V/mA", "<f4"),
    6: ("Ewe/V", "<f4"),
    7: ("dq/mA.h", "<f8"),
    8: ("I/mA", "<f4"),
    9: ("Ece/V", "<f4"),
    11: ("<I>/mA", "<f8"),
    13: ("(Q-Qo)/mA.h", "<f8"),
    16: ("Analog IN 1/V", "<f4"),
    17: ("Analog IN 2/V", "<f4"),
    19: ("control/V", "<f4"),
    20: ("control/mA", "<f4"),
    23: ("dQ/mA.h", "<f8"),
    24: ("cycle number", "<f8"),
    32: ("freq/Hz", "<f4"),
    33: ("|Ewe|/V", "<f4"),
    34: ("|I|/A", "<f4"),
    35: ("Phase(Z)/deg", "<f4"),
    36: ("|Z|/Ohm", "<f4"),
    37: ("Re(Z)/Ohm", "<f4"),
    38: ("-Im(Z)/Ohm", "<f4"),
    39: ("I Range", "<u2"),
    70: ("P/W", "<f4"),
    74: ("|Energy|/W.h", "<f8"),
    76: ("<I>/mA", "<f4"),
    77: ("<Ewe>/V", "<f4"),
    96: ("|Ece|/V", "<f4"),
    98: ("Phase(Zce)/deg", "<f4"),
    99: ("|Zce|/Ohm", "<f4"),
    100: ("Re(Zce)/Ohm", "<f4"),
    101: ("-Im(Zce)/Ohm", "<f4"),
    123: ("Energy charge/W.h", "<f8"),
    124: ("Energy discharge/W.h", "<f8"),
    125: ("Capacitance charge/µF", "<f8"),
    126: ("Capacitance discharge/µF", "<f8"),
    131: ("Ns", "<u2"),
    168: ("Rcmp/Ohm", "<f4"),
    169: ("Cs/µF", "<f4"),
    172: ("Cp/µF", "<f4"),
    174: ("<Ewe>/V", "<f4"),
    430: ("Phase(Zwe-ce)/deg", "<f4"),
    431: ("|Zwe-ce|/Ohm", "<f4"),
    432: ("Re(Zwe-ce)/Ohm", "<f4"),
    433: ("-Im(Zwe-ce)/Ohm", "<f4"),
    434: ("(Q-Qo)/C", "<f4"),
    435: ("dQ/C", "<f4"),
    438: ("step time/s", "<f8"),
    441: ("<Ece>/V", "<f4"),
    467: ("Q charge/discharge/mA.h", "<f8"),
    468: ("half cycle", "<u4"),
    469: ("z cycle", "<u4"),
    471: ("<Ece>/V", "<f4"),
    473: ("THD Ewe/%", "<f4"),
    474: ("THD I/%", "<f4"),
    476: ("NSD Ewe/%", "<f4"),
    477: ("NSD I/%", "<f4"),
    479: ("NSR Ewe/%", "<f4"),
    480: ("NSR I/%", "<f4"),
    486: ("|Ewe h2|/V", "<f4"),
    487: ("|Ewe h3|/V", "<f4"),
    488: ("|Ewe h4|/V", "<f4"),
    489: ("|Ewe h5|/V", "<f4"),
    490: ("|Ewe h6|/V", "<f4"),
    491: ("|Ewe h7|/V", "<f4"),
    492: ("|I h2|/A", "<f4"),
    493: ("|I h3|/A", "<f4"),
    494: ("|I h4|/A", "<f4"),
    495: ("|I h5|/A", "<f4"),
    496: ("|I h6|/A", "<f4"),
    497: ("|I h7|/A", "<f4"),
    880: ("Energy we/W.h", "<f8"),
    883: ("Energy ce charge/W.h", "<f8"),
    884: ("Energy ce discharge/W.h", "<f8"),
}
"""Column number to heading of the text export and type."""

_WIDTHS = (4, 8, 2, 1, 0)
"""Widths in bytes that an unknown column can have, 0 for a further flag in the common byte."""
_MOST_UNKNOWN = 4


class Layout(NamedTuple):
    """How a record is laid out.

    :param dtype: of a record; its fields are ``flags`` and the column numbers as text.
    :param headings: headings of the text export, in the file's order.
    :param fields: field of each heading.
    :param masks: bits of each heading that is a flag, 0 for all others.
    """

    dtype: np.dtype[np.void]
    headings: tuple[str, ...]
    fields: tuple[str, ...]
    masks: tuple[int, ...]


def unknown(ids: Sequence[int]) -> list[int]:
    """Return the column numbers whose meaning is not known."""
    return [number for number in ids if number not in COLUMNS and number not in FLAGS]


def layouts(ids: tuple[int, ...], record_bytes: int | None) -> Iterator[Layout]:
    """Return the layouts of a record that its columns allow: one when all of them are known.

    :param ids: column numbers in the file's order.
    :param record_bytes: length of a record, which the unknown columns fill up; ``None`` where it is not known.
    :returns: none when the known columns do not fit, or too many are unknown.
    """
    strangers = unknown(ids)
    if not strangers:
        layout = _layout(ids, ())
        if record_bytes in (None, layout.dtype.itemsize):
            yield layout
        return
    if record_bytes is None or len(strangers) > _MOST_UNKNOWN:
        return
    remainder = record_bytes - _layout(ids, (0,) * len(strangers)).dtype.itemsize
    for widths in itertools.product(_WIDTHS, repeat=len(strangers)):
        if sum(widths) == remainder:
            layout = _layout(ids, widths)
            if layout.dtype.itemsize == record_bytes:
                yield layout


@lru_cache(maxsize=256)
def _layout(ids: tuple[int, ...], widths: tuple[int, ...]) -> Layout:
    """Return the layout of a record, given the widths of its unknown columns in their order."""
    unknown_widths = iter(widths)
    offset, offsets, formats = 0, dict[str, int](), dict[str, str]()
    headings: list[str] = []
    fields: list[str] = []
    masks: list[int] = []
    for number in ids:
        if number in FLAGS:
            heading, mask = FLAGS[number]
            field, kind = "flags", "u1"
        elif number in COLUMNS:
            heading, kind = COLUMNS[number]
            field, mask = str(number), 0
        else:
            offset += next(unknown_widths)
            continue
        headings.append(heading)
        fields.append(field)
        masks.append(mask)
        if field not in offsets:
            offsets[field], formats[field] = offset, kind
            offset += np.dtype(kind).itemsize
    dtype = np.dtype(
        {
            "names": list(offsets),
            "formats": list(formats.values()),
            "offsets": list(offsets.values()),
            "itemsize": offset,
        }
    )
    return Layout(dtype, tuple(headings), tuple(fields), tuple(masks))
