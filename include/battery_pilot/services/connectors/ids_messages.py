"""Messages of the IDS information model 4 on the wire: two parts, a header in JSON-LD and a payload."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from battery_pilot.errors import InputError

Document = dict[str, Any]

CONTEXT = {"ids": "https://w3id.org/idsa/core/", "idsc": "https://w3id.org/idsa/code/"}
CODE = "https://w3id.org/idsa/code/"
AUTOGEN = "https://w3id.org/idsa/autogen/"
ARTIFACT = "http://w3id.org/engrd/connector/artifact/"
CONNECTOR = "https://w3id.org/engrd/connector/"
MODEL_VERSION = "4.2.7"


@dataclass(frozen=True)
class Message:
    """A message.

    :param header: its header.
    :param payload: its payload, empty where there is none.
    """

    header: Document
    payload: bytes = b""

    @property
    def kind(self) -> str:
        """Type without prefix, such as ``ArtifactRequestMessage``."""
        return str(self.header.get("@type", "")).rpartition(":")[2].rpartition("/")[2]

    def target(self, name: str) -> str | None:
        """Return the id that a field of the header names, such as ``requestedArtifact``."""
        value = self.header.get(f"ids:{name}")
        if isinstance(value, list):
            value = value[0] if value else None
        found = value.get("@id") if isinstance(value, dict) else value
        return found if isinstance(found, str) else None


def parse_message(body: bytes, content_type: str) -> Message:
    """Read a message from a body of parts.

    :param body: the body.
    :param content_type: its type with the boundary; ``multipart/form-data`` or ``multipart/mixed``.
    :raises InputError: it is no message.
    """
    if not content_type.lower().startswith("multipart/") or "\n" in content_type or "\r" in content_type:
        raise InputError(f"IDS message: content type {content_type[:80]!r}, expected multipart/form-data or mixed")
    whole = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n" + body
    )
    parts: dict[str, bytes] = {}
    for part in whole.iter_parts() if whole.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            parts.setdefault(name, content)
    if "header" not in parts:
        raise InputError("IDS message: no part named 'header'")
    try:
        header = json.loads(parts["header"])
    except ValueError as error:
        raise InputError("IDS message: the part 'header' is no JSON") from error
    if not isinstance(header, dict):
        raise InputError("IDS message: the part 'header' is no JSON object")
    return Message(header, parts.get("payload", b""))


def write_message(message: Message, payload_type: str = "text/plain") -> tuple[bytes, str]:
    """Return a message's body and its content type.

    :param message: the message.
    :param payload_type: media type of the payload.
    """
    boundary = uuid.uuid4().hex
    header = json.dumps(message.header, ensure_ascii=True).encode()
    parts = [("header", "application/ld+json", header)]
    if message.payload:
        parts.append(("payload", payload_type, message.payload))
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: {kind}\r\n'
        f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, kind, content in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def answer_to(request: Message, kind: str, **fields: Any) -> Document:
    """Return the header of an answer.

    :param request: the message that is answered.
    :param kind: type of the answer, such as ``ArtifactResponseMessage``.
    :param fields: further fields by their names without prefix.
    """
    contract = request.target("transferContract")
    return {
        "@context": CONTEXT,
        "@type": f"ids:{kind}",
        "@id": f"{AUTOGEN}{kind[0].lower()}{kind[1:]}/{uuid.uuid4()}",
        "ids:modelVersion": MODEL_VERSION,
        "ids:issued": date_time(datetime.now(UTC)),
        "ids:issuerConnector": {"@id": CONNECTOR},
        "ids:senderAgent": {"@id": CONNECTOR},
        "ids:recipientConnector": _named(request.target("issuerConnector")),
        "ids:recipientAgent": _named(request.target("senderAgent")),
        "ids:securityToken": {
            "@type": "ids:DynamicAttributeToken",
            "@id": f"{AUTOGEN}dynamicAttributeToken/{uuid.uuid4()}",
            "ids:tokenFormat": {"@id": f"{CODE}JWT"},
            # The connector in front puts its own token in.
            "ids:tokenValue": "DummyTokenValue",
        },
        **({"ids:correlationMessage": {"@id": request.header["@id"]}} if "@id" in request.header else {}),
        **({"ids:transferContract": {"@id": contract}} if contract else {}),
        **{f"ids:{name}": value for name, value in fields.items()},
    }


def rejection(request: Message, reason: str) -> Message:
    """Return the refusal of a message.

    :param request: the message that is refused.
    :param reason: code of the information model, such as ``NOT_FOUND``.
    """
    header = answer_to(request, "RejectionMessage", rejectionReason={"@id": f"{CODE}{reason}"})
    return Message(header, reason.encode())


def date_time(moment: datetime) -> Document:
    """Write a point in time."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return {"@value": text, "@type": "http://www.w3.org/2001/XMLSchema#dateTimeStamp"}


def _named(identifier: str | None) -> list[Document]:
    return [{"@id": identifier}] if identifier else []
