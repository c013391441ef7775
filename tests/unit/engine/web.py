"""Ask an ASGI application in the same process."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.types import ASGIApp, Message


class Answer(msgspec.Struct):
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def ask(
    app: ASGIApp,
    method: str,
    target: str,
    body: bytes | Any = b"",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send one request and return the answer."""
    path, _, query = target.partition("?")
    sent = {"host": "localhost:8484", **(headers or {})}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8484),
    }
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    requests: list[Message] = [{"type": "http.request", "body": data, "more_body": False}]
    answers: list[Message] = []

    async def receive() -> Message:
        return requests.pop(0) if requests else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answers.append(message)

    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in answers[0]["headers"]}
    return Answer(answers[0]["status"], found, b"".join(message.get("body", b"") for message in answers[1:]))
