"""An HTTP server on this machine that answers as the test says and remembers what it was asked."""

import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import msgspec


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])
    chunks: int = 0
    hang_up: bool = False
    """Close the connection without saying so: the client believes that it is kept."""


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int
    """The client's port: the same one means the same connection."""


class Script(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: deque[Reply] = deque()
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def reply(self, status: int, value: object = None, **details: Any) -> None:
        body = value if isinstance(value, bytes) else msgspec.json.encode(value)
        self.replies.append(Reply(status, body, **details))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        script = cast("Script", self.server)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        script.asked.append(Asked(self.command, self.path, headers, body, self.client_address[1]))
        self._answer(script.replies.popleft())

    do_POST = do_GET  # noqa: N815 - the name that the standard library looks for

    def _answer(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.chunks:
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self._write_chunks(reply.body, reply.chunks)
        else:
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
        self.close_connection = self.close_connection or reply.hang_up

    def _write_chunks(self, body: bytes, size: int) -> None:
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            self.wfile.write(b"%x;note=1\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\ntrailer: x\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        pass


@contextmanager
def scripted() -> Generator[Script]:
    with Script() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
