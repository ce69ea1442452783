"""Fetching twins from an AAS server: shells, their submodels and files, one battery after the other."""

from __future__ import annotations

import hashlib
import logging
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import NotFound
from battery_pilot.lake import write_bytes, write_json
from battery_pilot.services.aas_values import CHILDREN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from battery_pilot.services.aas_server import AasServer

log = logging.getLogger(__name__)

Document = dict[str, Any]


def pull_twins(server: AasServer, folder: Path, shell_ids: Collection[str] = ()) -> dict[str, int]:
    """Write twins below a folder: for each shell ``<digest of its id>/environment.json`` and ``files/``.

    Names of files are digests of their paths in the twin and never what the server calls them. A file that an element names
    by an address elsewhere is not fetched.

    :param folder: for example one of the lake; a twin that is there is replaced.
    :param shell_ids: the shells; by default all of the server.
    :return: ``shells``, ``submodels``, ``files``, ``missing`` (submodels and files that are referred to and not there).
    :raises NotFound: a shell that was asked for is not on the server.
    """
    counts = {"shells": 0, "submodels": 0, "files": 0, "missing": 0}
    shells = (server.get_shell(one) for one in shell_ids) if shell_ids else server.shells()
    for shell in shells:
        place = folder / hashlib.sha256(str(shell["id"]).encode()).hexdigest()[:32]
        submodels = list(_submodels(server, shell, counts))
        for submodel in submodels:
            _pull_files(server, submodel, place / "files", counts)
        environment: Document = {"assetAdministrationShells": [shell]}
        if submodels:  # the metamodel allows no empty list
            environment["submodels"] = submodels
        # Last: what has an environment is complete.
        write_json(place / "environment.json", environment)
        counts["shells"] += 1
    log.info("pulled from %s: %s", server.address, counts)
    return counts


def file_elements(element: Document, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield path and value of the File elements below a submodel or element whose files are on the server itself."""
    kind = element.get("modelType", "")
    for index, child in enumerate(element.get(CHILDREN.get(kind, "")) or []):
        name = str(child.get("idShort", ""))
        at = f"{path}[{index}]" if kind == "SubmodelElementList" else f"{path}.{name}" if path else name
        value = str(child.get("value") or "")
        if child.get("modelType") == "File" and value and "://" not in value.removeprefix("file://"):
            yield at, value
        yield from file_elements(child, at)


def _submodels(server: AasServer, shell: Document, counts: dict[str, int]) -> Iterator[Document]:
    for reference in shell.get("submodels") or ():
        try:
            submodel = server.get_submodel(str(reference["keys"][-1]["value"]))
        except NotFound as missing:
            log.warning("%s: %s", shell["id"], missing)
            counts["missing"] += 1
        else:
            counts["submodels"] += 1
            yield submodel


def _pull_files(server: AasServer, submodel: Document, folder: Path, counts: dict[str, int]) -> None:
    for path, value in file_elements(submodel):
        try:
            data = server.get_attachment(submodel["id"], path)
        except NotFound as missing:
            log.warning("%s, %s: %s", submodel["id"], path, missing)
            counts["missing"] += 1
            continue
        digest = hashlib.sha256(f"{submodel['id']} {path}".encode()).hexdigest()[:32]
        write_bytes(folder / f"{digest}{_ending(value)}", data)
        counts["files"] += 1


def _ending(value: str) -> str:
    """Return a harmless ending of a file's name, such as ``.pdf``."""
    ending = PurePosixPath(value).suffix
    return ending if ending[1:].isalnum() and ending.isascii() and len(ending) <= 8 else ""
