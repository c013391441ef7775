"""Random programs for flow control: functions with all of its options, and events, completions, deaths and time for
them. A program is made while it is played on a store in memory, and can then be played on any other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
from msgspec.structs import replace
from onward_engine.model import Assignment, Run, Status
from onward_engine.rules.flow.problems import problem
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import (
    Admit,
    ApplyCheckpoint,
    CancelRun,
    Claim,
    FireTimers,
    Ingest,
    NewEvent,
    Op,
    Orphan,
    PauseFunction,
    PauseRun,
    Register,
    ResumeRun,
    SetLimit,
    StartRun,
)
from onward_engine.store.tables import QueueState
from onward_protocol.codec import encode_entries
from onward_protocol.messages import (
    AppManifest,
    BatchRule,
    ConcurrencyLimit,
    DebounceRule,
    Event,
    Failure,
    FairRule,
    FunctionManifest,
    IdempotencyRule,
    Outcome,
    Parked,
    RateRule,
    RunCancelled,
    RunCompleted,
    RunFailed,
    Seen,
    SingletonRule,
    Sleep,
    ThrottleRule,
    Trigger,
    WaitOpened,
    WorkerEntry,
)

from tests.support.flow_judge import Judge, assignments

FUNCTIONS = 4
OPS = 70
WORKERS = ("wrk_a", "wrk_b")
KEYS = ("event.data.k", "event.data.t", "[event.data.k, event.data.t]")
APP = "shop"
GRACE_MS = 1_000
DRAIN_MAX = 200
ROUNDS_MAX = 30


@dataclass(frozen=True, slots=True)
class Deed:
    """One operation, and what became of it."""

    op: Op[Any]
    outcome: object


@dataclass
class Program:
    """What was played, and what was wrong with it in memory already."""

    seed: int
    app: AppManifest
    deeds: list[Deed] = field(default_factory=list[Deed])
    problems: list[str] = field(default_factory=list[str])

    def counts(self) -> Counter[str]:
        """Return how many runs were handed out, and how many operations of each kind there were."""
        admitted = sum(len(assignments(deed.outcome)) for deed in self.deeds)
        return Counter(type(deed.op).__name__ for deed in self.deeds) + Counter(admissions=admitted)

    def batches(self) -> Iterable[list[Deed]]:
        """Return the operations as they come into transactions: a few at a time."""
        rng, first = Random(self.seed), 0
        while first < len(self.deeds):
            count = rng.randint(1, 8)
            yield self.deeds[first : first + count]
            first += count


def normalised(outcome: object) -> object:
    """Return an outcome without the numbers that a store may choose as it likes."""
    return [_admission(one) for one in assignments(outcome)] or outcome


def _admission(one: Assignment) -> tuple[object, ...]:
    run = one.run
    return run.id, run.epoch, run.started_at_ms, [event.id for event in one.events], run.cancel_reason


# -- functions ---------------------------------------------------------------------------------------------------------


def make_app(rng: Random) -> AppManifest:
    """Return an app with random options, none of which exclude each other."""
    return AppManifest(APP, "1", tuple(_function(rng, number) for number in range(FUNCTIONS)))


def _function(rng: Random, number: int) -> FunctionManifest:
    triggers = tuple(Trigger(name) for name in rng.choice((("x",), ("y",), ("x", "y"))))
    while True:
        found = FunctionManifest(f"{APP}/f{number}", triggers, _limits(rng), **_options(rng))
        if problem(found) is None:
            return found


def _limits(rng: Random) -> tuple[ConcurrencyLimit, ...]:
    return tuple(
        ConcurrencyLimit(
            rng.randint(1, 3),
            rng.choice(("", *KEYS)),
            rng.choice(("function", "function", "app", "environment")),
            rng.choice(("step", "run")),
        )
        for _ in range(rng.choice((0, 1, 1, 2)))
    )


def _options(rng: Random) -> dict[str, Any]:
    def key() -> str:
        return rng.choice(("", *KEYS))

    makers: dict[str, Any] = {
        "throttle": lambda: ThrottleRule(rng.randint(1, 4), 4_000, rng.randint(1, 3), key()),
        "rate_limit": lambda: RateRule(rng.randint(1, 3), 3_000, key()),
        "debounce": lambda: DebounceRule(1_500, key(), rng.choice((None, 4_000)), rng.choice(("last", "all"))),
        "batch": lambda: BatchRule(rng.randint(2, 4), 3_000, key(), rng.choice(("", "event.data.n < 6"))),
        "priority": lambda: "event.data.p",
        "fair": lambda: FairRule(rng.choice(KEYS), rng.choice(("", "event.data.w"))),
        "singleton": lambda: SingletonRule(key(), rng.choice(("skip", "cancel"))),
        "idempotency": lambda: IdempotencyRule(rng.choice(KEYS), 5_000),
    }
    return {name: make() for name, make in makers.items() if rng.random() < 0.3}


# -- what happens to them ----------------------------------------------------------------------------------------------


class Author:
    """Makes up the next operation from what is in the store."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now_ms = 1_000_000
        self.program = Program(seed, make_app(self.rng))
        self.store = MemoryStore()
        self._count = 0
        self._has_changes = self.rng.random() < 0.3
        self.judge = Judge(self.program.app, has_changes=self._has_changes)

    async def write(self) -> Program:
        """Play a random program to its end: until nothing is left to do."""
        await self._play(Register(self.now_ms, self.program.app))
        for _ in range(OPS):
            self.now_ms += self.rng.choice((0, 0, 1, 40, 300, 1_200))
            await self._play(FireTimers(self.now_ms) if self.rng.random() < 0.3 else self._op())
        await self._drain()
        self.program.problems = self.judge.end(list(self.store._tables.runs.values()))
        return self.program

    def runs(self, *statuses: Status) -> list[Run]:
        """Return the runs that are in one of these states, or all that are not over."""
        found = self.store._tables.runs.values()
        return [run for run in found if (run.status in statuses if statuses else not run.status.is_terminal)]

    async def _play(self, op: Op[Any]) -> object:
        waiting = self._waiting() if isinstance(op, Claim) else []
        [outcome] = (committed := await self.store.apply([op])).outcomes
        self.program.deeds.append(Deed(op, outcome))
        self._next_due_at_ms = committed.notices.next_due_at_ms
        still = [run for run in waiting if not self.store._tables.runs[run.ord].epoch]
        self.judge.look(op, outcome, self.store._tables.runs.values(), still)
        return outcome

    def _waiting(self) -> list[Run]:
        """Return the runs that nobody has begun, and that nothing but a limit can keep from it."""
        tables = self.store._tables
        paused = tables.catalog().paused
        rows = [(run, tables.queue_row(run.ord)) for run in self.runs(Status.QUEUED)]
        free = [run for run, row in rows if row is not None and row.state is not QueueState.GATHERED]
        return [run for run in free if not run.epoch and not run.is_paused and run.function not in paused]

    def _op(self) -> Op[Any]:
        assigned = self.runs(Status.ASSIGNED)
        if assigned and self.rng.random() < 0.4:
            return self._frame(self.rng.choice(assigned))
        makers = [self._ingest, self._claim, self._admit, self._start, self._cancel, self._orphan]
        makers += [self._pause, self._go_on, self._pause_function, self._set_limit]
        weights = (6, 6, 2, 1, 1, 0.5, 0.5, 0.5, 0.3, 1.5 if self._has_changes else 0)
        return self.rng.choices(makers, weights)[0]()

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._count}"

    def _ingest(self) -> Op[Any]:
        return Ingest(self.now_ms, tuple(self._event() for _ in range(self.rng.choice((1, 1, 1, 2, 5)))))

    def _event(self) -> NewEvent:
        rng = self.rng
        data: dict[str, object] = {"k": rng.randint(0, 1), "t": rng.choice("ab"), "n": rng.randint(0, 9)}
        data |= {"p": rng.choice((0, 0, 1, -2, "urgent")), "w": rng.choice((1, 1, 3))}
        has_id = rng.random() < 0.1
        id = f"mine_{rng.randint(0, 3)}" if has_id else self._id("evt")
        ts_ms = self.now_ms - rng.choice((0, 0, 100, 5_000))
        return NewEvent(Event(id, rng.choice("xy"), msgspec.json.encode(data), ts_ms, 0), dedup=has_id)

    def _some(self, *statuses: Status) -> str:
        runs = self.runs(*statuses)
        return self.rng.choice(runs).id if runs else "run_nobody"

    def _functions(self) -> Sequence[str]:
        return [function.id for function in self.program.app.functions]

    def _claim(self, limit: int = 0) -> Op[Any]:
        every = self._functions()
        names = tuple(sorted(self.rng.sample(every, self.rng.randint(1, len(every))))) if not limit else tuple(every)
        worker = self.rng.choice(WORKERS)
        return Claim(self.now_ms, self._id("claim"), worker, 1, names, limit or self.rng.randint(1, 4))

    def _admit(self) -> Op[Any]:
        ready = [run for run in self.runs(Status.READY) if run.holder]
        if not ready:
            return self._claim()
        run = self.rng.choice(ready)
        return Admit(self.now_ms, run.id, run.epoch, run.holder, run.generation)

    def _start(self) -> Op[Any]:
        data = {"k": self.rng.randint(0, 1), "t": "a", "n": 0, "p": 0, "w": 1}
        function = self.rng.choice(self._functions())
        return StartRun(self.now_ms, self._id("run"), function, msgspec.msgpack.encode(data))

    def _cancel(self) -> Op[Any]:
        return CancelRun(self.now_ms, self._some(), "asked", self.rng.choice((0, 500)))

    def _orphan(self) -> Op[Any]:
        return Orphan(self.now_ms, self.rng.choice(WORKERS), 1, self.now_ms + GRACE_MS)

    def _pause(self) -> Op[Any]:
        return PauseRun(self.now_ms, self._some())

    def _go_on(self) -> Op[Any]:
        paused = [run.id for run in self.runs() if run.is_paused]
        return ResumeRun(self.now_ms, self.rng.choice(paused) if paused else "run_nobody")

    def _pause_function(self) -> Op[Any]:
        return PauseFunction(self.now_ms, self.rng.choice(self._functions()), self.rng.random() < 0.5)

    def _set_limit(self) -> Op[Any]:
        options = ("concurrency:0", "concurrency:1", "throttle", "rate_limit")
        limit = self.rng.choice((None, 1, 2, 5))
        return SetLimit(self.now_ms, self.rng.choice(self._functions()), self.rng.choice(options), limit, "somebody")

    def _frame(self, run: Run, *, is_last: bool = False) -> Op[Any]:
        marks: list[WorkerEntry] = [Seen(pos) for pos in range(run.seen + 1, run.pos + 1)]
        entries: tuple[WorkerEntry, ...] = (*marks, *self._sleep(run))
        outcome: Outcome = Parked()
        if is_last or run.cancel_reason is not None or self.rng.random() < 0.7:
            entries, outcome = tuple(marks), self._end(run)
        raw = encode_entries(entries)
        return ApplyCheckpoint(
            self.now_ms, run.id, run.epoch, run.seq + 1, run.holder, run.generation, raw, entries, outcome
        )

    def _sleep(self, run: Run) -> tuple[WorkerEntry, ...]:
        return (WaitOpened(f"sleep@{run.epoch}.{run.seq}", Sleep(self.rng.choice((10, 700)))),)

    def _end(self, run: Run) -> Outcome:
        if run.cancel_reason is not None:
            return RunCancelled()
        return RunFailed(Failure("E", "")) if self.rng.random() < 0.1 else RunCompleted(b"\x01")

    # -- the end

    async def _drain(self) -> None:
        """Let everything go on and end. Raises `AssertionError` if something never does."""
        for function in self._functions():
            await self._play(PauseFunction(self.now_ms, function, is_paused=False))
        for _ in range(DRAIN_MAX):
            await self._play(FireTimers(self.now_ms))
            await self._end_all()
            if not self.runs():
                return
            self.now_ms = max(self.now_ms + 1, self._next_due_at_ms or 0)
        raise AssertionError(f"stuck: {[replace(run, flow=()) for run in self.runs()]}")

    async def _end_all(self) -> None:
        for run in self.runs():
            if run.is_paused:
                await self._play(ResumeRun(self.now_ms, run.id))
        for run in self.runs(Status.READY):
            if run.holder:
                await self._play(Admit(self.now_ms, run.id, run.epoch, run.holder, run.generation))
        for _ in range(ROUNDS_MAX):
            if not await self._play(self._claim(limit=10)) and not await self._play(FireTimers(self.now_ms)):
                break
        self.judge.rest(self.now_ms, self.store._tables.runs.values(), self._waiting())
        for run in self.runs(Status.ASSIGNED):
            await self._play(self._frame(run, is_last=True))
