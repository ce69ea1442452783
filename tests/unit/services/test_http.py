from __future__ import annotations

import gzip
import pickle
import socket
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from battery_pilot.errors import Conflict, InputError, NotFound, ServerError, ServerRefused, ServerUnavailable
from battery_pilot.services.answers import LONGEST_DETAIL, TooLarge, retry_after_second
from battery_pilot.services.http import HttpClient


def client(server, **options):
    return HttpClient(server.url, **{"wait_second": 0.0, "attempts": 3, **options})


def refusal(server, *, method="POST", **options):
    with pytest.raises(ServerError) as caught:
        client(server, **options).request(method, "/thing")
    return caught.value


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_reading_is_repeated_while_the_server_is_busy(server, status):
    server.will_answer(status).will_answer(status).will_answer(200, {"ok": True})
    assert client(server).get_json("/thing") == {"ok": True}
    assert len(server.asked) == 3


def test_attempts_are_bounded_and_the_last_answer_is_reported(server):
    server.will_answer(503).will_answer(503).will_answer(503, b"still closed")
    error = refusal(server, method="GET")
    assert isinstance(error, ServerUnavailable)
    assert (error.status, error.detail) == (503, "still closed")
    assert len(server.asked) == 3


def test_lost_connection_is_repeated_for_put(server):
    server.will_hang_up().will_answer(204)
    assert client(server).request("PUT", "/thing", json={"a": 1}).status == 204
    assert [asked.json for asked in server.asked] == [{"a": 1}, {"a": 1}]


def test_answer_cut_off_in_the_middle_is_repeated(server):
    server.will_answer(200, b"half", Content_Length="8").will_answer(200, b"complete")
    assert client(server).request("GET", "/thing").body == b"complete"


@pytest.mark.parametrize(
    "make_trouble", [lambda server: server.will_answer(503), lambda server: server.will_hang_up()]
)
def test_post_is_never_repeated_by_itself(server, make_trouble):
    make_trouble(server)
    assert isinstance(refusal(server), ServerUnavailable)
    assert len(server.asked) == 1


def test_post_is_repeated_when_the_caller_knows_it_to_be_harmless(server):
    server.will_answer(503).will_answer(200)
    client(server).request("POST", "/thing", json={}, idempotent=True)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ServerRefused), (401, ServerRefused), (404, NotFound), (409, Conflict), (501, ServerRefused)],
)
def test_refusal_is_not_repeated(server, status, kind):
    server.will_answer(status, b"no")
    error = refusal(server, method="GET")
    assert type(error) is kind
    assert len(server.asked) == 1


@pytest.mark.parametrize(("asked_second", "waited_second"), [("7", 7.0), ("0", 0.0), ("86400", 60.0)])
def test_retry_after_is_obeyed_within_reason(server, monkeypatch, asked_second, waited_second):
    slept = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=slept.append))
    monkeypatch.setattr("battery_pilot.services.http._hold_back", lambda not_before: None)
    server.will_answer(429, Retry_After=asked_second).will_answer(200)
    client(server, wait_second=1000).request("GET", "/thing")
    assert slept == [waited_second]


def test_retry_after_can_be_a_date():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after_second(soon) == pytest.approx(30, abs=2)
    assert retry_after_second("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert retry_after_second("when I like") is None
    assert retry_after_second(None) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": [{"code": "400", "messageType": "Error", "text": "idShort is missing"}]}, "idShort is missing"),
        (
            {"error": "BadRequest", "description": "Invalid characters in entity id"},
            "Invalid characters in entity id",
        ),
        ([{"message": "Asset a exists already", "type": "ObjectConflict", "path": None}], "Asset a exists already"),
        ({"success": False, "message": "Dataset not found"}, "Dataset not found"),
        (b"<html>Bad gateway</html>", "Bad gateway"),
        ({"unexpected": 1}, '{"unexpected": 1}'),
        (b"", "no message"),
    ],
)
def test_error_carries_the_words_of_the_server(server, body, words):
    server.will_answer(400, body)
    error = refusal(server)
    assert words in error.detail
    assert str(error).startswith(f"POST {server.url}/thing: 400: ")


def test_message_of_the_server_is_cut_and_cannot_forge_a_log_line(server):
    server.will_answer(400, b"broken\n2026-01-01 INFO all is well\x1b[2J" + b"x" * 10_000)
    detail = refusal(server).detail
    assert "\n" not in detail
    assert "\x1b" not in detail
    assert len(detail) == LONGEST_DETAIL


@pytest.mark.parametrize("secret", ["s3cret", "aWNoOnMzY3JldA==", "key-9"])
def test_secret_that_the_server_repeats_does_not_reach_the_message(server, secret):
    server.will_answer(401, f"credentials {secret} are wrong".encode())
    error = refusal(server, auth=("ich", "s3cret"), headers={"X-Api-Key": "key-9"})
    assert secret not in str(error)
    assert "credentials *** are wrong" in str(error)


