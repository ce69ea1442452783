"""Provider, stage 2c: keep the documents and drawings of batteries and models, to be attached to their passports."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.lake import write_bytes, write_lines
from battery_pilot.measurements import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from battery_pilot.lake import Lake

log = logging.getLogger(__name__)

DOCUMENT_COLUMNS = (
    "battery_id",
    "model_id",
    "source_path",
    "source_sha256",
    "format",
    "content_type",
    "title",
    "byte_count",
    "warnings",
)
"""What is known of a document: columns of the lake's ``measurements`` table."""


def kept_file(lake: Lake, sha256: str, format_name: str) -> Path:
    """Return where the content of a document is kept: one file a content, however many batteries it belongs to.

    :param lake: the provider's lake.
    :param sha256: digest of the content.
    :param format_name: format, which becomes the ending of the name.
    """
    return lake.root / "documents" / "content" / sha256[:2] / f"{sha256}.{format_name}"


def keep_documents(records: Iterable[Mapping[str, Any]], lake: Lake, target: Path) -> int:
    """Copy the contents of documents into the lake and write one record a document; return how many there are.

    :param records: :data:`DOCUMENT_COLUMNS` of each document.
    :param lake: the provider's lake.
    :param target: folder of the table.
    :raises InputError: when a file has changed since it was looked at.
    """

    def kept() -> Iterator[dict[str, Any]]:
        for record in records:
            copy = kept_file(lake, record["source_sha256"], record["format"])
            if not copy.exists():
                _copy(Path(record["source_path"]), copy, record["byte_count"])
            yield {**record, "kept_as": str(copy.relative_to(lake.root))}

    count = write_lines(target / "documents.jsonl", kept())
    log.info("kept %d documents", count)
    return count


def _copy(source: Path, copy: Path, byte_count: int) -> None:
    data = load(source)
    if len(data) != byte_count:
        raise InputError(f"{source}: changed while it was processed; run the window again")
    copy.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(copy, data)
