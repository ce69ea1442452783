from __future__ import annotations

import hashlib
import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.documents import recognise

STEP = (
    "ISO-10303-21;\nHEADER;\n/* FILE_NAME('of a comment') */\nFILE_DESCRIPTION((''),'2;1');\n"
    "FILE_NAME('C:\\Users\\someone\\Geh\\X2\\00E4\\X0\\use ''M3''.stp','2026-02-14T10:42:40',(''),(''),'','','');\n"
    "FILE_SCHEMA (( 'AUTOMOTIVE_DESIGN' ));\nENDSEC;\nDATA;\n#1=PRODUCT('x','x',$,());\nENDSEC;\nEND-ISO-10303-21;\n"
)
DXF = "  0\r\nSECTION\r\n  2\r\nHEADER\r\n  9\r\n$ACADVER\r\n  1\r\nAC1015\r\n  0\r\nENDSEC\r\n  0\r\nEOF\r\n"
BINARY_DXF = b"AutoCAD Binary DXF\r\n\x1a\0\0SECTION\0\2HEADER\0\x09$ACADVER\0\1AC1018\0\0ENDSEC\0\0EOF\0"
SCENE: dict[str, Any] = {
    "asset": {"version": "2.0"},
    "scenes": [{"name": "Battery pack"}],
    "buffers": [{"byteLength": 4, "uri": "data:application/octet-stream;base64,AAAAAA=="}],
}


def pdf(pages: int = 2, extra: str = "", title: str = "/Title (Data sheet)") -> bytes:
    kids = "".join(f"{number} 0 obj\n<< /Type /Page /Parent 2 0 R >>\nendobj\n" for number in range(3, 3 + pages))
    return (
        "%PDF-1.7\n%âãÏÓ\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        f"2 0 obj\n<< /Type /Pages /Count {pages} /Kids [] >>\nendobj\n{kids}"
        f"9 0 obj\n<< {title} /Producer (x) >>\nendobj\n{extra}trailer\n<< >>\nstartxref\n9\n%%EOF\n"
    ).encode("latin-1")


def glb(scene: Any = SCENE, version: int = 2) -> bytes:
    text = (scene if isinstance(scene, str) else json.dumps(scene)).encode()
    text += b" " * (-len(text) % 4)
    size = 20 + len(text)
    return b"glTF" + b"".join(number.to_bytes(4, "little") for number in (version, size, len(text))) + b"JSON" + text


WHOLE = {
    "a.pdf": pdf(),
    "a.step": STEP.encode(),
    "a.dxf": DXF.encode(),
    "b.dxf": BINARY_DXF,
    "a.gltf": json.dumps(SCENE).encode(),
    "a.glb": glb(),
}


def test_every_format_is_typed_and_hashed_by_its_content() -> None:
    found = {name: recognise(data, name) for name, data in WHOLE.items()}
    assert {name: document and document.content_type for name, document in found.items()} == {
        "a.pdf": "application/pdf",
        "a.step": "model/step",
        "a.dxf": "image/vnd.dxf",
        "b.dxf": "image/vnd.dxf",
        "a.gltf": "model/gltf+json",
        "a.glb": "model/gltf-binary",
    }
    for name, document in found.items():
        assert document is not None
        assert document.sha256 == hashlib.sha256(WHOLE[name]).hexdigest()
        assert document.byte_count == len(WHOLE[name])
        assert document.warnings == ()


@pytest.mark.parametrize(
    ("name", "version", "title"),
    [
        ("a.pdf", "1.7", "Data sheet"),
        ("a.step", "AUTOMOTIVE_DESIGN", "Gehäuse 'M3'.stp"),
        ("a.dxf", "AC1015", None),
        ("b.dxf", "AC1018", None),
        ("a.gltf", "2.0", "Battery pack"),
        ("a.glb", "2.0", "Battery pack"),
    ],
)
def test_version_and_title_are_read(name: str, version: str, title: str | None) -> None:
    document = recognise(WHOLE[name], name)
    assert document is not None
    assert (document.version, document.title) == (version, title)


@pytest.mark.parametrize(
    ("name", "cut", "mark"),
    [
        ("a.pdf", 8, "%%EOF"),
        ("a.step", 8, "END-ISO-10303-21"),
        ("a.dxf", 5, "EOF"),
        ("b.dxf", 3, "EOF"),
        ("a.glb", 4, "announces"),
    ],
)
def test_a_truncated_file_is_recognised_with_a_warning(name: str, cut: int, mark: str) -> None:
    document = recognise(WHOLE[name][:-cut], name)
    assert document is not None
    assert mark in document.warnings[0]
    assert "truncated or damaged" in document.warnings[0]


def test_a_name_that_contradicts_the_content_is_a_warning() -> None:
    document = recognise(pdf(), "drawing.DXF")
    assert document is not None
    assert document.format == "pdf"
    assert document.warnings == ("The name ends in .dxf, the content is application/pdf.",)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\0" * 64, b"hello", b"{}", b"[]", b'{"asset": 1}', b'{"asset": {"version": "2.0"}}'),
        *(b"glTF", glb(version=7), b"%PDF", b"ISO-10303-21", b"0\nLINE\n", b'{"asset": {"version": 2}, "nodes": []}'),
    ],
)
def test_what_only_the_name_claims_is_not_recognised(name: str, data: bytes) -> None:
    assert recognise(data, name) is None


