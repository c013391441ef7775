"""Serve an ASGI app on the virtual network with the real uvicorn."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, MutableSet
from typing import Any, TypeVar, cast

import uvicorn

T = TypeVar("T")


class InOrder(MutableSet[T]):
    """A set that iterates in the order of insertion; uvicorn's own one would close connections in order of address."""

    def __init__(self) -> None:
        self._items: dict[T, None] = {}

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: T) -> None:
        """Add it at the end unless it is there."""
        self._items[value] = None

    def discard(self, value: T) -> None:
        """Remove it if it is there."""
        self._items.pop(value, None)


class SimulatedServer(uvicorn.Server):
    """uvicorn without its two ties to a process: signals, and a poll ten times a second that would hide a deadlock."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state.connections = cast("set[Any]", InOrder[Any]())
        self.server_state.tasks = cast("set[asyncio.Task[None]]", InOrder[asyncio.Task[None]]())
        self.accepting, self.stopping = asyncio.Event(), asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals of the test's process alone."""
        yield

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start, then tell who waits for it."""
        await super().startup(sockets)
        self.accepting.set()

    async def main_loop(self) -> None:
        """Wait for the end without polling."""
        await self.on_tick(0)
        await self.stopping.wait()


@contextlib.asynccontextmanager
async def serve(
    app: Callable[..., Awaitable[None]], port: int = 8288, *, host: str = "127.0.0.1", **options: Any
) -> AsyncGenerator[SimulatedServer]:
    """Serve the app inside the block, on the network of the running simulation; options are uvicorn's.

    The end of the block is a graceful stop: connections are closed with 1012, requests end, then the lifespan does.
    """
    settings: dict[str, Any] = {
        "ws": "websockets-sansio",
        "log_config": None,
        "access_log": False,
        "date_header": False,
        **options,
    }
    server = SimulatedServer(uvicorn.Config(app, host=host, port=port, **settings))
    serving = asyncio.create_task(server.serve())
    await _started(server, serving)
    try:
        yield server
    finally:
        server.stopping.set()
        await serving


async def _started(server: SimulatedServer, serving: asyncio.Task[None]) -> None:
    """Return when connections are accepted; raise what kept the server from starting."""
    accepting = asyncio.create_task(server.accepting.wait())
    await asyncio.wait([serving, accepting], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        accepting.cancel()
        await serving
