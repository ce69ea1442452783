"""Provider, stage 3: which documents belong to which model and battery, and where their contents lie."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, get_args

from battery_pilot.documents import recognise
from battery_pilot.errors import InputError
from battery_pilot.lake import Lake, Window, read_lines, write_bytes
from battery_pilot.passport.documents import (
    MAXIMUM_FILE_BYTES,
    Attachment,
    Document,
    DocumentEntry,
    Purpose,
)
from battery_pilot.passport.facts import ModelFacts
from battery_pilot.pipeline.documents import kept_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from battery_pilot.passport.master import MasterData

log = logging.getLogger(__name__)

MAXIMUM_FILES_EACH = 40
"""Most files of one model, and of one battery; of more, the others are named without their contents."""

MAXIMUM_BYTES_EACH = 64 * 1024 * 1024
"""Most bytes of the files of one model, and of one battery."""

_UNKNOWN_LANGUAGE = "und"  # "undetermined" of ISO 639-2: nobody said, and guessing would be inventing
_WORD = re.compile(r"[a-z0-9]+")

Owner = tuple[str | None, str | None]
"""Model id and battery id; one of them is set."""


class Shelf:
    """The documents that are known at the end of a window, by owner.

    A row of the master-data table ``documents`` says what a document is; its file is one that landed for the same model or
    battery, or one in the folder of the master data. A file that landed without a row is a document too: its purpose is
    taken from its name, and without one only authorities see it.

    :param lake: the provider's lake.
    :param window: documents that landed later are not known yet.
    :param master: the master data.
    :param folder: their folder.
    :raises InputError: a row names a file of the folder that is no document, or is outside of it.
    """

    def __init__(self, lake: Lake, window: Window, master: MasterData, folder: Path) -> None:
        self._lake = lake
        self._folder = folder
        self._landed = _landed(lake, window)
        self._facts = master.facts
        found: dict[Owner, list[Document]] = defaultdict(list)
        taken: set[tuple[Owner, str]] = set()
        for entry in master.documents:
            document = self._described(entry)
            owner = (entry.model_id, entry.battery_id)
            found[owner].append(document)
            if document.attachment and document.attachment.sha256:
                taken.add((owner, document.attachment.sha256))
        guessed = {
            (owner, record["source_sha256"]): record
            for owner, records in self._landed.items()
            for record in records.values()
            if (owner, record["source_sha256"]) not in taken
        }
        for (owner, _), record in guessed.items():
            found[owner].append(_guessed(owner, record))
        self._documents = {owner: _bounded(owner, documents) for owner, documents in found.items()}
        if guessed:
            log.warning(
                "%d documents have no row in the table documents: their purpose is taken from their names",
                len(guessed),
            )

    def facts_of(self, model_id: str) -> ModelFacts:
        """Return what the master data know of a model, with its documents."""
        facts = self._facts.get(model_id, ModelFacts())
        return facts.model_copy(update={"documents": self._documents.get((model_id, None), ())})

    def of_battery(self, battery_id: str) -> tuple[Document, ...]:
        """Return the documents of one battery alone."""
        return self._documents.get((None, battery_id), ())

    def _described(self, entry: DocumentEntry) -> Document:
        known = entry.model_dump()
        if entry.url is not None:
            name = PurePosixPath(entry.url).name or entry.document_id
            kind = _CONTENT_TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")
            return Document(**known, attachment=Attachment(name=name, content_type=kind, url=entry.url))
        if entry.file is None:
            return Document(**known)
        landed = self._landed.get((entry.model_id, entry.battery_id), {})
        record = next((one for path, one in landed.items() if _ends_with(path, entry.file)), None)
        return Document(**known, attachment=_attachment(record) if record else self._beside(entry.file))

    def _beside(self, name: str) -> Attachment | None:
        """Take a file of the master data's folder into the lake; ``None`` where it has not arrived."""
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            raise InputError(f"table documents, column file: {name} lies outside of {self._folder}; copy it there")
        if not path.is_file():
            log.warning("document %s has neither landed nor is it in %s", name, self._folder)
            return None
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise InputError(
                f"{path}: {path.stat().st_size} bytes, a passport carries files of {MAXIMUM_FILE_BYTES}; give its address"
            )
        data = path.read_bytes()
        document = recognise(data, str(path))
        if document is None:
            raise InputError(f"{path}: no PDF, STEP, DXF, glTF, PNG or JPEG; a passport carries nothing else")
        copy = kept_file(self._lake, document.sha256, document.format)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(copy, data)
        return Attachment(
            name=path.name,
            content_type=document.content_type,
            sha256=document.sha256,
            byte_count=document.byte_count,
        )


