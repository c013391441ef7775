"""A connection in memory: two lanes, two ends, and how it opens and breaks."""

import asyncio
import contextvars
import errno
import random
from collections.abc import Callable

from tests.support.lane import Item, Lane, Signal
from tests.support.link import Direction, Link
from tests.support.listener import Listener
from tests.support.loop import VirtualLoop
from tests.support.transport import Address, VirtualSocket, VirtualTransport, reset_error


class Connection:
    """One connection from a client to whoever listens at the server's address when its first packet arrives."""

    def __init__(
        self,
        *,
        loop: VirtualLoop,
        rng: random.Random,
        links: tuple[Link, ...],
        client: Address,
        server: Address,
        find: Callable[[], Listener | None],
        record: Callable[[Direction, Item], None],
        window_bytes: int,
    ) -> None:
        self.server = server
        self._links, self._find = links, find
        self._opened: asyncio.Future[None] = loop.create_future()
        self._up = Lane(loop, rng, links[0], Direction.TO_SERVER, self.reset, record)
        self._down = Lane(loop, rng, links[0], Direction.TO_CLIENT, self.reset, record)
        self.client_socket, server_socket = VirtualSocket(client, server), VirtualSocket(server, client)
        self._client = VirtualTransport(loop, self._up, self._down, self.client_socket, self._at_client, window_bytes)
        self._server = VirtualTransport(loop, self._down, self._up, server_socket, self._at_server, window_bytes)
        self._up.join(self._client, self._server)
        self._down.join(self._server, self._client)
        self._ends_open = 2
        for end in (self._client, self._server):
            end.on_end.append(self._forget_when_over)
        for link in links:
            link.connections.append(self)

    async def open(self) -> None:
        """Shake hands: a round trip. Raises ConnectionRefusedError when nobody listens."""
        self._down.context = contextvars.copy_context()
        self._up.send(Signal.OPEN)
        await self._opened

    def give_up(self) -> None:
        """Stop waiting for the handshake, if it has not ended."""
        self._fail(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))

    def abandon(self) -> None:
        """Close the client's end before it had a protocol."""
        self._up.send(Signal.RESET)
        self._client.lose(None)

    def reset(self) -> None:
        """Break it for both ends at once."""
        self._up.close()
        self._down.close()
        for end in (self._client, self._server):
            end.lose(reset_error())
        self._fail(reset_error())

    def break_for_client(self) -> None:
        """Break it for the client alone: the server hears nothing more, not even an end."""
        self._up.close()
        self._down.close()
        self._client.lose(reset_error())
        self._fail(reset_error())

    def hang_up(self) -> None:
        """Break it for the client, as the end of its process does: what it has written still arrives."""
        self._client.abort()
        self._fail(reset_error())

    def under_way(self, direction: Direction) -> int:
        """Return how many bytes were written and not read."""
        return (self._up if direction is Direction.TO_SERVER else self._down).unread

    def wake(self) -> None:
        """Go on after a repair; with bytes missing in the middle it can only be reset."""
        if self._up.lossy or self._down.lossy:
            self.reset()
        self._up.wake()
        self._down.wake()

    def _at_server(self, signal: Signal) -> None:
        assert signal is Signal.OPEN
        listener = self._find()
        if listener is None:
            self._down.send(Signal.REFUSED)
            self._server.lose(None)
        else:
            self._down.send(Signal.OPENED)
            self._up.context = listener.accept(self._server)

    def _at_client(self, signal: Signal) -> None:
        if signal is Signal.REFUSED:
            self._fail(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"))
        elif signal is Signal.OPENED and not self._opened.done():
            self._opened.set_result(None)

    def _fail(self, error: OSError) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)

    def _forget_when_over(self) -> None:
        self._ends_open -= 1
        if not self._ends_open:
            for link in self._links:
                link.connections.remove(self)
