"""The engine's picture of what a worker holds, against a model of a worker that really holds it.

Messages cross at random, large frames linger in parts, runs are assigned, woken, parked, evicted, fenced and finished:
as long as nothing is lost, the engine must never see a difference, and a run that is lost must always be found.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from msgspec.structs import replace as changed
from onward_protocol.holdings import Difference
from onward_protocol.limits import Limits
from onward_protocol.messages import (
    Ack,
    Assign,
    Cancel,
    Checkpoint,
    Due,
    EngineEntry,
    Fence,
    HandedBack,
    Held,
    Journal,
    Outcome,
    Parked,
    Return,
    RunCompleted,
    Segment,
    Wake,
)
from onward_protocol.session import FromEngine

from tests.unit.protocol.pair import Pair

SMALL = replace(
    Limits(), part_threshold_bytes=2_000, part_bytes=500, flow_bytes_min=4_000, flow_bytes_max=16_000, streams_max=3
)
RUNS = [f"run_{number}" for number in range(6)]


@dataclass
class Simulation:
    """A worker and an engine that act at random, within the rules."""

    seed: int
    pair: Pair = field(default_factory=lambda: Pair(limits=SMALL, free_slots=1_000).open())
    differences: list[Difference] = field(default_factory=list[Difference])

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.epochs = dict.fromkeys(RUNS, 0)
        self.positions = dict.fromkeys(RUNS, 0)
        self.stored: dict[str, int] = {}
        self.owned: dict[str, str] = {}  # as the engine sees it: run -> running, parked, or ended
        self.streamed: dict[str, list[Journal]] = {}  # what is to follow an assignment
        self.acks: list[Ack] = []
        self.frames: list[Checkpoint] = []

    def play(self, actions: int) -> Simulation:
        moves: list[Callable[[], None]] = [
            *[self.write, self.read_up, self.read_down] * 4,
            *[self.progress] * 4,
            *[self.acknowledge, self.assign, self.go_on, self.wake, self.pass_time] * 2,
            self.evict,
            self.send_again,
            self.cancel,
            self.fence,
        ]
        for _ in range(actions):
            self.random.choice(moves)()
        return self

    # -- the wire

    def write(self) -> None:
        self.pair.write()

    def read_up(self) -> None:
        if not self.pair.up:
            return
        self.pair.read_up()
        for frame in self.pair.take_at_engine():
            match frame:
                case Checkpoint():
                    self.note_progress(frame)
                case Return() if frame.epoch == self.epochs.get(frame.run):
                    self.owned.pop(frame.run, None)
                case Difference():
                    self.differences.append(frame)
                case _:
                    pass

    def read_down(self) -> None:
        if self.pair.down:
            self.pair.read_down()
            for frame in self.pair.take_at_worker():
                self.use(frame)

    def pass_time(self) -> None:
        self.pair.now_ms += self.random.randrange(4_000)
        self.pair.worker._last_received_ms = self.pair.engine._last_received_ms = self.pair.now_ms
        self.pair.worker.tick(self.pair.now_ms)

    def settle(self) -> None:
        """Deliver everything, and one more beat with its digest."""
        while self.streamed:
            self.go_on()
        while self.pair.write():
            while self.pair.up:
                self.read_up()
            while self.pair.down:
                self.read_down()
        self.pair.now_ms += 5_000
        self.pair.worker.tick(self.pair.now_ms)
        for _ in range(6):  # the digest, the question for the list, the list
            self.write()
            while self.pair.up:
                self.read_up()
            self.write()
            while self.pair.down:
                self.read_down()
            self.pair.worker.tick(self.pair.now_ms)

    # -- the engine

    def next_entries(self, run: str) -> tuple[EngineEntry, ...]:
        self.positions[run] += 1
        return (Due(self.positions[run], "k", 0),)

    def note_progress(self, frame: Checkpoint) -> None:
        ours = (self.owned.get(frame.run) is not None, self.epochs.get(frame.run), self.stored.get(frame.run, 0) + 1)
        if ours != (True, frame.epoch, frame.seq):
            return
        self.stored[frame.run] = frame.seq
        match frame.outcome:
            case None:
                self.owned[frame.run] = "running"
            case Parked():
                self.owned[frame.run] = "parked"
            case _:
                self.owned[frame.run] = "ended"
        self.acks.append(Ack(frame.run, frame.epoch, frame.seq))

    def acknowledge(self) -> None:
        if self.acks:
            ack = self.acks.pop(self.random.randrange(len(self.acks)))
            self.pair.engine.send(ack)

    def assign(self) -> None:
        run = self.random.choice(RUNS)
        if self.owned.get(run, "ended") != "ended":
            return
        self.epochs[run] += 1
        self.stored[run] = 0
        entries = tuple(Due(pos, "k", 0) for pos in range(1, self.positions[run] + 1))
        size = self.random.choice([0, 0, 5_000])
        assign = Assign(run, self.epochs[run], "app/f", 0, 1, input=b"\0" * size, entries=entries)
        self.owned[run] = "running"
        if self.random.random() < 0.5:
            pieces = [Journal(run, assign.epoch, (Segment(1, 1, bytes(size)),), (entry,)) for entry in entries]
            self.streamed[run] = [*pieces, Journal(run, assign.epoch, last=True)]
            assign = changed(assign, entries=(), journal_follows=True)
        self.pair.engine.send(assign)

    def go_on(self) -> None:
        """Send the next piece of a journal, unless its run was taken back."""
        if self.streamed:
            run = self.random.choice(list(self.streamed))
            piece = self.streamed[run].pop(0)
            if piece.last:
                del self.streamed[run]
            if self.pair.engine.mirror.knows(run, piece.epoch):
                self.pair.engine.send(piece)

    def wake(self) -> None:
        if run := self.some_owned("running", "parked"):
            is_parked = self.owned[run] == "parked"
            entries = self.next_entries(run)
            self.pair.engine.send(Wake(run, self.epochs[run], entries, slot=is_parked))
            self.owned[run] = "running"

    def cancel(self) -> None:
        if run := self.some_owned("running", "parked"):
            self.positions[run] += 1
            self.pair.engine.send(Cancel(run, self.epochs[run], self.positions[run], 1_000))

    def fence(self) -> None:
        if run := self.some_owned("running", "parked", "ended"):
            self.streamed.pop(run, None)
            self.pair.engine.send(Fence(run, self.epochs[run]))
            del self.owned[run]

    def some_owned(self, *states: str) -> str | None:
        runs = [run for run, state in self.owned.items() if state in states]
        return self.random.choice(runs) if runs else None

    # -- the worker

    def use(self, frame: FromEngine) -> None:
        match frame:
            case Assign():
                self.start(frame)
            case Wake():
                self.wake_up(frame)
            case Cancel():
                self.learn(frame.run, frame.epoch, frame.pos)
            case Fence():
                held = self.pair.holdings.get(frame.run)
                if held is not None and held.epoch <= frame.epoch:
                    self.pair.holdings.drop(frame.run)
            case Ack():
                held = self.pair.holdings.get(frame.run)
                if (
                    held is not None
                    and (held.state, held.epoch) == ("ended", frame.epoch)
                    and frame.seq >= held.last_seq
                ):
                    self.pair.holdings.drop(frame.run)
            case _:
                pass

    def start(self, frame: Assign) -> None:
        self.pair.holdings.drop(frame.run)
        if self.random.random() < 0.2:
            self.pair.worker.send(Return(frame.run, frame.epoch, "full"))
        else:
            known = max((entry.pos for entry in frame.entries), default=0)
            self.pair.holdings.put(Held(frame.run, frame.epoch, 0, 0, known, "running"))

    def wake_up(self, frame: Wake) -> None:
        held = self.learn(frame.run, frame.epoch, frame.entries[0].pos)
        if held is None:
            self.pair.worker.send(Return(frame.run, frame.epoch, "unknown"))
        elif frame.slot and held.state == "parked":
            self.pair.holdings.put(changed(held, state="running"))

    def learn(self, run: str, epoch: int, pos: int) -> Held | None:
        held = self.pair.holdings.get(run)
        if held is None or held.epoch != epoch:
            return None
        held = changed(held, known=max(held.known, pos))
        self.pair.holdings.put(held)
        return held

    def progress(self) -> None:
        if held := self.some_held("running"):
            outcomes: list[Outcome | None] = [None, None, Parked(), Parked(), RunCompleted(b""), HandedBack()]
            outcome = self.random.choice(outcomes)
            state = "running" if outcome is None else "parked" if isinstance(outcome, Parked) else "ended"
            entries = b"\0" * self.random.choice([0, 0, 0, 6_000])
            self.pair.holdings.put(changed(held, last_seq=held.last_seq + 1, state=state))
            frame = Checkpoint(held.run, held.epoch, held.last_seq + 1, entries, outcome)
            self.frames.append(frame)
            self.pair.worker.send(frame)

    def send_again(self) -> None:
        if self.frames:
            self.pair.worker.send(self.random.choice(self.frames[-10:]))

    def evict(self) -> None:
        if held := self.some_held("parked"):
            self.pair.holdings.drop(held.run)
            self.pair.worker.send(Return(held.run, held.epoch, "evicted"))

    def some_held(self, state: str) -> Held | None:
        found = [held for held in self.pair.holdings if held.state == state]
        return self.random.choice(found) if found else None


def test_the_digests_of_both_ends_are_equal_however_messages_cross(seed: int) -> None:
    simulation = Simulation(seed)
    asked = simulation.pair.engine
    for _ in range(20):
        simulation.play(100)
        assert not asked._is_list_asked
    assert simulation.differences == []


def test_a_lost_run_is_found_by_the_next_digest(seed: int) -> None:
    simulation = Simulation(seed)
    lost = None
    while lost is None:
        simulation.play(500).settle()
        lost = simulation.some_held("running") or simulation.some_held("parked")
    simulation.pair.holdings.drop(lost.run)
    simulation.settle()
    assert [difference.lost for difference in simulation.differences] == [(lost,)]
    assert not simulation.pair.engine.mirror.knows(lost.run, lost.epoch)


def test_a_run_that_nobody_assigned_is_found_by_the_next_digest(seed: int) -> None:
    simulation = Simulation(seed).play(1_000)
    simulation.pair.holdings.put(Held("run_x", 1, 0, 0, 0, "running"))
    simulation.settle()
    assert simulation.pair.engine.mirror.knows("run_x", 1)
    strange = [item.run for difference in simulation.differences for item in difference.strange]
    assert strange == ["run_x"]


def test_after_a_difference_both_ends_agree_again(seed: int) -> None:
    simulation = Simulation(seed).play(500)
    simulation.pair.holdings.put(Held("run_x", 1, 0, 0, 0, "running"))
    simulation.settle()
    simulation.differences.clear()
    simulation.play(500).settle()
    assert simulation.differences == []
