"""Client of an AAS server: shells, submodels, concept descriptions and AASX packages (AAS HTTP API 3.0 and 3.1)."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from battery_pilot.errors import Conflict, InputError, NotFound, ServerRefused, ServerUnavailable
from battery_pilot.services.aas_connection import AasConnection, encode_id
from battery_pilot.services.aas_values import value_only
from battery_pilot.services.file_form import FileForm
from battery_pilot.services.http import HttpClient

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from battery_pilot.services.answers import Answer

log = logging.getLogger(__name__)

PAGE_SIZE = 100
CREATED = 201
NO_ATTACHMENTS = frozenset({405, 409, 500, 501})
"""Statuses of servers that take no attachments: AASX Server answers 500 for what did not come in a package, BaSyx Python 409
where the element has a value already, which ours have."""

NO_CONCEPTS = frozenset({404, 405, 500, 501})
"""Statuses of servers that take no concept descriptions: BaSyx Python has the route and answers 500."""

PACKAGE_CONTENT_TYPE = "application/asset-administration-shell-package"
DEFAULT_MAXIMUM_PACKAGE_BYTES = 512 * 2**20

Document = dict[str, Any]


@dataclass(frozen=True)
class Package:
    """An AASX package on the server.

    :param package_id: the server's id of it.
    :param aas_ids: ids of the shells inside.
    """

    package_id: str
    aas_ids: tuple[str, ...]


class AasServer:
    """One AAS server. Threads may share it.

    What differs between servers is found out while working: whether PUT creates (API 3.1) or not (3.0, AASX Server), and
    whether a single value can be changed by PATCH.

    :param base_url: the server's address, with or without the path at which its API begins.
    :param base_path: that path below the address; ``None`` finds it by asking ``/description``.
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
        base_path: str | None = None,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_second: float = 30,
        attempts: int = 5,
        wait_second: float = 0.2,
    ) -> None:
        http = HttpClient(
            base_url,
            auth=auth,
            headers=headers,
            timeout_second=timeout_second,
            attempts=attempts,
            wait_second=wait_second,
        )
        self._api = AasConnection(http, base_path)
        self._attempts = attempts
        self._wait_second = wait_second
        self._put_creates = True
        self._patches_values: bool | None = None
        self._takes_attachments: bool | None = None
        self._takes_concepts: bool | None = None

    @property
    def address(self) -> str:
        """The address that was configured, without credentials."""
        return self._api.address

    @property
    def profiles(self) -> frozenset[str]:
        """The service profiles that the server names; empty where it names none. Servers name profiles they lack."""
        return self._api.profiles

    @property
    def takes_concept_descriptions(self) -> bool:
        """``False`` once the server was found to take none."""
        return self._takes_concepts is not False

    def put_shell(self, shell: Document, *, is_new: bool = False) -> bool:
        """Create or replace a shell.

        :param is_new: the server probably does not have it: saves a request where PUT does not create.
        :return: whether it was created.
        """
        return self._upsert("/shells", shell, is_new=is_new)

    def put_submodel(self, submodel: Document, *, is_new: bool = False) -> bool:
        """Create or replace a submodel; ``is_new`` and answer as of :meth:`put_shell`."""
        return self._upsert("/submodels", submodel, is_new=is_new)

    def put_concept_description(self, concept_description: Document, *, is_new: bool = False) -> bool:
        """Create or replace a concept description; ``is_new`` and answer as of :meth:`put_shell`.

        Where the server takes none, that is said in the log and by :attr:`takes_concept_descriptions`, and is no error.
        """
        if not self.takes_concept_descriptions:
            return False
        try:
            created = self._upsert("/concept-descriptions", concept_description, is_new=is_new)
        except (ServerRefused, ServerUnavailable) as error:
            if self._takes_concepts or error.status not in NO_CONCEPTS:
                raise
            log.warning("%s takes no concept descriptions (%s): they are left out", self.address, error)
            self._takes_concepts = False
            return False
        self._takes_concepts = True
        return created

    def merge_shell(self, shell: Document, *, dropped: Collection[str] = ()) -> bool:
        """Create a shell or replace it, keeping the references to submodels that others added to it, as predictions.

        :param dropped: ids of submodels that it shall no longer refer to.
        :return: whether it was created.
        """
        try:
            self._api.request("POST", "/shells", json=shell, idempotent=True)
        except Conflict:
            present = self.get_shell(str(shell.get("id")))
        else:
            return True
        references = list(shell.get("submodels") or ())
        unwanted = {_referred(one) for one in references} | set(dropped)
        references += [one for one in present.get("submodels") or () if _referred(one) not in unwanted]
        return self.put_shell({**shell, "submodels": references} if references else shell)

    def put_property(self, submodel_id: str, path: str, element: Document) -> None:
        """Change one property: its value alone where the server can do that, else the element.

        :param submodel_id: the submodel.
        :param path: idShort path, such as ``Tests[0].Method``.
        :param element: the property as JSON object, with the new value.
        :raises ServerRefused: the server does not have it (:class:`NotFound`) or changes elements of that place neither way.
        """
        at, value = _element_path(submodel_id, path), value_only(element)
        if value is None or self._patches_values is False:
            self._api.request("PUT", at, json=element)
        elif self._patches_values:
            self._api.request("PATCH", f"{at}/$value", json=value, idempotent=True)
        else:
            self._try_patch(at, value, element)

    def get_concept_description(self, concept_description_id: str) -> Document:
        """Read a concept description.

        :raises NotFound: there is none with this id.
        """
        return self._get(f"/concept-descriptions/{encode_id(concept_description_id)}")

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
        found = self._api.get_json(f"{_element_path(submodel_id, path)}/$value")
        name = path.rpartition(".")[2]
        # FA³ST wraps the value in an object with the element's name.
        return found[name] if isinstance(found, dict) and found.keys() == {name} else found

    def get_attachment(
        self, submodel_id: str, path: str, *, maximum_bytes: int = DEFAULT_MAXIMUM_PACKAGE_BYTES
    ) -> bytes:
        """Download the file of a File element.

        :param path: idShort path of the element.
        :raises NotFound: there is no such element, or its file is not on the server.
        :raises TooLarge: it is longer than ``maximum_bytes``.
        """
        at = f"{_element_path(submodel_id, path)}/attachment"
        return self._api.request("GET", at, maximum_bytes=maximum_bytes).body

    def put_attachment(self, submodel_id: str, id_short_path: str, path: Path, name: str, content_type: str) -> bool:
        """Upload the file of a File element, streamed. The element has to be there.

        :param id_short_path: idShort path of the element.
        :param path: the file on this machine.
        :param name: what the server shall call it, without a folder; most servers make that the end of the element's value.
        :param content_type: media type of the file.
        :return: ``False`` where the server takes no attachments; it is not asked again then.
        :raises NotFound: there is no such element.
        """
        if self._takes_attachments is False:
            return False
        at = _element_path(submodel_id, id_short_path)
        try:
            self._send_attachment(f"{at}/attachment", FileForm(path, name, content_type))
        except (ServerRefused, ServerUnavailable) as error:
            if isinstance(error, NotFound):
                self._get(at)  # says whether the element or the route is not there
            elif self._takes_attachments or error.status not in NO_ATTACHMENTS:
                raise
            log.warning("%s takes no attachments (%s): files stay where they are", self.address, error)
            self._takes_attachments = False
            return False
        self._takes_attachments = True
        return True

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
            self._api.request("POST", path, json=reference, idempotent=True)
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
        return self._api.request("GET", f"/packages/{encode_id(package_id)}", maximum_bytes=maximum_bytes).body

    def packages(self, aas_id: str | None = None) -> Iterator[Package]:
        """Walk over the packages.

        :param aas_id: only those with this shell inside.
        """
        params = {} if aas_id is None else {"aasId": encode_id(aas_id)}
        for entry in self._pages("/packages", params):
            yield Package(str(entry["packageId"]), tuple(entry.get("aasIds") or ()))

    def _get(self, path: str) -> Document:
        document: Document = self._api.get_json(path)
        return document

    def _upsert(self, collection: str, document: Document, *, is_new: bool) -> bool:
        """Create or replace a document whether or not PUT creates, which it does in API 3.1 but not in 3.0."""
        identifier = document.get("id")
        if not isinstance(identifier, str) or not identifier:
            raise InputError(f"a document for {collection} has no id: every shell, submodel and concept needs one")
        path = f"{collection}/{encode_id(identifier)}"
        if self._put_creates or not is_new:
            try:
                return self._api.request("PUT", path, json=document).status == CREATED
            except NotFound:
                self._put_creates = False
        try:
            # Harmless to repeat: when the lost first attempt did create it, 409 leads to the PUT below.
            self._api.request("POST", collection, json=document, idempotent=True)
        except Conflict:
            self._api.request("PUT", path, json=document)
            return False
        return True

    def _try_patch(self, at: str, value: object, element: Document) -> None:
        """Change a value by PATCH for the first time; what refuses that and takes the element at once has no PATCH."""
        try:
            self._api.request("PATCH", f"{at}/$value", json=value)
        except (ServerRefused, ServerUnavailable) as error:
            self._api.request("PUT", at, json=element)
            if error.status is not None:
                log.info("%s changes no single values by PATCH: elements are replaced instead", self.address)
                self._patches_values = False
        else:
            self._patches_values = True

    def _send_attachment(self, path: str, form: FileForm) -> None:
        """Send a file, again where the element is not found: FA³ST loses sight of some while it changes others."""
        for attempt in range(1, self._attempts):
            try:
                self._api.request("PUT", path, data=form)
            except NotFound:
                time.sleep(attempt * self._wait_second)
            else:
                return
        self._api.request("PUT", path, data=form)

    def _delete(self, collection: str, identifier: str) -> None:
        try:
            self._api.request("DELETE", f"{collection}/{encode_id(identifier)}")
        except NotFound:
            log.debug("%s of %s is gone already", identifier, collection)

    def _pages(self, path: str, params: Mapping[str, str | int] | None = None) -> Iterator[Document]:
        return self._api.pages(path, PAGE_SIZE, params)

    def _send_package(self, method: str, path: str, file_name: str, data: bytes, aas_ids: Sequence[str]) -> Answer:
        answer = self._api.request(
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
        answer = self._api.request(
            "GET", f"/packages/{encode_id(package_id)}", maximum_bytes=DEFAULT_MAXIMUM_PACKAGE_BYTES
        )
        return answer.headers.get("X-FileName")


def _referred(reference: Document) -> str:
    return str(reference["keys"][-1]["value"])


def _element_path(submodel_id: str, path: str) -> str:
    return f"/submodels/{encode_id(submodel_id)}/submodel-elements/{quote(path, safe='.')}"


def _package_id(answer: Answer) -> str:
    return str(answer.json()["packageId"])
