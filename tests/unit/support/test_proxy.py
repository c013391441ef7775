"""The fault proxy does to real sockets what its names say."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.support.link import Direction
from tests.support.proxy import HOST, Proxy, Streams

TO_SERVER, TO_CLIENT = Direction.TO_SERVER, Direction.TO_CLIENT


@asynccontextmanager
async def echoing() -> AsyncGenerator[tuple[Proxy, list[bytes]]]:
    """A proxy before a server that says everything back, and what that server has heard."""
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                heard.append(data)
                writer.write(data)
        except OSError:
            heard.append(b"reset")
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy, asyncio.timeout(10):
        yield proxy, heard


async def connect(proxy: Proxy) -> Streams:
    reader, writer = await asyncio.open_connection(HOST, proxy.port)
    writer.write(b"first")
    assert await reader.read(1000) == b"first"
    return reader, writer


async def test_without_a_fault_bytes_pass_and_so_does_the_end() -> None:
    async with echoing() as (proxy, _):
        reader, writer = await connect(proxy)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        writer.close()


async def test_a_reset_breaks_both_ends() -> None:
    async with echoing() as (proxy, heard):
        reader, _ = await connect(proxy)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        while heard[-1] != b"reset":  # noqa: ASYNC110 - it arrives in a moment
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("way", [TO_SERVER, TO_CLIENT])
async def test_a_black_hole_swallows_one_direction_and_breaks_when_it_is_repaired(way: Direction) -> None:
    async with echoing() as (proxy, heard):
        reader, writer = await connect(proxy)
        proxy.black_hole(way)
        writer.write(b"lost")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read(1000)
        assert (b"lost" in heard) is (way is TO_CLIENT)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_what_a_stall_holds_back_arrives_when_it_is_over() -> None:
    async with echoing() as (proxy, _):
        reader, writer = await connect(proxy)
        proxy.stall()
        writer.write(b"late")
        await asyncio.sleep(0.02)
        proxy.heal()
        assert await reader.read(1000) == b"late"
        writer.close()


async def test_a_cut_lets_exactly_so_many_bytes_pass() -> None:
    async with echoing() as (proxy, heard):
        reader, writer = await connect(proxy)
        proxy.cut(3, TO_SERVER)
        writer.write(b"abcdef")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(6)
        while heard[-1] != b"reset":  # noqa: ASYNC110 - it arrives in a moment
            await asyncio.sleep(0.001)
        assert b"".join(heard[1:-1]) in (b"", b"abc")  # a RST may overtake what was written before it


async def test_a_delay_makes_everything_late() -> None:
    async with echoing() as (proxy, _):
        reader, writer = await connect(proxy)
        proxy.delay(0.05)
        began_s = asyncio.get_running_loop().time()
        writer.write(b"slow")
        await reader.readexactly(4)
        assert asyncio.get_running_loop().time() - began_s >= 0.1
        writer.close()


async def test_a_new_connection_goes_to_a_target_that_lives() -> None:
    async with echoing() as (proxy, _):
        dead = await asyncio.start_server(lambda _reader, writer: writer.close(), HOST, 0)
        proxy.targets.append(dead.sockets[0].getsockname()[1])
        dead.close()
        await dead.wait_closed()
        for _ in range(4):
            _, writer = await connect(proxy)
            writer.close()
