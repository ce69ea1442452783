"""Who may read what through the data app, and the journal of who did."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from battery_pilot.electrochemistry.condition import Frozen
from battery_pilot.errors import InputError
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SHORTEST_KEY = 16


class _Entry(Frozen):
    key: Annotated[str, Field(min_length=SHORTEST_KEY, pattern=r"^[!-~]+$")]
    tier: Tier


_ENTRIES = TypeAdapter(dict[str, _Entry])


@dataclass(frozen=True)
class Reader:
    """A holder of a key.

    :param name: what the journal calls it.
    :param tier: the tier whose view it gets, and no other.
    """

    name: str
    tier: Tier


class Keys:
    """The keys of the connectors that may ask.

    :param entries: name to key and tier.
    """

    def __init__(self, entries: Mapping[str, tuple[str, Tier]]) -> None:
        self._entries = [(key.encode(), Reader(name, tier)) for name, (key, tier) in entries.items()]

    def reader(self, headers: Mapping[str, str]) -> Reader | None:
        """Return who sends a request; ``None`` without a known key.

        The key may come as ``X-Api-Key``, as bearer token, as the password of HTTP Basic, or alone in ``Authorization``:
        connectors differ in what they can send.

        :param headers: request headers, case-insensitive.
        """
        offered = _offered(headers)
        found = None
        # Every key is compared, in a time that does not depend on what was offered.
        for key, reader in self._entries:
            if hmac.compare_digest(key, offered):
                found = reader
        return found


def read_keys(path: Path) -> Keys:
    """Read a file of keys, such as ``{"edc": {"key": "<secret>", "tier": "legitimate_interest"}}``.

    :raises InputError: the file is missing or of another form; no key is shown.
    """
    try:
        entries = _ENTRIES.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"keys of the data app: {path}: {error.strerror}: write the file first") from error
    except ValidationError as error:
        places = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InputError(
            f'keys of the data app: {path}: {places}; expected {{"<name>": {{"key": "<at least {SHORTEST_KEY} ASCII '
            'characters>", "tier": "public"}, …}'
        ) from None
    if len({entry.key for entry in entries.values()}) < len(entries):
        raise InputError(f"keys of the data app: {path}: two names have the same key; give each its own")
    return Keys({name: (entry.key, entry.tier) for name, entry in entries.items()})


class AccessJournal:
    """One line of JSON for every answer, in a file for each day (UTC). Threads may share it.

    :param folder: where the files lie; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, reader: Reader | None, status: int, **what: Any) -> None:
        """Write down an answer.

        :param reader: who asked; ``None`` when the key was not known.
        :param status: HTTP status of the answer.
        :param what: what was asked for, such as ``battery_id``.
        """
        now = datetime.now(UTC)
        line = {
            "time": now.isoformat(timespec="milliseconds"),
            "reader": reader.name if reader else None,
            "tier": reader.tier.value if reader else None,
            "status": status,
            **what,
        }
        path = self._folder / f"{now:%Y-%m-%d}.jsonl"
        with self._lock, path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=True) + "\n")


def _offered(headers: Mapping[str, str]) -> bytes:
    offered = headers.get("x-api-key")
    if offered is None:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        offered = {"bearer": rest.strip(), "basic": _password(rest)}.get(scheme.lower(), scheme)
    return offered.encode("utf-8", "surrogatepass")


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
