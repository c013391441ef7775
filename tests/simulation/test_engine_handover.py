"""The real engine with workers that die, come back and forget, and engines that are started anew: everything ends,
once.

The workers are their real sessions with a robot in place of a runner: three steps for each run, one frame after the
other.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict

from onward_engine.engine import Engine
from onward_engine.incoming import Incoming
from onward_engine.model import Run
from onward_engine.pipe import Pipe
from onward_engine.settings import Settings
from onward_engine.store.memory import MemoryStore
from onward_engine.store.port import RunFilter
from onward_protocol.codec import decode_entries, encode_entries
from onward_protocol.errors import ProtocolError
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
    Return,
    RunCompleted,
    Seen,
    Sleep,
    StepDone,
    Trigger,
    WaitOpened,
    Wake,
    WorkerEntry,
)
from onward_protocol.session import FromEngine, Vitals, WorkerSession
from onward_protocol.states import Phase
from onward_protocol.window import SendWindow
from structlog.testing import capture_logs

from tests.support import Network, simulate

APP = AppManifest("shop", functions=(FunctionManifest("shop/order", triggers=(Trigger("order/placed"),)),))
NIL = b"\xc0"
STEPS = 3  # the last but one is a sleep that parks


class Residence:
    """One run in one robot's memory: which of its steps are done, and its unacknowledged frames."""

    def __init__(self, robot: Robot, assign: Assign) -> None:
        self.robot = robot
        self.window = SendWindow(assign.run, assign.epoch)
        self.known = max((entry.pos for entry in assign.entries), default=0)
        entries = [entry for segment in assign.segments for entry in decode_entries(segment.entries)]
        self.marked = max((entry.pos for entry in entries if isinstance(entry, Seen)), default=0)
        self.done = sum(isinstance(entry, StepDone) for entry in entries)
        self.is_napping = any(isinstance(entry, WaitOpened) for entry in entries)
        self.is_over = False
        self.state = "running"

    def held(self) -> Held:
        window = self.window
        return Held(window.run, window.epoch, window.last_seq, window.acked_seq, self.known, self.state)  # type: ignore[arg-type]

    def work(self) -> None:
        """Do what comes next, if everything before it is durable."""
        if self.is_over or self.state == "parked" or self.window.unacked:
            return
        self.robot.executed[self.window.run, self.done] += 1
        if self.done < STEPS - 1:
            self._report([StepDone(f"step-{self.done}", NIL)])
            self.done += 1
        elif not self.is_napping:
            self.is_napping = True
            self._park([WaitOpened("nap", Sleep(300))])
        elif self.known > 0:
            self.is_over = True
            self._report([StepDone("last", NIL)], RunCompleted(NIL))
            self.state = "ended"
        else:
            self._park([])

    def _park(self, entries: list[WorkerEntry]) -> None:
        self._report(entries, Parked())
        self.state = "parked"

    def _report(self, entries: list[WorkerEntry], outcome: Outcome | None = None) -> None:
        marks: list[WorkerEntry] = [Seen(pos) for pos in range(self.marked + 1, self.known + 1)]
        self.marked = self.known
        self.robot.send(self.window.next(encode_entries([*marks, *entries]), outcome))


