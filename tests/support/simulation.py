"""Run real asyncio code from beginning to end in virtual time on a virtual network, all from one seed."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from tests.support.listener import Listener
from tests.support.loop import PASSES_MAX, Deadlock, Endless, VirtualLoop
from tests.support.network import Network
from tests.support.sources import seeded, stream
from tests.support.transport import VirtualSocket, VirtualTransport
from tests.support.waiting import describe

T = TypeVar("T")
P = TypeVar("P", bound=asyncio.BaseProtocol)

CLEANUP_ROUNDS = 10  # tasks may start tasks when they are cancelled, but not for ever


def simulate(
    main: Callable[[Network], Coroutine[Any, Any, T]],
    *,
    seed: int = 0,
    shuffle: bool = False,
    passes_max: int = PASSES_MAX,
) -> T:
    """Run `main(network)` to its end and return its result; the same seed gives the same run, byte for byte.

    Then whatever `main` left running is cancelled, oldest first. Raises what `main` raises, with the seed in a note;
    Deadlock or Endless as soon as that is certain; and an ExceptionGroup when a task or a callback failed and nobody
    looked. Sets of strings and of plain objects still iterate differently from process to process: set PYTHONHASHSEED
    when that matters.
    """
    loop = SimulatedLoop(seed, shuffle=shuffle, passes_max=passes_max)
    try:
        with seeded(loop, seed):
            return _run(loop, main)
    except BaseException as error:
        error.add_note(f"in a simulation with seed={seed}, shuffle={shuffle}")
        raise


class SimulatedLoop(VirtualLoop):
    """A virtual loop whose sockets belong to a virtual network."""

    def __init__(self, seed: int, *, shuffle: bool, passes_max: int) -> None:
        super().__init__(stream(seed, "order"), shuffle=shuffle, passes_max=passes_max)
        self.network = Network(self, stream(seed, "network"))
        self._connected: dict[socket.socket, socket.socket] = {}

    async def create_server(  # type: ignore[override]  # one signature for asyncio's many overloads
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        sock: object = None,
        ssl: object = None,
        start_serving: bool = True,
        **_: object,
    ) -> Listener:
        """Listen in the network; options of real sockets are ignored, TLS is refused."""
        _refuse_tls(ssl)
        name = host if isinstance(host, str) or host is None else host[0]
        where = _virtual(sock).getsockname() if sock is not None else (name or "", port or 0)
        listener = self.network.listen(protocol_factory, where)
        if start_serving:
            await listener.start_serving()
        return listener

    async def create_connection(  # one signature for asyncio's many overloads
        self,
        protocol_factory: Callable[[], P],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: object = None,
        ssl: object = None,
        **_: object,
    ) -> tuple[VirtualTransport, P]:
        """Connect over the network, or use what `Network.dial` returned, or a socket that `sock_connect` connected."""
        _refuse_tls(ssl)
        if sock is None:
            sock = await self.network.dial(host or "127.0.0.1", port or 0)
        elif isinstance(sock, socket.socket):
            sock.close()
            sock = self._connected.pop(sock, sock)
        transport = _virtual(sock).transport
        assert transport is not None
        return transport, await self._attach(transport, protocol_factory)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect over the network, for a real socket that stays as it is."""
        self._connected[sock] = await self.network.dial(*address)

    async def _attach(self, transport: VirtualTransport, protocol_factory: Callable[[], P]) -> P:
        protocol = protocol_factory()
        made: asyncio.Future[None] = self.create_future()
        self.call_soon(transport.begin, protocol)
        self.call_soon(_release, made)
        try:
            await made
        except BaseException:
            transport.abort()
            raise
        return protocol


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _refuse_tls(ssl: object) -> None:
    if ssl:
        raise NotImplementedError("the virtual network carries plain bytes, no TLS")


def _virtual(sock: object) -> VirtualSocket:
    if not isinstance(sock, VirtualSocket):
        raise TypeError(f"{sock!r} is real; in a simulation use Network.bind or Network.dial")
    return sock


def _run(loop: SimulatedLoop, main: Callable[[Network], Coroutine[Any, Any, T]]) -> T:
    try:
        result = loop.run_until_complete(main(loop.network))
        _wind_up(loop)
    except BaseException as error:
        _note_what_else_failed(loop, error)
        raise
    finally:
        loop.close()
    if failures := _failures(loop):
        raise BaseExceptionGroup("errors in the simulation that nobody looked at", failures)
    return result


def _note_what_else_failed(loop: SimulatedLoop, error: BaseException) -> None:
    try:
        _wind_up(loop)
    except (Deadlock, Endless) as second:
        error.add_note(f"then {second}")
    for failure in _failures(loop):
        if failure is not error:
            error.add_note(f"beside it, nobody looked at {failure!r}")


def _wind_up(loop: SimulatedLoop) -> None:
    _cancel_left_over(loop)  # over a network that works: leaving politely is part of the code under test
    loop.network.cut()
    loop.run_until_complete(loop.shutdown_asyncgens())
    _cancel_left_over(loop)


def _cancel_left_over(loop: SimulatedLoop) -> None:
    for _ in range(CLEANUP_ROUNDS):
        tasks = loop.unfinished()
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        _wait_for(loop, tasks)
    raise Endless(describe("cancelled tasks start new ones without end", loop.unfinished()))


def _wait_for(loop: SimulatedLoop, tasks: list[asyncio.Task[Any]]) -> None:
    over: asyncio.Future[None] = loop.create_future()

    def check(_: object) -> None:
        if all(task.done() for task in tasks) and not over.done():
            over.set_result(None)

    for task in tasks:
        task.add_done_callback(check)
    try:
        loop.run_until_complete(over)
    except Deadlock as deadlock:
        raise Deadlock(describe("a task ignored its cancellation", tasks)) from deadlock


def _failures(loop: SimulatedLoop) -> list[BaseException]:
    return [*loop.failures, *loop.unretrieved()]
