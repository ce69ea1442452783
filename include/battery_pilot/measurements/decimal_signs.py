"""Tell commas before decimals from commas between thousands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa

_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+\.|^[+-]?\d{1,3}(,\d{3}){2,}$"
"""Numbers such as ``1,499.88`` and ``1,000,000``."""
_LIKE_THOUSANDS = r"^[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$"
"""These, and numbers such as ``1,100``, which is 1.1 or 1100; ``0,512`` and ``1,10`` are not among them."""
_POINTS_BETWEEN_THOUSANDS = r"^[+-]?\d{1,3}(\.\d{3})+,\d*$"
"""Numbers such as ``1.499,88``."""
_BEGINS_WITH_DIGIT = r"^[+-]?\d"


def shows_decimal_comma(rows: memoryview, delimiter: str) -> bool:
    """Tell whether a table has a number whose comma cannot stand between thousands.

    :param rows: bytes of the table.
    :param delimiter: delimiter of the cells; where it is a comma, only cells in quotes hold another one.
    """
    edge = b'"' if delimiter == "," else rb'["\r\n' + re.escape(delimiter.encode()) + b"]"
    number = rb" *[+-]?(?:0,\d+|\d+,(?:\d\d?|\d{4,}))(?:[eE][+-]?\d+)? *"
    return re.search(rb"(?:\A|" + edge + b")" + number + edge, rows) is not None


def with_decimal_point(texts: pa.ChunkedArray, has_decimal_comma: bool) -> tuple[pa.ChunkedArray, int | None]:
    """Return numbers with a point before their decimals and nothing between thousands.

    :param texts: a column of numbers.
    :param has_decimal_comma: whether the table is known to have decimal commas.
    :returns: the numbers, and the row of the first comma or point that may mean either, as in a column with 900 and 1,100.
    """
    with_comma = pc.match_substring(texts, ",").fill_null(False)
    grouped = pc.match_substring_regex(texts, _POINTS_BETWEEN_THOUSANDS).fill_null(False)
    if pc.any(grouped).as_py():
        without_points = pc.replace_substring(texts, ".", "")
        unclear = pc.and_not(pc.match_substring(texts, ".").fill_null(False), grouped)
        return pc.replace_substring(without_points, ",", "."), _first(unclear)
    like_thousands = pc.match_substring_regex(texts, _LIKE_THOUSANDS).fill_null(False)
    unlike = pc.and_not(with_comma, like_thousands)
    if pc.any(pc.match_substring_regex(texts, _THOUSANDS)).as_py():
        return pc.replace_substring(texts, ",", ""), _first(unlike)
    points = pc.replace_substring(texts, ",", ".")
    if has_decimal_comma or pc.any(unlike).as_py():
        return points, None
    without = pc.and_not(pc.match_substring_regex(texts, _BEGINS_WITH_DIGIT).fill_null(False), with_comma)
    return points, _first(with_comma) if pc.any(without).as_py() else None


def _first(rows: pa.ChunkedArray) -> int | None:
    row = pc.index(rows, True).as_py()
    return None if row < 0 else row
