"""Connections of which the engine does not know what they want."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from onward_engine import Engine, Settings, heads

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: engine\r\n\r\n"
HALF = b"GET /healthz HTTP/1.1\r\nhost: "


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_S", 0.2)


@asynccontextmanager
async def stranger(folder: Path) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to an engine."""
    async with asyncio.timeout(10), Engine(Settings(port=0, folder=folder)) as engine:
        reader, writer = await asyncio.open_connection("127.0.0.1", engine.port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def ends(reader: asyncio.StreamReader) -> bool:
    """Return when the engine has ended the connection: whether without a word."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("said", [b"", b"POST", HALF])
async def test_who_does_not_say_what_it_wants_is_cut_off(said: bytes, tmp_path: Path) -> None:
    async with stranger(tmp_path) as (reader, writer):
        writer.write(said)
        assert await ends(reader)


async def test_a_second_request_has_no_more_time_than_the_first(tmp_path: Path) -> None:
    async with stranger(tmp_path) as (reader, writer):
        writer.write(HEALTH)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.write(HALF)
        await ends(reader)


async def test_a_connection_that_was_understood_stays(tmp_path: Path) -> None:
    async with stranger(tmp_path) as (reader, writer):
        writer.write(HEALTH)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readuntil(b"never"), 0.5)
        writer.write(HEALTH)
        assert b"HTTP/1.1 200" in await reader.readuntil(b"\r\n\r\n")
