"""A passport with every element of every table, each with a value that nothing else has: no closed one leaves in an open view."""

from __future__ import annotations

import hashlib
import json
import logging
import zipfile
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from battery_pilot.passport.aas import environment, flat_values, passport_sha256
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.building import Passport
from battery_pilot.passport.canonical import canonical
from battery_pilot.passport.chain import HistoryEntry, next_entry, next_head, verify_chain
from battery_pilot.passport.compiled import canonical_json
from battery_pilot.passport.completeness import completeness_of
from battery_pilot.passport.documents import Attachment, Text
from battery_pilot.passport.exports import ENVIRONMENTS, FORMS, export_file, export_view
from battery_pilot.passport.filling import Element
from battery_pilot.passport.identification import modules, svg
from battery_pilot.passport.lexical import FLOAT_TYPES, INTEGER_TYPES
from battery_pilot.passport.mapping import RANKS, Part, Row, is_visible, parts
from battery_pilot.passport.model import Tier
from battery_pilot.passport.reading import read_file
from battery_pilot.passport.timeline import versions
from battery_pilot.passport.validation import validate_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOWER = [Tier.PUBLIC, Tier.LEGITIMATE_INTEREST]

# What a form converts must have the form's shape; such values are too short to be found by search.
ORDINARY = {
    "TechnicalData.GeneralInformation.BatteryCategory": "ev",
    "TechnicalData.GeneralInformation.WarrantyInformation.WarrantyPeriod": "P8M",
    "DppMetadata.lastUpdate": "2026-03-01T12:00:00Z",
}


def every_element(numbers: Iterator[int]) -> Iterator[Element]:
    """An element for every row; every list has a member of each tier that may stand in it."""
    for part in parts():
        yield from below(part, part.submodel, part.submodel.path, part.submodel.tier, numbers)


def below(part: Part, row: Row, path: str, tier: Tier, numbers: Iterator[int]) -> Iterator[Element]:
    tier = max(tier, row.tier, key=RANKS.__getitem__)
    if not row.is_container:
        yield leaf(row, path, tier, next(numbers))
        return
    yield Element(row, path, None, tier)
    for child in part.children[row.path]:
        if row.kind != "SML":
            yield from below(part, child, f"{path}.{child.id_short}", tier, numbers)
            continue
        for index, own in enumerate(one for one in Tier if is_visible(tier, one)):
            yield from below(part, child, f"{path}[{index}]", own, numbers)


def leaf(row: Row, path: str, tier: Tier, number: int) -> Element:
    marker = f"M{number:06}Q"
    if row.kind == "MLP":
        return Element(row, path, marker, tier, (Text("en", marker), Text("de", f"de-{marker}")))
    if row.kind == "File":
        digest = hashlib.sha256(marker.encode()).hexdigest()
        file = Attachment(name=marker, content_type="image/png", sha256=digest, byte_count=len(marker))
        return Element(row, path, file.location, tier, file=file)
    return Element(row, path, value(row, path, marker, number), tier)


def value(row: Row, path: str, marker: str, number: int) -> Any:
    if path in ORDINARY:
        return ORDINARY[path]
    if row.value_type in FLOAT_TYPES:
        return max(1, row.minimum or 1) + number / 9_876_543
    if row.value_type in INTEGER_TYPES:
        return 700_000_000 + number
    if row.value_type == "xs:boolean":
        return True
    if row.value_type in {"xs:date", "xs:dateTime"}:
        moment = datetime(1200, 1, 1, tzinfo=UTC) + timedelta(days=number)
        return moment.date().isoformat() if row.value_type == "xs:date" else moment.isoformat().replace("+00:00", "Z")
    return f"https://example.com/{marker}" if row.value_type == "xs:anyURI" else marker


@pytest.fixture(scope="module")
def maximal(whole_passport_of_module: Passport) -> Passport:
    return Passport(**{**whole_passport_of_module.__dict__, "elements": tuple(every_element(count(1))), "absent": ()})


@pytest.fixture(scope="module")
def whole_passport_of_module(request: pytest.FixtureRequest) -> Passport:
    found: Passport = request.getfixturevalue("whole_passport")
    return found


def markers_of(elements: tuple[Element, ...]) -> set[str]:
    """What to search for: texts, digests, locations, numbers and times that stand in one element alone."""
    found: set[str] = set()
    for one in elements:
        if one.value is None or isinstance(one.value, bool) or one.path in ORDINARY:
            continue
        found |= {str(one.value), *(text for _, text in one.texts)}
        found |= {one.file.name, str(one.file.sha256), one.file.location} if one.file else set()
    return found


