"""An AAS server in memory for unit tests: what the client asks for, with the differences between servers and with faults."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from requests.structures import CaseInsensitiveDict

from battery_pilot.errors import ServerUnavailable
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.answers import Answer, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

URL = "http://aas.example"
CHILDREN = ("submodelElements", "value")


@dataclass
class MemoryAas:
    """Stands where the client has its connection.

    :param put_creates: as API 3.1 says; 3.0 answers 404.
    :param patches: changes a single value by PATCH; otherwise 501.
    :param rewrite: how the server writes down what it takes.
    :param fault: told the request and whether it was done; raises, or says that the server refuses with a status.
    """

    put_creates: bool = False
    patches: bool = True
    rewrite: Callable[[Any], Any] = lambda document: document
    fault: Callable[[str, str, bool], int | None] = lambda method, path, done: None
    documents: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {name: {} for name in ("shells", "submodels", "concept-descriptions")}
    )
    asked: list[tuple[str, str]] = field(default_factory=list)
    attachments: dict[tuple[str, str], bytes] = field(default_factory=dict)
    address: str = URL

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def client(self) -> AasServer:
        """Return a client of it."""
        server = AasServer(URL, base_path="")
        server._api = self
        return server

    def writes(self) -> Counter[str]:
        """Return how often each method that writes was asked."""
        return Counter(method for method, _ in self.asked if method != "GET")

    def all(self) -> dict[str, Any]:
        """Return all documents by id."""
        return {key: one for documents in self.documents.values() for key, one in documents.items()}

    def get_json(self, path: str, params: object = None) -> Any:
        return self.request("GET", path).json()

    def pages(self, path: str, page_size: int, params: object = None) -> Iterator[Any]:
        collection, _, rest = path.strip("/").partition("/")
        if rest:
            yield from self.documents[collection][_decoded(rest.partition("/")[0])].get("submodels", [])
        else:
            yield from self.documents[collection].values()

    def request(self, method: str, path: str, *, json: Any = None, **options: Any) -> Answer:
        with self._lock:
            self.asked.append((method, path))
            status = self.fault(method, path, False)
            body: Any = b""
            if status is None:
                if path.endswith("/attachment"):
                    status, body = self._attach(path, b"".join(options["data"]))
                else:
                    status, body = self._do(method, path, json)
                self.fault(method, path, True)
        answer = Answer(method, URL + path, status, CaseInsensitiveDict(), _bytes(body))
        if not 200 <= status < 300:
            refuse(answer, ())
        return answer

    def _do(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        collection, _, rest = path.strip("/").partition("/")
        documents = self.documents[collection]
        if not rest:
            return self._post(documents, body)
        encoded, _, below = rest.partition("/")
        identifier = _decoded(encoded)
        if below == "submodel-refs":
            documents[identifier].setdefault("submodels", []).append(body)
            return 201, body
        if below:
            return self._element(method, documents, identifier, below, body)
        if method == "PUT":
            known = identifier in documents
            if known or self.put_creates:
                self.attachments = {key: one for key, one in self.attachments.items() if key[0] != identifier}
                documents[identifier] = self.rewrite(_copy(body))
            return (204 if known else 201 if self.put_creates else 404), b""
        if identifier not in documents:
            return 404, b""
        if method == "DELETE":
            del documents[identifier]
            return 204, b""
        return 200, documents[identifier]

    def _attach(self, path: str, form: bytes) -> tuple[int, Any]:
        """Keep a file as BaSyx does: under a name of its own, until the submodel is replaced."""
        identifier, at = _decoded(path.split("/")[2]), unquote(path.split("/")[4])
        element = _at(self.documents["submodels"].get(identifier), at)
        if element is None:
            return 404, b""
        head, _, rest = form.partition(b"\r\n\r\n")[2].partition(b"\r\n\r\n")
        element["value"] = "/tmp/kept-" + head.partition(b"\r\n")[0].decode()
        self.attachments[identifier, at] = rest.rpartition(b"\r\n--")[0]
        return 204, b""

    def _post(self, documents: dict[str, Any], body: Any) -> tuple[int, Any]:
        if body["id"] in documents:
            return 409, b""
        documents[body["id"]] = self.rewrite(_copy(body))
        return 201, body

    def _element(self, method: str, documents: Any, identifier: str, below: str, body: Any) -> tuple[int, Any]:
        match = re.fullmatch(r"submodel-elements/(.+?)(/\$value)?", unquote(below))
        element = _at(documents.get(identifier), match[1]) if match else None
        if method == "PATCH" and not self.patches:
            return 501, b""
        if element is None:
            return 404, b""
        text = json.dumps(body).strip('"') if method == "PATCH" and not isinstance(body, str) else body
        element["value"] = text if method == "PATCH" else body["value"]
        return 204, b""


def silent(method: str, path: str) -> ServerUnavailable:
    """Return the error of a server that does not answer."""
    return ServerUnavailable(method, URL + path, None, "connection reset")


def _at(document: Any, path: str) -> Any:
    for step in re.findall(r"[^.\[\]]+", path):
        if document is None:
            return None
        members = next((document[name] for name in CHILDREN if isinstance(document.get(name), list)), [])
        if step.isdigit():
            document = members[int(step)] if int(step) < len(members) else None
        else:
            document = next((one for one in members if one.get("idShort") == step), None)
    return document


def _decoded(encoded: str) -> str:
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()


def _copy(body: Any) -> Any:
    return json.loads(json.dumps(body))


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()
