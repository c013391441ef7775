"""Sends events, starts runs and asks for their results, from asyncio code.

It speaks HTTP on asyncio streams rather than calling the blocking client in threads: a hundred tasks that wait for
results would need a hundred threads, and cancelling one would not end its request.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, cast, overload

from msgspec import Struct

from onward import calls, lists, queues, timetable
from onward.calls import Accepted, BulkResult, RunRecord, RunStatus, StepRecord, WorkerRecord
from onward.durations import Duration
from onward.events import Event, moment
from onward.function import Function
from onward.lists import EventPage, EventRecord, FunctionRecord, RunPage, RunsWanted
from onward.middleware.base import Middleware
from onward.queues import KeyPage, LimitName, LimitRecord, QueuePage, QueueRecord, Scale, WhyRecord
from onward.sealing import opened_failure, opened_output, sealed_input, send_through, sending_chain
from onward.settings import Settings
from onward.timetable import BackfilledTick, DelayedPage, SchedulePage, ScheduleRecord
from onward.transport import Transport

if TYPE_CHECKING:
    from datetime import datetime

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
O_co = TypeVar("O_co", covariant=True)


class Client:
    """A client of the engine. Without arguments ONWARD_URL, ONWARD_TOKEN and so on decide; see `Settings`, which says
    more than address and token, such as a proxy.

    Every method raises `NotConnected` if the engine cannot be reached, and `EngineRefused` with the engine's own words
    if it says no. May be used by many tasks at once; `async with` closes its connections. `middleware` sees what it
    sends; inputs and results go through that of their function.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        settings: Settings | None = None,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self.settings: Settings = settings or Settings.read(url=url, token=token)
        self._transport = Transport(self.settings)
        self._chain = sending_chain(middleware)

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
        if self._chain is None:
            accepted = await self._post(events)
        else:
            accepted = await send_through(self._chain, events, self._post)
        return [
            SentEvent(one.id, tuple(RunHandle[Any](self, run) for run in one.runs), one.due_at_ms) for one in accepted
        ]

    async def _post(self, events: Sequence[Event[Any]]) -> Sequence[Accepted]:
        return calls.sent(await self._transport.request(calls.sending(events)))

    @overload
    async def start(self, function: Function[I, O], data: I, *, key: str = "") -> RunHandle[O]: ...
    @overload
    async def start(self, function: str, data: object, *, key: str = "") -> RunHandle[Any]: ...
    async def start(self, function: Function[Any, Any] | str, data: Any, *, key: str = "") -> RunHandle[Any]:
        """Start a run of a function, or of the function with this id. The same `key` again gives the first run instead
        of another.
        """
        packed = await sealed_input(function, data)
        run = calls.started(await self._transport.request(calls.starting(function, packed, key)))
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

    async def list_runs(self, *, limit: int = 50, cursor: str | None = None, **wanted: Unpack[RunsWanted]) -> RunPage:
        """Return runs, newest first; the page's `cursor` asks for the next."""
        return lists.listed_runs(await self._transport.request(lists.listing_runs(wanted, limit, cursor)))

    async def list_events(
        self,
        *,
        name: str = "",
        key: str = "",
        received_from: datetime | None = None,
        received_until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> EventPage:
        """Return events, newest first; the page's `cursor` asks for the next."""
        request = lists.listing_events(name, key, received_from, received_until, limit, cursor)
        return lists.listed_events(await self._transport.request(request))

    async def get_event(self, id: str) -> EventRecord:
        """Return an event, and the newest runs that it started."""
        return lists.read_event(await self._transport.request(lists.reading_event(id)))

    async def list_functions(self) -> tuple[FunctionRecord, ...]:
        """Return the functions that workers have registered."""
        return lists.listed_functions(await self._transport.request(lists.LISTING_FUNCTIONS))

    async def get_function(self, function: Function[Any, Any] | str) -> FunctionRecord:
        """Return a function as it is registered, and how its newest runs do."""
        return lists.read_function(await self._transport.request(lists.reading_function(function)))

    async def why(self, id: str) -> WhyRecord:
        """Return why a run does not start, or what it waits for."""
        return queues.explained(await self._transport.request(queues.explaining(id)))

    async def list_queues(self, *, limit: int = 50, cursor: str | None = None) -> QueuePage:
        """Return the queues of all functions, by function; the page's `cursor` asks for the next."""
        return queues.listed_queues(await self._transport.request(queues.listing_queues(limit, cursor)))

    async def get_queue(self, function: Function[Any, Any] | str) -> QueueRecord:
        """Return the queue of a function, with its limits."""
        return queues.read_queue(await self._transport.request(queues.reading_queue(function)))

    async def list_keys(
        self, function: Function[Any, Any] | str, *, limit: int = 50, cursor: str | None = None
    ) -> KeyPage:
        """Return the values of keys for which runs of a function wait; the page's `cursor` asks for the next."""
        return queues.listed_keys(await self._transport.request(queues.listing_keys(function, limit, cursor)))

    async def set_limit(
        self, function: Function[Any, Any] | str, option: LimitName, limit: int | None, *, by: str = ""
    ) -> LimitRecord:
        """Have an option of a function give another limit than its code says, at once and for good; None: what that
        says counts again. `by` is kept with the change.
        """
        request = queues.setting_limit(function, option, limit, by)
        return queues.set_limit(await self._transport.request(request))

    async def purge_queue(
        self, function: Function[Any, Any] | str, *, key: str = "", reason: str = "", dry_run: bool = False
    ) -> BulkResult:
        """Cancel the runs of a function that have not begun; with a `key` those with this value of a limit's key, or of
        their event. With `dry_run` they are only counted.
        """
        return await self._change(queues.purging(function, key, reason, dry_run=dry_run))

    async def get_scale(self, app: str = "") -> Scale:
        """Return how much there is to do for an app, or for all of them, and how many workers that takes."""
        return queues.scale(await self._transport.request(queues.asking_scale(app)))

    async def list_schedules(
        self, *, function: Function[Any, Any] | str | None = None, limit: int = 50, cursor: str | None = None
    ) -> SchedulePage:
        """Return the schedules of a function, or of all; the page's `cursor` asks for the next."""
        request = timetable.listing_schedules(function, limit, cursor)
        return timetable.listed_schedules(await self._transport.request(request))

    async def get_schedule(self, function: Function[Any, Any] | str, number: int = 0) -> ScheduleRecord:
        """Return a schedule of a function; the first has the number 0."""
        return timetable.read_schedule(await self._transport.request(timetable.reading_schedule(function, number)))

    async def next_ticks(
        self, function: Function[Any, Any] | str, number: int = 0, *, after: datetime | None = None, limit: int = 10
    ) -> tuple[datetime, ...]:
        """Return the next ticks of a schedule, from now on or `after` a moment; at most 100."""
        request = timetable.reading_ticks(function, number, after, limit)
        return timetable.read_ticks(await self._transport.request(request))

    async def pause_schedule(self, function: Function[Any, Any] | str, number: int = 0) -> ScheduleRecord:
        """Let a schedule rest until `resume_schedule`. The ticks of this time are not made up for: see `backfill`."""
        request = timetable.holding_schedule(function, number, is_paused=True)
        return timetable.read_schedule(await self._transport.request(request))

    async def resume_schedule(self, function: Function[Any, Any] | str, number: int = 0) -> ScheduleRecord:
        """Let a schedule tick again, from now on."""
        request = timetable.holding_schedule(function, number, is_paused=False)
        return timetable.read_schedule(await self._transport.request(request))

    async def backfill(
        self,
        function: Function[Any, Any] | str,
        number: int = 0,
        *,
        from_: datetime,
        until: datetime,
        dry_run: bool = False,
    ) -> tuple[BackfilledTick, ...]:
        """Start the runs of a schedule's ticks of the past that have none, at most 1,000; may be repeated. With
        `dry_run` only tell which these are.
        """
        request = timetable.backfilling(function, number, from_, until, dry_run=dry_run)
        return timetable.backfilled(await self._transport.request(request))

    async def list_delayed_events(self, *, limit: int = 50, cursor: str | None = None) -> DelayedPage:
        """Return the events that are not due yet, by id; the page's `cursor` asks for the next."""
        return timetable.listed_delayed(await self._transport.request(timetable.listing_delayed(limit, cursor)))

    async def take_back(self, event: str) -> None:
        """Forget an event that is not due yet, by its id, which may be used again then."""
        calls.accepted(await self._transport.request(timetable.taking_back(event)))

    async def advance_clock(self, duration: Duration) -> datetime:
        """Move the clock of an engine with `--test-clock`; returns its new time when all that became due was fired."""
        return moment(timetable.advanced(await self._transport.request(timetable.advancing(duration))))

    async def list_workers(self) -> tuple[WorkerRecord, ...]:
        """Return the workers that are connected to this engine and can be given work."""
        return calls.listed_workers(await self._transport.request(calls.listing_workers()))

    async def cancel(self, id: str, *, reason: str = "", cleanup: Duration | None = None) -> None:
        """Ask to cancel a run. Its code may clean up first, for `cleanup` at most: 30 seconds if that is not said,
        with 0 not at all. `RunHandle.result` tells when it is over.
        """
        calls.cancelled(await self._transport.request(calls.cancelling(id, reason, cleanup)))

    async def pause(self, id: str) -> None:
        """Hold a run. Its running steps end; what it waits for still comes, but its code goes no further until
        `resume`.
        """
        calls.accepted(await self._transport.request(calls.pausing(id)))

    async def resume(self, id: str) -> None:
        """Let a held run go on."""
        calls.accepted(await self._transport.request(calls.resuming(id)))

    async def pause_function(self, function: Function[Any, Any] | str) -> None:
        """Begin no new runs of a function until `resume_function`: they are kept. Those that have started go on."""
        calls.accepted(await self._transport.request(calls.pausing_function(function, is_paused=True)))

    async def resume_function(self, function: Function[Any, Any] | str) -> None:
        """Begin new runs of a function again."""
        calls.accepted(await self._transport.request(calls.pausing_function(function, is_paused=False)))

    async def rerun(self, id: str, *, key: str = "") -> RunHandle[Any]:
        """Start a new run with the events and the input of this one. The same `key` again gives the first one."""
        return RunHandle(self, calls.started(await self._transport.request(calls.rerunning(id, key))))

    @overload
    async def fork(self, id: str, step: str, *, key: str = "") -> RunHandle[Any]: ...
    @overload
    async def fork(self, id: str, step: str, function: Function[I, O], data: I, *, key: str = "") -> RunHandle[O]: ...
    @overload
    async def fork(self, id: str, step: str, function: str, data: object, *, key: str = "") -> RunHandle[Any]: ...
    async def fork(
        self, id: str, step: str, function: Function[Any, Any] | str | None = None, data: Any = None, *, key: str = ""
    ) -> RunHandle[Any]:
        """Start a new run that keeps what this one had done before `step`: a step's key, or its name if only one step
        has it. With `function`, which has to be the run's own, its input is `data` instead.

        Raises `EngineRefused` with the steps that there are if none is called so.
        """
        packed = None if function is None else await sealed_input(function, data)
        run = calls.started(await self._transport.request(calls.forking(id, step, packed, key)))
        return RunHandle(self, run, None if isinstance(function, str) else function)

    async def cancel_many(
        self, *, reason: str = "", cleanup: Duration | None = None, dry_run: bool = False, **wanted: Unpack[RunsWanted]
    ) -> BulkResult:
        """Cancel all runs of which everything is true that is said, as `cancel` does. With `dry_run` they are only
        counted.
        """
        selection = lists.selected(wanted)
        return await self._change(calls.cancelling_many(selection, reason, cleanup, dry_run=dry_run))

    async def rerun_many(self, *, request: str = "", dry_run: bool = False, **wanted: Unpack[RunsWanted]) -> BulkResult:
        """Start all runs once more of which everything is true that is said. With `dry_run` they are only counted; the
        same `request` starts none of them twice.
        """
        selection = lists.selected(wanted)
        return await self._change(calls.rerunning_many(selection, request, dry_run=dry_run))

    async def _change(self, bulk: calls.Bulk) -> BulkResult:
        while not bulk.is_whole:
            bulk.add(await self._transport.request(bulk.next))
        return bulk.result

    async def signal(self, name: str, value: object = None, *, run: str = "", id: str = "") -> str:
        """Send a signal to a run, or without one to the oldest that waits for this name; return that run's id.

        A run that does not wait yet finds the signal when it does. The same `id` again within a day changes nothing.
        """
        return calls.signalled(await self._transport.request(calls.signalling(name, value, run, id)))

    async def resolve_callback(self, token: str, value: object = None) -> None:
        """Answer a callback, named by its token or by its whole address. A second answer is refused, and so is a
        repeat of the first.
        """
        calls.resolved(await self._transport.request(calls.resolving(token, value)))

    async def output(self, id: str) -> bytes:
        """Return a completed run's output as it is stored: MessagePack."""
        return calls.output(await self._transport.request(calls.reading_output(id)))

    async def steps(self, id: str) -> tuple[StepRecord, ...]:
        """Return a run's history, oldest first."""
        history = calls.History(id)
        while not history.is_whole:
            history.add(await self._transport.request(history.next))
        return history.lines

    async def follow(self, id: str) -> AsyncIterator[StepRecord]:
        """Yield each line of a run's history as soon as it is there, oldest first, until the run is over. A line that
        goes on, such as a wait, comes again.
        """
        following = lists.Following(id)
        while not following.is_over:
            for line in following.add(await self._transport.request(following.next)):
                yield line

    async def wait(self, id: str, *, timeout: Duration | None = None) -> RunRecord:
        """Return a run when it is over. Raises `TimeoutError` after `timeout`; the run goes on."""
        begin = time.monotonic()
        while True:
            wait_ms = calls.poll_ms(id, timeout, round((time.monotonic() - begin) * 1000))
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
            raise await opened_failure(self._function, record)
        return cast("O_co", await opened_output(self._function, self.id, await self._client.output(self.id)))

    async def cancel(self) -> None:
        """Ask to cancel the run."""
        await self._client.cancel(self.id)

    async def signal(self, name: str, value: object = None, *, id: str = "") -> None:
        """Send a signal to the run. The same `id` again within a day changes nothing."""
        await self._client.signal(name, value, run=self.id, id=id)

    async def steps(self) -> tuple[StepRecord, ...]:
        """Return the run's history, oldest first."""
        return await self._client.steps(self.id)


class SentEvent(Struct, frozen=True):
    """An event that was accepted, and the runs that it started; a delayed one starts them at `due_at_ms`."""

    id: str
    runs: tuple[RunHandle[Any], ...]
    due_at_ms: int = 0
