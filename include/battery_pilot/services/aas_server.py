"""Client of an AAS server: shells, submodels, concept descriptions and AASX packages (AAS HTTP API 3.0 and 3.1)."""

from __future__ import annotations

import base64
import logging
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from battery_pilot.errors import Conflict, InputError, NotFound, ServerRefused
from battery_pilot.services.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from battery_pilot.services.answers import Answer

log = logging.getLogger(__name__)

PAGE_SIZE = 100
PACKAGE_CONTENT_TYPE = "application/asset-administration-shell-package"
DEFAULT_MAXIMUM_PACKAGE_BYTES = 512 * 2**20

Document = dict[str, Any]


@dataclass(frozen=True)
class UpsertCounts:
    """How many documents :meth:`AasServer.upsert_all` wrote."""

    shells: int
    submodels: int
    concept_descriptions: int


@dataclass(frozen=True)
class Package:
    """An AASX package on the server.

    :param package_id: the server's id of it.
    :param aas_ids: ids of the shells inside.
    """

    package_id: str
    aas_ids: tuple[str, ...]


def encode_id(identifier: str) -> str:
    """Write an identifier as a path segment: base64url of its UTF-8 form, without padding.

    :param identifier: id of a shell, submodel, concept description or package.
    """
    return base64.urlsafe_b64encode(identifier.encode()).decode().rstrip("=")