def test_user_password_and_query_of_the_address_do_not_reach_message_log_or_traceback(server, caplog):
    address = server.url.replace("http://", "http://ich:s3cret@") + "/file?signature=geheim"
    server.will_hang_up().will_hang_up()
    with pytest.raises(ServerUnavailable) as caught:
        HttpClient(address, wait_second=0, attempts=2).request("GET")
    printed = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "attempt 1" in caplog.text
    assert "s3cret" not in printed
    assert "geheim" not in printed
    assert caught.value.url == f"{server.url}/file"
    assert server.asked[0].path == "/file?signature=geheim"
    assert server.asked[0].headers["Authorization"].startswith("Basic ")


def test_token_is_not_replaced_by_a_login_from_netrc(server, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ich password s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.will_answer(200)
    client(server, headers={"Authorization": "token-1"}).request("GET", "/thing")
    assert server.asked[0].headers["Authorization"] == "token-1"


def test_redirect_within_the_server_is_followed_for_reading(server):
    server.will_answer(307, Location="/moved?page=2").will_answer(200, [1])
    assert client(server).get_json("/thing") == [1]
    assert server.lines == ["GET /thing", "GET /moved?page=2"]


@pytest.mark.parametrize(
    "target", ["http://elsewhere.invalid/thing", "https://127.0.0.1/thing", "//elsewhere.invalid/"]
)
def test_redirect_to_another_server_is_refused(server, target):
    server.will_answer(302, Location=target)
    error = refusal(server, method="GET", headers={"Authorization": "token-1"})
    assert isinstance(error, ServerRefused)
    assert "redirected to" in error.detail
    assert len(server.asked) == 1


def test_redirect_of_a_write_is_refused_instead_of_turning_into_a_read(server):
    server.will_answer(301, Location="/other")
    assert "redirected to" in refusal(server, method="PUT").detail
    assert len(server.asked) == 1


def test_endless_redirects_end(server):
    for _ in range(10):
        server.will_answer(302, Location="/again")
    assert "redirects" in refusal(server, method="GET").detail


def test_answer_that_declares_too_much_is_refused(server):
    server.will_answer(200, b"x" * 101)
    with pytest.raises(TooLarge, match="100 bytes"):
        client(server).request("GET", "/thing", maximum_bytes=100)


def test_answer_as_long_as_allowed_is_accepted(server):
    server.will_answer(200, b"x" * 100)
    assert len(client(server).request("GET", "/thing", maximum_bytes=100).body) == 100


def test_compressed_answer_counts_with_its_full_length(server):
    server.will_answer(200, gzip.compress(b"0" * 1_000_000), Content_Encoding="gzip")
    with pytest.raises(TooLarge):
        client(server).request("GET", "/thing", maximum_bytes=100_000)


def test_answer_that_is_not_json_says_so(server):
    server.will_answer(200, b"<html>Please log in</html>")
    with pytest.raises(ServerRefused, match="expected JSON, got '<html>Please log in"):
        client(server).get_json("/thing")


def test_nan_is_refused_before_anything_is_sent(server):
    with pytest.raises(InputError, match="JSON"):
        client(server).request("PUT", "/thing", json={"soh": float("nan")})
    assert server.asked == []


def test_silent_server_is_given_up_after_the_time_out():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = HttpClient(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_second=0.05, attempts=1)
        with pytest.raises(ServerUnavailable, match="silent for 0.05 s"):
            mute.request("GET", "/thing")


def test_refused_connection_names_its_cause():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ServerUnavailable, match="no answer: connection failed: Connection refused"):
        HttpClient(f"http://127.0.0.1:{port}", attempts=1).request("GET", "/thing")


@pytest.mark.parametrize("address", ["ftp://host/x", "host:80", "", "file:///etc/passwd"])
def test_address_that_is_not_http_is_refused(address):
    with pytest.raises(InputError, match="http"):
        HttpClient(address)


def test_threads_share_a_client(server):
    for _ in range(40):
        server.will_answer(200, {"ok": True})
    shared = client(server)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: shared.get_json("/thing")["ok"], range(40)))
    assert len(server.asked) == 40


def test_too_large_survives_a_process_border():
    error = pickle.loads(pickle.dumps(TooLarge("GET", "http://host/x", 200, "too long")))
    assert isinstance(error, TooLarge)
    assert error.detail == "too long"


def test_what_a_busy_server_asks_of_one_thread_holds_the_others_back_too(server):
    server.will_answer(503, Retry_After="1").will_answer(200).will_answer(200)
    client = HttpClient(server.url, wait_second=0)
    start = time.monotonic()
    first = threading.Thread(target=client.request, args=("GET", "/busy"))
    first.start()
    while not server.asked:
        time.sleep(0.005)
    time.sleep(0.1)
    client.request("GET", "/other")
    assert time.monotonic() - start >= 0.95
    first.join()


def test_the_proxy_that_the_environment_names_is_asked_unless_it_excludes_the_server(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.will_answer(200, {"ok": True})
    assert HttpClient("http://far.invalid", attempts=1).get_json("/thing") == {"ok": True}
    monkeypatch.setenv("no_proxy", "far.invalid")
    with pytest.raises(ServerUnavailable):
        HttpClient("http://far.invalid", attempts=1).get_json("/thing")
