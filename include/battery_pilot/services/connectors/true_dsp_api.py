"""How TRUE Connector's management API is spoken: its envelope, its pages, and what its statuses mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.errors import NotFound, ServerError, ServerRefused
from battery_pilot.services.answers import without_secrets
from battery_pilot.services.connectors.exchanges import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from battery_pilot.services.answers import Answer
    from battery_pilot.services.connectors.exchanges import ExchangeJournal
    from battery_pilot.services.http import HttpClient

PAGE_SIZE = 100
# Without a content type even a GET is refused with 415.
HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}

Document = dict[str, Any]


class TrueDspApi:
    """The management API below ``/api/v1``. Threads may share it.

    :param http: client of the connector, with its credentials.
    :param journal: gets every request and answer that is about a negotiation or transfer.
    """

    def __init__(self, http: HttpClient, journal: ExchangeJournal | None = None) -> None:
        self._http = http
        self._journal = journal

    def request(
        self, method: str, path: str, *, json: Any = None, idempotent: bool | None = None, about: str | None = None
    ) -> Any:
        """Send a request and return what the envelope of the answer holds under ``data``.

        :param about: the negotiation or transfer that it is about.
        :raises NotFound: the thing does not exist; the connector says that with 400 or 404.
        :raises ServerRefused: any other refusal; 403 where a policy does not allow the use.
        """
        # A change of state must not be repeated: the second attempt would be refused.
        repeat = method in {"GET", "DELETE"} if idempotent is None else idempotent
        answer = self._send(method, path, json=json, idempotent=repeat, about=about)
        if not answer.body:
            return {}
        content = answer.json()
        return content.get("data") or {} if isinstance(content, dict) else content

    def text(self, method: str, path: str) -> str:
        """Send a request whose answer is a bare text, though it may be labelled JSON."""
        return self._send(method, path, idempotent=True).body.decode("utf-8", "replace").strip().strip('"')

    def upload(self, method: str, path: str, fields: Mapping[str, str]) -> None:
        """Send the fields of a form in parts."""
        files = {"dataset": ("dataset.json", fields["dataset"].encode(), "application/json")}
        others = {name: value for name, value in fields.items() if name != "dataset"}
        self._http.request(method, f"/api/v1{path}", data=others, files=files, idempotent=method == "PUT")

    def pages(self, path: str, query: Mapping[str, str]) -> Iterator[Document]:
        """Walk over a list, newest first.

        :param query: values of members by which the connector filters.
        """
        number = 0
        while True:
            params: dict[str, str | int] = {**query, "page": number, "size": PAGE_SIZE}
            answer = self._http.request("GET", f"/api/v1{path}", params=params, headers=HEADERS)
            found = (answer.json().get("response") or {}).get("data") or {}
            yield from found.get("content") or ()
            number += 1
            if number >= (found.get("page") or {}).get("totalPages", 0):
                return

    def _send(
        self, method: str, path: str, *, json: Any = None, idempotent: bool, about: str | None = None
    ) -> Answer:
        try:
            answer = self._http.request(method, f"/api/v1{path}", json=json, headers=HEADERS, idempotent=idempotent)
        except ServerError as error:
            self._note(about, method, error.url, json, error.status, error.detail)
            raise _as_meant(error) from error
        self._note(about, method, answer.url, json, answer.status, answer.json() if about and answer.body else None)
        return answer

    def _note(self, about: str | None, *said: Any) -> None:
        if about is not None and self._journal is not None:
            self._journal.put(Exchange(about, *(_without_signatures(one) for one in said)))


def _as_meant(refusal: ServerError) -> ServerError:
    """Give a refusal the status that it means: the connector says 400 to most."""
    detail = refusal.detail.lower()
    if refusal.status == 400 and detail.endswith("not found"):
        return NotFound(refusal.method, refusal.url, 404, refusal.detail)
    if refusal.status == 400 and "policy is not valid" in detail:
        return ServerRefused(refusal.method, refusal.url, 403, refusal.detail)
    return refusal


def _without_signatures(value: Any) -> Any:
    """Drop the queries of addresses: that of an address in a storage opens the file to everybody for days."""
    if isinstance(value, list):
        return [_without_signatures(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_signatures(one) for key, one in value.items()}
    return without_secrets(value) if isinstance(value, str) and value.startswith(("http://", "https://")) else value
