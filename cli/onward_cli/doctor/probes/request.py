"""An ordinary request, on a connection of its own: is an engine there at all?"""

from __future__ import annotations

import asyncio
import io
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, cast

import msgspec
from onward.dialing.faults import DialError
from onward.dialing.line import Line
from onward.dialing.way import Target

from onward_cli.doctor.evidence import Answer
from onward_cli.doctor.probes.road import PATIENCE_S, Road

ANSWER_BYTES_MAX: Final = 64 * 1024
WORDS_MAX: Final = 200


async def ask_plainly(road: Road, path: str) -> Answer:
    """Ask whoever is at the end of the way, unencrypted, whether it is an engine that lives."""
    try:
        async with asyncio.timeout(PATIENCE_S), road.through() as line:
            return await ask_health(line, road.target, path)
    except TimeoutError:
        return Answer(error=f"no answer within {PATIENCE_S} s", is_late=True)
    except (DialError, OSError) as failure:
        return Answer(error=str(failure))


async def ask_health(line: Line, target: Target, path: str) -> Answer:
    """Ask whoever is at the other end whether it is an engine that lives. Raises `OSError` if the connection ends."""
    reader = asyncio.StreamReader(limit=ANSWER_BYTES_MAX)
    line.hand_over(asyncio.StreamReaderProtocol(reader))
    lines = (f"GET {path}/healthz HTTP/1.1", f"Host: {target.name}", "User-Agent: onward", "Connection: close", "", "")
    line.transport.write("\r\n".join(lines).encode())
    return read_answer(await _all(reader))


async def _all(reader: asyncio.StreamReader) -> bytes:
    data = bytearray()
    while len(data) < ANSWER_BYTES_MAX and (more := await reader.read(ANSWER_BYTES_MAX)):
        data += more
    return bytes(data)


def read_answer(data: bytes) -> Answer:
    """Return an answer over HTTP as evidence."""
    if not data:
        return Answer(error="the connection was ended without an answer")
    response = HTTPResponse(cast("Any", _Received(data)))
    try:
        response.begin()
        body = response.read()
    except (HTTPException, ValueError):
        return Answer(error=f"it does not speak HTTP: {data[:40]!r}")
    return answer_of(response.status, response.headers, body)


def answer_of(status: int, headers: Message[str, str] | Any, body: bytes) -> Answer:
    """Return what is of interest in an answer over HTTP."""
    problem = _problem(body)
    return Answer(
        status=status,
        problem=problem.code,
        message=problem.detail or body[:WORDS_MAX].decode(errors="replace"),
        media=(headers.get("content-type") or "").partition(";")[0],
        location=(headers.get("location") or "") if 300 <= status < 400 else "",
        server=headers.get("server") or headers.get("via") or "",
    )


class _Problem(msgspec.Struct):
    """The refusal of an engine."""

    type: str = ""
    code: str = ""
    detail: str = ""


def _problem(body: bytes) -> _Problem:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError:
        return _Problem()
    return problem if problem.type.startswith("urn:onward:") else _Problem()


class _Received:
    """What `HTTPResponse` wants to read from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        """Return all of it."""
        return io.BytesIO(self._data)
