"""Frames of a CAN bus, as every kind of CAN log gives them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.field.dbc import EXTENDED, ByteArray, IdArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

LONGEST_FRAME_BYTES = 64
"""Of CAN FD."""
LARGEST_IDENTIFIER = 0x1FFFFFFF
"""29 bits; what Linux writes above are flags of frames that report an error."""

# In 1973; no log lasts so long.
_EARLIEST_EPOCH_SECOND = 1e8


@dataclass(frozen=True)
class Frames:
    """The data frames of a log, one a row, in the log's order.

    :param time_second: since any fixed moment.
    :param identifiers: with :data:`~battery_pilot.measurements.field.dbc.EXTENDED` for 29 bits.
    :param lengths: number of data bytes.
    :param data: the bytes; behind the length of a frame stand zeros.
    :param channels: name or number of the bus.
    :param facts: values for the fields of the metadata, such as ``started_at``, which is the moment of second 0.
    """

    time_second: FloatArray
    identifiers: IdArray
    lengths: ByteArray
    data: ByteArray
    channels: np.ndarray[Any, Any]
    facts: Mapping[str, Any]

    def where(self, chosen: np.ndarray[Any, Any]) -> Frames:
        """Return some of the frames.

        :param chosen: mask or positions.
        """
        return Frames(
            self.time_second[chosen],
            self.identifiers[chosen],
            self.lengths[chosen],
            self.data[chosen],
            self.channels[chosen],
            self.facts,
        )


def frames_of(
    source: Source,
    times: Sequence[float] | FloatArray,
    channels: Sequence[str] | np.ndarray[Any, Any],
    identifiers: Sequence[int],
    payloads: Sequence[bytes],
    facts: Mapping[str, Any],
) -> Frames:
    """Return the frames of a log from what its lines hold, column by column.

    :param source: the log, for the error message.
    :param times: in second, below 1e11; where they count from 1970 on, the first becomes ``started_at`` and second 0.
    :param identifiers: with the bit for 29 bits.
    :param payloads: at most 64 bytes each.
    :raises MeasurementError: when there is no frame.
    """
    if not len(times):
        raise source.error("log", "no data frame; the log is truncated, empty or of another form")
    seconds = np.array(times, dtype=np.float64)
    if seconds[0] >= _EARLIEST_EPOCH_SECOND:
        start = datetime.fromtimestamp(seconds[0], UTC).isoformat()
        seconds, facts = seconds - seconds[0], {"started_at": start, **facts}
    lengths = np.fromiter(map(len, payloads), dtype=np.uint8, count=len(payloads))
    data = np.zeros((len(payloads), max(8, int(lengths.max()))), dtype=np.uint8)
    data[np.arange(data.shape[1]) < lengths[:, None]] = np.frombuffer(b"".join(payloads), dtype=np.uint8)
    return Frames(
        seconds,
        np.array(identifiers, dtype=np.uint32),
        lengths,
        data,
        np.array(channels),
        facts,
    )


def extended(number: int) -> int:
    """Return a 29-bit identifier with the bit that marks it as such."""
    return number | EXTENDED


def hexadecimal_identifier(text: str) -> int:
    """Return an identifier that is written with 3 or 4 digits for 11 bits and with 8 for 29 bits."""
    return extended(int(text, 16)) if len(text) == 8 else int(text, 16)


def tell_others(text: str, frames: int, warnings: list[str]) -> None:
    """Count the lines of a text log that hold no data frame; comments begin with a semicolon or number sign.

    :param text: the log.
    :param frames: number of its data frames.
    :param warnings: receives a sentence where there are more lines.
    """
    lines = sum(1 for _ in re.finditer(r"^[ \t]*[^\s;#]", text, re.MULTILINE))
    if lines > frames:
        warnings.append(f"{lines - frames} lines hold no whole data frame and were left out.")
