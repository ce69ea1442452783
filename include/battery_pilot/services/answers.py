"""What servers answer: the answer itself, their words in an error, and the errors that follow from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from battery_pilot.errors import Conflict, NotFound, ServerRefused, ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_DETAIL = 500


class TooLarge(ServerRefused):
    """An answer is longer than the caller accepts; nothing of it was kept."""


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    :param method: HTTP method of the request.
    :param url: address without credentials, query and fragment: fit for a log.
    :param status: HTTP status.
    :param headers: response headers, case-insensitive.
    :param body: the whole decoded body.
    """

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_busy(self) -> bool:
        """Whether the server may answer better a little later; 501 says that it never will."""
        return self.status == 429 or (self.status >= 500 and self.status != 501)

    def json(self) -> Any:
        """Parse the body.

        :raises ServerRefused: the body is not JSON, for example the log-in page of a proxy.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            start = _shorten(self.body[:80].decode("utf-8", "replace"))
            raise ServerRefused(
                self.method, self.url, self.status, f"expected JSON, got {start!r}: is this the server's API address?"
            ) from None


def refuse(answer: Answer, secrets: tuple[str, ...]) -> NoReturn:
    """Raise the error that an answer outside 2xx stands for.

    :param answer: the answer.
    :param secrets: what was sent in confidence and must not come back in a message.
    :raises NotFound: 404.
    :raises Conflict: 409.
    :raises ServerUnavailable: 429 or 5xx except 501.
    :raises ServerRefused: any other status.
    """
    detail = _server_message(answer)
    for secret in secrets:
        detail = detail.replace(secret, "***")
    detail = _shorten(detail) or "no message"
    if answer.is_busy:
        raise ServerUnavailable(answer.method, answer.url, answer.status, detail)
    kind = {404: NotFound, 409: Conflict}.get(answer.status, ServerRefused)
    raise kind(answer.method, answer.url, answer.status, detail)


def without_secrets(url: str) -> str:
    """Drop user, password, query and fragment, each of which can be a secret."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _server_message(answer: Answer) -> str:
    """Find the server's own words: AAS ``messages``, Orion ``description``, a list of EDC ``message``, or the text."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return answer.body.decode("utf-8", "replace")
    entries = document if isinstance(document, list) else [document]
    if isinstance(document, dict) and isinstance(document.get("messages"), list):
        entries = document["messages"]
    found = [
        str(entry[key])
        for entry in entries
        if isinstance(entry, dict)
        for key in ("error", "text", "description", "message", "detail")
        if entry.get(key)
    ]
    return "; ".join(found) or answer.body.decode("utf-8", "replace")


def _shorten(text: str) -> str:
    """Put a foreign text on one line, so that it cannot forge log lines, and cut it."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 8 * LONGEST_DETAIL]).split())
    return line if len(line) <= LONGEST_DETAIL else line[: LONGEST_DETAIL - 1] + "…"


def retry_after_second(value: str | None) -> float | None:
    """Read a Retry-After header, which is a number of seconds or a date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