@pytest.mark.parametrize("pages", [1, 2, 30])
def test_the_pages_of_a_plain_pdf_are_counted(pages: int) -> None:
    document = recognise(pdf(pages), "a.pdf")
    assert document is not None
    assert document.page_count == pages


@pytest.mark.parametrize(
    "extra",
    [
        "10 0 obj\n<< /Type /ObjStm >>\nendobj\n",
        "10 0 obj\n<< /Type /Pages /Count 7 >>\nendobj\n",
        "10 0 obj\n<< /Type /Page >>\nendobj\n",
        "10 0 obj\n<< /Type /EmbeddedFile >>\nendobj\n",
        "%%EOF\n",
    ],
)
def test_pages_that_are_not_certain_are_not_told(extra: str) -> None:
    document = recognise(pdf(extra=extra), "a.pdf")
    assert document is not None
    assert document.page_count is None


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("/Title<FEFF004200E4>", "Bä"),
        ("/Title <42>", "B"),
        ("/Title <FEFF0>", None),
        ("/Title (a) /Title (b)", None),
        ("/Title (a\\(b\\))", None),
        ("/Title ()", None),
        ("", None),
    ],
)
def test_a_title_is_told_where_it_is_certain(title: str, expected: str | None) -> None:
    document = recognise(pdf(title=title), "a.pdf")
    assert document is not None
    assert document.title == expected


def test_an_encrypted_pdf_is_a_warning_and_tells_no_title() -> None:
    document = recognise(pdf(extra="10 0 obj\n<< /Encrypt 5 0 R >>\nendobj\n"), "a.pdf")
    assert document is not None
    assert document.title is None
    assert "encrypted" in document.warnings[0]


def test_a_dxf_drawing_may_begin_with_comments() -> None:
    document = recognise(("999\nmade by a program\n" + DXF).encode(), "a.dxf")
    assert document is not None
    assert document.version == "AC1015"


def test_files_that_a_scene_needs_are_named() -> None:
    scene = SCENE | {"buffers": [{"uri": f"part{number}.bin"} for number in range(7)], "images": [{"uri": "a.png"}]}
    for data in (json.dumps(scene).encode(), glb(scene)):
        document = recognise(data, "")
        assert document is not None
        assert document.warnings == (
            "The scene needs files that are not contained in it: part0.bin, part1.bin, part2.bin, part3.bin, part4.bin "
            "and 3 more; hand in one .glb file instead.",
        )


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"asset": ' + "9" * 5000 + "}", "[]", '"x"'])
def test_a_binary_scene_with_broken_json_is_recognised_with_a_warning(text: str) -> None:
    document = recognise(glb(text), "a.glb")
    assert document is not None
    assert document.warnings == ("The JSON in the glTF file cannot be read.",)


@pytest.mark.parametrize("name", WHOLE)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_changed_bytes_are_recognised_or_not_but_never_an_error(name: str, data: st.DataObject) -> None:
    whole = WHOLE[name]
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    changed = whole[:start] + data.draw(st.binary(max_size=20)) + whole[end:]
    document = recognise(changed, name)
    assert document is None or document.byte_count == len(changed)


HOSTILE = {
    "pages": b"%PDF-1.7\n2 0 obj << /Type /Pages" + b"/Type/Page" * 400_000,
    "titles": b"%PDF-1.7\n/Title (" + b"(" * 4_000_000,
    "blanks": b"%PDF-1.7\n" + b"/Type" + b" " * 4_000_000,
    "comments": b"ISO-10303-21;" + b"/*" * 2_000_000,
    "names": b"ISO-10303-21;" + b"FILE_NAME('" * 400_000,
    "quotes": b"ISO-10303-21;FILE_NAME('" + b"'" * 4_000_000,
    "codes": b"999\n\n" * 800_000,
    "values": b'{"asset":[' + b"{}," * 1_300_000,
    "depth": b'{"asset":' + b"[" * 1_900_000,
}


@pytest.mark.parametrize("content", HOSTILE)
def test_hostile_content_costs_neither_time_nor_memory(content: str) -> None:
    data = HOSTILE[content]
    tracemalloc.start()
    start = time.process_time()
    recognise(data, "a")
    elapsed, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert elapsed < 2.0
    assert peak < 20 * len(data)


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(17) + b"\x00\x00\x00\x00IEND\xaeB`\x82"
JPEG = b"\xff\xd8\xff\xe0" + bytes(40) + b"\xff\xd9"


@pytest.mark.parametrize(
    ("data", "name", "kind"), [(PNG, "logo.png", "image/png"), (JPEG, "logo.jpeg", "image/jpeg")]
)
def test_pictures_are_recognised_and_a_cut_one_is_told(data: bytes, name: str, kind: str) -> None:
    whole, cut = recognise(data, name), recognise(data[:-10], name)
    assert (whole.content_type, whole.warnings) == (kind, ())
    assert "truncated or damaged" in cut.warnings[0]
