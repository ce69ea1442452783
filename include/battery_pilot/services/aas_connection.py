"""Where an AAS server's API lies, and how its lists are walked."""

from __future__ import annotations

import base64
import logging
import threading
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import ServerRefused, ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from battery_pilot.services.answers import Answer
    from battery_pilot.services.http import HttpClient

log = logging.getLogger(__name__)

BASE_PATHS = ("", "/api/v3", "/api/v3.1", "/api/v3.0")
"""Where the API is looked for: at the address itself, as with AASX Server, then where the specifications put it."""

NOT_IMPLEMENTED, SERVER_ERROR = 501, 500
EMPTY_PAGES_AT_END = 2

Document = dict[str, Any]


def encode_id(identifier: str) -> str:
    """Write an identifier as a path segment: base64url of its UTF-8 form, without padding.

    :param identifier: id of a shell, submodel, concept description or package.
    """
    return base64.urlsafe_b64encode(identifier.encode()).decode().rstrip("=")


class AasConnection:
    """An AAS server's API, wherever below the address it begins. Threads may share it.

    :param http: client of the server's address.
    :param base_path: where the API begins below the address; ``None`` asks ``/description`` at the usual places, once.
    """

    def __init__(self, http: HttpClient, base_path: str | None = None) -> None:
        self._http = http
        self._base_path = None if base_path is None else base_path.rstrip("/")
        self._profiles: frozenset[str] | None = None
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """The address that was configured, without credentials."""
        return self._http.base_url.rstrip("/")

    @property
    def base_path(self) -> str:
        """Where the API begins below the address."""
        with self._lock:
            if self._base_path is None:
                self._base_path, self._profiles = self._discover()
            return self._base_path

    @property
    def profiles(self) -> frozenset[str]:
        """The service profiles that the server names in ``/description``; empty where it names none."""
        base_path = self.base_path
        with self._lock:
            if self._profiles is None:
                self._profiles = self._described(base_path)[0] or frozenset()
            return self._profiles

    def request(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request below the base path; options, answer and errors as of :meth:`HttpClient.request`."""
        return self._http.request(method, self.base_path + path, **options)

    def get_json(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Read a JSON document below the base path."""
        return self._http.get_json(self.base_path + path, params=params)

    def pages(self, path: str, page_size: int, params: Mapping[str, str | int] | None = None) -> Iterator[Document]:
        """Walk over a paged list. A server may return fewer items than asked for; only the cursor tells the end.

        :raises ServerRefused: the answer is no page, or a cursor comes back.
        """
        cursors: set[str] = set()
        query: dict[str, str | int] = {"limit": page_size, **(params or {})}
        empty_pages, last = 0, None
        while True:
            page = self.get_json(path, query)
            if not isinstance(page, dict) or not isinstance(page.get("result"), list):
                raise ServerRefused(
                    "GET", path, 200, "expected a page with a 'result': is this an AAS server of API 3?"
                )
            items = page["result"]
            # BaSyx Python begins a page with the last entry of the one before.
            yield from items[1:] if items and items[0] == last else items
            cursor = str((page.get("paging_metadata") or {}).get("cursor") or "")
            # Its cursor is a number that grows for ever; nothing lies behind two empty pages of such a server.
            counts_on = not items and _counts_on(str(query.get("cursor", "0")), cursor, page_size)
            empty_pages, last = (empty_pages + 1 if counts_on else 0), (items or [last])[-1]
            if not cursor or empty_pages == EMPTY_PAGES_AT_END:
                return
            if cursor in cursors:
                raise ServerRefused("GET", path, 200, f"cursor {cursor!r} comes back: the list would never end")
            cursors.add(cursor)
            query["cursor"] = cursor

    def _discover(self) -> tuple[str, frozenset[str] | None]:
        """Find the base path: where a description is, else where at least a server knows the route."""
        known: list[str] = []
        for base_path in BASE_PATHS:
            profiles, is_route = self._described(base_path)
            if profiles is not None:
                log.debug("the API of %s begins at %r and has %d profiles", self.address, base_path, len(profiles))
                return base_path, profiles
            if is_route:
                known.append(base_path)
        return (known or [""])[0], None

    def _described(self, base_path: str) -> tuple[frozenset[str] | None, bool]:
        """Return the profiles that are named below a base path, and whether the server has the route at all.

        BaSyx Python has the route and answers 501; AASX Server may answer 500 where it is not done.
        """
        try:
            found = self._http.get_json(f"{base_path}/description")
        except ServerRefused as refused:
            return None, refused.status == NOT_IMPLEMENTED
        except ServerUnavailable as unavailable:
            if unavailable.status != SERVER_ERROR:
                raise
            return None, True
        if not isinstance(found, dict) or not isinstance(found.get("profiles"), list):
            return None, False
        return frozenset(map(str, found["profiles"])), True


def _counts_on(before: str, cursor: str, page_size: int) -> bool:
    return before.isdigit() and cursor.isdigit() and int(before) < int(cursor) <= int(before) + page_size
