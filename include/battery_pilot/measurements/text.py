"""Decode the text of instrument files, take it apart and name the line where it breaks."""

from __future__ import annotations

import codecs
import math
import re
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.errors import MeasurementError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.source import Source

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL_BYTE = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_LAST_LOW_CONTROL, _FIRST_HIGH_CONTROL, _HIGH_CONTROLS = 8, np.uint8(14), 18
_TEXT_BYTES = bytes(octet for octet in range(256) if not _CONTROL_BYTE.match(bytes([octet])))
_SHORT, _BYTES_AT_ONCE = 1 << 12, 1 << 17
_least = np.minimum.reduce  # The method of an array spends half of the time for a small file on finding this.
_SHOWN = 40
_ROWS_THAT_SHOW_A_WIDTH = 10


def decode(data: bytes, file_name: str, expected: str) -> str:
    r"""Decode the text of a file.

    UTF-16 needs its byte order mark; UTF-8 may have one; what is not valid UTF-8 is Latin-1, which most
    instruments write. Line ends become ``\n``.

    :param data: content of the file.
    :param file_name: name for error messages.
    :param expected: what the reader wants, for the message, for example ``Gamry EXPLAIN text``.
    :raises MeasurementError: for binary content, naming the first byte that no text has.
    """
    if data.startswith(_UTF16_MARKS):
        return _with_plain_line_ends(_decode_utf16(data, file_name, expected))
    position = binary_position(data)
    if position is not None:
        raise MeasurementError(file_name, f"byte {position}", f"binary content, expected {expected}")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return _with_plain_line_ends(text)


def _with_plain_line_ends(text: str) -> str:
    if "\r" not in text:
        return text
    text = text.replace("\r\n", "\n")
    return text.replace("\r", "\n") if "\r" in text else text


def _decode_utf16(data: bytes, file_name: str, expected: str) -> str:
    try:
        text = data.decode("utf-16")
    except UnicodeDecodeError as error:
        problem = f"broken UTF-16 text ({error.reason}), expected {expected}; copy the file again"
        raise MeasurementError(file_name, f"byte {error.start}", problem) from error
    if "\0" in text:
        raise MeasurementError(
            file_name, f"byte {2 * text.index(chr(0)) + 2}", f"binary content, expected {expected}"
        )
    return text


def peek(head: bytes) -> str:
    """Decode the beginning of a file for sniffing, or return an empty string for binary content.

    :param head: the first bytes; the last character may be cut in two.
    """
    if head.startswith(_UTF16_MARKS):
        text = head.decode("utf-16", errors="ignore")
    elif binary_position(head) is not None:
        return ""
    else:
        try:
            text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
        except UnicodeDecodeError:
            text = head.decode("latin-1")
    return _with_plain_line_ends(text)


def binary_position(head: bytes) -> int | None:
    """Return the position of the first byte that no text has, or ``None`` for text as :func:`decode` knows it."""
    if not head or head.startswith(_UTF16_MARKS):
        return None
    if len(head) < _SHORT and not head.translate(None, _TEXT_BYTES):
        return None
    for start in range(0, len(head), _BYTES_AT_ONCE):
        octets = np.frombuffer(head, np.uint8, min(_BYTES_AT_ONCE, len(head) - start), start)
        # Two minima tell at memory speed that there is none: of all bytes, and of bytes 14 to 31 moved to 0 to 17.
        if _least(octets) <= _LAST_LOW_CONTROL or _least(octets - _FIRST_HIGH_CONTROL) < _HIGH_CONTROLS:
            control = _CONTROL_BYTE.search(head, start, start + len(octets))
            if control:
                return control.start()
    return None


def first_data_line(text: str) -> tuple[int, str]:
    """Return number (from 1) and content of the first line that is neither blank nor a ``#`` comment.

    :returns: 0 and an empty string when there is none.
    """
    number, start = 1, 0
    while start < len(text):
        end = text.find("\n", start)
        line = text[start:] if end < 0 else text[start:end]
        if line and not line.isspace() and not line.lstrip().startswith("#"):
            return number, line
        start += len(line) + 1
        number += 1
    return 0, ""


def delimiter_of(line: str) -> str:
    """Return the delimiter of a table from one of its lines: tab before semicolon before comma.

    A comma next to one of the others is a decimal comma.
    """
    if "\t" in line:
        return "\t"
    return ";" if ";" in line else ","


def split_cells(line: str, delimiter: str) -> list[str]:
    """Split a line into cells without surrounding blanks and quotes."""
    cells = line.split(delimiter)
    return [unquote(cell) for cell in cells] if '"' in line else [cell.strip() for cell in cells]


