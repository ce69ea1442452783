"""What a TRUE Connector v1 leaves to its data app: descriptions and contracts (IDS messages).

Its execution core container keeps the offers and checks nothing: it passes every message on (met at 1.14.11). So the data app
reads the offers where they are kept, and agrees only to what they say.
"""

from __future__ import annotations

import hashlib
import json
import urllib.request
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from battery_pilot.services.connectors.ids_messages import AUTOGEN, CONTEXT, Message, answer_to, rejection
from battery_pilot.services.connectors.jsonld import listed, local_name, term, text, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TIMEOUT_SECOND = 20
LONGEST_DESCRIPTION_BYTES = 64 * 2**20

Document = dict[str, Any]


@dataclass(frozen=True)
class IdsProvider:
    """The provider's side of negotiations.

    :param describe: returns the connector's self-description with its offers.
    :param folder: where agreements are kept; made when it is missing.
    """

    describe: Callable[[], Document]
    folder: Path

    def answer(self, message: Message) -> Message | None:
        """Answer a message on offers and contracts; ``None`` for any other."""
        answers = {
            "DescriptionRequestMessage": self._described,
            "ContractRequestMessage": self._agreed,
            "ContractAgreementMessage": self._processed,
        }
        found = answers.get(message.kind)
        if found is None:
            return None
        try:
            return found(message)
        except OSError:
            return rejection(message, "TEMPORARILY_NOT_AVAILABLE")
        except (ValueError, TypeError, KeyError):
            return rejection(message, "MALFORMED_MESSAGE")

    def permits(self, agreement_id: str, artifact: str) -> bool:
        """Tell whether there is an agreement on an artifact."""
        try:
            agreement = json.loads(self._file(agreement_id).read_bytes())
        except FileNotFoundError:
            return False
        return any(text_of(one, "target") == artifact for one in listed(term(agreement, "permission")))

    def _described(self, message: Message) -> Message:
        description = self.describe()
        element = message.target("requestedElement")
        found = description if element is None else _node(description, element)
        if found is None:
            return rejection(message, "NOT_FOUND")
        # Pure ASCII, because the proxies damage anything else.
        content = json.dumps({"@context": description.get("@context", CONTEXT), **found}).encode()
        return Message(answer_to(message, "DescriptionResponseMessage"), content)

    def _agreed(self, message: Message) -> Message:
        """Agree to a request that repeats an offered permission with all its constraints."""
        wanted = _object(json.loads(message.payload))
        asked = {_rule(_object(one)) for one in listed(term(wanted, "permission"))}
        offered = {_rule(one) for one in _permissions(self.describe())}
        if not asked or not asked <= offered:
            return rejection(message, "NOT_FOUND")
        parts = {name: value for name, value in wanted.items() if not name.startswith("@")}
        agreement = {
            "@context": CONTEXT,
            **parts,
            "@type": "ids:ContractAgreement",
            "@id": f"{AUTOGEN}contractAgreement/{uuid.uuid4()}",
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file(agreement["@id"]).write_text(json.dumps(agreement))
        return Message(answer_to(message, "ContractAgreementMessage"), json.dumps(agreement).encode())

    def _processed(self, message: Message) -> Message:
        if not self._file(str(_object(json.loads(message.payload))["@id"])).exists():
            return rejection(message, "NOT_FOUND")
        return Message(answer_to(message, "MessageProcessedNotificationMessage"))

    def _file(self, agreement_id: str) -> Path:
        return self.folder / f"{hashlib.sha256(agreement_id.encode()).hexdigest()}.json"


def description_at(url: str) -> Document:
    """Read a connector's public self-description.

    :raises OSError: it does not answer, or its certificate is not trusted (``SSL_CERT_FILE`` names one that is).
    :raises ValueError: the answer is no JSON.
    :raises TypeError: it is no object.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECOND) as answer:  # noqa: S310 -- the operator's own address
        return _object(json.loads(answer.read(LONGEST_DESCRIPTION_BYTES)))


def _object(value: Any) -> Document:
    if not isinstance(value, dict):
        raise TypeError(f"expected a JSON object, got {str(value)[:80]!r}")
    return value


def _nodes(value: Any) -> Iterator[Document]:
    for one in listed(value):
        if isinstance(one, dict):
            yield one
            for part in one.values():
                yield from _nodes(part)


def _node(document: Document, identifier: str) -> Document | None:
    """Return the description of a thing, not a mere reference to it."""
    return next((one for one in _nodes(document) if one.get("@id") == identifier and len(one) > 1), None)


def _permissions(description: Document) -> Iterator[Document]:
    for offer in _nodes(description):
        if local_name(text(offer.get("@type")) or "") == "ContractOffer":
            yield from listed(term(offer, "permission"))


def _rule(permission: Document) -> tuple[Any, ...]:
    """Reduce a permission to what it says, so that two spellings of it are equal."""
    constraints = frozenset(
        tuple(text_of(_object(one), name) for name in ("leftOperand", "operator", "rightOperand"))
        for one in listed(term(permission, "constraint"))
    )
    return permission.get("@id"), text_of(permission, "target"), text_of(permission, "action"), constraints
