"""Requests to EDC's management API: processes that are written down, documents, and lists in pages."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from battery_pilot.errors import Conflict, NotFound, ServerError
from battery_pilot.services.connectors.edc_profiles import V3, Profile
from battery_pilot.services.connectors.exchanges import Exchange, ExchangeJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from battery_pilot.services.answers import Answer
    from battery_pilot.services.http import HttpClient

log = logging.getLogger(__name__)

PAGE_SIZE = 50

Document = dict[str, Any]


class EdcManagement:
    """The management API of one connector. Threads may share it.

    :param http: client of the API in one version, such as ``…/management/v3``.
    :param journal: gets every request and answer of processes.
    :param profile: that version.
    """

    def __init__(self, http: HttpClient, journal: ExchangeJournal | None, profile: Profile = V3) -> None:
        self.http = http
        self.profile = profile
        self._journal = journal

    def terminate(self, collection: str, kind: str, process_id: str, reason: str) -> None:
        """End a process; that it has ended already is no error.

        :param collection: ``contractnegotiations`` or ``transferprocesses``.
        :param kind: type of the request, such as ``TerminateTransfer``.
        """
        request = {"@context": self.profile.context, "@type": kind, "@id": process_id, "reason": reason}
        try:
            path = f"/{collection}/{quote(process_id)}/terminate"
            with self._noted(process_id, "POST", path, request) as note:
                note(self.http.request("POST", path, json=request, idempotent=True))
        except Conflict:
            log.debug("%s %s has ended already", collection, process_id)

    def begin(self, path: str, request: Document, about: str) -> str:
        """Start a process at our connector and return its id.

        :param about: what a failure is written down under, because there is no process then.
        """
        with self._noted(about, "POST", path, request) as note:
            answer = self.http.request("POST", path, json=request)
            process_id = str(answer.json()["@id"])
            note(answer, process_id)
        return process_id

    def look(self, path: str, process_id: str) -> Document:
        """Read what belongs to a process."""
        with self._noted(process_id, "GET", path, None) as note:
            answer = self.http.request("GET", path, headers={"Accept": "application/json"})
            note(answer)
        document: Document = answer.json()
        return document

    @contextmanager
    def _noted(self, process_id: str, method: str, path: str, sent: Document | None) -> Iterator[Callable[..., None]]:
        """Write down a request, and its answer or the error that it came to."""

        def note(answer: Answer, process_id: str = process_id) -> None:
            if self._journal is not None:
                received = answer.json() if answer.body else None
                self._journal.put(Exchange(process_id, method, answer.url, sent, answer.status, received))

        try:
            yield note
        except ServerError as error:
            if self._journal is not None:
                self._journal.put(Exchange(process_id, method, error.url, sent, error.status, error.detail))
            raise

    def upsert(self, path: str, document: Document) -> None:
        """Create a document, or replace the one with its id."""
        try:
            # Harmless to repeat: when the lost first attempt did create it, 409 leads to the PUT below.
            self.http.request("POST", path, json=document, idempotent=True)
        except Conflict:
            self.http.request("PUT", path, json=document)

    def delete(self, path: str) -> None:
        """Delete a document; that there is none is no error."""
        try:
            self.http.request("DELETE", path)
        except NotFound:
            log.debug("%s is gone already", path)

    def query(self, path: str, criterion: Document) -> Iterator[Document]:
        """Walk over all pages of a list."""
        offset = 0
        while True:
            query = {
                "@context": self.profile.context,
                "@type": "QuerySpec",
                "offset": offset,
                "limit": PAGE_SIZE,
                "filterExpression": [criterion],
            }
            page = self.http.request("POST", path, json=query, idempotent=True).json()
            yield from page
            if len(page) < PAGE_SIZE:
                return
            offset += PAGE_SIZE
