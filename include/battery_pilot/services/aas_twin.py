"""One battery's documents on their way to an AAS server: only what differs goes, and it is looked at afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import NotFound, ServerRefused
from battery_pilot.services.aas_comparison import differences
from battery_pilot.services.aas_pushed import PushedDocument
from battery_pilot.services.aas_values import changed_properties, document_digest, file_elements, fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.services.aas_server import AasServer

Document = dict[str, Any]

MOST_VALUES = 4
"""With more changed values than these, sending the submodel is less work for everybody."""

MOST_SHOWN = 3

SECOND_LOOK_SECOND = 0.3
"""Wait before a document that was just sent, and is not found, is looked for once more."""


@dataclass(frozen=True)
class Content:
    """What a server shall hold of one battery, as AAS JSON.

    :param shell: the shell.
    :param submodels: those that are of this battery alone.
    :param shared_submodels: those that it has in common with others, above all those of its model.
    :param concept_descriptions: what its semantic ids mean.
    :param files: the files that its File elements name, by the value of the element, such as ``/aasx/files/<digest>.pdf``.
        They are sent after the submodel. The name tells the content: another content has another name.
    """

    shell: Document
    submodels: Sequence[Document]
    shared_submodels: Sequence[Document] = ()
    concept_descriptions: Sequence[Document] = ()
    files: Mapping[str, Path] = field(default_factory=dict)

    def own(self) -> list[Document]:
        """Return what belongs to this battery alone, in the order in which it is sent."""
        return [*self.submodels, self.shell]

    def shared(self) -> list[Document]:
        """Return what it has in common with others, in the order in which it is sent."""
        return [*self.concept_descriptions, *self.shared_submodels]


@dataclass(frozen=True)
class Twin:
    """The state of one battery that a server shall show.

    :param shell_id: id of the shell.
    :param as_of: point in time of the state (ISO 8601, UTC).
    :param known_until: end of the window from which it was built (ISO 8601, UTC); empty where there is none.
    :param digest: digest of the whole content.
    :param make: makes the content; called only when something has to be sent or compared.
    """

    shell_id: str
    as_of: str
    known_until: str
    digest: str
    make: Callable[[], Content] = field(repr=False)

    @cached_property
    def content(self) -> Content:
        """The content, made at the first use."""
        return self.make()


@dataclass(frozen=True)
class Sent:
    """What became of a battery, or of a document that several share.

    :param documents: what the server has now.
    :param gone: ids of what was deleted.
    :param had_lost: the server did not have something that it was sent before.
    :param refusal: what it did not take or does not show.
    :param attachments: files that it was sent.
    """

    documents: tuple[PushedDocument, ...] = ()
    gone: tuple[str, ...] = ()
    had_lost: bool = False
    refusal: ServerRefused | None = None
    attachments: int = 0


class _Lost(Exception):
    """The server does not have what it was sent before."""


@dataclass(frozen=True)
class Sender:
    """Sends documents to a server that has some of them.

    :param server: the server.
    :param known: what it was sent before, by id.
    """

    server: AasServer
    known: Mapping[str, PushedDocument]

    def needs(self, document: Document) -> bool:
        """Whether a document has to be sent."""
        before = self.known.get(document["id"])
        return before is None or before.digest != document_digest(document)

    def send_shared(self, document: Document, known_until: str, files: Mapping[str, Path]) -> Sent:
        """Send a document that several batteries share, with its files, and read it back."""
        try:
            self._put(document)
            if is_concept(document) and not self.server.takes_concept_descriptions:
                return Sent()
            attachments = self._attach(document, files)
            self._read_back(document)
        except ServerRefused as refused:
            return Sent(refusal=refused)
        return Sent((_pushed(document, None, known_until),), attachments=attachments)

    def send(self, twin: Twin, owned: frozenset[str], *, read_back: bool) -> Sent:
        """Send what is new of one battery, submodels first, and delete submodels that it has no longer.

        :param twin: the battery.
        :param owned: ids of the submodels that it had before.
        :param read_back: compare with what the server answers afterwards.
        """
        own = twin.content.own()
        gone = tuple(sorted(owned - {one["id"] for one in own}))
        had_lost = False
        try:
            try:
                changed = [one for one in own if self.needs(one)]
                replaced = [self._send_changes(document, gone) for document in changed]
                # FA³ST drops a shell's reference to a submodel that is replaced.
                shell = twin.content.shell
                if any(replaced) and shell not in changed and not self.shows(shell):
                    self._put(shell, gone)
            except _Lost:
                had_lost, changed, replaced = True, own, [True] * len(own)
                for document in own:
                    self._put(document, gone)
            # A server drops the files of a submodel that is replaced.
            whole = [document for document, is_whole in zip(changed, replaced, strict=True) if is_whole]
            attachments = sum(self._attach(document, twin.content.files) for document in whole)
            for identifier in gone:
                self.server.delete_submodel(identifier)
            for document in own if read_back else ():
                self._read_back(document)
        except ServerRefused as refused:
            return Sent(had_lost=had_lost, refusal=refused)
        pushed = tuple(_pushed(one, twin.shell_id, twin.known_until) for one in changed)
        return Sent(pushed, gone, had_lost, attachments=attachments)

    def compare(self, twin: Twin) -> Sent:
        """Compare the whole of a battery with what the server shows, and send nothing.

        Concepts that it was not sent, because it takes none, are no difference, nor is a submodel of a battery that is in doubt
        alone: an application has changed it since.
        """
        content = twin.content
        expected = [
            *(one for one in content.concept_descriptions if self._had(one)),
            *content.shared_submodels,
            *(one for one in content.own() if one["id"] not in self.known or self._had(one)),
        ]
        try:
            for document in expected:
                self._compare(document)
        except ServerRefused as refused:
            return Sent(refusal=refused)
        return Sent()

    def shows(self, document: Document) -> bool:
        """Whether the server shows a document as it was sent."""
        try:
            self._compare(document)
        except ServerRefused:
            return False
        return True

    def _send_changes(self, document: Document, gone: Sequence[str]) -> bool:
        """Send the changed values of a document, or all of it, and return whether it was all.

        :raises _Lost: the server had it before and does not have it any more.
        """
        before = self.known.get(document["id"])
        if before is not None and before.digest is not None and before.fingerprint is not None:
            changes = changed_properties(before.fingerprint, document)
            if changes is not None and len(changes) <= MOST_VALUES and self._put_values(document["id"], changes):
                return False
        was_created = self._put(document, gone)
        if was_created and self._had(document):
            raise _Lost
        return True

    def _put_values(self, submodel_id: str, changes: Sequence[tuple[str, Document]]) -> bool:
        """Change single values; ``False`` where the server does not do that there, as BaSyx Python within lists."""
        try:
            for path, element in changes:
                self.server.put_property(submodel_id, path, element)
        except ServerRefused:
            return False
        return True

    def _had(self, document: Document) -> bool:
        """Whether the server took an earlier state of a document for certain."""
        before = self.known.get(document["id"])
        return before is not None and before.digest is not None

    def _attach(self, document: Document, files: Mapping[str, Path]) -> int:
        """Send the files that a document names and return how many the server took."""
        wanted = [(at, one) for at, one in file_elements(document) if one["value"] in files] if files else []
        return sum(
            self.server.put_attachment(
                document["id"], at, files[one["value"]], PurePosixPath(one["value"]).name, one["contentType"]
            )
            for at, one in wanted
        )

    def _put(self, document: Document, dropped: Sequence[str] = ()) -> bool:
        """Create or replace a document and return whether it was created."""
        is_new = document["id"] not in self.known
        if document["modelType"] == "AssetAdministrationShell":
            return self.server.merge_shell(document, dropped=dropped)
        if document["modelType"] == "ConceptDescription":
            return self.server.put_concept_description(document, is_new=is_new)
        return self.server.put_submodel(document, is_new=is_new)

    def _read_back(self, document: Document) -> None:
        """Compare a document that was just sent, twice where it is not found; FA³ST loses sight of some for a moment.

        :raises ServerRefused: as of :meth:`_compare`.
        """
        try:
            self._compare(document)
        except ServerRefused as refused:
            if not isinstance(refused.__cause__, NotFound):
                raise
            time.sleep(SECOND_LOOK_SECOND)
            self._compare(document)

    def _compare(self, document: Document) -> None:
        """Read a document back.

        :raises ServerRefused: the server shows something else; the message names the first places.
        """
        kind, identifier = document["modelType"], document["id"]
        try:
            if kind == "AssetAdministrationShell":
                found = self.server.get_shell(identifier)
            elif kind == "ConceptDescription":
                found = self.server.get_concept_description(identifier)
            else:
                found = self.server.get_submodel(identifier)
        except NotFound as missing:
            raise ServerRefused("GET", missing.url, 404, f"{kind} {identifier} is not on the server") from missing
        wrong = differences(document, found)
        if wrong:
            more = f" and {len(wrong) - MOST_SHOWN} more" if len(wrong) > MOST_SHOWN else ""
            places = "; ".join(wrong[:MOST_SHOWN]) + more
            raise ServerRefused(
                "GET", self.server.address, 200, f"{kind} {identifier} is not shown as it was sent: {places}"
            )


def is_concept(document: Document) -> bool:
    """Tell whether a document is a concept description."""
    return bool(document["modelType"] == "ConceptDescription")


def _pushed(document: Document, owner: str | None, known_until: str) -> PushedDocument:
    prints = fingerprint(document) if document["modelType"] == "Submodel" and owner is not None else None
    return PushedDocument(document["id"], owner, known_until, document_digest(document), prints)
