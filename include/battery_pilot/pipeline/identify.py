"""Provider, stage 2a: find the battery that a file belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Set
    from pathlib import PurePath

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Identified:
    """A battery id and, where the sources disagree, a sentence about it."""

    battery_id: str
    warning: str | None = None


def identify(path: PurePath, id_in_file: str | None, known: Set[str]) -> Identified:
    """Return the battery that a file belongs to.

    The file's own word comes first, then its name, then the names of its folders, from the inside out. A name counts
    if it contains a known id between characters that are neither letters nor digits; the longest such id wins.

    :param path: where the file lies.
    :param id_in_file: the id that the file states, if it does.
    :param known: ids of the master data.
    :raises InputError: if no known battery is named, or a name holds two different ids of equal length.
    """
    named = named_in(path, known)
    if id_in_file in known and id_in_file is not None:
        if named and named != id_in_file:
            return Identified(
                id_in_file, f"the file says battery {id_in_file}, its path says {named}: the file is believed"
            )
        return Identified(id_in_file)
    if named:
        says = (
            f"the file's own id {id_in_file!r} is not in the master data: taken from the path" if id_in_file else None
        )
        return Identified(named, says)
    what = (
        f"battery {id_in_file!r} is not in the master data"
        if id_in_file
        else "no battery of the master data is named in it"
    )
    raise InputError(
        f"unknown battery: {what}: add it to batteries.csv, or put its id into the file's name or folder"
    )


def named_in(path: PurePath, known: Set[str]) -> str | None:
    """Return the known id that a path names: in the file's name, else in its folders from the inside out.

    :param path: where the file lies.
    :param known: ids to look for.
    :raises InputError: if a name holds two different ids of equal length.
    """
    return next(
        (found for part in (path.stem, *reversed(path.parent.parts)) if (found := _longest(part, known))), None
    )


def _longest(name: str, known: Set[str]) -> str | None:
    found = {candidate for candidate in _candidates(name) if candidate in known}
    if not found:
        return None
    size = max(map(len, found))
    longest = sorted(candidate for candidate in found if len(candidate) == size)
    if len(longest) > 1:
        raise InputError(
            f"ambiguous name {name!r}: it holds the ids {' and '.join(longest)}: leave one of them in it"
        )
    return longest[0]


def _candidates(name: str) -> Iterator[str]:
    """Yield every part of a name that begins and ends at a boundary between words."""
    words = [match.span() for match in _WORD.finditer(name)]
    for first, (start, _) in enumerate(words):
        for _, end in words[first:]:
            yield name[start:end]
