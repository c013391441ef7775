"""What `create_server` returns: accepts connections in memory."""

import asyncio
import contextvars
import functools
from collections.abc import Callable

from tests.support.transport import Address, VirtualSocket, VirtualTransport


class Listener(asyncio.AbstractServer):
    """A server as asyncio has it; closing it leaves accepted connections open."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        where: Address,
        on_close: Callable[[], object],
    ) -> None:
        self._loop, self._protocol_factory, self._on_close = loop, protocol_factory, on_close
        self._context = contextvars.copy_context()  # as asyncio: protocols run in the context that made the server
        self._serving, self._closed = False, False
        self._sockets = (VirtualSocket(where),)
        self._accepted: dict[VirtualTransport, None] = {}  # ordered: a set of objects would iterate by address
        self._over: asyncio.Future[None] = loop.create_future()

    @property
    def sockets(self) -> tuple[VirtualSocket, ...]:
        """Return the listening socket; none after `close`."""
        return () if self._closed else self._sockets

    def accept(self, transport: VirtualTransport) -> contextvars.Context:
        """Start a connection; return the context in which its bytes are to be delivered."""
        context = self._context.copy()
        self._accepted[transport] = None
        transport.on_end.append(functools.partial(self._ended, transport))
        context.run(lambda: transport.begin(self._protocol_factory()))
        return context

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop."""
        return self._loop

    def is_serving(self) -> bool:
        """Say whether connections are accepted."""
        return self._serving

    async def start_serving(self) -> None:
        """Accept connections from now on."""
        self._serving = not self._closed

    async def serve_forever(self) -> None:
        """Accept connections until cancelled, then close."""
        await self.start_serving()
        try:
            await self._loop.create_future()
        finally:
            self.close()

    def close(self) -> None:
        """Stop accepting; may be called twice."""
        if not self._closed:
            self._closed, self._serving = True, False
            self._on_close()
            self._check_over()

    def close_clients(self) -> None:
        """Close accepted connections."""
        for transport in list(self._accepted):
            transport.close()

    def abort_clients(self) -> None:
        """Break accepted connections."""
        for transport in list(self._accepted):
            transport.abort()

    async def wait_closed(self) -> None:
        """Return when it is closed and its connections have ended (as asyncio does since Python 3.12)."""
        await asyncio.shield(self._over)

    def _ended(self, transport: VirtualTransport) -> None:
        del self._accepted[transport]
        self._check_over()

    def _check_over(self) -> None:
        if self._closed and not self._accepted and not self._over.done():
            self._over.set_result(None)
