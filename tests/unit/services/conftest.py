"""A real HTTP server on a free port that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class ScriptedServer:
    """Answers one request after the other as told; a request too many gets 418."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    script: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)

    def will_answer(self, status: int, body: Any = b"", **headers: str) -> ScriptedServer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.script.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, data))
        return self

    def will_hang_up(self) -> ScriptedServer:
        self.script.append((0, {}, b""))
        return self

    @property
    def lines(self) -> list[str]:
        return [asked.line for asked in self.asked]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                scripted.asked.append(Asked(self.command, self.path, dict(self.headers), body))
                status, headers, data = scripted.script.pop(0) if scripted.script else (418, {}, b"not in the script")
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

        def log_message(self, *_: object) -> None:
            """Keep the test output clean."""

    class Server(ThreadingHTTPServer):
        # With the usual backlog of 5, a crowd of threads waits a second for its second SYN.
        request_queue_size = 64

    httpd = Server(("127.0.0.1", 0), Handler)
    scripted.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield scripted
    httpd.shutdown()
    httpd.server_close()
    thread.join()
