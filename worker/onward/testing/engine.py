"""The engine of a test: the real one in memory, one worker, and a clock that the test moves."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Self, TypeVar, overload

import msgspec
from onward_engine.engine import Engine
from onward_engine.incoming import Incoming
from onward_engine.model import Run, Status, StepView
from onward_engine.settings import Settings
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import RunFilter
from onward_protocol import messages
from onward_protocol.ids import derived_id
from onward_protocol.limits import Limits, Times
from onward_protocol.messages import Progress, Sent, Started, StepDone, StepFailed, WaitOpened, WorkerEntry

from onward.app import functions_in
from onward.checkpoint import Checkpoint, CheckpointOption, checkpoint_of
from onward.durations import Duration, duration_ms
from onward.errors import ConfigError
from onward.events import Event, draft_of, settled
from onward.function import Function
from onward.host import StepCall
from onward.lifecycle import started
from onward.sealing import sealed_input
from onward.testing.clock import VirtualClock
from onward.testing.opening import opened_run, opened_steps
from onward.testing.runs import TestRun
from onward.testing.worker import TestWorker
from onward.values.serde import encode, encode_json
from onward.worker import lifespan_of

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output

PATIENCE_S: Final = 30
"""How long real work, such as an HTTP call in a step, may take until a test is told what it waits for."""

PROTOCOL_MS: Final = 1_000
"""Delays of the protocol up to this length pass by themselves: a test is about its functions, not about leases."""

# The crashes are the test's doing: no run is to be suspected of them.
_TIMES: Final = replace(Times(), grace_ms=0, strike_min_ms=0, strike_max_ms=0, alone_ms=0)
_LIMITS: Final = replace(Limits(), losses_max=1_000_000)

_CRASH_POINTS: Final = (StepDone, StepFailed, WaitOpened, Sent, Started)

_QUEUED: Final = (Status.QUEUED, Status.ORPHANED, Status.READY)
_CLAIMABLE: Final = ("ready", "later")

SPIN: Final = 100
"""Turns of the event loop before real work is waited for with short sleeps."""


class TestEngine:
    """Runs the functions of an App, or whatever a worker can load, in the test's process.

    `send`, `start` and `advance` return when nothing moves any more before time does. With `crash_everywhere` the
    worker dies each time that something has become durable, before it hears of it, and another goes on; with
    `crash_after="charge"` once, after the first step, wait or send of that name. `now` is where the clock starts;
    `seed` decides the engine's ids. `steps` replaces the bodies of steps by their id: a callable is called with the
    step's arguments, anything else is the result. `checkpoint` replaces the setting of every function. Without it, an
    engine that is to crash its workers uses `Checkpoint.SAFE`, under which no step has to run twice.
    """

    __test__ = False

    def __init__(
        self,
        app: object,
        *,
        crash_everywhere: bool = False,
        crash_after: str = "",
        now: datetime | None = None,
        seed: int = 0,
        steps: Mapping[str, Any] | None = None,
        checkpoint: CheckpointOption | None = None,
    ) -> None:
        self.functions: Mapping[str, Function[Any, Any]] = functions_in(app)
        self.sent: list[Event[Any]] = []
        """The events that the functions have sent, in the order of acceptance, with plain data."""
        self.crashes: int = 0
        start = now or datetime.now(UTC)
        self._app = app
        self._clock = VirtualClock(round(start.timestamp() * 1000))
        self._random_bytes: Callable[[int], bytes] = random.Random(seed).randbytes  # noqa: S311 - a test repeats
        self._settings = Settings(times=_TIMES, limits=_LIMITS, retention_ms=0)
        store = MemoryStore(_LIMITS, _TIMES)
        self._engine = Engine(self._settings, store, clock=self._clock, random_bytes=self._random_bytes, listens=False)
        self._crash_everywhere = crash_everywhere
        self._crash_after = crash_after
        self._checkpoint = checkpoint_of("TestEngine, option 'checkpoint'", checkpoint)
        if self._checkpoint is None and (crash_everywhere or crash_after):
            self._checkpoint = Checkpoint.SAFE
        self._steps = dict(steps or {})
        self._runs: dict[str, TestRun[Any]] = {}
        self._paused: set[str] = set()
        self._executions: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._state: Any = None
        self._worker: TestWorker | None = None
        self._dead: list[TestWorker] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start engine and worker. Raises `ConfigError` for a function that no engine takes."""
        await self._stack.enter_async_context(self._engine)
        if lifespan := lifespan_of(self._app, self.functions.values()):
            self._state = await self._stack.enter_async_context(lifespan())
        await self._stack.enter_async_context(started(self.functions.values(), "test"))
        self._start_worker()
        try:
            await self._settle()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End both; runs that are not over are given up."""
        if self._worker is not None:
            self._worker.crash()
            self._dead.append(self._worker)
        for worker in self._dead:
            await worker.ended()
        await self._stack.aclose()

    @property
    def now(self) -> datetime:
        """The test's time."""
        return datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC)

    # -- what a test does

    async def send(self, *events: Event[Any]) -> list[TestRun[Any]]:
        """Send events; returns the runs that they started or joined, each once, in order."""
        now_ms = self._clock.wall_ms()
        drafts = [draft_of(settled(event, now_ms)) for event in events]
        incoming = [
            Incoming(
                name=one.name,
                data=msgspec.Raw(one.data),
                id=one.id,
                ts=one.ts_ms or None,
                key=one.key,
                meta=one.meta,
                at_ms=one.due_at_ms or None,
            )
            for one in drafts
        ]
        accepted = await self._engine.ingest.accept(incoming)
        await self._settle()
        return [self._runs[run] for run in dict.fromkeys(run for one in accepted for run in one.runs)]

    async def start(self, fn: Function[I, O], data: I) -> TestRun[O]:
        """Start a function with an input."""
        run = await self._engine.ingest.start(fn.id, await sealed_input(fn, data))
        await self._settle()
        return self._runs[run]

    async def cancel(self, run: TestRun[Any], reason: str = "", *, cleanup: Duration = "30s") -> None:
        """Ask for a run to be cancelled. It has so much time to clean up; with 0 it ends at once."""
        await self._engine.ingest.cancel(run.id, reason, duration_ms(cleanup))
        await self._settle()

    async def pause(self, target: TestRun[Any] | Function[Any, Any]) -> None:
        """Hold a run, or begin no new runs of a function."""
        if isinstance(target, Function):
            await self._engine.control.pause_function(target.id, is_paused=True)
            self._paused.add(target.id)
        else:
            await self._engine.control.pause_run(target.id)
        await self._settle()

    async def resume(self, target: TestRun[Any] | Function[Any, Any]) -> None:
        """Let a held run go on, or begin new runs of a function again."""
        if isinstance(target, Function):
            await self._engine.control.pause_function(target.id, is_paused=False)
            self._paused.discard(target.id)
        else:
            await self._engine.control.resume_run(target.id)
        await self._settle()

    async def set_limit(self, function: Function[Any, Any], option: str, limit: int | None) -> None:
        """Have "concurrency" ("concurrency:1" is the second one), "throttle" or "rate_limit" of a function give another
        limit than its code, or with None that of the code again.
        """
        name = "concurrency:0" if option == "concurrency" else option
        done = await self._engine.control.set_limit(function.id, name, limit, "test")
        if done.verdict != "set":
            raise ConfigError(
                f"function '{function.id}', option '{option}': {done.reason or 'it has no such limit'}.", code="E0105"
            )
        await self._settle()

    async def rerun(self, run: TestRun[O]) -> TestRun[O]:
        """Start a new run with the events and the input of this one."""
        return await self._repeated(await self._engine.control.rerun(run.id))

    @overload
    async def fork(self, run: TestRun[O], step: str) -> TestRun[O]: ...
    @overload
    async def fork(self, run: TestRun[O], step: str, function: Function[I, O], data: I) -> TestRun[O]: ...
    async def fork(
        self, run: TestRun[Any], step: str, function: Function[Any, Any] | None = None, data: Any = None
    ) -> TestRun[Any]:
        """Start a new run that keeps what this one had done before `step`. With `function`, which has to be the run's
        own, its input is `data` instead.
        """
        packed = None if function is None else await sealed_input(function, data)
        return await self._repeated(await self._engine.control.fork(run.id, step, packed))

    async def _repeated(self, run: str | None) -> TestRun[Any]:
        assert run is not None, "the engine forgets no run of a test"
        await self._settle()
        return self._runs[run]

    async def signal(self, name: str, value: object = None, *, run: TestRun[Any] | None = None, id: str = "") -> str:
        """Send a signal to a run, or to the oldest that waits for it. Returns what became of it: delivered, kept, or
        why not.
        """
        packed = encode(value, f"value of signal '{name}'")
        signalled = await self._engine.signals.send(name, packed, run=run.id if run else "", id=id)
        await self._settle()
        return signalled.verdict

    async def answer(self, callback: str, value: object = None) -> str:
        """Answer a callback by its token or address, as a POST does. Returns answered, repeated or unknown."""
        packed = msgspec.msgpack.encode(msgspec.json.decode(encode_json(value, "answer to a callback")))
        verdict = await self._engine.signals.answer(callback.rpartition("/")[2], packed)
        await self._settle()
        return verdict

    async def advance(self, duration: Duration) -> None:
        """Let so much time pass, stopping at each moment at which something happens."""
        end = self._clock.wall_ms() + duration_ms(duration)
        while (due := self._next_ms()) is not None and due <= end:
            self._move_to(due)
            await self._settle()
        self._move_to(end)
        await self._settle()

    def run(self, id: str) -> TestRun[Any]:
        """Return a run by its id: one that was sent, started, or invoked by another."""
        return self._runs[id]

    @property
    def runs(self) -> Sequence[TestRun[Any]]:
        """All runs, oldest first: invoked ones and failure handlers too."""
        return list(self._runs.values())

    # -- until nothing moves

    async def _settle(self) -> None:
        """Return when nothing moves, and nothing has while the test's picture of it was made: reading it takes turns of
        the loop, all the more with middleware.
        """
        await self._until_still()
        await self._look()
        while await self._until_still():
            await self._look()

    async def _until_still(self) -> bool:
        """Tell whether anything had to be waited for."""
        turns, end = 0, time.monotonic() + PATIENCE_S
        while (moving := await self._moving()) or self._is_alarm_due or not self._engine.connections:
            turns += 1
            if turns % SPIN == 0 and not self._pass_protocol_delay(moving):
                await asyncio.sleep(0.001)
            else:
                await asyncio.sleep(0)
            assert time.monotonic() < end, (
                f"still moving after {PATIENCE_S} s: {[(run.id, str(run.status)) for run in moving]}"
            )
        return turns > 0

    async def _moving(self) -> list[Run]:
        await self._engine.committer.drained()
        if self._worker is not None and self._worker.is_dead:
            if refusal := self._worker.refusal:
                raise ConfigError(refusal.message, code=refusal.code) from refusal
            self._dead.append(self._worker)
            self._start_worker()
        runs = await self._all_runs()
        claimable = await self._claimable({run.function for run in runs if run.status in _QUEUED})
        moving = [run for run in runs if self._is_moving(run, claimable)]
        return [run for run in moving if run.function not in self._paused or await self._is_next(run)]

    async def _claimable(self, functions: set[str]) -> set[str]:
        """Return those of the functions that have runs which wait for nothing but a worker."""
        backlog = await self._engine.store.backlog(sorted(functions))
        return {name for name, lots in backlog.items() if any(lot.state in _CLAIMABLE for lot in lots)}

    async def _is_next(self, run: Run) -> bool:
        """Tell whether nothing but the pause is in the way of a run of a paused function."""
        queued = await self._engine.store.queued(run.id)
        return queued is None or queued.state in _CLAIMABLE

    def _is_moving(self, run: Run, claimable: set[str]) -> bool:
        """Tell whether the run may go on before time does."""
        assert self._worker is not None
        if run.status is Status.ASSIGNED:
            return run.is_held or not self._worker.is_at_rest(run.id, run.epoch, run.pos)
        if run.is_held or (run.function in self._paused and not run.started_at_ms):
            return False
        return run.status in _QUEUED and run.function in claimable and self._worker.free > 0

    @property
    def _is_alarm_due(self) -> bool:
        due = self._engine.alarm.due_at_ms
        return due is not None and due <= self._clock.wall_ms()

    def _pass_protocol_delay(self, moving: Sequence[Run]) -> bool:
        """Nothing has moved by itself for a while: if runs wait for their former holder, let that short time pass."""
        due = self._engine.alarm.due_at_ms
        waits = any(run.status in (Status.ORPHANED, Status.READY) for run in moving)
        if not waits or due is None or not self._clock.wall_ms() < due <= self._clock.wall_ms() + PROTOCOL_MS:
            return False
        self._move_to(due)
        return True

    def _next_ms(self) -> int | None:
        moments = (self._clock.next_ms, self._engine.alarm.due_at_ms)
        return min((moment for moment in moments if moment is not None), default=None)

    def _move_to(self, now_ms: int) -> None:
        self._clock.move_to(now_ms)
        self._engine.alarm.look()

    async def _all_runs(self) -> list[Run]:
        found: list[Run] = []
        before: int | None = None
        while page := (await self._engine.store.runs(RunFilter(limit=500, before=before))).runs:
            found += page
            before = page[-1].ord
        return found[::-1]

    async def _look(self) -> None:
        """Bring what the test holds up to date."""
        store = self._engine.store
        for listed in await self._all_runs():
            if listed.id not in self._runs:
                self._runs[listed.id] = TestRun(listed.id, self.functions[listed.function], self._executions[listed.id])
            if run := await store.run(listed.id):
                chain = self.functions[run.function].chain
                steps = await opened_steps(chain, run, await self._steps_of(run))
                progress = [item.body for item in await store.items("progress", run.id)]
                self._runs[run.id].update(await opened_run(chain, run), steps, next(iter(progress), None))
        self.sent = await self._all_sent()

    async def _steps_of(self, run: Run) -> list[StepView]:
        page = await self._engine.store.steps(run.id)
        lines = {line.key: line for line in page.steps}
        while page.next is not None:
            page = await self._engine.store.steps(run.id, page.next)
            lines.update((line.key, line) for line in page.steps)
        return list(lines.values())

    async def _all_sent(self) -> list[Event[Any]]:
        found: list[messages.Event] = []
        for run in self._runs.values():
            for key in run.sends:
                for index in itertools.count():
                    event = await self._engine.store.event(derived_id("evt", run.id, key, index))
                    if event is None:
                        break
                    found.append(event)
        found.sort(key=lambda event: event.ord)
        return [Event(one.name, msgspec.json.decode(one.data), one.id, one.ts_ms, one.key, one.meta) for one in found]

    # -- the worker

    def _start_worker(self) -> None:
        self._worker = TestWorker(
            self.functions,
            clock=self._clock,
            state=self._state,
            random_bytes=self._random_bytes,
            body_of=self._body_of,
            checkpoint_of=lambda function: self._checkpoint or function.checkpoint,
            on_durable=self._on_durable,
        )
        self._worker.start(self._engine.gateway)

    def _body_of(self, run: str, key: str, call: StepCall) -> Callable[..., Any]:
        self._executions[run][key] += 1
        if call.id not in self._steps:
            return call.fn
        replacement = self._steps[call.id]
        return replacement if callable(replacement) else lambda *_args, **_kwargs: replacement

    def _on_durable(self, run: str, entries: Sequence[WorkerEntry]) -> bool:
        del run
        if entries and all(isinstance(entry, Progress) for entry in entries):
            return False  # a replay would show it again, and die of it again
        dies = self._crash_everywhere or self._is_crash_point(entries)
        self.crashes += dies
        return dies

    def _is_crash_point(self, entries: Sequence[WorkerEntry]) -> bool:
        if not self._crash_after:
            return False
        kept = [entry.key for entry in entries if isinstance(entry, _CRASH_POINTS)]
        if not any(key.partition("@")[0] == self._crash_after or key == self._crash_after for key in kept):
            return False
        self._crash_after = ""
        return True
