"""Sends events, starts runs and asks for their results, from blocking code."""

from __future__ import annotations

import time
from collections import deque
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast, overload
from urllib.parse import urlsplit

from msgspec import Struct

from onward import calls
from onward.calls import Answer, Request, RunPage, RunRecord, RunStatus, StepRecord, WorkerRecord
from onward.durations import Duration
from onward.events import Event
from onward.function import Function
from onward.settings import Settings
from onward.transport import ANSWER_S, IDLE_MAX, headers_of, unreachable

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
O_co = TypeVar("O_co", covariant=True)


class SyncTransport:
    """Sends requests to one engine on kept connections. Safe to use from many threads: each request has a connection to
    itself.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._address: Final = urlsplit(settings.url)
        self._idle: Final[deque[HTTPConnection]] = deque()

    def request(self, request: Request) -> Answer:
        """Send a request and return the answer, whatever its status. Raises `NotConnected`."""
        try:
            return self._exchange(request)
        except TimeoutError as error:
            raise unreachable(self._settings, "it did not answer in time") from error
        except (OSError, HTTPException) as error:
            raise unreachable(self._settings, str(error) or type(error).__name__) from error

    def close(self) -> None:
        """Close the kept connections."""
        while (connection := self._kept()) is not None:
            connection.close()

    def _exchange(self, request: Request) -> Answer:
        while (connection := self._kept()) is not None:
            try:
                return self._on(connection, request)
            except (
                ConnectionError,
                HTTPException,
            ):  # the engine closed a kept connection: every request may be repeated
                continue
        return self._on(self._new(), request)

    def _kept(self) -> HTTPConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _new(self) -> HTTPConnection:
        kind = HTTPSConnection if self._address.scheme == "https" else HTTPConnection
        return kind(self._address.hostname or "", self._address.port, timeout=ANSWER_S)

    def _on(self, connection: HTTPConnection, request: Request) -> Answer:
        is_kept = False
        try:
            connection.timeout = ANSWER_S + request.wait_ms / 1000
            if connection.sock is not None:
                connection.sock.settimeout(connection.timeout)
            headers = headers_of(request, self._settings)
            connection.request(request.method, self._address.path + request.path, request.body or None, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.read())
            is_kept = not response.will_close
        finally:
            if is_kept and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
            else:
                connection.close()
        return answer


class SyncClient:
    """The blocking twin of `Client`, with the same methods and errors. May be used by many threads at once."""

    def __init__(self, url: str | None = None, token: str | None = None, *, settings: Settings | None = None) -> None:
        self.settings: Settings = settings or Settings.read(url=url, token=token)
        self._transport = SyncTransport(self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client may be used again."""
        self._transport.close()

    def send(self, *events: Event[Any]) -> list[SyncSentEvent]:
        """Send events, all or none. When this returns they are stored."""
        if not events:
            return []
        accepted = calls.sent(self._transport.request(calls.sending(events)))
        return [SyncSentEvent(one.id, tuple(SyncRunHandle[Any](self, run) for run in one.runs)) for one in accepted]

    @overload
    def start(self, function: Function[I, O], data: I, *, key: str = "") -> SyncRunHandle[O]: ...
    @overload
    def start(self, function: str, data: object, *, key: str = "") -> SyncRunHandle[Any]: ...
    def start(self, function: Function[Any, Any] | str, data: Any, *, key: str = "") -> SyncRunHandle[Any]:
        """Start a run of a function, or of the function with this id. The same `key` again gives the first run instead
        of another.
        """
        run = calls.started(self._transport.request(calls.starting(function, data, key)))
        return SyncRunHandle(self, run, None if isinstance(function, str) else function)

    @overload
    def run(self, function: Function[I, O], data: I, *, timeout: Duration | None = None) -> O: ...
    @overload
    def run(self, function: str, data: object, *, timeout: Duration | None = None) -> Any: ...
    def run(self, function: Function[Any, Any] | str, data: Any, *, timeout: Duration | None = None) -> Any:
        """Start a run and return its result, as `SyncRunHandle.result` does."""
        handle: SyncRunHandle[Any] = self.start(cast("str", function), data)
        return handle.result(timeout=timeout)

    def get_run(self, id: str) -> RunRecord:
        """Return a run as it is now."""
        return calls.read(self._transport.request(calls.reading(id)))

    def list_runs(
        self,
        *,
        function: Function[Any, Any] | str | None = None,
        status: RunStatus | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """Return runs, newest first; the page's `cursor` asks for the next."""
        return calls.listed(self._transport.request(calls.listing(function, status, limit, cursor)))

    def list_workers(self) -> tuple[WorkerRecord, ...]:
        """Return the workers that are connected to this engine and can be given work."""
        return calls.listed_workers(self._transport.request(calls.listing_workers()))

    def cancel(self, id: str) -> None:
        """Ask to cancel a run. Its code may clean up first; `SyncRunHandle.result` tells when it is over."""
        calls.cancelled(self._transport.request(calls.cancelling(id)))

    def output(self, id: str) -> bytes:
        """Return a completed run's output as it is stored: MessagePack."""
        return calls.output(self._transport.request(calls.reading_output(id)))

    def steps(self, id: str) -> tuple[StepRecord, ...]:
        """Return a run's history, oldest first."""
        history = calls.History(id)
        while not history.is_whole:
            history.add(self._transport.request(history.next))
        return history.lines

    def wait(self, id: str, *, timeout: Duration | None = None) -> RunRecord:
        """Return a run when it is over. Raises `TimeoutError` after `timeout`; the run goes on."""
        begin = time.monotonic()
        while True:
            wait_ms = calls.poll_ms(timeout, round((time.monotonic() - begin) * 1000))
            record = calls.read(self._transport.request(calls.reading(id, wait_ms)))
            if record.is_over:
                return record


class SyncRunHandle(Generic[O_co]):
    """A run that was started. Holds nothing but its id and how to read its result."""

    def __init__(self, client: SyncClient, id: str, function: Function[Any, O_co] | None = None) -> None:
        self._client = client
        self._function = function
        self.id = id

    def __repr__(self) -> str:
        return f"SyncRunHandle({self.id!r})"

    def status(self) -> RunStatus:
        """Return how far the run is."""
        return self._client.get_run(self.id).status

    def result(self, *, timeout: Duration | None = None) -> O_co:
        """Wait until the run is over and return its result.

        Raises `RunFailed`, or the SDK's own error that the run ended with; `TimeoutError` after `timeout`, while the
        run goes on.
        """
        record = self._client.wait(self.id, timeout=timeout)
        if record.status != "completed":
            raise calls.failure_of_run(record)
        return cast("O_co", calls.typed_output(self._function, self._client.output(self.id)))

    def cancel(self) -> None:
        """Ask to cancel the run."""
        self._client.cancel(self.id)

    def steps(self) -> tuple[StepRecord, ...]:
        """Return the run's history, oldest first."""
        return self._client.steps(self.id)


class SyncSentEvent(Struct, frozen=True):
    """An event that was accepted, and the runs that it started."""

    id: str
    runs: tuple[SyncRunHandle[Any], ...]
