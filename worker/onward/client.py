"""Sends events, starts runs and asks for their results, from asyncio code.

It speaks HTTP on asyncio streams rather than calling the blocking client in threads: a hundred tasks that wait for
results would need a hundred threads, and cancelling one would not end its request.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast, overload

from msgspec import Struct

from onward import calls
from onward.calls import RunPage, RunRecord, RunStatus, StepRecord, WorkerRecord
from onward.durations import Duration
from onward.events import Event
from onward.function import Function
from onward.settings import Settings
from onward.transport import Transport

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
O_co = TypeVar("O_co", covariant=True)


class Client:
    """A client of the engine. Without arguments ONWARD_URL, ONWARD_TOKEN and ONWARD_TOKEN_FILE decide.

    Every method raises `NotConnected` if the engine cannot be reached, and `EngineRefused` with the engine's own words
    if it says no. May be used by many tasks at once; `async with` closes its connections.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, settings: Settings | None = None) -> None:
        self.settings: Settings = settings or Settings.read(url=url, token=token)
        self._transport = Transport(self.settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the client may be used again."""
        await self._transport.close()

    async def send(self, *events: Event[Any]) -> list[SentEvent]:
        """Send events, all or none. When this returns they are stored."""
        if not events:
            return []
        accepted = calls.sent(await self._transport.request(calls.sending(events)))
        return [SentEvent(one.id, tuple(RunHandle[Any](self, run) for run in one.runs)) for one in accepted]

    @overload
    async def start(self, function: Function[I, O], data: I, *, key: str = "") -> RunHandle[O]: ...
    @overload
    async def start(self, function: str, data: object, *, key: str = "") -> RunHandle[Any]: ...
    async def start(self, function: Function[Any, Any] | str, data: Any, *, key: str = "") -> RunHandle[Any]:
        """Start a run of a function, or of the function with this id. The same `key` again gives the first run instead
        of another.
        """
        run = calls.started(await self._transport.request(calls.starting(function, data, key)))
        return RunHandle(self, run, None if isinstance(function, str) else function)

    @overload
    async def run(self, function: Function[I, O], data: I, *, timeout: Duration | None = None) -> O: ...
    @overload
    async def run(self, function: str, data: object, *, timeout: Duration | None = None) -> Any: ...
    async def run(self, function: Function[Any, Any] | str, data: Any, *, timeout: Duration | None = None) -> Any:
        """Start a run and return its result, as `RunHandle.result` does."""
        handle: RunHandle[Any] = await self.start(cast("str", function), data)
        return await handle.result(timeout=timeout)

    async def get_run(self, id: str) -> RunRecord:
        """Return a run as it is now."""
        return calls.read(await self._transport.request(calls.reading(id)))

    async def list_runs(
        self,
        *,
        function: Function[Any, Any] | str | None = None,
        status: RunStatus | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """Return runs, newest first; the page's `cursor` asks for the next."""
        return calls.listed(await self._transport.request(calls.listing(function, status, limit, cursor)))

    async def list_workers(self) -> tuple[WorkerRecord, ...]:
        """Return the workers that are connected to this engine and can be given work."""
        return calls.listed_workers(await self._transport.request(calls.listing_workers()))

    async def cancel(self, id: str) -> None:
        """Ask to cancel a run. Its code may clean up first; `RunHandle.result` tells when it is over."""
        calls.cancelled(await self._transport.request(calls.cancelling(id)))

    async def output(self, id: str) -> bytes:
        """Return a completed run's output as it is stored: MessagePack."""
        return calls.output(await self._transport.request(calls.reading_output(id)))

    async def steps(self, id: str) -> tuple[StepRecord, ...]:
        """Return a run's history, oldest first."""
        history = calls.History(id)
        while not history.is_whole:
            history.add(await self._transport.request(history.next))
        return history.lines

    async def wait(self, id: str, *, timeout: Duration | None = None) -> RunRecord:
        """Return a run when it is over. Raises `TimeoutError` after `timeout`; the run goes on."""
        begin = time.monotonic()
        while True:
            wait_ms = calls.poll_ms(timeout, round((time.monotonic() - begin) * 1000))
            record = calls.read(await self._transport.request(calls.reading(id, wait_ms)))
            if record.is_over:
                return record


class RunHandle(Generic[O_co]):
    """A run that was started. Holds nothing but its id and how to read its result."""

    def __init__(self, client: Client, id: str, function: Function[Any, O_co] | None = None) -> None:
        self._client = client
        self._function = function
        self.id = id

    def __repr__(self) -> str:
        return f"RunHandle({self.id!r})"

    async def status(self) -> RunStatus:
        """Return how far the run is."""
        return (await self._client.get_run(self.id)).status

    async def result(self, *, timeout: Duration | None = None) -> O_co:
        """Wait until the run is over and return its result.

        Raises `RunFailed`, or the SDK's own error that the run ended with; `TimeoutError` after `timeout`, while the
        run goes on.
        """
        record = await self._client.wait(self.id, timeout=timeout)
        if record.status != "completed":
            raise calls.failure_of_run(record)
        return cast("O_co", calls.typed_output(self._function, await self._client.output(self.id)))

    async def cancel(self) -> None:
        """Ask to cancel the run."""
        await self._client.cancel(self.id)

    async def steps(self) -> tuple[StepRecord, ...]:
        """Return the run's history, oldest first."""
        return await self._client.steps(self.id)


class SentEvent(Struct, frozen=True):
    """An event that was accepted, and the runs that it started."""

    id: str
    runs: tuple[RunHandle[Any], ...]
