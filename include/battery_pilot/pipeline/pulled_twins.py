"""Fetching twins from an AAS server: shells, their submodels, concepts and files, one battery after the other."""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from battery_pilot.errors import NotFound, ServerUnavailable
from battery_pilot.lake import write_bytes, write_json
from battery_pilot.services.aas_values import concept_ids, file_elements

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from battery_pilot.services.aas_server import AasServer

log = logging.getLogger(__name__)

T = TypeVar("T")

SERVER_ERROR = 500

Document = dict[str, Any]


def pull_twins(server: AasServer, folder: Path, shell_ids: Collection[str] = ()) -> dict[str, int]:
    """Write twins below a folder: for each shell ``<digest of its id>/environment.json`` and ``files/``.

    The environment has the shell, its submodels, and the concept descriptions of the server that these refer to. Names of
    files are digests of their paths in the twin and never what the server calls them. A file that an element names by an
    address elsewhere is not fetched.

    :param folder: for example one of the lake; a twin that is there is replaced.
    :param shell_ids: the shells; by default all of the server.
    :return: ``shells``, ``submodels``, ``concept_descriptions`` (each once), ``files``, ``missing`` (submodels and files that
        are referred to and not there).
    :raises NotFound: a shell that was asked for is not on the server.
    """
    counts = {"shells": 0, "submodels": 0, "concept_descriptions": 0, "files": 0, "missing": 0}
    known: dict[str, Document | None] = {}
    shells = (server.get_shell(one) for one in shell_ids) if shell_ids else server.shells()
    for shell in shells:
        place = folder / hashlib.sha256(str(shell["id"]).encode()).hexdigest()[:32]
        submodels = list(_submodels(server, shell, counts))
        for submodel in submodels:
            _pull_files(server, submodel, place / "files", counts)
        environment: Document = {"assetAdministrationShells": [shell]}
        # The metamodel allows no empty lists.
        if submodels:
            environment["submodels"] = submodels
        if concepts := list(_concepts(server, submodels, known)):
            environment["conceptDescriptions"] = concepts
        # Last: what has an environment is complete.
        write_json(place / "environment.json", environment)
        counts["shells"] += 1
    counts["concept_descriptions"] = sum(one is not None for one in known.values())
    log.info("pulled from %s: %s", server.address, counts)
    return counts


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


def _concepts(
    server: AasServer, submodels: Iterable[Document], known: dict[str, Document | None]
) -> Iterator[Document]:
    """Yield the concept descriptions that submodels refer to. Many of their semantic ids are described nowhere.

    :param known: what was asked for already, in this run, so that each is asked for once.
    """
    for identifier in sorted({one for submodel in submodels for one in concept_ids(submodel)}):
        if identifier not in known:
            known[identifier] = _or_none(server.get_concept_description, identifier)
        found = known[identifier]
        if found is not None:
            yield found


def _pull_files(server: AasServer, submodel: Document, folder: Path, counts: dict[str, int]) -> None:
    for path, element in file_elements(submodel):
        data = _or_none(partial(server.get_attachment, submodel["id"]), path)
        if data is None:
            log.warning("%s, %s: the server does not have the file", submodel["id"], path)
            counts["missing"] += 1
            continue
        digest = hashlib.sha256(f"{submodel['id']} {path}".encode()).hexdigest()[:32]
        write_bytes(folder / f"{digest}{_ending(str(element['value']))}", data)
        counts["files"] += 1


def _or_none(read: Callable[[str], T], what: str) -> T | None:
    """Return what a server has, ``None`` where it has nothing."""
    try:
        return read(what)
    except NotFound:
        return None
    except ServerUnavailable as error:
        # BaSyx Go answers 500 instead of 404 to a file, BaSyx Python to a concept description.
        if error.status != SERVER_ERROR:
            raise
        return None


def _ending(value: str) -> str:
    """Return a harmless ending of a file's name, such as ``.pdf``."""
    ending = PurePosixPath(value).suffix
    return ending if ending[1:].isalnum() and ending.isascii() and len(ending) <= 8 else ""