def unquote(cell: str) -> str:
    """Strip blanks and one pair of double quotes.

    A single double quote stays: it is the double prime of ``Z"``.
    """
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        cell = cell[1:-1].strip()
    return cell


def to_float(token: str, decimal_comma: bool = False) -> float | None:
    """Return a finite number, or ``None`` when the token is not one.

    :param token: text of one cell.
    :param decimal_comma: a comma is the decimal sign.
    """
    if decimal_comma:
        token = token.replace(",", ".")
    if "_" in token or not token.isascii():
        return None
    try:
        value = float(token)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def trim_empty(headings: list[str]) -> list[str]:
    """Drop the empty headings that a delimiter at the end of the line makes."""
    while headings and not headings[-1]:
        headings = headings[:-1]
    return headings


def number(token: str, source: Source, line: int, column: str, decimal_comma: bool = False) -> float:
    """Return a finite number.

    :param token: text of one cell.
    :param source: the file, for the error message.
    :param line: line in the file, counted from 1.
    :param column: heading of the column, for the error message.
    :param decimal_comma: a comma is the decimal sign.
    :raises MeasurementError: naming line and column.
    """
    value = to_float(token, decimal_comma)
    if value is None:
        raise source.error(f"line {line}", f"{column}: expected a number, found {shown(token)}")
    return value


def numbers(
    tokens: Sequence[str], lines: Sequence[int], source: Source, column: str, decimal_comma: bool = False
) -> list[float]:
    """Return the finite numbers of a column; the column way of :func:`number`.

    :param tokens: text of the cells.
    :param lines: line in the file of each cell, counted from 1.
    :param source: the file, for the error message.
    :param column: heading of the column, for the error message.
    :param decimal_comma: a comma is the decimal sign.
    :raises MeasurementError: naming line and column of the first cell that is no number.
    """
    joined = "".join(tokens)
    if joined.isascii() and "_" not in joined:
        try:
            values = list(map(float, [token.replace(",", ".") for token in tokens] if decimal_comma else tokens))
        except ValueError:
            pass  # The loop below names the line.
        else:
            if math.isfinite(sum(values)):
                return values
    return [number(token, source, line, column, decimal_comma) for token, line in zip(tokens, lines, strict=True)]


def shown(text: str) -> str:
    """Quote text from a file for a message, shortened."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def is_cut_number(last: str, earlier: Sequence[str]) -> bool:
    """Tell whether the last number of a file that has no line end was cut off in the middle.

    Writers with a fixed number format give every number of a column the same number of decimals and of exponent
    digits. A last number with fewer is an unfinished one. Numbers of free length show nothing.

    :param last: text of the last cell in the file.
    :param earlier: the cells above it, in any order.
    """
    if last[-1] in "eE+-":
        return True
    shapes = {_shape(cell) for cell in earlier}
    if len(shapes) != 1:
        return False
    decimals, exponent = shapes.pop()
    enough = 2 if exponent else _ROWS_THAT_SHOW_A_WIDTH
    last_decimals, last_exponent = _shape(last)
    return len(earlier) >= enough and (last_decimals < decimals or last_exponent < exponent)


def _shape(token: str) -> tuple[int, int]:
    """Return the numbers of decimals and of exponent digits."""
    mantissa, _, exponent = token.lower().replace(",", ".").partition("e")
    return len(mantissa.partition(".")[2]), len(exponent.lstrip("+-"))


def check_last_line(
    lines: Sequence[tuple[int, str]], delimiter: str, source: Source, warnings: list[str], *, used: bool
) -> None:
    r"""Refuse a table whose last number is cut, or warn where a cut cannot be excluded.

    Call it for a file that does not end with a line end.

    :param lines: the last lines of the table with their numbers; the file's last line is the last of them.
    :param delimiter: delimiter of the cells.
    :param source: the file, for the error message.
    :param warnings: receives a sentence when the file may be cut.
    :param used: whether the reader uses the last column at all; what it does not use cannot be wrong.
    :raises MeasurementError: when the last number is unfinished.
    """
    if not used or not lines:
        return
    last_number, last_line = lines[-1]
    last = split_cells(last_line, delimiter)[-1]
    if not last:
        return  # The row ends with a delimiter, so its numbers are whole.
    earlier = [split_cells(line, delimiter)[-1] for _, line in lines[:-1]]
    if is_cut_number(last, earlier):
        problem = f"truncated file: it ends inside the number {shown(last)}; copy the file again"
        raise source.error(f"line {last_number}", problem)
    warnings.append(f"The file does not end with a line end; the last number in line {last_number} may be cut.")
