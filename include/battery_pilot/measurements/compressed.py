"""Unpack instrument files that were stored with gzip."""

from __future__ import annotations

import io
import zlib

from battery_pilot.measurements.source import Source

_MAGIC = b"\x1f\x8b\x08"
_GZIP = 31
"""Window size for zlib: the largest, with the header and the check sum of gzip."""
_LARGEST_BYTES = 512 << 20
_LARGEST_RATIO = 100
_RATIO_COUNTS_FROM_BYTES = 16 << 20
_PIECE_BYTES = 1 << 16


def unpacked(source: Source) -> Source:
    """Return the file inside a gzip file, which keeps the digest of the packed one, or any other file as it is.

    :param source: the file as it is stored.
    :raises MeasurementError: for a truncated or damaged gzip file, and for one that unpacks to far more than it should.
    """
    if not source.data.startswith(_MAGIC):
        return source
    limit = min(_LARGEST_BYTES, max(_RATIO_COUNTS_FROM_BYTES, _LARGEST_RATIO * len(source.data)))
    # Pieces go straight to their place: text and copies of it would take a multiple of its size.
    content, rest = io.BytesIO(), (packed := memoryview(source.data))
    while rest[: len(_MAGIC)] == _MAGIC:
        stream = zlib.decompressobj(_GZIP)
        while rest and not stream.eof:
            try:
                content.write(stream.decompress(rest[:_PIECE_BYTES], limit + 1 - content.tell()))
            except zlib.error as error:
                raise source.error("file", f"damaged gzip file: {error}; copy the file again") from error
            if content.tell() > limit:
                raise source.error("file", f"unpacks to more than {limit >> 20} MiB; unpack and split it before")
            rest = rest[_PIECE_BYTES:]
        if not stream.eof:
            raise source.error("file", "truncated gzip file; copy the file again")
        # What the last piece holds beyond the member belongs to the next one.
        rest = packed[len(packed) - len(rest) - len(stream.unused_data) :]
    return Source(content.getvalue(), source.name, source.data)
