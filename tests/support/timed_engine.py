"""A paper engine in virtual time: a millisecond away, it wakes what sleeps and assigns again what is handed back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from onward_protocol.codec import decode_entries
from onward_protocol.messages import (
    Ack,
    CancelRequested,
    Checkpoint,
    Due,
    EngineEntry,
    HandedBack,
    Outcome,
    Parked,
    RunCompleted,
    Seen,
    Sleep,
    Wake,
    WorkerEntry,
    WorkerFrame,
)

from tests.support.loop import VirtualLoop
from tests.support.paper_engine import PaperEngine, PaperRun, Program

T = TypeVar("T")

LATENCY_S = 0.001
STAYS_MS = 10**9  # a parked run is never evicted here


class Frame(Struct, frozen=True):
    """What the worker sent, and when: milliseconds after the beginning."""

    at_ms: int
    entries: tuple[WorkerEntry, ...]
    outcome: Outcome | None = None

    @property
    def kinds(self) -> list[str]:
        """The names of the entries, and of the outcome, without the marks of the engine's own entries."""
        shown = [entry for entry in (*self.entries, self.outcome) if entry is not None and not isinstance(entry, Seen)]
        return [type(entry).__name__ for entry in shown]


class TimedEngine(PaperEngine):
    """Holds one run of one function. With `is_storing` off, frames are lost on their way."""

    def __init__(self, program: Program, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self.now_ms: Callable[[], int] = lambda: round((loop.time() - began_s) * 1000)
        super().__init__(
            program,
            auto=False,
            clock_ms=self.now_ms,
            wall_ms=lambda: 1_000_000 + self.now_ms(),
            park_ttl_ms=STAYS_MS,
            **options,
        )
        self.frames: list[Frame] = []
        self.is_storing = True
        self.ended: asyncio.Future[Outcome] = loop.create_future()
        self._asleep: set[str] = set()
        self._dead: list[asyncio.Task[None]] = []

    @property
    def state(self) -> PaperRun:
        """The run."""
        return self.runs["run_1"]

    async def output(self) -> Any:
        """Start the run, return its output when it has ended, or its outcome if it has none."""
        self.start()
        return await self.result()

    async def result(self) -> Any:
        """Return the output of the run that was started, or its outcome if it has none."""
        outcome = await asyncio.wait_for(self.ended, 1_000_000)
        await asyncio.gather(self.runner.close(), *self._dead)
        return msgspec.msgpack.decode(outcome.output) if isinstance(outcome, RunCompleted) else outcome

    def cancel(self) -> None:
        """Ask for the run to be cancelled."""
        self._write(lambda pos: CancelRequested(pos, 60_000))

    def kill_worker(self) -> None:
        """Lose the worker with everything that is on its way, and give the run to another one."""
        if not self.ended.done():
            self._dead.append(asyncio.ensure_future(self.runner.close()))
            self.restart()

    @property
    def residences(self) -> int:
        """How often the run was assigned."""
        return self.state.epoch

    def _receive(self, frame: WorkerFrame) -> None:
        assert isinstance(frame, Checkpoint), frame
        self.frames.append(Frame(self.now_ms(), tuple(decode_entries(frame.entries)), frame.outcome))
        if self.is_storing:
            self.runner.loop.call_later(LATENCY_S, self._arrive, frame)

    def _arrive(self, frame: Checkpoint) -> None:
        state, loop = self.state, self.runner.loop
        if not state.store(frame):
            return
        loop.call_later(LATENCY_S, self.runner.handle, Ack(frame.run, frame.epoch, state.stored))
        for key, wait in state.open.items():
            if isinstance(wait, Sleep) and key not in self._asleep:
                self._asleep.add(key)
                loop.call_later(wait.ms / 1000, self._wake_up, key)
        match frame.outcome:
            case None:
                pass
            case HandedBack():
                loop.call_later(2 * LATENCY_S, self._assign, frame.epoch)
            case Parked() if len(state.entries) > state.seen:
                self._tell(state.entries[state.seen :])
            case Parked():
                pass
            case _:
                self.ended.set_result(frame.outcome)

    def _assign(self, epoch: int) -> None:
        if self.state.epoch == epoch:
            self.state.outcome = None
            self.runner.handle(self.state.assign())

    def _wake_up(self, key: str) -> None:
        self._asleep.discard(key)
        if key in self.state.open:
            self._write(lambda pos: Due(pos, key, 1_000_000 + self.now_ms()))

    def _write(self, make: Callable[[int], EngineEntry]) -> None:
        entry = self.state.write(make)
        if not isinstance(self.state.outcome, HandedBack):
            self._tell([entry])

    def _tell(self, entries: list[EngineEntry]) -> None:
        slot, self.state.outcome = self.state.outcome is not None, None
        wake = Wake("run_1", self.state.epoch, tuple(entries), slot)
        self.runner.loop.call_later(LATENCY_S, self.runner.handle, wake)


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end on a clock that jumps."""
    loop = VirtualLoop(Random(1))
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()
