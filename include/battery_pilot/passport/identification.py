"""Machine-readable codes for a battery: its identification link as QR code (ISO/IEC 18004) or Data Matrix (ISO/IEC 16022).

The link is the URI of the product as the passport states it. Where the identifiers' base is an https address it is an
identification link in the sense of IEC 61406.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

import segno
from PIL import Image
from ppf.datamatrix import DataMatrix

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

Form = Literal["qr", "datamatrix"]
Modules = tuple[tuple[bool, ...], ...]
"""Rows of a symbol with its quiet zone; true is dark."""

QUIET_ZONE = {"qr": 4, "datamatrix": 1}
"""Width of the light border that the standards demand, in modules."""

MODULE_PIXELS = 8
DATA_MATRIX_MAXIMUM = 1555
"""Most ASCII characters that a Data Matrix of 144 x 144 modules holds."""


def modules(link: str, form: Form) -> Modules:
    """Return the symbol that says a link.

    :param link: the identification link.
    :param form: ``qr`` (error correction M or better) or ``datamatrix`` (ECC 200).
    :raises InputError: the link has characters that no link can have, or does not fit into a symbol.
    """
    if not link.isascii() or not link.isprintable() or " " in link:
        raise InputError(f"{link!r} cannot be a link: use an identifier base of ASCII characters")
    try:
        rows = _qr(link) if form == "qr" else _data_matrix(link)
    except (segno.DataOverflowError, ValueError) as error:
        raise InputError(
            f"the link of {len(link)} characters does not fit into a code: shorten the identifier base"
        ) from error
    border = QUIET_ZONE[form]
    light = (False,) * (len(rows[0]) + 2 * border)
    padding = (False,) * border
    return (light,) * border + tuple((*padding, *map(bool, row), *padding) for row in rows) + (light,) * border


def svg(symbol: Modules, title: str) -> bytes:
    """Return a symbol as SVG, one unit a module, so that it can be printed at any size.

    :param symbol: the symbol.
    :param title: text for those who cannot see it.
    """
    height, width = len(symbol), len(symbol[0])
    path = "".join(f"M{x} {y}h{length}v1h-{length}z" for y, row in enumerate(symbol) for x, length in _runs(row))
    text = title.replace("&", "&amp;").replace("<", "&lt;")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" shape-rendering="crispEdges" role="img">'
        f'<title>{text}</title><path fill="#fff" d="M0 0h{width}v{height}H0z"/><path d="{path}"/></svg>\n'
    ).encode()


def png(symbol: Modules, module_pixels: int = MODULE_PIXELS) -> bytes:
    """Return a symbol as a black and white PNG.

    :param symbol: the symbol.
    :param module_pixels: width of a module.
    """
    height, width = len(symbol), len(symbol[0])
    image = Image.new("1", (width, height), 1)
    image.putdata([int(not dark) for row in symbol for dark in row])
    buffer = io.BytesIO()
    image.resize((width * module_pixels, height * module_pixels), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def _qr(link: str) -> Sequence[Sequence[int]]:
    return segno.make_qr(link, error="m").matrix


def _data_matrix(link: str) -> Sequence[Sequence[int]]:
    if len(link) > DATA_MATRIX_MAXIMUM:
        raise ValueError(f"{len(link)} characters, at most {DATA_MATRIX_MAXIMUM} fit")
    rows: Sequence[Sequence[int]] = DataMatrix(link).matrix
    return rows


def _runs(row: Sequence[bool]) -> list[tuple[int, int]]:
    """Return start and length of each run of dark modules."""
    starts = [x for x, dark in enumerate(row) if dark and (x == 0 or not row[x - 1])]
    ends = [x + 1 for x, dark in enumerate(row) if dark and (x + 1 == len(row) or not row[x + 1])]
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]
