"""Both ends of a connection, joined by a perfect wire: what one end writes, the other reads, at once or when told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from onward_protocol.codec import encode_entries
from onward_protocol.holdings import Holdings
from onward_protocol.lease import Lease
from onward_protocol.limits import VERSIONS, Limits, Times
from onward_protocol.messages import Assign, Checkpoint, Held, Hello, Outcome, StepDone
from onward_protocol.packing import Packing
from onward_protocol.session import EngineSession, FromEngine, FromWorker, Vitals, WorkerSession

KIB = 1024


def hello(**changes: object) -> Hello:
    return Hello(**{"versions": VERSIONS, "instance": "wrk_a", "slots": 4, **changes})  # type: ignore[arg-type]


def assign(run: str = "run_a", epoch: int = 1, *, size: int = 0) -> Assign:
    return Assign(run, epoch, "shop/order", attempt=0, ord=1, input=b"\0" * size)


def checkpoint(run: str = "run_a", seq: int = 1, *, size: int = 0, outcome: Outcome | None = None) -> Checkpoint:
    return Checkpoint(run, 1, seq, encode_entries([StepDone("load", b"\0" * size)]), outcome)


def held(run: str = "run_a", epoch: int = 1, *, last_seq: int = 0, known: int = 0) -> Held:
    return Held(run, epoch, last_seq, last_seq, known, "running")


@dataclass
class Pair:
    """A worker's and an engine's session. `up` and `down` are the messages under way."""

    hello: Hello = field(default_factory=hello)
    free_slots: int = 4
    times: Times = field(default_factory=Times)
    limits: Limits = field(default_factory=Limits)
    now_ms: int = 0
    lease: Lease = field(default_factory=Lease)
    packing: Packing | None = None

    def __post_init__(self) -> None:
        self.holdings = Holdings(self.hello.held)
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.at_worker: list[FromEngine] = []
        self.at_engine: list[FromWorker] = []
        self.engine = EngineSession(times=self.times, limits=self.limits, packing=self.packing, now_ms=self.now_ms)
        self.worker = WorkerSession(
            self.hello,
            holdings=self.holdings,
            vitals=lambda: Vitals(self.free_slots),
            lease=self.lease,
            limits=self.limits,
            packing=self.packing,
            now_ms=self.now_ms,
        )

    def open(self) -> Pair:
        """Greet, and carry the first beat and its answer."""
        self.exchange()
        self.engine.welcome("ses_1", 1, engine="test")
        self.exchange()
        return self

    def on_a_good_line(self) -> Pair:
        """Carry so much in no time that both ends trust the line with as much as they ever do."""
        for number in range(2):
            self.engine.send(assign(f"run_down_{number}", size=5_000 * KIB))
            self.worker.send(checkpoint(f"run_up_{number}", size=5_000 * KIB))
        self.exchange()
        self.take_at_engine()
        self.take_at_worker()
        return self

    def exchange(self) -> None:
        """Carry messages both ways until both ends are quiet."""
        while self.write():
            while self.up:
                self.read_up()
            while self.down:
                self.read_down()
            self.worker.tick(self.now_ms)

    def write(self) -> bool:
        """Put on the wire what both ends have to write; return whether anything is under way."""
        self.up.extend(self.worker.messages_to_send(self.now_ms))
        self.down.extend(self.engine.messages_to_send(self.now_ms))
        return bool(self.up or self.down)

    def read_up(self) -> None:
        self.at_engine += self.engine.receive(self.up.popleft(), self.now_ms)

    def read_down(self) -> None:
        self.at_worker += self.worker.receive(self.down.popleft(), self.now_ms)

    def take_at_worker(self) -> list[FromEngine]:
        frames, self.at_worker = self.at_worker, []
        return frames

    def take_at_engine(self) -> list[FromWorker]:
        frames, self.at_engine = self.at_engine, []
        return frames
