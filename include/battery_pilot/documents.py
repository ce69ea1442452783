"""Recognise documents, CAD drawings and pictures by their content, to attach them to a passport as files.

Nothing is interpreted beyond what names the file: what a document says stays in the document. Every function takes time
in proportion to the size of the content, whatever the content is.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_HEAD_BYTES, _TAIL_BYTES, _STEP_HEADER_BYTES = 4096, 1024, 1 << 16
_LONGEST_TITLE = 200
# A JSON value takes up to some 100 bytes of memory; what is long in a real file are the texts of embedded buffers.
_MOST_JSON_VALUES = 2_000_000
_MOST_NAMES = 5
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BINARY_DXF = b"AutoCAD Binary DXF\r\n\x1a\x00"
_GLB_HEADER_BYTES = 20

_PDF_VERSION = re.compile(rb"%PDF-(\d\.\d)")
_PDF_TITLE = re.compile(rb"/Title\s{0,4}(?:\(([^()\\\r\n]{1,800})\)|<([0-9A-Fa-f\s]{1,1600})>)")
_PDF_PAGE = re.compile(rb"/Type\s{0,4}/Page(s?)\b")
_PDF_COUNT = re.compile(rb"/Count\s{0,4}(\d{1,9})\b")
_STEP_STRING = r"\s{0,99}'((?:[^']|''){0,2000})'"
_STEP_SCHEMA = re.compile(r"FILE_SCHEMA\s{0,99}\(\s{0,99}\(" + _STEP_STRING)
_STEP_NAME = re.compile(r"FILE_NAME\s{0,99}\(" + _STEP_STRING)
_STEP_UNICODE = re.compile(r"\\X2\\((?:[0-9A-Fa-f]{4}){1,500})\\X0\\")
_DXF_VERSION = re.compile(rb"\$ACADVER\s{1,9}1\s{1,9}(AC\d{4})\b|\$ACADVER\x00\x01\x00?(AC\d{4})\x00")
_GLTF_VERSION = re.compile(r"\d{1,3}\.\d{1,3}")
_GLTF_PARTS = ("scenes", "nodes", "meshes", "accessors", "buffers", "materials")

_SUFFIXES = {
    ".pdf": "pdf",
    ".step": "step",
    ".stp": "step",
    ".p21": "step",
    ".dxf": "dxf",
    ".gltf": "gltf",
    ".glb": "glb",
    ".png": "png",
    ".jpg": "jpg",
    ".jpeg": "jpg",
}
_CONTENT_TYPES = {
    "pdf": "application/pdf",
    "step": "model/step",
    "dxf": "image/vnd.dxf",
    "gltf": "model/gltf+json",
    "glb": "model/gltf-binary",
    "png": "image/png",
    "jpg": "image/jpeg",
}


@dataclass(frozen=True)
class Document:
    """A document or CAD drawing that can be attached to a passport.

    :param format: ``pdf``, ``step`` (ISO 10303-21), ``dxf``, ``gltf``, ``glb``, ``png`` or ``jpg``.
    :param content_type: media type, as IANA registers it.
    :param byte_count: size of the content.
    :param sha256: digest of the content, hexadecimal.
    :param version: PDF version, STEP schema, AutoCAD version such as ``AC1015``, or glTF version.
    :param title: title of a PDF, name of a STEP file without its folders, name of a glTF scene.
    :param page_count: pages of a PDF, where its page tree tells them beyond doubt.
    :param warnings: what a reader of the document may miss, one sentence each.
    """

    format: str
    content_type: str
    byte_count: int
    sha256: str
    version: str | None = None
    title: str | None = None
    page_count: int | None = None
    warnings: tuple[str, ...] = ()


class _Finding(NamedTuple):
    """What one format tells of a file."""

    version: str | None = None
    title: str | None = None
    page_count: int | None = None
    warnings: tuple[str, ...] = ()


def recognise(data: bytes, name: str) -> Document | None:
    """Return what a file is, or ``None`` when its content is none of the known formats, whatever its name says.

    :param data: the whole content.
    :param name: name or path; an ending that contradicts the content is a warning.
    """
    for kind, inspect in _INSPECTIONS.items():
        finding = inspect(data)
        if finding is not None:
            return _document(kind, finding, data, name)
    return None


def _document(kind: str, finding: _Finding, data: bytes, name: str) -> Document:
    suffix = PurePath(name).suffix.lower()
    warnings = finding.warnings
    if suffix and _SUFFIXES.get(suffix) != kind:
        warnings += (f"The name ends in {suffix}, the content is {_CONTENT_TYPES[kind]}.",)
    return Document(
        format=kind,
        content_type=_CONTENT_TYPES[kind],
        byte_count=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        version=finding.version,
        title=finding.title,
        page_count=finding.page_count,
        warnings=warnings,
    )


def _pdf(data: bytes) -> _Finding | None:
    head = _PDF_VERSION.match(data[:_HEAD_BYTES].removeprefix(_BYTE_ORDER_MARK).lstrip())
    if head is None:
        return None
    warnings: tuple[str, ...] = ()
    if b"%%EOF" not in data[-_TAIL_BYTES:]:
        warnings += ("The PDF does not end with its mark %%EOF; it is truncated or damaged.",)
    encrypted = b"/Encrypt" in data
    if encrypted:
        warnings += ("The PDF is encrypted; who reads the passport needs its password, or sees it with limits.",)
    title = None if encrypted else _pdf_title(data)
    return _Finding(head[1].decode(), title, None if warnings else _pdf_pages(data), warnings)


def _pdf_title(data: bytes) -> str | None:
    """Return the title, where the file has but one; bookmarks and earlier versions have titles too."""
    if data.count(b"/Title") != 1:
        return None
    found = _PDF_TITLE.search(data)
    if found is None:
        return None
    try:
        text = bytes.fromhex(found[2].decode()) if found[1] is None else found[1]
    except ValueError:
        return None
    if text.startswith(b"\xfe\xff"):
        return _title(text[2:].decode("utf-16-be", errors="replace"))
    return _title(text.decode("latin-1"))


def _pdf_pages(data: bytes) -> int | None:
    """Return the number of pages, where one page tree node tells it and as many pages confirm it.

    Compressed object streams, embedded files and later updates of the file can change what lies open in it.
    """
    if b"/ObjStm" in data or b"/EmbeddedFile" in data or data.count(b"%%EOF") != 1:
        return None
    pages = 0
    nodes: list[re.Match[bytes]] = []
    for found in _PDF_PAGE.finditer(data):
        if not found[1]:
            pages += 1
        elif nodes:
            return None
        else:
            nodes.append(found)
    if not nodes:
        return None
    start, end = data.rfind(b"obj", 0, nodes[0].start()), data.find(b"endobj", nodes[0].end())
    counts = _PDF_COUNT.findall(data[max(start, 0) : end])
    return pages if counts == [b"%d" % pages] else None


def _step(data: bytes) -> _Finding | None:
    head = data[:_STEP_HEADER_BYTES].removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not head.startswith(b"ISO-10303-21;"):
        return None
    first, *commented = head.decode("latin-1").partition("DATA;")[0].split("/*")
    header = first + "".join(part.partition("*/")[2] for part in commented)
    schema, name = _STEP_SCHEMA.search(header), _STEP_NAME.search(header)
    warnings: tuple[str, ...] = ()
    if b"END-ISO-10303-21" not in data[-_TAIL_BYTES:]:
        warnings = ("The STEP file does not end with END-ISO-10303-21; it is truncated or damaged.",)
    # Some programs write the whole path, with the folders of whoever drew it.
    title = re.split(r"[\\/]", _step_text(name[1]))[-1] if name else ""
    return _Finding(_title(schema[1]) if schema else None, _title(title), None, warnings)


def _step_text(text: str) -> str:
    r"""Return a STEP string in plain characters: quotes are doubled, others than ASCII stand as ``\X2\00FC\X0\``."""
    plain = _STEP_UNICODE.sub(lambda found: bytes.fromhex(found[1]).decode("utf-16-be", errors="replace"), text)
    return plain.replace("''", "'")


def _dxf(data: bytes) -> _Finding | None:
    head = data[:_HEAD_BYTES]
    if head.startswith(_BINARY_DXF):
        complete = data[-_TAIL_BYTES:].rstrip(b"\x1a\r\n").endswith(b"EOF\x00")
    elif _begins_as_dxf(head):
        complete = data[-_TAIL_BYTES:].rstrip(b"\x1a\x00 \r\n").endswith(b"EOF")
    else:
        return None
    found = _DXF_VERSION.search(head)
    version = (found[1] or found[2]).decode() if found else None
    warning = "The DXF drawing does not end with EOF; it is truncated or damaged."
    return _Finding(version, warnings=() if complete else (warning,))


def _begins_as_dxf(head: bytes) -> bool:
    """Tell whether pairs of code and value begin with a section; comments, code 999, may come first."""
    lines = [line.strip() for line in head.removeprefix(_BYTE_ORDER_MARK).splitlines()]
    for code, value in zip(lines[::2], lines[1::2], strict=False):
        if code != b"999":
            return code == b"0" and value == b"SECTION"
    return False


def _gltf(data: bytes) -> _Finding | None:
    if not data[:_HEAD_BYTES].removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"{") or b'"asset"' not in data:
        return None
    content = _json(data)
    return None if content is None else _scene(content)


def _glb(data: bytes) -> _Finding | None:
    if not data.startswith(b"glTF") or len(data) < _GLB_HEADER_BYTES:
        return None
    version, announced, json_bytes = (int.from_bytes(data[start : start + 4], "little") for start in (4, 8, 12))
    if version not in (1, 2):
        return None
    warnings: tuple[str, ...] = ()
    if announced != len(data):
        warnings = (f"The glTF file announces {announced} bytes and has {len(data)}; it is truncated or damaged.",)
    content = _json(data[_GLB_HEADER_BYTES : _GLB_HEADER_BYTES + json_bytes])
    scene = None if content is None else _scene(content)
    if scene is None:
        return _Finding(f"{version}.0", warnings=(*warnings, "The JSON in the glTF file cannot be read."))
    return scene._replace(warnings=warnings + scene.warnings)


def _json(data: bytes) -> Any:
    """Return the content of JSON, or ``None`` when it is broken, too deep or of too many values."""
    if sum(map(data.count, (b",", b"[", b"{"))) > _MOST_JSON_VALUES:
        return None
    try:
        return json.loads(data.removeprefix(_BYTE_ORDER_MARK).rstrip(b"\x00"))
    except (ValueError, RecursionError):
        return None


def _scene(content: Any) -> _Finding | None:
    """Return what a glTF scene tells, or ``None`` for other JSON."""
    if not isinstance(content, dict) or not any(part in content for part in _GLTF_PARTS):
        return None
    asset = content.get("asset")
    version = asset.get("version") if isinstance(asset, dict) else None
    if not isinstance(version, str) or not _GLTF_VERSION.fullmatch(version):
        return None
    scenes = [item.get("name") for item in _objects(content, "scenes")]
    title = _title(scenes[0]) if scenes and isinstance(scenes[0], str) else None
    uris = [item.get("uri") for part in ("buffers", "images") for item in _objects(content, part)]
    missing = list(dict.fromkeys(uri for uri in uris if isinstance(uri, str) and not uri.startswith("data:")))
    if not missing:
        return _Finding(version, title)
    names = ", ".join(uri[:_LONGEST_TITLE] for uri in missing[:_MOST_NAMES])
    more = f" and {len(missing) - _MOST_NAMES} more" if len(missing) > _MOST_NAMES else ""
    warning = f"The scene needs files that are not contained in it: {names}{more}; hand in one .glb file instead."
    return _Finding(version, title, None, (warning,))


def _objects(content: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """Return the objects of a part: a list in version 2, named members in version 1."""
    found = content.get(part)
    items = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return [item for item in items if isinstance(item, dict)]


def _png(data: bytes) -> _Finding | None:
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or data[12:16] != b"IHDR":
        return None
    complete = b"IEND" in data[-_TAIL_BYTES:]
    return _Finding(
        warnings=() if complete else ("The PNG picture does not end with IEND; it is truncated or damaged.",)
    )


def _jpeg(data: bytes) -> _Finding | None:
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    complete = b"\xff\xd9" in data[-_TAIL_BYTES:]
    return _Finding(warnings=() if complete else ("The JPEG picture has no end mark; it is truncated or damaged.",))


def _title(text: str) -> str | None:
    """Return a title as one printable line of bearable length, or ``None`` for an empty one."""
    printable = "".join(character if character.isprintable() else " " for character in text[: 4 * _LONGEST_TITLE])
    return " ".join(printable.split())[:_LONGEST_TITLE] or None


_INSPECTIONS: dict[str, Callable[[bytes], _Finding | None]] = {
    "pdf": _pdf,
    "step": _step,
    "dxf": _dxf,
    "glb": _glb,
    "gltf": _gltf,
    "png": _png,
    "jpg": _jpeg,
}
