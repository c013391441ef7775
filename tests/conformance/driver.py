"""Speaks to a store as the engine does, in few words: one operation a call, time under the test's control."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import msgspec
from onward_engine.model import Assignment, Run, Status
from onward_engine.store.port import (
    Accepted,
    Admit,
    Applied,
    ApplyCheckpoint,
    Boot,
    CancelRun,
    Claim,
    FireTimers,
    GiveBack,
    Ingest,
    NewEvent,
    Notices,
    Op,
    Orphan,
    Register,
    Rejected,
    Resume,
    Resumed,
    StartRun,
    Store,
)
from onward_protocol.codec import encode_entries
from onward_protocol.messages import (
    AppManifest,
    ConcurrencyLimit,
    EngineEntry,
    Event,
    FunctionManifest,
    Held,
    Outcome,
    Trigger,
    WorkerEntry,
)

T = TypeVar("T")

WORKER = "wrk_a"
OTHER = "wrk_b"


def function(
    id: str, *events: str, concurrency: Sequence[ConcurrencyLimit] = (), on_failure: str = ""
) -> FunctionManifest:
    """Describe a function of the app `shop`."""
    triggers = tuple(Trigger(event) for event in events)
    return FunctionManifest(f"shop/{id}", triggers, tuple(concurrency), on_failure)


class Driver:
    """A store and its latest notices. `now` is the time of every operation until the test changes it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 1_000_000
        self.notices = Notices()
        self._ids = itertools.count(1)

    async def apply(self, *ops: Op[Any]) -> tuple[Any, ...]:
        committed = await self.store.apply(ops)
        self.notices = committed.notices
        return committed.outcomes

    async def one(self, op: Op[T]) -> T:
        outcome = (await self.apply(op))[0]
        assert not isinstance(outcome, Rejected), outcome
        return cast("T", outcome)

    def registering(self, *functions: FunctionManifest) -> Register:
        return Register(self.now, AppManifest("shop", "1", functions))

    async def register(self, *functions: FunctionManifest) -> None:
        await self.one(self.registering(*functions))

    def new_event(self, name: str, data: object = None, id: str = "") -> NewEvent:
        event = Event(id or f"evt_{next(self._ids)}", name, msgspec.json.encode(data), self.now, 0)
        return NewEvent(event, dedup=bool(id))

    async def send(self, name: str, data: object = None, id: str = "") -> Accepted:
        return (await self.one(Ingest(self.now, (self.new_event(name, data, id),))))[0]

    async def start(self, function: str, input: bytes = b"\xc0") -> str:
        return await self.one(StartRun(self.now, f"run_{next(self._ids)}", f"shop/{function}", input))

    async def claim(
        self, *functions: str, limit: int = 100, instance: str = WORKER, generation: int = 1, claim: str = ""
    ) -> tuple[Assignment, ...]:
        names = tuple(f"shop/{name}" for name in functions)
        id = claim or f"claim_{next(self._ids)}"
        return await self.one(Claim(self.now, id, instance, generation, names, limit))

    async def running(self, name: str = "work", **options: Any) -> Run:
        """Start a run of a function and have it claimed."""
        run = await self.start(name)
        assignments = await self.claim(name, **options)
        return next(assignment.run for assignment in assignments if assignment.run.id == run)

    def frame(
        self, run: Run, seq: int, *entries: WorkerEntry, outcome: Outcome | None = None, **changes: Any
    ) -> ApplyCheckpoint:
        op = ApplyCheckpoint(self.now, run.id, run.epoch, seq, WORKER, 1, encode_entries(entries), entries, outcome)
        return msgspec.structs.replace(op, **changes)

    async def checkpoint(
        self, run: Run, seq: int, *entries: WorkerEntry, outcome: Outcome | None = None, **changes: Any
    ) -> Applied:
        return await self.one(self.frame(run, seq, *entries, outcome=outcome, **changes))

    async def admit(self, run: Run, generation: int = 1) -> tuple[EngineEntry, ...] | None:
        return await self.one(Admit(self.now, run.id, run.epoch, WORKER, generation))

    async def give_back(self, run: Run, reason: str = "full") -> bool:
        return await self.one(GiveBack(self.now, run.id, run.epoch, reason))

    async def orphan(self, generation: int = 1, grace_ms: int = 1_000, **options: Any) -> int:
        return await self.one(Orphan(self.now, WORKER, generation, self.now + grace_ms, **options))

    async def resume(self, *held: Held, generation: int = 2, ignore: tuple[str, ...] = ()) -> tuple[Resumed, ...]:
        return await self.one(Resume(self.now, WORKER, generation, held, ignore))

    async def boot(self, wait_ms: int = 5_000) -> int:
        return await self.one(Boot(self.now, self.now + wait_ms))

    async def cancel(self, run: Run | str, cleanup_ms: int = 10_000, reason: str = "asked") -> str:
        id = run if isinstance(run, str) else run.id
        return await self.one(CancelRun(self.now, id, reason, cleanup_ms))

    async def fire(self, limit: int = 1000) -> int:
        return await self.one(FireTimers(self.now, limit))

    async def get(self, run: Run | str) -> Run:
        found = await self.store.run(run if isinstance(run, str) else run.id)
        assert found is not None
        return found

    async def status(self, run: Run | str) -> Status:
        return (await self.get(run)).status


def held(run: Run, **changes: Any) -> Held:
    """Return what a worker says of a run that it has and that it executes."""
    return msgspec.structs.replace(Held(run.id, run.epoch, run.seq, run.seq, run.pos, "running"), **changes)
