"""The errors of Battery Pilot.

Two markers decide what an orchestrator does with an error: :class:`TransientError` may go away by itself and is
retried; :class:`TerminalError` will not and fails at once. Every concrete error carries exactly one of them.
A message names the thing, the place in it, what was expected and the remedy.
"""

from __future__ import annotations


class BatteryPilotError(Exception):
    """Base of every error that Battery Pilot raises on purpose."""


class TransientError(BatteryPilotError):
    """May succeed when tried again: a time-out, an overloaded server, a lost connection."""


class TerminalError(BatteryPilotError):
    """Will not succeed when tried again: bad input, a refusal, a broken promise."""


class InputError(TerminalError):
    """What a user or a configuration handed in cannot be used."""


class MeasurementError(InputError):
    """A measurement file cannot be read.

    :param path: the file.
    :param place: where in the file ("line 12", "byte 80", "header").
    :param problem: what was found and what was expected there.
    """

    def __init__(self, path: object, place: str, problem: str) -> None:
        self.path = str(path)
        self.place = place
        self.problem = problem
        super().__init__(f"{path}: {place}: {problem}")

    def __reduce__(self) -> tuple[type[MeasurementError], tuple[str, str, str]]:
        """Survive pickling between processes, which calls the class with its constructor's arguments."""
        return type(self), (self.path, self.place, self.problem)


class AnalysisError(TerminalError):
    """Data were read but do not support the calculation that was asked for."""


class PassportError(TerminalError):
    """A passport cannot be built, read or trusted."""


class ServerError(BatteryPilotError):
    """A server refused a request or did not answer.

    :param method: HTTP method.
    :param url: address without credentials or query secrets.
    :param status: HTTP status, or ``None`` when no answer came.
    :param detail: the server's own words, shortened.
    """

    def __init__(self, method: str, url: str, status: int | None, detail: str) -> None:
        self.method = method
        self.url = url
        self.status = status
        self.detail = detail
        answer = "no answer" if status is None else str(status)
        super().__init__(f"{method} {url}: {answer}: {detail}")

    def __reduce__(self) -> tuple[type[ServerError], tuple[str, str, int | None, str]]:
        """Survive pickling between processes, which calls the class with its constructor's arguments."""
        return type(self), (self.method, self.url, self.status, self.detail)


class ServerUnavailable(ServerError, TransientError):
    """Time-out, lost connection, 429 or 5xx."""


class ServerRefused(ServerError, TerminalError):
    """A 4xx answer: the request itself is wrong or not allowed."""


class NotFound(ServerRefused):
    """404: the thing does not exist on the server."""


class Conflict(ServerRefused):
    """409: the thing exists already."""


class NegotiationFailed(TerminalError):
    """A counterparty ended a contract negotiation or a transfer; the message carries its reason."""
