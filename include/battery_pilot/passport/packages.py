"""Opening AASX packages that others packed: limits first, then the relationships, then the one AAS part."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from basyx.aas.adapter.aasx import RELATIONSHIP_TYPE_AAS_SPEC, RELATIONSHIP_TYPE_AAS_SUPL, AASXReader
from pyecma376_2.package_model import OPCTargetMode, part_realpath

from battery_pilot.errors import PassportError
from battery_pilot.passport.metamodel import UNREADABLE
from battery_pilot.passport.parsing import MAXIMUM_BYTES

if TYPE_CHECKING:
    from pathlib import Path

MAXIMUM_PACKAGE_BYTES = 256 * 1024 * 1024
"""Largest AASX package that is read, as it is and unpacked; documents may be in it."""

_MAXIMUM_FILES = 1000
_MAXIMUM_DIRECTORY_BYTES = 1024 * 1024  # of the list of files, which is read before anything can be counted
_MAXIMUM_MARKUP_BYTES = 1024 * 1024  # of one file of relationships or content types
_CHUNK_BYTES = 1 << 16
_END_OF_DIRECTORY = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_ORIGIN = "http://admin-shell.io/aasx/relationships/aasx-origin"
# lxml raises SyntaxError where relationships or content types are no XML.
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError, SyntaxError)


@dataclass(frozen=True)
class Package:
    """The AAS part of a package and what lies beside it.

    :param content: the AAS part, JSON or XML.
    :param is_json: which of the two.
    :param files: names of all files, with a leading slash.
    :param faults: what is wrong with the package but does not keep it from being read.
    """

    content: bytes
    is_json: bool
    files: frozenset[str]
    faults: tuple[str, ...]


def open_package(path: Path, *, maximum_bytes: int = MAXIMUM_BYTES) -> Package:
    """Return the AAS part of an AASX package.

    :param path: the package.
    :param maximum_bytes: refuse an AAS part that is larger than this.
    :raises PassportError: the file is no AASX package, is too large packed or unpacked, has names that lead outside,
        or has not exactly one AAS part.
    """
    files = _checked_files(path)
    try:
        with AASXReader(path, failsafe=False) as reader:
            package = reader.reader
            faults: list[str] = []
            origin = _only(_related(package, "/", _ORIGIN, faults), "aasx-origin")
            name = _only(_related(package, origin, RELATIONSHIP_TYPE_AAS_SPEC, faults), "AAS part")
            with package.open_part(name) as part:
                content = bytes(part.read(maximum_bytes + 1))
            content_type = package.get_content_type(name)
            attached = _related(package, name, RELATIONSHIP_TYPE_AAS_SUPL, faults)
    except (*UNREADABLE, *_BROKEN, IndexError) as error:
        raise PassportError(f"{path}: no AASX package with exactly one AAS part: {error}") from error
    if len(content) > maximum_bytes:
        raise PassportError(f"{path}: the AAS part has more than {maximum_bytes} bytes")
    faults += [f"a relationship leads to {one}, which is not in the package" for one in attached if one not in files]
    is_json = "json" in content_type or name.lower().endswith(".json")
    return Package(content, is_json, files, tuple(faults))


def content_facts(path: Path, name: str) -> tuple[str, int]:
    """Return the SHA-256 and the size of a file in a package that :func:`open_package` has opened before.

    :param path: the package.
    :param name: the file, with a leading slash.
    :raises PassportError: the file cannot be unpacked.
    """
    digest, count = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(path) as package, package.open(name.removeprefix("/")) as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
                count += len(chunk)
    except (*_BROKEN, KeyError) as error:
        raise PassportError(f"{path}: {name} cannot be unpacked: {error}") from error
    return digest.hexdigest(), count


def _related(package: Any, source: str, kind: str, faults: list[str]) -> list[str]:
    """Return the parts that a part has a relationship of a kind with; what other writers get wrong there is a fault."""
    former = kind.replace("//admin-shell", "//www.admin-shell")
    found = []
    for one in package.get_raw_relationships(source):
        is_external = one.target_mode is OPCTargetMode.EXTERNAL
        if one.type not in {kind, former} or (is_external and not one.target.startswith("/")):
            continue
        if one.type == former:
            faults.append(f"a relationship has the type of former versions: {former}")
        if is_external:
            faults.append(f"the relationship to {one.target} says that it leads outside of the package")
        found.append(part_realpath(one.target, source))
    return found


def _only(parts: list[str], what: str) -> str:
    if len(parts) != 1:
        raise ValueError(f"its relationships lead to {len(parts)} parts of the kind {what}")
    return parts[0]


def _checked_files(path: Path) -> frozenset[str]:
    size = path.stat().st_size
    if size > MAXIMUM_PACKAGE_BYTES:
        raise PassportError(f"{path}: {size} bytes, at most {MAXIMUM_PACKAGE_BYTES} are read")
    _check_directory(path, size)
    try:
        with zipfile.ZipFile(path) as package:
            _check_entries(path, package.infolist())
            for entry in package.infolist():
                if entry.filename.lower().endswith((".rels", "[content_types].xml")):
                    _check_markup(path, package, entry)
            return frozenset("/" + name for name in package.namelist())
    except _BROKEN as error:
        raise PassportError(f"{path}: no AASX package: {error}") from error


def _check_directory(path: Path, size: int) -> None:
    """Refuse a list of files that would fill the memory: ``zipfile`` reads it whole before it can be asked anything."""
    with path.open("rb") as file:
        file.seek(max(0, size - 65_557))  # the end record and its longest comment
        tail = file.read()
    at = tail.rfind(_END_OF_DIRECTORY)
    if at < 0 or len(tail) < at + 22:
        raise PassportError(f"{path}: no AASX package: the end of a ZIP file is missing")
    if _ZIP64_LOCATOR in tail[max(0, at - 20) : at]:
        raise PassportError(f"{path}: no AASX package that is read: ZIP64 is for larger ones")
    if int.from_bytes(tail[at + 12 : at + 16], "little") > _MAXIMUM_DIRECTORY_BYTES:
        raise PassportError(f"{path}: the list of files is longer than {_MAXIMUM_DIRECTORY_BYTES} bytes")


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > _MAXIMUM_FILES:
        raise PassportError(f"{path}: {len(entries)} files, at most {_MAXIMUM_FILES} are read")
    unpacked = sum(entry.file_size for entry in entries)  # zipfile reads no more of an entry than it declares
    if unpacked > MAXIMUM_PACKAGE_BYTES:
        raise PassportError(f"{path}: {unpacked} bytes unpacked, at most {MAXIMUM_PACKAGE_BYTES} are read")
    names: set[str] = set()
    for entry in entries:
        steps = re.split(r"[/\\]", entry.filename)
        if not steps[0] or ".." in steps or ":" in entry.filename:
            raise PassportError(f"{path}: the name {entry.filename!r} leads outside of the package")
        if entry.filename.endswith(".piece"):  # would pass by the check of relationships
            raise PassportError(f"{path}: {entry.filename} is a part cut into pieces, which is not read")
        if entry.filename.lower() in names:  # two readers could take two different ones
            raise PassportError(f"{path}: the name {entry.filename!r} stands twice in the package")
        names.add(entry.filename.lower())


def _check_markup(path: Path, package: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    # A document type could name files and hosts to load from, or unfold to gigabytes; an AASX needs none.
    if entry.file_size > _MAXIMUM_MARKUP_BYTES:
        raise PassportError(f"{path}: {entry.filename} has more than {_MAXIMUM_MARKUP_BYTES} bytes")
    content = package.read(entry)
    if b"\x00" in content or re.search(rb"<!DOCTYPE|<!ENTITY", content, re.IGNORECASE):
        raise PassportError(f"{path}: {entry.filename} declares a document type or is not in UTF-8")
