"""A worker without a runner: its real session at one end of a pipe, the real gateway at the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from typing import Any, TypeVar

import msgspec
from onward_engine.engine import Engine
from onward_engine.incoming import Incoming
from onward_engine.pipe import Pipe
from onward_engine.settings import Settings
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import Store
from onward_protocol.codec import encode_entries
from onward_protocol.holdings import Holdings
from onward_protocol.lease import Lease
from onward_protocol.limits import VERSIONS
from onward_protocol.messages import (
    Ack,
    AppManifest,
    Assign,
    Checkpoint,
    Fence,
    FunctionManifest,
    Held,
    Hello,
    Outcome,
    Parked,
    RunCompleted,
    Sleep,
    StepDone,
    Trigger,
    WaitOpened,
    Wake,
    WorkerEntry,
)
from onward_protocol.session import FromEngine, Vitals, WorkerSession

F = TypeVar("F", bound=FromEngine)

ORDER = FunctionManifest("shop/order", triggers=(Trigger("order/placed"),))
SHOP = AppManifest("shop", functions=(ORDER,))
NIL = b"\xc0"


@contextlib.asynccontextmanager
async def engine(store: Store | None = None, **settings: Any) -> AsyncGenerator[Engine]:
    """An engine without a port, on a store in memory."""
    chosen = Settings(**settings)
    async with Engine(chosen, store or MemoryStore(times=chosen.times), listens=False) as running:
        yield running


async def send(engine: Engine, name: str = "order/placed", id: str = "") -> str:
    """Send an event and return the id of the run that it started."""
    (accepted,) = await engine.ingest.accept([Incoming(name=name, data=msgspec.Raw(b'{"id":1}'), id=id)])
    return accepted.runs[0]


async def park(worker: Peer, run: str, *, ms: int = 1_000) -> int:
    """Let an assigned run park in a sleep; returns its epoch."""
    epoch = (await worker.next(Assign, run)).epoch
    worker.report(run, epoch, 1, StepDone("work", NIL), WaitOpened("nap", Sleep(ms)), outcome=Parked())
    await worker.next(Ack, run)
    return epoch


class Peer:
    """One worker process, on one connection after the other."""

    def __init__(
        self, engine: Engine, *, slots: int = 4, instance: str = "wrk_a", apps: Iterable[AppManifest] = (SHOP,)
    ):
        self.engine = engine
        self.slots = slots
        self.hello = Hello(VERSIONS, instance, slots=slots, apps=tuple(apps))
        self.holdings = Holdings()
        self.lease = Lease()
        self.frames: list[FromEngine] = []
        self.messages = 0
        self.most = 0  # runs held at once
        self.is_mute = False  # over a line that has come to a standstill
        self._arrived = asyncio.Condition()
        self._tasks: list[asyncio.Future[None]] = []

    async def connect(self) -> Peer:
        """Dial, and wait until the engine has answered."""
        self.frames.clear()
        hello = replace_struct(self.hello, held=tuple(self.holdings))
        self.pipe = Pipe()
        self.session = WorkerSession(
            hello, holdings=self.holdings, vitals=lambda: Vitals(self.free), lease=self.lease, now_ms=self.now_ms
        )
        self._tasks = [
            asyncio.ensure_future(self.engine.gateway.attach(self.pipe).over),
            asyncio.create_task(self._read(self.pipe, self.session)),
            asyncio.create_task(self._beat(self.pipe, self.session)),
        ]
        self._flush(self.pipe, self.session)
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.session.generation >= 0 or self.session.close_code is not None)
        self.hello = replace_struct(
            self.hello, session=self.session.session_id, generation=max(0, self.session.generation)
        )
        return self

    @property
    def now_ms(self) -> int:
        return self.engine.clock.monotonic_ms()

    @property
    def free(self) -> int:
        return self.slots - sum(held.state == "running" for held in self.holdings)

    async def next(self, kind: type[F], run: str | None = None) -> F:
        """Take the next frame of this kind (and run) out of what has arrived, or wait for it."""
        found: list[F] = []

        def is_there() -> bool:
            found[:] = [frame for frame in self.frames if isinstance(frame, kind) and _is_of(frame, run)]
            return bool(found)

        async with self._arrived:
            await self._arrived.wait_for(is_there)
        self.frames.remove(found[0])
        return found[0]

    def report(self, run: str, epoch: int, seq: int, *entries: WorkerEntry, outcome: Outcome | None = None) -> None:
        """Send a checkpoint."""
        self.send(Checkpoint(run, epoch, seq, encode_entries(entries), outcome))
        state = "running" if outcome is None else "parked" if isinstance(outcome, Parked) else "ended"
        held = self.holdings.get(run)
        if held is not None:
            self.holdings.put(replace_struct(held, last_seq=seq, state=state))
        if outcome is not None:  # a slot is free
            self.session.beat_soon()
            self._tick(self.pipe, self.session)

    def report_raw(self, run: str, epoch: int, seq: int, entries: bytes) -> None:
        """Send a checkpoint with these bytes as its entries."""
        self.send(Checkpoint(run, epoch, seq, entries))
        self.holdings.drop(run)

    async def complete(self, run: str, output: bytes = NIL) -> Ack:
        """Finish an assigned run with one step and wait for the Ack."""
        epoch = (await self.next(Assign, run)).epoch
        self.report(run, epoch, 1, StepDone("work", NIL), outcome=RunCompleted(output))
        return await self.next(Ack, run)

    def send(self, frame: Any) -> None:
        self.session.send(frame)
        self._flush(self.pipe, self.session)

    def cut(self) -> None:
        """Lose the connection, without a word."""
        self.pipe.abort()

    async def gone(self) -> None:
        """Return when both ends know that the connection is over."""
        await asyncio.wait(self._tasks)

    async def _read(self, pipe: Pipe, session: WorkerSession) -> None:
        while (message := await pipe.from_engine()) is not None:
            self.messages += 1
            frames = session.receive(message, self.now_ms)
            for frame in frames:
                self._note(frame)
            self.most = max(self.most, sum(held.state == "running" for held in self.holdings))
            self._tick(pipe, session)
            async with self._arrived:
                self.frames += frames
                self._arrived.notify_all()
        session.lost(self.now_ms)
        self._tasks[-1].cancel()

    async def _beat(self, pipe: Pipe, session: WorkerSession) -> None:
        while session.deadline_ms is not None:
            wait_ms = min(session.deadline_ms - self.now_ms, session.times.beat_ms)
            await asyncio.sleep(max(1, wait_ms) / 1000)
            self._tick(pipe, session)

    def _tick(self, pipe: Pipe, session: WorkerSession) -> None:
        if session.deadline_ms is not None and self.now_ms >= session.deadline_ms:
            session.tick(self.now_ms)
        self._flush(pipe, session)

    def _flush(self, pipe: Pipe, session: WorkerSession) -> None:
        for message in () if self.is_mute else session.messages_to_send(self.now_ms):
            pipe.to_engine(message)

    def _note(self, frame: FromEngine) -> None:
        held = self.holdings.get(frame.run) if isinstance(frame, Ack | Wake | Fence) else None
        match frame:
            case Assign():
                known = max((entry.pos for entry in frame.entries), default=0)
                self.holdings.put(Held(frame.run, frame.epoch, 0, 0, known, "running"))
            case Wake() if held is not None:
                known = max((held.known, *(entry.pos for entry in frame.entries)))
                self.holdings.put(replace_struct(held, known=known, state="running" if frame.slot else held.state))
            case Ack() if held is not None and held.state == "ended":
                self.holdings.drop(frame.run)
            case Ack() if held is not None:
                self.holdings.put(replace_struct(held, acked_seq=frame.seq))
            case Fence():
                self.holdings.drop(frame.run)
            case _:
                pass


replace_struct = msgspec.structs.replace


def _is_of(frame: FromEngine, run: str | None) -> bool:
    return run is None or getattr(frame, "run", None) == run