class Robot:
    """One worker process."""

    def __init__(self, name: str, rng: random.Random, executed: Counter[tuple[str, int]]) -> None:
        self.executed = executed
        self._hello = Hello(VERSIONS, name, slots=4, apps=(APP,))
        self._rng = rng
        self._residences: dict[str, Residence] = {}
        self._lease = Lease()
        self._session: WorkerSession | None = None
        self._pipe = Pipe()
        self._told = 0

    async def live(self, engine: Engine, seconds: float) -> None:
        """Stay connected for some time, or until the engine goes."""
        self._pipe = pipe = Pipe()
        holdings = Holdings(residence.held() for residence in self._residences.values())
        session = WorkerSession(
            _changed(self._hello, tuple(holdings)),
            holdings=holdings,
            vitals=lambda: Vitals(self._free),
            lease=self._lease,
            now_ms=_now_ms(),
        )
        self._session, self._holdings = session, holdings
        engine.gateway.attach(pipe)
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                group.create_task(self._read(pipe, session))
                group.create_task(self._tick(pipe, session))
        except (TimeoutError, ExceptionGroup):
            pass
        pipe.abort()
        session.lost(_now_ms())

    def forget(self) -> None:
        """Die: another process takes its place."""
        self._residences.clear()
        self._lease = Lease()
        self._hello = Hello(VERSIONS, f"{self._hello.instance}'", slots=4, apps=(APP,))

    def send(self, frame: Checkpoint | Return) -> None:
        if self._session is not None and Phase.OPEN <= self._session.phase < Phase.CLOSED:
            self._session.send(frame)

    @property
    def _free(self) -> int:
        return 4 - sum(residence.state == "running" for residence in self._residences.values())

    async def _read(self, pipe: Pipe, session: WorkerSession) -> None:
        self._flush(pipe, session)
        while (message := await pipe.from_engine()) is not None:
            for frame in session.receive(message, _now_ms()):
                self._use(frame)
            if self._rng.random() < 0.2:
                await asyncio.sleep(self._rng.random() * 0.3)
            self._flush(pipe, session)
        raise ProtocolError("silent", "the connection is over")

    async def _tick(self, pipe: Pipe, session: WorkerSession) -> None:
        while True:
            await asyncio.sleep(0.05)
            for residence in list(self._residences.values()):
                if session.may_start(_now_ms()):
                    residence.work()
            self._flush(pipe, session)

    def _flush(self, pipe: Pipe, session: WorkerSession) -> None:
        for residence in self._residences.values():
            self._holdings.put(residence.held())
        if self._free > self._told and session.phase is Phase.OPEN:
            session.beat_soon()
        self._told = self._free
        if session.deadline_ms is not None and _now_ms() >= session.deadline_ms:
            session.tick(_now_ms())
        for message in session.messages_to_send(_now_ms()):
            pipe.to_engine(message)

    def _use(self, frame: FromEngine) -> None:
        residence = self._residences.get(frame.run) if isinstance(frame, Ack | Wake | Fence) else None
        match frame:
            case Assign():
                self._residences[frame.run] = Residence(self, frame)
            case Ack() if residence is not None:
                for again in residence.window.ack(frame):
                    self.send(again)
                if residence.state == "ended" and not residence.window.unacked:
                    self._drop(frame.run)
            case Wake() if residence is not None and residence.window.epoch == frame.epoch:
                residence.known = max(residence.known, *(entry.pos for entry in frame.entries), 0)
                if frame.slot and residence.state == "parked":
                    residence.state = "running"
            case Wake():
                self.send(Return(frame.run, frame.epoch, "unknown"))
            case Fence() if residence is not None and residence.window.epoch <= frame.epoch:
                self._drop(frame.run)
            case _:
                if self._session is not None and self._session.session_id:
                    self._hello = _changed(self._hello, (), self._session)

    def _drop(self, run: str) -> None:
        self._residences.pop(run, None)
        self._holdings.drop(run)


def test_every_run_ends_once_whatever_dies(seed: int) -> None:
    async def main(_network: Network) -> None:
        rng = random.Random(seed)
        executed = Counter[tuple[str, int]]()
        store = MemoryStore()
        robots = [Robot(f"wrk_{n}", random.Random(rng.random()), executed) for n in range(3)]
        runs: list[str] = []
        losses = 0
        for _round in range(6):
            async with Engine(Settings(), store, listens=False) as engine:
                lives = [asyncio.create_task(_lives(robot, engine, rng)) for robot in robots]
                await asyncio.sleep(0.2)
                for _ in range(rng.randint(0, 8)):
                    (accepted,) = await engine.ingest.accept([Incoming(name="order/placed")])
                    runs += accepted.runs
                    await asyncio.sleep(rng.random() * 0.2)
                await asyncio.sleep(rng.random() * 3)
                for life in lives:
                    losses += await _ended(life)
        async with Engine(Settings(), store, listens=False) as engine:
            last = [asyncio.create_task(robot.live(engine, 60)) for robot in robots]
            for run in runs:
                ended = await engine.endings.wait(run, 50_000)
                assert ended is not None
                assert ended.status == "completed", (ended.status, ended.holder, ended.epoch)
            for end in last:
                await _ended(end)
        _check(runs, executed, losses, await store.runs(RunFilter(limit=500)))

    with capture_logs() as logs:
        simulate(main, seed=seed)
    assert not [line for line in logs if line["event"] in ("holdings differ", "store regressed", "operation rejected")]


async def _lives(robot: Robot, engine: Engine, rng: random.Random) -> int:
    losses = 0
    try:
        while True:
            await robot.live(engine, rng.choice((0.3, 1, 4)))
            await asyncio.sleep(rng.choice((0.0, 0.2, 0.9, 1.5)))
            losses += 1
            if rng.random() < 0.2:
                robot.forget()
    except asyncio.CancelledError:
        return losses


async def _ended(life: asyncio.Task[int] | asyncio.Task[None]) -> int:
    life.cancel()
    (result,) = await asyncio.gather(life, return_exceptions=True)
    return result if isinstance(result, int) else 1


def _check(runs: list[str], executed: Counter[tuple[str, int]], losses: int, stored: list[Run]) -> None:
    assert len(stored) == len(runs)
    steps = defaultdict[str, int](int)
    for (run, _step), times in executed.items():
        steps[run] += times
    for run in runs:
        assert steps[run] >= STEPS
    assert sum(max(0, times - 1) for times in executed.values()) <= 4 * 3 * losses + len(runs)


def _changed(hello: Hello, held: tuple[Held, ...], session: WorkerSession | None = None) -> Hello:
    return Hello(
        hello.versions,
        hello.instance,
        session=hello.session if session is None else session.session_id,
        generation=hello.generation if session is None else session.generation,
        slots=hello.slots,
        apps=hello.apps,
        held=held,
    )


def _now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000 + 1e-4)
