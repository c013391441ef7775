"""The system below an event loop - threads, names, signals - as far as a simulation has one."""

import asyncio
import contextvars
import socket
import threading
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Family = socket.AddressFamily
Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


class SystemLoop(asyncio.BaseEventLoop):
    """The part of the loop that asks nothing of the real system."""

    def __init__(self) -> None:
        super().__init__()
        self._signals: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}

    now_s: float

    @abstractmethod
    def happen_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: contextvars.Context
    ) -> asyncio.TimerHandle:
        """Call back at `when` on behalf of the world outside: hooks set over `call_at` or `call_soon` do not see it."""

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run `func` in this thread a pass later, whatever the executor; it takes no time unless it sleeps."""
        future: asyncio.Future[T] = self.create_future()
        self.happen_at(self.now_s, _work, future, lambda: func(*args), context=contextvars.copy_context())
        return future

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Work as `call_soon` from the loop's own thread; another thread would make the order random and is refused."""
        if self.is_running() and threading.get_ident() != getattr(self, "_thread_id", None):
            raise RuntimeError("a simulation has one thread; another one called call_soon_threadsafe")
        return super().call_soon_threadsafe(callback, *args, context=context)

    async def getaddrinfo(  # type: ignore[override]  # mypy's stub ties the shape of each address to its family
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[Family, socket.SocketKind, int, str, Address]]:
        """Return the name as its own address: the network knows its hosts by name."""
        name = host.decode() if isinstance(host, bytes) else host or "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (name, int(port or 0)))]

    def add_signal_handler(self, sig: int, callback: Callable[[Unpack[Ts]], object], *args: *Ts) -> None:
        """Remember the handler; only `raise_signal` calls it."""
        self._signals[sig] = (callback, args)

    def remove_signal_handler(self, sig: int) -> bool:
        """Forget the handler; say whether there was one."""
        return self._signals.pop(sig, None) is not None

    def raise_signal(self, sig: int) -> None:
        """Do what the system does for `kill`: call the handler soon. Raises KeyError when none is set."""
        callback, args = self._signals[sig]
        self.call_soon_threadsafe(callback, *args)

    def _write_to_self(self) -> None:
        """Wake nobody: the loop never sleeps."""

    def _process_events(self, event_list: list[object]) -> None:
        """Do nothing: there are no events from outside."""


def _work(future: asyncio.Future[T], work: Callable[[], T]) -> None:
    if future.cancelled():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - a pool thread hands every exception to the future
        future.set_exception(error)
    else:
        future.set_result(result)
