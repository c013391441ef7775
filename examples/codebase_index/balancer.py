"""A small TCP balancer: each connection goes to the next engine that takes it, and ends when either side ends."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress


@contextmanager
def balancer(ports: list[int]) -> Generator[int]:
    """Forward to these ports of this machine, in a thread of its own; yields the port to connect to."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    turns = itertools.cycle(ports)

    async def serve() -> asyncio.Server:
        return await asyncio.start_server(lambda r, w: forward(r, w, turns, len(ports)), "127.0.0.1", 0)

    server = asyncio.run_coroutine_threadsafe(serve(), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turns: itertools.cycle[int], tries: int
) -> None:
    for port in itertools.islice(turns, tries):
        with suppress(OSError):
            engine_reader, engine_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, engine_writer), pump(engine_reader, writer))
            return
    writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
