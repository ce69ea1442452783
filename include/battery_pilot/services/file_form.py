"""A form with one file (``multipart/form-data``, RFC 7578), read from the disk while it is sent."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_BYTES = 2**18


@dataclass(frozen=True)
class FileForm:
    """The fields ``fileName`` and ``file``, as the AAS API and others want them. It can be sent several times.

    :param path: the file.
    :param name: what the server shall call it, without a folder.
    :param media_type: what kind of file it is, such as ``application/pdf``.
    """

    path: Path
    name: str
    media_type: str
    boundary: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def content_type(self) -> str:
        """Content type of the whole form."""
        return f"multipart/form-data; boundary={self.boundary}"

    def __len__(self) -> int:
        """Return how many bytes the form has: servers do not take one of unknown length."""
        return len(self._head()) + self.path.stat().st_size + len(self._tail())

    def __iter__(self) -> Iterator[bytes]:
        """Yield the form in pieces, each time from its beginning."""
        yield self._head()
        with self.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
        yield self._tail()

    def _head(self) -> bytes:
        # Quotes and line ends in names are escaped as browsers do it (WHATWG HTML, multipart/form-data encoding).
        quoted = self.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        return (
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="fileName"\r\n\r\n{self.name}\r\n'
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
            f"Content-Type: {self.media_type}\r\n\r\n"
        ).encode()

    def _tail(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()