@pytest.fixture(scope="module")
def history(maximal: Passport) -> list[HistoryEntry]:
    """Three versions: everything, everything with other values, and half of that."""
    others = {one.path: one for one in every_element(count(100_001))}
    second = tuple(others[one.path] for one in maximal.elements)
    kept = tuple(one for place, one in enumerate(second) if one.value is None or place % 2)
    head, entries = None, []
    for number, elements in enumerate((maximal.elements, second, kept)):
        passport = Passport(**{**maximal.__dict__, "elements": elements})
        digests = {tier: passport_sha256(passport.view(tier)) for tier in Tier}
        moment = AS_OF + timedelta(days=number)
        entries.append(next_entry(head, passport, digests, run="r", recorded_at=moment, known_until=moment))
        head = next_head(head, entries[-1])
    return entries


def packed(view: Passport, folder: Path) -> Path:
    """Write a view's package; the content of a file is the marker that its name is."""

    def place(file: Attachment) -> Path:
        (folder / file.name).write_bytes(file.name.encode())
        return folder / file.name

    write_aasx(view, folder / "view.aasx", place)
    return folder / "view.aasx"


def unpacked(path: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(path) as package:
        yield "comment", package.comment.decode()
        for entry in package.infolist():
            yield f"{path.name}: {entry.filename}", f"{entry.filename} {entry.comment!r} {entry.extra!r}"
            yield f"{path.name}: content of {entry.filename}", package.read(entry).decode()


def everything_that_leaves(view: Passport, folder: Path) -> Iterator[tuple[str, str]]:
    """Every form of a view, of its file, and of what commands tell of both."""
    yield "canonical JSON", canonical_json(view).decode()
    yield "objects", canonical(environment(view)).decode()
    yield "values", repr(flat_values(view))
    yield "ids", repr(view.identifiers)
    yield "completeness", repr((view.absent, completeness_of(view)))
    yield "code", svg(modules(view.identifiers.asset, "qr"), view.identifiers.asset).decode()
    for form in FORMS:
        written = export_view(view, form)
        yield form, json.dumps([written.content, [(one.path, one.reason) for one in written.missing]])
    package = packed(view, folder)
    yield from unpacked(package)
    yield "findings", repr(validate_file(package))
    yield "read again", repr(read_file(package))
    for form in (*FORMS, *ENVIRONMENTS):
        out = folder / f"exported-{form}"
        yield f"what {form} misses", repr(export_file(package, form, out))
        if form == "aasx":
            yield from unpacked(out)
        else:
            yield f"file as {form}", out.read_text(encoding="utf-8")


def test_the_passport_has_every_element_of_every_table(maximal: Passport) -> None:
    used = {one.row.path for one in maximal.elements}
    assert used == {row.path for part in parts() for row in part.rows}
    for tier in LOWER:
        assert markers_of(maximal.elements) > markers_of(maximal.view(tier).elements)


@pytest.mark.parametrize("tier", LOWER)
def test_no_closed_marker_leaves_in_any_form(
    maximal: Passport, tier: Tier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    view = maximal.view(tier)
    closed = markers_of(tuple(one for one in maximal.elements if not is_visible(one.tier, tier)))
    assert not closed & markers_of(view.elements)
    with caplog.at_level(logging.DEBUG):
        left = list(everything_that_leaves(view, tmp_path))
    leaks = [(where, marker) for where, text in [*left, ("log", caplog.text)] for marker in closed if marker in text]
    assert leaks == []
    # The search can find: what is open is in the package.
    text = "".join(text for where, text in left if "view.aasx" in where)
    assert [marker for marker in markers_of(view.elements) if marker not in text and "/" not in marker] == []


@pytest.mark.parametrize("tier", LOWER)
def test_no_closed_marker_leaves_in_a_history(history: list[HistoryEntry], tier: Tier) -> None:
    disclosed = [entry.disclose(tier) for entry in history]
    verify_chain(disclosed, tier)
    seals = [(own, seal) for entry in history for own, seal in entry.seals.items()]
    closed = {
        str(value)
        for own, seal in seals
        if not is_visible(own, tier)
        for change in seal.changes.values()
        for value in change
        if value is not None and not isinstance(value, bool)
    }
    paths = {path for own, seal in seals if not is_visible(own, tier) for path in seal.changes}
    salts = {seal.salt for own, seal in seals if not is_visible(own, tier)}
    digests = {seal.view_sha256 for own, seal in seals if not is_visible(own, tier)}
    wire = json.dumps([entry.model_dump(mode="json") for entry in disclosed])
    told = repr(versions(disclosed))
    assert min(map(len, (closed, paths, salts, digests))) > 1
    assert [one for one in closed | salts | digests if one in wire or one in told] == []
    assert [path for path in paths if f'"{path}"' in wire or f"'{path}'" in told] == []