class AasServer:
    """One AAS server. Threads may share it.

    :param base_url: where the API starts: the root for AASX Server, often ``…/api/v3.0`` elsewhere.
    :param auth: user name and password for HTTP Basic.
    :param headers: headers of every request, for example a bearer token.
    :param timeout_second: longest silence of the server.
    :param attempts: how often a repeatable request is tried.
    :param wait_second: expected wait before the second attempt.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_second: float = 30,
        attempts: int = 4,
        wait_second: float = 0.5,
    ) -> None:
        self._http = HttpClient(
            base_url,
            auth=auth,
            headers=headers,
            timeout_second=timeout_second,
            attempts=attempts,
            wait_second=wait_second,
        )

    def put_shell(self, shell: Document) -> None:
        """Create or replace a shell."""
        self._upsert("/shells", shell)

    def put_submodel(self, submodel: Document) -> None:
        """Create or replace a submodel."""
        self._upsert("/submodels", submodel)

    def put_concept_description(self, concept_description: Document) -> None:
        """Create or replace a concept description."""
        self._upsert("/concept-descriptions", concept_description)

    def get_shell(self, shell_id: str) -> Document:
        """Read a shell.

        :raises NotFound: there is none with this id.
        """
        return self._get(f"/shells/{encode_id(shell_id)}")

    def get_submodel(self, submodel_id: str) -> Document:
        """Read a submodel.

        :raises NotFound: there is none with this id.
        """
        return self._get(f"/submodels/{encode_id(submodel_id)}")

    def get_submodel_value(self, submodel_id: str) -> Document:
        """Read a submodel in its value-only form.

        :raises NotFound: there is none with this id.
        """
        return self._get(f"/submodels/{encode_id(submodel_id)}/$value")

    def get_element_value(self, submodel_id: str, path: str) -> Any:
        """Read one element in its value-only form.

        :param submodel_id: the submodel.
        :param path: idShort path, such as ``Tests[0].Method``.
        :raises NotFound: there is no such submodel or element.
        """
        return self._http.get_json(
            f"/submodels/{encode_id(submodel_id)}/submodel-elements/{quote(path, safe='.')}/$value"
        )

    def shells(self) -> Iterator[Document]:
        """Walk over all shells."""
        return self._pages("/shells")

    def submodels(self) -> Iterator[Document]:
        """Walk over all submodels."""
        return self._pages("/submodels")

    def delete_shell(self, shell_id: str) -> None:
        """Delete a shell; that there is none is no error."""
        self._delete("/shells", shell_id)

    def delete_submodel(self, submodel_id: str) -> None:
        """Delete a submodel; that there is none is no error. References to it remain in the shells."""
        self._delete("/submodels", submodel_id)

    def delete_concept_description(self, concept_description_id: str) -> None:
        """Delete a concept description; that there is none is no error."""
        self._delete("/concept-descriptions", concept_description_id)

    def add_submodel_reference(self, shell_id: str, submodel_id: str) -> None:
        """Make a shell refer to a submodel, once.

        :raises NotFound: there is no such shell.
        """
        path = f"/shells/{encode_id(shell_id)}/submodel-refs"
        reference = {"type": "ModelReference", "keys": [{"type": "Submodel", "value": submodel_id}]}
        # Not every server refuses a second, equal reference, so look first.
        if any(known.get("keys") == reference["keys"] for known in self._pages(path)):
            return
        try:
            self._http.request("POST", path, json=reference, idempotent=True)
        except Conflict:
            log.debug("%s refers to %s already", shell_id, submodel_id)

    def put_package(self, file_name: str, data: bytes, aas_ids: Sequence[str]) -> str:
        """Create or replace an AASX package.

        :param file_name: name of the file on the server; it decides whether the package is new.
        :param data: the package.
        :param aas_ids: ids of the shells inside, by which an existing package is found again.
        :return: the server's id of the package.
        :raises Conflict: the file name is taken, and no package with these shells is listed that could be replaced.
        :raises ServerRefused: the server answered without storing the package.
        """
        try:
            answer = self._send_package("POST", "/packages", file_name, data, aas_ids)
        except Conflict as conflict:
            package_id = self._package_of(file_name, aas_ids, conflict)
            self._send_package("PUT", f"/packages/{encode_id(package_id)}", file_name, data, aas_ids)
            return package_id
        return _package_id(answer)

    def get_package(self, package_id: str, *, maximum_bytes: int = DEFAULT_MAXIMUM_PACKAGE_BYTES) -> bytes:
        """Download an AASX package.

        :raises NotFound: there is none with this id.
        :raises TooLarge: it is longer than ``maximum_bytes``.
        """
        return self._http.request("GET", f"/packages/{encode_id(package_id)}", maximum_bytes=maximum_bytes).body

    def packages(self, aas_id: str | None = None) -> Iterator[Package]:
        """Walk over the packages.

        :param aas_id: only those with this shell inside.
        """
        params = {} if aas_id is None else {"aasId": encode_id(aas_id)}
        for entry in self._pages("/packages", params):
            yield Package(str(entry["packageId"]), tuple(entry.get("aasIds") or ()))

    def upsert_all(
        self,
        shells: Iterable[Document],
        submodels: Iterable[Document],
        concept_descriptions: Iterable[Document] = (),
        *,
        workers: int = 4,
    ) -> UpsertCounts:
        """Create or replace many documents; a shell comes after the submodels, so that it never points at nothing.

        The iterables are consumed as the server keeps up, so they may be generators over a whole fleet. The first
        error stops the work; repeating the call completes it.

        :param shells: shells as JSON objects.
        :param submodels: submodels as JSON objects.
        :param concept_descriptions: concept descriptions as JSON objects.
        :param workers: how many requests run at the same time.
        """
        with ThreadPoolExecutor(workers) as pool:
            return UpsertCounts(
                concept_descriptions=_each(pool, 2 * workers, self.put_concept_description, concept_descriptions),
                submodels=_each(pool, 2 * workers, self.put_submodel, submodels),
                shells=_each(pool, 2 * workers, self.put_shell, shells),
            )

    def _get(self, path: str) -> Document:
        document: Document = self._http.get_json(path)
        return document

    def _upsert(self, collection: str, document: Document) -> None:
        """Create or replace a document whether or not PUT creates, which it does in API 3.1 but not in 3.0."""
        identifier = document.get("id")
        if not isinstance(identifier, str) or not identifier:
            raise InputError(f"a document for {collection} has no id: every shell, submodel and concept needs one")
        path = f"{collection}/{encode_id(identifier)}"
        try:
            self._http.request("PUT", path, json=document)
        except NotFound:
            try:
                # Harmless to repeat: when the lost first attempt did create it, 409 leads to the PUT below.
                self._http.request("POST", collection, json=document, idempotent=True)
            except Conflict:
                self._http.request("PUT", path, json=document)

    def _delete(self, collection: str, identifier: str) -> None:
        try:
            self._http.request("DELETE", f"{collection}/{encode_id(identifier)}")
        except NotFound:
            log.debug("%s of %s is gone already", identifier, collection)

    def _pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Document]:
        """Walk over a paged list. A server may return fewer items than asked for; only the cursor tells the end."""
        cursors: set[str] = set()
        query: dict[str, str | int] = {"limit": PAGE_SIZE, **(params or {})}
        while True:
            page = self._http.get_json(path, params=query)
            if not isinstance(page, dict) or not isinstance(page.get("result"), list):
                raise ServerRefused(
                    "GET", path, 200, "expected a page with a 'result': is this an AAS server of API 3?"
                )
            yield from page["result"]
            cursor = str((page.get("paging_metadata") or {}).get("cursor") or "")
            if not cursor:
                return
            if cursor in cursors:
                raise ServerRefused("GET", path, 200, f"cursor {cursor!r} comes back: the list would never end")
            cursors.add(cursor)
            query["cursor"] = cursor

    def _send_package(self, method: str, path: str, file_name: str, data: bytes, aas_ids: Sequence[str]) -> Answer:
        answer = self._http.request(
            method,
            path,
            data={"fileName": file_name, "aasIds": list(aas_ids)},
            files={"file": (file_name, data, PACKAGE_CONTENT_TYPE)},
            idempotent=True,
        )
        if answer.status not in {201, 204}:
            # AASX Server answers 200 "No file was provided." when it did not understand the form.
            said = answer.body[:200].decode("utf-8", "replace")
            raise ServerRefused(
                method, answer.url, answer.status, f"{file_name} was not stored, the server said {said!r}"
            )
        return answer

    def _package_of(self, file_name: str, aas_ids: Sequence[str], conflict: Conflict) -> str:
        """Find the package of a file name. The list shows shells, not names, and two packages can have the same shells."""
        candidates = [
            package.package_id
            for package in (self.packages(aas_ids[0]) if aas_ids else ())
            if set(package.aas_ids) == set(aas_ids)
        ]
        if len(candidates) > 1:
            candidates = [package_id for package_id in candidates if self._file_name(package_id) == file_name]
        if len(candidates) == 1:
            return candidates[0]
        raise Conflict(
            conflict.method,
            conflict.url,
            conflict.status,
            f"{conflict.detail}; {file_name} exists, and no package with exactly the shells {list(aas_ids)} is listed "
            "that could be replaced: use another file name or delete the file on the server",
        )

    def _file_name(self, package_id: str) -> str | None:
        answer = self._http.request(
            "GET", f"/packages/{encode_id(package_id)}", maximum_bytes=DEFAULT_MAXIMUM_PACKAGE_BYTES
        )
        return answer.headers.get("X-FileName")


def _package_id(answer: Answer) -> str:
    return str(answer.json()["packageId"])


def _each(
    pool: ThreadPoolExecutor, window: int, put: Callable[[Document], None], documents: Iterable[Document]
) -> int:
    """Put each document, never holding more than a window of them, and return how many there were."""
    count = 0
    pending: set[Future[None]] = set()
    try:
        for document in documents:
            if len(pending) >= window:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                count += _finish(done)
            pending.add(pool.submit(put, document))
        return count + _finish(wait(pending).done)
    except BaseException:
        for future in pending:
            future.cancel()
        raise


def _finish(futures: Iterable[Future[None]]) -> int:
    """Raise the first error of these futures or count them."""
    finished = [future.result() for future in futures]
    return len(finished)
