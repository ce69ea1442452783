"""One way of talking HTTP to a server: bounded, patient where that is harmless, and clear about what went wrong."""

from __future__ import annotations

import base64
import json as jsonlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import requests
from tenacity import Future, RetryCallState, Retrying, stop_after_attempt
from tenacity.retry import retry_if_exception_type, retry_if_result
from tenacity.wait import wait_random_exponential

from battery_pilot.errors import InputError, ServerError, ServerRefused, ServerUnavailable
from battery_pilot.services.answers import Answer, TooLarge, refuse, retry_after_second, without_secrets
from battery_pilot.services.file_form import FileForm

log = logging.getLogger(__name__)

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
SECRET_HEADERS = frozenset({"authorization", "x-api-key"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
DEFAULT_MAXIMUM_BYTES = 64 * 2**20
LONGEST_RETRY_AFTER_SECOND = 60.0
LONGEST_ANSWER_SECOND = 600.0
MAXIMUM_REDIRECTS = 5
CHUNK_BYTES = 64 * 2**10

Params = Mapping[str, str | int]
Files = Mapping[str, tuple[str, bytes, str]]
Data = bytes | Mapping[str, str | list[str]] | FileForm


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    headers: dict[str, str]
    params: Params | None
    data: Data | None
    files: Files | None
    maximum_bytes: int
    secrets: tuple[str, ...] = field(repr=False)


@dataclass
class Progress:
    """How far an answer has come that may be read in several goes.

    :param received: bytes so far.
    :param etag: what the content must still be to go on from there (RFC 9110, section 13.1.5); ``None`` when the server
        serves no ranges of it.
    """

    received: int = 0
    etag: str | None = None

    def headers(self) -> dict[str, str]:
        """Return what asks for the rest."""
        if not self.received:
            return {}
        return {"Range": f"bytes={self.received}-"} | ({"If-Range": self.etag} if self.etag else {})

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Look at an answer's head, and tell whether it goes on where the last one ended."""
        if self.received:
            return status == 206 and headers.get("Content-Range", "").startswith(f"bytes {self.received}-")
        etag = headers.get("ETag", "")
        is_ranged = headers.get("Accept-Ranges") == "bytes" and etag.startswith('"')
        self.etag = etag if is_ranged else None
        return True


class HttpClient:
    """A client of one server. Threads may share it: each gets a session, and so connections, of its own.

    A request is repeated after 429, 5xx, a time-out or a lost connection, but only when repeating is harmless:
    for the idempotent methods and where the caller says so. A redirect is followed for reading and only to the same
    scheme, host and port, because credentials travel with it.

    :param base_url: where the API starts; a user name and password in it become ``auth`` and leave the address.
    :param auth: user name and password for HTTP Basic.
    :param headers: headers of every request, such as ``x-api-key``.
    :param timeout_second: longest silence of the server, while connecting and while reading.
    :param attempts: how often a harmless request is tried in all.
    :param wait_second: expected wait before the second attempt; it doubles and is jittered.
    :raises InputError: the address is not an http or https URL.
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
        self.base_url, url_auth = _split_credentials(base_url)
        self._auth = auth or url_auth
        self._headers = dict(headers or {})
        self._timeout_second = timeout_second
        self._attempts = attempts
        self._backoff = wait_random_exponential(multiplier=wait_second, max=30)
        self._local = threading.local()
        self._not_before = 0.0

    def request(
        self,
        method: str,
        path: str = "",
        *,
        params: Params | None = None,
        json: Any = None,
        data: Data | None = None,
        files: Files | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool | None = None,
        maximum_bytes: int = DEFAULT_MAXIMUM_BYTES,
    ) -> Answer:
        """Send one request and return the answer, whose status is 2xx.

        :param method: HTTP method in capitals.
        :param path: what follows the base address, percent-encoded; empty means the base address itself.
        :param params: query parameters.
        :param json: body to send as JSON.
        :param data: body to send as it is, the text fields of a form, or a form with a file that is streamed.
        :param files: file parts of a form: field name -> file name, content, content type.
        :param headers: additional headers.
        :param idempotent: whether repeating is harmless; by default what the method promises.
        :param maximum_bytes: longest answer to accept, after decompression.
        :raises NotFound: 404.
        :raises Conflict: 409.
        :raises TooLarge: the answer is longer than ``maximum_bytes``.
        :raises ServerRefused: any other answer that repeating will not change.
        :raises ServerUnavailable: no answer, 429 or 5xx, after the last attempt.
        :raises InputError: the body cannot be written as JSON, for example because of a NaN.
        """
        sent_headers = {**self._headers, **(headers or {})}
        if json is not None:
            data = _to_json(json)
            sent_headers.setdefault("Content-Type", "application/json")
        elif isinstance(data, FileForm):
            sent_headers["Content-Type"] = data.content_type
        request = _Request(
            method=method,
            url=self.base_url.rstrip("/") + path if path else self.base_url,
            headers=sent_headers,
            params=params,
            data=data,
            files=files,
            maximum_bytes=maximum_bytes,
            secrets=self._secrets(sent_headers),
        )
        repeatable = method in IDEMPOTENT_METHODS if idempotent is None else idempotent
        retrying = Retrying(
            stop=stop_after_attempt(self._attempts if repeatable else 1),
            wait=self._wait,
            retry=retry_if_exception_type(ServerUnavailable) | retry_if_result(lambda answer: answer.is_busy),
            before_sleep=_log_retry,
            retry_error_callback=_last_outcome,
        )
        answer: Answer = retrying(self._once, request)
        if not 200 <= answer.status < 300:
            refuse(answer, request.secrets)
        return answer

    def get_json(self, path: str = "", *, params: Params | None = None) -> Any:
        """Read a JSON document; errors as for :meth:`request`."""
        return self.request("GET", path, params=params, headers={"Accept": "application/json"}).json()

    def _once(self, request: _Request) -> Answer:
        """Send a request once, and not while the server wants to be left alone."""
        _hold_back(self._not_before)
        log_url = without_secrets(request.url)
        with self._opened(request) as response:
            body = _read(response, request, log_url)
            return Answer(request.method, log_url, response.status_code, response.headers, body)

    def stream(self, path: str = "", *, maximum_bytes: int, progress: Progress) -> Iterator[bytes]:
        """Read an answer piece by piece and never as a whole; one attempt, from where an earlier one broke off.

        :param path: as in :meth:`request`.
        :param maximum_bytes: longest answer to accept, with what came before.
        :param progress: how far earlier attempts came; goes on as the pieces come.
        :raises ServerUnavailable: the answer broke off, or the server is busy.
        :raises ServerRefused: the server refuses, or has begun before and does not go on from there.
        """
        headers = {**self._headers, "Accept-Encoding": "identity", **progress.headers()}
        url = self.base_url.rstrip("/") + path if path else self.base_url
        request = _Request("GET", url, headers, None, None, None, maximum_bytes, self._secrets(headers))
        log_url = without_secrets(url)
        with self._opened(request) as response:
            status = response.status_code
            if not 200 <= status < 300:
                answer = Answer("GET", log_url, status, response.headers, _read(response, request, log_url))
                refuse(answer, request.secrets)
            if not progress.begin(status, response.headers):
                detail = f"broke off after {progress.received} bytes, and the server does not go on from there"
                raise ServerRefused("GET", log_url, status, detail)
            for chunk in response.iter_content(CHUNK_BYTES):
                progress.received += len(chunk)
                if progress.received > maximum_bytes:
                    raise _too_large(request, status, log_url)
                yield chunk

    @contextmanager
    def _opened(self, request: _Request) -> Iterator[requests.Response]:
        """Send a request, following redirects within the server, and close the answer afterwards."""
        url, params = request.url, request.params
        log_url = without_secrets(url)
        try:
            for _ in range(MAXIMUM_REDIRECTS + 1):
                with self._session().request(
                    request.method,
                    url,
                    params=params,
                    data=request.data,
                    files=request.files,
                    headers=request.headers,
                    timeout=self._timeout_second,
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    if response.status_code not in REDIRECTS or "Location" not in response.headers:
                        yield response
                        return
                    url, params = _redirected(request.method, response), None
        except requests.RequestException as error:
            # "from None": the text of the original carries the query of the address, and that may be a signature.
            raise self._transport_error(error, request.method, log_url) from None
        raise ServerRefused(request.method, log_url, None, f"more than {MAXIMUM_REDIRECTS} redirects")

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            # Once and not for each request: proxies and certificates that the environment names.
            found = session.merge_environment_settings(self.base_url, {}, None, None, None)
            session.proxies, session.verify, session.trust_env = found["proxies"], found["verify"], False
            # Without any auth, requests would take one from ~/.netrc and overwrite a token header with it.
            session.auth = self._auth or (lambda prepared: prepared)
        return session

    def _secrets(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        secrets = [value for name, value in headers.items() if name.lower() in SECRET_HEADERS]
        secrets += [value.partition(" ")[2] for value in secrets]
        if self._auth:
            user, password = self._auth
            secrets += [password, base64.b64encode(f"{user}:{password}".encode()).decode()]
        return tuple(sorted(filter(None, secrets), key=len, reverse=True))

    def _wait(self, state: RetryCallState) -> float:
        """Wait as long as the server asks for, within reason, else a jittered and growing time.

        What it asks one thread it means for all: the others hold their next request back too.
        """
        outcome = state.outcome
        if outcome is not None and not outcome.failed:
            asked = retry_after_second(outcome.result().headers.get("Retry-After"))
            if asked is not None:
                seconds = min(asked, LONGEST_RETRY_AFTER_SECOND)
                self._not_before = max(self._not_before, time.monotonic() + seconds)
                return seconds
        return self._backoff(state)

    def _transport_error(self, error: requests.RequestException, method: str, url: str) -> ServerError:
        if isinstance(error, requests.exceptions.SSLError):
            return ServerRefused(method, url, None, "the TLS certificate or handshake failed: check the certificate")
        if isinstance(error, requests.Timeout):
            return ServerUnavailable(method, url, None, f"silent for {self._timeout_second:g} s")
        if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
            return ServerUnavailable(method, url, None, f"connection failed: {_root_cause(error)}")
        return ServerRefused(method, url, None, f"the request cannot be sent or its answer decoded: {_kind(error)}")


def _hold_back(not_before: float) -> None:
    wait_second = not_before - time.monotonic()
    if wait_second > 0:  # even a sleep of nothing gives the processor away
        time.sleep(wait_second)


def _split_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InputError(f"{without_secrets(url)!r} is not an http or https address")
    host = parts.netloc.rpartition("@")[2]
    auth = None
    if parts.username is not None:
        auth = (unquote(parts.username), unquote(parts.password or ""))
    return urlunsplit(parts._replace(netloc=host)), auth


def _to_json(value: Any) -> bytes:
    try:
        return jsonlib.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"this body cannot be sent as JSON: {error}") from error


def _redirected(method: str, response: requests.Response) -> str:
    """Return where a redirect leads, if it may be followed."""
    target = urljoin(response.url, response.headers["Location"])
    old, new = urlsplit(response.url), urlsplit(target)
    log_url, log_target = without_secrets(response.url), without_secrets(target)
    if method not in {"GET", "HEAD"} or (old.scheme, old.netloc) != (new.scheme, new.netloc):
        raise ServerRefused(
            method,
            log_url,
            response.status_code,
            f"redirected to {log_target}: configure that address if it is right",
        )
    return target


def _read(response: requests.Response, request: _Request, log_url: str) -> bytes:
    """Read a body up to the accepted length and within the accepted time, which a dripping server would exceed."""
    # A refusal may need more words than the document that was asked for.
    limit = request.maximum_bytes if response.status_code < 300 else max(request.maximum_bytes, CHUNK_BYTES)
    declared = response.headers.get("Content-Length", "")
    if request.method != "HEAD" and declared.isdigit() and int(declared) > limit:
        raise _too_large(request, response.status_code, log_url)
    end = time.monotonic() + LONGEST_ANSWER_SECOND
    body = bytearray()
    for chunk in response.iter_content(CHUNK_BYTES):
        body += chunk
        if len(body) > limit:
            raise _too_large(request, response.status_code, log_url)
        if time.monotonic() > end:
            raise ServerUnavailable(
                request.method,
                log_url,
                response.status_code,
                f"answer not complete after {LONGEST_ANSWER_SECOND:g} s",
            )
    return bytes(body)


def _too_large(request: _Request, status: int, log_url: str) -> TooLarge:
    detail = f"the answer is longer than the {request.maximum_bytes} bytes that are accepted"
    return TooLarge(request.method, log_url, status, detail)


def _root_cause(error: BaseException) -> str:
    """Name the deepest cause the operating system knows, such as "Connection refused"."""
    cause: BaseException | None = error
    words = ""
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            words = cause.strerror
        cause = cause.__cause__ or cause.__context__
    return words or _kind(error)


def _kind(error: BaseException) -> str:
    return type(error).__name__


def _log_retry(state: RetryCallState) -> None:
    outcome = cast("Future", state.outcome)
    request: _Request = state.args[0]
    error = outcome.exception()
    log.warning(
        "%s %s: attempt %d: %s; again in %.1f s",
        request.method,
        without_secrets(request.url),
        state.attempt_number,
        outcome.result().status if error is None else getattr(error, "detail", error),
        state.upcoming_sleep,
    )


def _last_outcome(state: RetryCallState) -> Answer:
    """Hand out the last answer, or raise the last error, once the attempts are used up."""
    answer: Answer = cast("Future", state.outcome).result()
    return answer
