"""An engine made of lists: what a Runner sees of one, without sockets and store."""

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from onward.checkpoint import Checkpoint as Setting
from onward.config import Retry, Timeouts
from onward.host import StepCall
from onward.run.runner import Runner
from onward.values.serde import decoder_for, encode
from onward_protocol.codec import decode_entries
from onward_protocol.messages import (
    Ack,
    Assign,
    Checkpoint,
    EngineEntry,
    Outcome,
    Parked,
    Return,
    RunCompleted,
    Seen,
    Segment,
    Wait,
    WaitClosed,
    WaitOpened,
    Wake,
    WorkerEntry,
    WorkerFrame,
)


class Program:
    """Stands for a `Function`: `fn(host)` is called with the host itself instead of a context."""

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        id: str = "app/fn",
        is_sync: bool = False,
        checkpoint: Setting = Setting.SAFE,
        retry: Retry | None = None,
    ) -> None:
        self.id = id
        self.fn = fn
        self.is_sync = is_sync
        self.checkpoint = checkpoint
        self.retry = retry or Retry(attempts=1)
        self.timeouts = Timeouts()
        self.chain = None

    def make_context(self, host: Any, assign: Assign, state: object) -> Any:
        return host

    def encode_output(self, value: object) -> bytes:
        return encode(value)


@dataclass
class PaperRun:
    """One run as the engine has stored it."""

    run: str
    function: str
    epoch: int = 0
    stored: int = 0
    segments: list[Segment] = field(default_factory=list[Segment])
    entries: list[EngineEntry] = field(default_factory=list[EngineEntry])
    open: dict[str, Wait] = field(default_factory=dict[str, Wait])
    outcome: Outcome | None = None
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def assign(self) -> Assign:
        self.epoch += 1
        self.stored = 0
        return Assign(
            self.run,
            self.epoch,
            self.function,
            self.epoch,
            1,
            segments=tuple(self.segments),
            entries=tuple(self.entries),
            started_at_ms=1_000,
        )

    def store(self, frame: Checkpoint) -> bool:
        """Apply the frame if it is the next one."""
        if frame.epoch != self.epoch or frame.seq != self.stored + 1:
            return False
        self.stored = frame.seq
        self.segments.append(Segment(frame.epoch, frame.seq, frame.entries))
        for entry in decode_entries(frame.entries):
            self._apply(entry)
        if frame.outcome is not None:
            self.outcome = frame.outcome
            self.outcomes.append(frame.outcome)
        return True

    def _apply(self, entry: WorkerEntry) -> None:
        match entry:
            case WaitOpened(key=key, wait=wait):
                assert key not in self.open, f"{key} was opened twice"
                self.open[key] = wait
            case WaitClosed(key=key):
                self.open.pop(key, None)
            case Seen(pos=pos):
                assert 1 <= pos <= len(self.entries), f"Seen({pos}), but there are {len(self.entries)} entries"
                assert self.seen + 1 == pos, f"Seen({pos}) after Seen({self.seen})"
                self.seen = pos
            case _:
                pass

    seen: int = 0

    def write(self, make: Callable[[int], EngineEntry]) -> EngineEntry:
        """Commit an engine entry at the next `pos`."""
        entry = make(len(self.entries) + 1)
        self.entries.append(entry)
        key = getattr(entry, "key", None)
        if key is not None:
            self.open.pop(key, None)
        return entry

    @property
    def written(self) -> list[WorkerEntry]:
        """All stored worker entries, without the marks."""
        found = [entry for segment in self.segments for entry in decode_entries(segment.entries)]
        return [entry for entry in found if not isinstance(entry, Seen)]


class PaperEngine:
    """Drives one Runner. With `auto` every frame is stored and acknowledged at once."""

    def __init__(self, *programs: Program, auto: bool = True, slots: int = 4, **options: Any) -> None:
        self.programs: Mapping[str, Any] = {program.id: program for program in programs}
        self.auto = auto
        self.slots = slots
        self.options = options
        self.runs: dict[str, PaperRun] = {}
        self.sent: list[WorkerFrame] = []
        self.returned: list[Return] = []
        self.may_start = True
        self.runner = self.new_runner()

    def new_runner(self) -> Runner:
        """Make a worker; frames of older ones are dropped from now on."""
        holder: list[Runner] = []
        options: dict[str, Any] = {
            "clock_ms": lambda: time.monotonic_ns() // 1_000_000,
            "wall_ms": lambda: time.time_ns() // 1_000_000,
        }
        runner = Runner(
            self.programs,
            send=lambda frame: self._receive(frame) if self.runner is holder[0] else None,
            slots=self.slots,
            may_start=lambda: self.may_start,
            **(options | self.options),
        )
        holder.append(runner)
        self.runner = runner
        return runner

    def start(self, run: str = "run_1", function: str = "app/fn") -> PaperRun:
        """Assign a new run."""
        self.runs[run] = PaperRun(run, function)
        self.runner.handle(self.runs[run].assign())
        return self.runs[run]

    def restart(self, run: str = "run_1") -> PaperRun:
        """Assign the run again, with what is stored of it, to a new worker."""
        self.new_runner()
        self.runs[run].outcome = None
        self.runner.handle(self.runs[run].assign())
        return self.runs[run]

    def wake(self, make: Callable[[int], EngineEntry], run: str = "run_1", *, slot: bool = False) -> None:
        """Commit an engine entry and tell the worker."""
        state = self.runs[run]
        self.runner.handle(Wake(run, state.epoch, (state.write(make),), slot))

    def store(self, *, ack: bool = True) -> None:
        """Store every frame that was sent so far, and acknowledge it."""
        sent, self.sent = self.sent, []
        for frame in sent:
            if isinstance(frame, Checkpoint):
                state = self.runs[frame.run]
                state.store(frame)
                if ack:
                    self.runner.handle(Ack(frame.run, frame.epoch, state.stored))

    def _receive(self, frame: WorkerFrame) -> None:
        if isinstance(frame, Return):
            self.returned.append(frame)
            return
        self.sent.append(frame)
        if self.auto:
            self.runner.loop.call_soon(self.store)


async def finished(engine: PaperEngine, run: str = "run_1") -> Any:
    """Wait until the run has ended; return its output, or its outcome if it has none."""
    state = engine.runs[run]
    await until(lambda: state.outcome is not None and state.outcome != Parked())
    return msgspec.msgpack.decode(state.outcome.output) if isinstance(state.outcome, RunCompleted) else state.outcome


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is true that other callbacks and threads bring about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the condition belongs to code that must not know of this wait
            await asyncio.sleep(0.001)


async def quiet(engine: PaperEngine, passes: int = 30) -> None:
    """Let the loop go round until what is under way has settled; nothing here takes time."""
    for _ in range(passes):
        await asyncio.sleep(0)


def call(fn: Callable[..., Any], *args: Any, id: str = "", retry: Retry | None = None, **options: Any) -> StepCall:
    """Return the call of a step, as the decorator makes it."""
    chosen: dict[str, Any] = {"executor": "loop" if inspect.iscoroutinefunction(fn) else "thread"} | options
    name = id or getattr(fn, "__name__", "step")
    qualified = getattr(fn, "__qualname__", name)
    return StepCall(name, qualified, fn, args, {}, retry or Retry(attempts=1), encode, decoder_for(Any), **chosen)


async def output_of(fn: Callable[..., Any], **options: Any) -> Any:
    """Run a function once and return its output."""
    engine = PaperEngine(Program(fn, **options))
    engine.start()
    try:
        return await finished(engine)
    finally:
        await engine.runner.close()