def content_of(lake: Lake, attachment: Attachment) -> Path:
    """Return where the content of a passport's file lies in the lake."""
    return kept_file(lake, str(attachment.sha256), attachment.ending)


def _landed(lake: Lake, window: Window) -> dict[Owner, dict[str, dict[str, Any]]]:
    """Return the records of the documents that have landed by owner and path; of one path the newest content counts."""
    found: dict[Owner, dict[str, dict[str, Any]]] = defaultdict(dict)
    for other in sorted((one for one in lake.windows("documents") if one.end <= window.end), key=lambda one: one.end):
        folder = lake.current("documents", other)
        for record in read_lines(folder / "documents.jsonl") if folder else ():
            owner = (record["model_id"], record["battery_id"])
            found[owner].pop(record["source_path"], None)
            found[owner][record["source_path"]] = record
    return found


def _ends_with(path: str, name: str) -> bool:
    steps, wanted = PurePosixPath(path).parts, PurePosixPath(name).parts
    return steps[-len(wanted) :] == wanted


def _attachment(record: Mapping[str, Any]) -> Attachment | None:
    if record["byte_count"] > MAXIMUM_FILE_BYTES:
        log.warning(
            "document %s is larger than %d bytes: named, not carried", record["source_path"], MAXIMUM_FILE_BYTES
        )
        return None
    return Attachment(
        name=PurePosixPath(record["source_path"]).name,
        content_type=record["content_type"],
        sha256=record["source_sha256"],
        byte_count=record["byte_count"],
    )


def _guessed(owner: Owner, record: Mapping[str, Any]) -> Document:
    """Return a document that nobody has described."""
    path = PurePosixPath(record["source_path"])
    model_id, battery_id = owner
    return Document(
        document_id=f"sha256-{record['source_sha256'][:16]}",
        model_id=model_id,
        battery_id=battery_id,
        purpose=purpose_in(path),
        title=record["title"] or path.stem,
        languages=(_UNKNOWN_LANGUAGE,),
        file=path.name,
        attachment=_attachment(record),
    )


def purpose_in(path: PurePosixPath) -> Purpose:
    """Return the purpose that a file's name states, or else one of its folders from the inside out, or else ``other``.

    :param path: such as ``NMC-60Ah/dismantling_manual/steps.pdf``.
    """
    for part in (path.stem, *reversed(path.parent.parts)):
        words = "_".join(_WORD.findall(part.lower()))
        named = [one for one in get_args(Purpose) if f"_{one}_" in f"_{words}_" and one != "other"]
        if named:
            found: Purpose = max(named, key=len)
            return found
    return "other"


def _bounded(owner: Owner, documents: list[Document]) -> tuple[Document, ...]:
    """Drop the contents of what is too much for one package."""
    return tuple(_within_bounds(owner, sorted(documents, key=lambda one: one.document_id)))


def _within_bounds(owner: Owner, documents: list[Document]) -> Iterator[Document]:
    count = size = dropped = 0
    for document in documents:
        file = document.attachment
        if file is None or not file.is_packaged:
            yield document
            continue
        count, size = count + 1, size + (file.byte_count or 0)
        if count <= MAXIMUM_FILES_EACH and size <= MAXIMUM_BYTES_EACH:
            yield document
        else:
            dropped += 1
            yield document.model_copy(update={"attachment": None})
    if dropped:
        log.warning(
            "%s: %d documents are too many or too large together: named, not carried", owner[0] or owner[1], dropped
        )


_CONTENT_TYPES = {
    ".pdf": "application/pdf",
    ".html": "text/html",
    ".htm": "text/html",
    ".step": "model/step",
    ".stp": "model/step",
    ".dxf": "image/vnd.dxf",
    ".gltf": "model/gltf+json",
    ".glb": "model/gltf-binary",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
"""Media type of what an address leads to, by the ending of its name."""
