"""Files as they look when a copy was interrupted, a disk was full or somebody took the wrong cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

DamageKind = Literal["truncated", "empty", "binary", "unknown battery"]

BINARY_BYTES = 4096


@dataclass(frozen=True)
class RawFile:
    """A file that is not written yet.

    :param name: without folder.
    :param content: its bytes.
    """

    name: str
    content: bytes


def damage(original: RawFile, kind: DamageKind, *, battery_id: str, random: np.random.Generator) -> RawFile:
    """Return a damaged copy, under another name, of a good file.

    :param battery_id: the battery the file is about; a copy of kind "unknown battery" names ``XX-…`` instead.
    """
    return _DAMAGES[kind](original, battery_id, random)


def _truncated(original: RawFile, battery_id: str, random: np.random.Generator) -> RawFile:
    """Cut within the second cell of a row, so that the row can never be taken for a whole one."""
    rough = int(len(original.content) * random.uniform(0.6, 0.9))
    row = original.content.index(b"\n", rough) + 1
    cell = re.compile(rb"[^,\t]*[^,\t\s][,\t][^,\t]").match(original.content, row)
    end = cell.end() if cell else rough
    return RawFile(_copy_name(original.name), original.content[:end])


def _empty(original: RawFile, battery_id: str, random: np.random.Generator) -> RawFile:
    return RawFile(_copy_name(original.name), b"")


def _binary(original: RawFile, battery_id: str, random: np.random.Generator) -> RawFile:
    name = f"{original.name.rpartition('.')[0]}{random.choice(['.DTA', '.csv'])}"
    return RawFile(_copy_name(name), random.bytes(BINARY_BYTES))


def _unknown_battery(original: RawFile, battery_id: str, random: np.random.Generator) -> RawFile:
    unknown = "XX" + battery_id[2:]
    content = original.content.replace(battery_id.encode(), unknown.encode())
    return RawFile(original.name.replace(battery_id, unknown), content)


def _copy_name(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}_copy.{suffix}"


_DAMAGES: dict[DamageKind, Callable[[RawFile, str, np.random.Generator], RawFile]] = {
    "truncated": _truncated,
    "empty": _empty,
    "binary": _binary,
    "unknown battery": _unknown_battery,
}

DAMAGE_KINDS: tuple[DamageKind, ...] = tuple(_DAMAGES)
"""All kinds of damage, in the order in which they are dealt out."""
