"""What connectors bring by themselves: addresses of transfers that have started, and files that are pushed.

Whoever starts a transfer expects a delivery here and tells its connector a one-time address; the receiver
(:mod:`battery_pilot.services.data_app.receiver`) puts into the same folder what arrives there. The address carries a secret,
because neither EDC's callbacks nor its pushes prove who sends them.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
LONGEST_PUSH_BYTES = 64 * 2**30


class Way(StrEnum):
    """What is delivered; also the part of the address before the secret."""

    ADDRESS = "edrs"
    CONTENT = "pushed"


def inbox_of(lake: Path) -> Path:
    """Return the folder of a party's inbox, for both who expect and the receiver."""
    return lake / "inbox"


class Inbox:
    """A folder of expected deliveries. Processes may share it: one expects and reads, the receiver writes.

    :param folder: private, because it holds tokens; made when it is not there.
    :param url: where the receiver listens, as the connectors reach it; not needed by the receiver itself.
    """

    def __init__(self, folder: Path, url: str = "") -> None:
        self._folder = folder
        self._url = url.rstrip("/")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def expect(self, way: Way) -> tuple[str, str]:
        """Prepare for one delivery, and return its secret and address.

        :raises InputError: the inbox has no address.
        """
        if not self._url:
            raise InputError("the inbox has no address: set inbox_url to where the connectors reach the receiver")
        secret = secrets.token_urlsafe(32)
        (self._folder / secret).mkdir(mode=0o700)
        return secret, f"{self._url}/{way}/{secret}"

    def bind(self, transfer_id: str, secret: str, way: Way) -> None:
        """Note for which transfer a delivery is expected."""
        self._note(transfer_id).write_text(json.dumps({"secret": secret, "way": way}))

    def is_pushed(self, transfer_id: str) -> bool:
        """Tell whether a transfer brings its content here."""
        return self._bound(transfer_id).get("way") == Way.CONTENT

    def address(self, transfer_id: str) -> dict[str, Any] | None:
        """Return the data address of a transfer, once it has arrived."""
        try:
            found: dict[str, Any] = json.loads((self._slot(transfer_id) / "address.json").read_bytes())
        except FileNotFoundError:
            return None
        return found

    def content(self, transfer_id: str) -> Path | None:
        """Return what was pushed for a transfer, once it has arrived as a whole."""
        path = self._slot(transfer_id) / "content"
        return path if path.is_file() else None

    def forget(self, transfer_id: str) -> None:
        """Remove what arrived for a transfer, and take no more; that there is nothing is no error."""
        if self._bound(transfer_id):
            shutil.rmtree(self._slot(transfer_id), ignore_errors=True)
            self._note(transfer_id).unlink(missing_ok=True)

    def give_up(self, secret: str) -> None:
        """Expect a delivery no longer whose transfer did not begin."""
        shutil.rmtree(self._folder / secret, ignore_errors=True)

    def put_address(self, secret: str, address: dict[str, Any]) -> bool:
        """Keep the address of a transfer, a later one in place of an earlier; ``False`` when none is expected."""
        slot = self._expected(secret)
        if slot is None:
            return False
        half = slot / f"address.{secrets.token_hex(8)}"
        half.write_text(json.dumps(address))
        half.chmod(0o600)
        half.replace(slot / "address.json")
        return True

    async def put_content(
        self, secret: str, chunks: AsyncIterator[bytes], maximum_bytes: int = LONGEST_PUSH_BYTES
    ) -> bool:
        """Keep what is pushed, once and only as a whole; ``False`` when none is expected, or not any more.

        :raises InputError: it is longer than accepted; nothing of it is kept.
        """
        slot = self._expected(secret)
        if slot is None or (slot / "content").exists():
            return False
        half = slot / "content.part"
        try:
            file = half.open("xb")
        except FileExistsError:  # another push is under way
            return False
        received = 0
        try:
            with file:
                async for chunk in chunks:
                    received += len(chunk)
                    if received > maximum_bytes:
                        raise InputError(f"more than the {maximum_bytes} bytes that are accepted are pushed")
                    file.write(chunk)
            half.replace(slot / "content")
        finally:
            half.unlink(missing_ok=True)
        return True

    def _expected(self, secret: str) -> Path | None:
        slot = self._folder / secret
        return slot if SECRET.fullmatch(secret) and slot.is_dir() else None

    def _note(self, transfer_id: str) -> Path:
        return self._folder / f"{hashlib.sha256(transfer_id.encode()).hexdigest()}.json"

    def _bound(self, transfer_id: str) -> dict[str, str]:
        with suppress(FileNotFoundError):
            found: dict[str, str] = json.loads(self._note(transfer_id).read_bytes())
            return found
        return {}

    def _slot(self, transfer_id: str) -> Path:
        # An unknown transfer leads to a folder that is never there.
        return self._folder / self._bound(transfer_id).get("secret", "nothing")
