"""Writing AASX packages: the same passport and files give the same bytes, and files are never held in memory."""

from __future__ import annotations

import hashlib
import zipfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING
from uuid import uuid4
from xml.sax.saxutils import quoteattr

from battery_pilot.errors import PassportError
from battery_pilot.passport.compiled import canonical_json
from battery_pilot.passport.documents import MAXIMUM_FILE_BYTES, MAXIMUM_FILES, Attachment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from battery_pilot.passport.building import Passport

    Contents = Callable[[Attachment], Path]

_DATA_PART = "aasx/data.json"
_ORIGIN_PART = "aasx/aasx-origin"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP can state: a package has no time of its own
_CHUNK_BYTES = 1 << 16

_OPC = "http://schemas.openxmlformats.org/package/2006/"
_AASX = "http://admin-shell.io/aasx/relationships/"
_RELATIONSHIPS_TYPE = "application/vnd.openxmlformats-package.relationships+xml"

# What does not become smaller is not compressed.
_COMPRESSED = frozenset({"application/pdf", "model/gltf-binary", "image/png", "image/jpeg"})


def write_aasx(passport: Passport, path: Path, contents: Contents | None = None) -> None:
    """Write an AASX package (Open Packaging Conventions) with a JSON part and the passport's files.

    The part is JSON because AASX Server and the BaSyx SDK read it whatever XML namespace they speak, and canonical,
    so that its SHA-256 is that of the passport. Only the files that the passport names go in: what a view does not
    show, its package does not hold.

    :param passport: the passport or the view of one.
    :param path: the package; replaced as a whole.
    :param contents: returns where the content of a file lies; not needed where the passport has no files.
    :raises PassportError: a file is too large, has changed, or there are too many or none to take them from.
    """
    files = passport.attachments
    if len(files) > MAXIMUM_FILES:
        raise PassportError(f"battery {passport.battery_id}: {len(files)} files, a package takes {MAXIMUM_FILES}")
    if files and contents is None:
        raise PassportError(f"battery {passport.battery_id}: nobody said where the content of {files[0].name} is")
    entries = {
        **_frame([(one.location, one.content_type) for one in files]),
        _DATA_PART: canonical_json(passport),
    }
    sources = {one.location.removeprefix("/"): one for one in files}
    with _replacing(path) as stream, zipfile.ZipFile(stream, "w") as package:
        for name in sorted((*entries, *sources)):
            if name in entries:
                package.writestr(_entry(name, zipfile.ZIP_DEFLATED), entries[name])
            elif contents is not None:
                _copy(sources[name], contents(sources[name]), package, name)


def pack(stream: IO[bytes], data: bytes, files: Mapping[str, tuple[str, bytes]]) -> None:
    """Write an AASX package around an environment that exists already.

    :param stream: where to.
    :param data: the environment as JSON.
    :param files: location in the package to content type and content.
    :raises PassportError: a file has the name of a part that every package has.
    """
    entries = {**_frame([(name, files[name][0]) for name in sorted(files)]), _DATA_PART: data}
    contents = {name.removeprefix("/"): content for name, (_, content) in files.items()}
    if taken := entries.keys() & contents.keys():
        raise PassportError(f"passport: it names {min(taken)} as its file, which is a part of the package itself")
    with zipfile.ZipFile(stream, "w") as package:
        for name in sorted((*entries, *contents)):
            is_stored = name in contents and files[f"/{name}"][0] in _COMPRESSED
            compression = zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED
            package.writestr(_entry(name, compression), entries.get(name) or contents[name])


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file beside its place and rename it there, so that there is never half of one."""
    temporary = path.with_name(f".{uuid4().hex}.aasx")
    try:
        with temporary.open("wb") as stream:
            yield stream
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _entry(name: str, compression: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ZIP_TIME)
    entry.compress_type = compression
    entry.create_system = 3  # the rights below are Unix's, on whatever system this runs
    entry.external_attr = 0o644 << 16
    return entry


def _copy(file: Attachment, source: Path, package: zipfile.ZipFile, name: str) -> None:
    """Stream a file into the package; what comes out must be what the passport promises."""
    digest, count = hashlib.sha256(), 0
    stored = zipfile.ZIP_STORED if file.content_type in _COMPRESSED else zipfile.ZIP_DEFLATED
    with source.open("rb") as content, package.open(_entry(name, stored), "w") as target:
        while chunk := content.read(_CHUNK_BYTES):
            count += len(chunk)
            if count > MAXIMUM_FILE_BYTES:
                raise PassportError(
                    f"{file.name}: more than {MAXIMUM_FILE_BYTES} bytes; link it by its address instead"
                )
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != file.sha256:
        raise PassportError(
            f"{file.name}: its content is not the one that the passport names; build the passport again"
        )


def _frame(names: Sequence[tuple[str, str]]) -> dict[str, bytes]:
    """Return content types and relationships: package to origin, origin to environment, environment to files.

    :param names: location and content type of each file.
    """
    relationships = {
        "_rels/.rels": [(f"/{_ORIGIN_PART}", _AASX + "aasx-origin")],
        "aasx/_rels/aasx-origin.rels": [(f"/{_DATA_PART}", _AASX + "aas-spec")],
    }
    if names:
        relationships["aasx/_rels/data.json.rels"] = [(location, _AASX + "aas-suppl") for location, _ in names]
    types = [(f"/{_ORIGIN_PART}", "text/plain"), (f"/{_DATA_PART}", "application/json"), *names]
    return {
        _ORIGIN_PART: b"Intentionally empty.",
        "[Content_Types].xml": _content_types(types),
        **{name: _relationships(targets) for name, targets in relationships.items()},
    }


def _content_types(types: Iterable[tuple[str, str]]) -> bytes:
    overrides = "".join(
        f"<Override PartName={quoteattr(name)} ContentType={quoteattr(kind)}/>" for name, kind in types
    )
    default = f'<Default Extension="rels" ContentType="{_RELATIONSHIPS_TYPE}"/>'
    return _xml(f'<Types xmlns="{_OPC}content-types">{default}{overrides}</Types>')


def _relationships(targets: Iterable[tuple[str, str]]) -> bytes:
    lines = "".join(
        f'<Relationship Id="R{number}" Type="{kind}" Target={quoteattr(target)} TargetMode="Internal"/>'
        for number, (target, kind) in enumerate(targets)
    )
    return _xml(f'<Relationships xmlns="{_OPC}relationships">{lines}</Relationships>')


def _xml(content: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{content}'.encode()
