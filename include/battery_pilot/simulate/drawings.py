"""Small documents and drawings of the formats that a passport carries; the same arguments give the same bytes."""

from __future__ import annotations

import base64
import json
import struct
import zlib

_LINES_A_PAGE = 40


def pdf(title: str, lines: list[str]) -> bytes:
    """Return a PDF of one page.

    :param title: title, also in the metadata; characters of Latin-1.
    :param lines: text below it.
    """
    shown = [title, "", *lines][:_LINES_A_PAGE]
    text = "".join(f"({_escaped(line)}) Tj T*\n" for line in shown)
    stream = f"BT /F1 12 Tf 60 780 Td 18 TL\n{text}ET\n".encode("latin-1", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%sendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Title (%s) >>" % _escaped(title).encode("latin-1", "replace"),
    ]
    content, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(content)
    content += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    return content + b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        start,
    )


def dxf(width_millimetre: float, height_millimetre: float) -> bytes:
    """Return a DXF drawing (AutoCAD R12) of a rectangle."""
    corners = [(0.0, 0.0), (width_millimetre, 0.0), (width_millimetre, height_millimetre), (0.0, height_millimetre)]
    pairs: list[tuple[int, object]] = [(0, "SECTION"), (2, "HEADER"), (9, "$ACADVER"), (1, "AC1009"), (0, "ENDSEC")]
    pairs += [(0, "SECTION"), (2, "ENTITIES")]
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        pairs += [(0, "LINE"), (8, "0"), (10, x1), (20, y1), (11, x2), (21, y2)]
    pairs += [(0, "ENDSEC"), (0, "EOF")]
    return "".join(f"{code}\n{value}\n" for code, value in pairs).encode("ascii")


def step(name: str, size_millimetre: tuple[float, float, float]) -> bytes:
    """Return a STEP file (ISO 10303-21) with the corners of a box.

    :param name: name of the product.
    :param size_millimetre: width, depth and height.
    """
    corners = [
        f"#{number + 1}=CARTESIAN_POINT('',({x:.4f},{y:.4f},{z:.4f}));"
        for number, (x, y, z) in enumerate(_corners(size_millimetre))
    ]
    lines = [
        "ISO-10303-21;",
        "HEADER;",
        "FILE_DESCRIPTION(('Envelope of a battery cell'),'2;1');",
        f"FILE_NAME('{name}.step','2026-01-01T00:00:00',(''),(''),'','','');",
        "FILE_SCHEMA(('AUTOMOTIVE_DESIGN { 1 0 10303 214 1 1 1 1 }'));",
        "ENDSEC;",
        "DATA;",
        *corners,
        "ENDSEC;",
        "END-ISO-10303-21;",
    ]
    return ("\n".join(lines) + "\n").encode("ascii")


def gltf(name: str, size_millimetre: tuple[float, float, float]) -> bytes:
    """Return a glTF 2.0 scene of a box, its vertices inside of the file.

    :param name: name of the scene; plain ASCII.
    :param size_millimetre: width, depth and height.
    """
    corners = _corners(size_millimetre)
    faces = [
        0,
        1,
        3,
        0,
        3,
        2,
        4,
        6,
        7,
        4,
        7,
        5,
        0,
        4,
        5,
        0,
        5,
        1,
        2,
        3,
        7,
        2,
        7,
        6,
        0,
        2,
        6,
        0,
        6,
        4,
        1,
        5,
        7,
        1,
        7,
        3,
    ]
    indices = struct.pack(f"<{len(faces)}H", *faces)
    vertices = b"".join(struct.pack("<3f", *(value / 1000 for value in corner)) for corner in corners)
    data = base64.b64encode(indices + vertices).decode()
    scene = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"name": name, "nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "indices": 0}]}],
        "buffers": [
            {
                "byteLength": len(indices) + len(vertices),
                "uri": f"data:application/octet-stream;base64,{data}",
            }
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(indices)},
            {"buffer": 0, "byteOffset": len(indices), "byteLength": len(vertices)},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5123, "count": len(faces), "type": "SCALAR"},
            {
                "bufferView": 1,
                "componentType": 5126,
                "count": len(corners),
                "type": "VEC3",
                "min": [0, 0, 0],
                "max": [value / 1000 for value in size_millimetre],
            },
        ],
    }
    return json.dumps(scene, sort_keys=True).encode("ascii")


def png(width: int, height: int, grey: int) -> bytes:
    """Return a PNG picture of one shade; stored without compression, so that every zlib gives the same bytes."""
    rows = (b"\x00" + bytes([grey]) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _corners(size: tuple[float, float, float]) -> list[tuple[float, float, float]]:
    width, depth, height = size
    return [(x, y, z) for x in (0.0, width) for y in (0.0, depth) for z in (0.0, height)]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
