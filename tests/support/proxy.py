"""A TCP proxy on loopback that misbehaves on demand: between a worker and its engine, or an engine and its database.

Faults have the names and the meaning of those on the virtual network (`tests.support.link`), on real sockets: `reset`,
`black_hole`, `stall`, `delay`, `cut` behind any byte, `refuse`, until `heal`. With several targets it is a balancer: a
new connection goes to the next one that takes it.

    async with Proxy(8484) as proxy: ...          # on this loop
    with InBackground(Proxy(8484)) as proxy: ...  # on a thread; call `proxy.do(Proxy.reset)`
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Callable
from threading import Thread
from typing import Any, Self

from tests.support.link import Cut, Direction

CHUNK_BYTES = 64 * 1024
HOST = "127.0.0.1"
AT_ONCE = struct.pack("ii", 1, 0)
"""Linger for no time: closing sends a RST, and drops what is still to be sent."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Carried:
    """One connection through the proxy."""

    def __init__(self, client: Streams, server: Streams) -> None:
        self.is_lossy = False
        self._writers = (client[1], server[1])

    def reset(self) -> None:
        """Break it for both ends at once, with a RST."""
        for writer in self._writers:
            opened: socket.socket | None = writer.get_extra_info("socket")
            if opened is not None and not writer.is_closing():
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            writer.transport.abort()


class Proxy:
    """Carries connections to `targets`, which are ports of this machine."""

    def __init__(self, *targets: int, port: int = 0) -> None:
        self.port = port
        self.targets = list(targets)
        self.connections: dict[Carried, None] = {}
        self.dialled = 0
        self._turn = itertools.count()
        self._delay_s = 0.0
        self._is_refusing = False
        self._vanishing: frozenset[Direction] = frozenset()
        self._flowing = {way: asyncio.Event() for way in Direction}
        self._cuts: list[Cut] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The address for workers and clients."""
        return f"http://{HOST}:{self.port}"

    # -- faults ----------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Break all connections with a RST."""
        for connection in list(self.connections):
            connection.reset()

    def refuse(self) -> None:
        """Take no new connections: they are reset at once."""
        self._is_refusing = True

    def black_hole(self, *ways: Direction) -> None:
        """Let bytes vanish, both ways unless told; after `heal` a connection that lost any is reset."""
        self._vanishing = frozenset(ways or Direction)

    def stall(self, *ways: Direction) -> None:
        """Hold bytes back, both ways unless told; after `heal` they arrive."""
        for way in ways or Direction:
            self._flowing[way].clear()

    def delay(self, seconds: float) -> None:
        """Let everything arrive so much later."""
        self._delay_s = seconds

    def cut(self, after_bytes: int, way: Direction) -> None:
        """Reset a connection as soon as so many more bytes of one direction have passed, at exactly that byte."""
        self._cuts.append(Cut(after_bytes, way))

    def heal(self) -> None:
        """End all faults."""
        self._delay_s, self._is_refusing, self._vanishing = 0.0, False, frozenset()
        self._cuts.clear()
        for flowing in self._flowing.values():
            flowing.set()
        for connection in list(self.connections):
            if connection.is_lossy:
                connection.reset()

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; `port` is known afterwards."""
        self.heal()
        self._server = await asyncio.start_server(self._take, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End everything."""
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything."""
        await self.stop()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry((reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, client: Streams) -> None:
        self.dialled += 1
        server = None if self._is_refusing else await self._dial()
        if server is None:
            client[1].transport.abort()
            return
        connection = Carried(client, server)
        self.connections[connection] = None
        try:
            await asyncio.gather(
                self._pump(connection, client[0], server[1], Direction.TO_SERVER),
                self._pump(connection, server[0], client[1], Direction.TO_CLIENT),
            )
        except OSError:
            connection.reset()
        finally:
            del self.connections[connection]
            for writer in (client[1], server[1]):
                writer.close()

    async def _dial(self) -> Streams | None:
        first = next(self._turn)
        for number in range(len(self.targets)):
            with contextlib.suppress(OSError):
                target = self.targets[(first + number) % len(self.targets)]
                return await asyncio.open_connection(HOST, target)
        return None

    async def _pump(
        self, connection: Carried, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._flowing[way].wait()
            if way in self._vanishing:
                connection.is_lossy = True
            elif self._passes(data, writer, way):
                await writer.drain()
            else:
                await asyncio.sleep(0)
                connection.reset()
                return
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    def _passes(self, data: bytes, writer: asyncio.StreamWriter, way: Direction) -> bool:
        """Write as much as comes before a cut; return whether that was all."""
        cuts = [cut for cut in self._cuts if cut.watches(way)]
        count = min([len(data), *(cut.bytes_left for cut in cuts)])
        writer.write(data[:count])
        for cut in cuts:
            cut.bytes_left -= count
        self._cuts = [cut for cut in self._cuts if cut.bytes_left > 0]
        return all(cut.bytes_left > 0 for cut in cuts)


class InBackground:
    """A proxy on a thread of its own, for tests that are no coroutines."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)

    @property
    def url(self) -> str:
        """See `Proxy`."""
        return self._proxy.url

    def do(self, fault: Callable[..., object], *args: Any) -> None:
        """Call a method of the proxy on its thread, and return when that is done."""

        async def call() -> None:
            fault(self._proxy, *args)

        asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def __enter__(self) -> Self:
        """Listen."""
        self._loop.run_until_complete(self._proxy.start())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        asyncio.run_coroutine_threadsafe(self._proxy.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
