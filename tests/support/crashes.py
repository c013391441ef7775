"""Plays a random program in a Runner whose worker dies at random points, and checks that user code cannot tell."""

import asyncio
import sys
from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Any

import msgspec
from msgspec.structs import replace
from onward.app import App
from onward.checkpoint import Checkpoint as Setting
from onward.config import Retry, Timeouts
from onward.host import Host
from onward.replay.journal import read
from onward.run.bodies import Step
from onward.run.course import Course
from onward.run.hosting import RunHost
from onward.run.runner import Runner
from onward.values.serde import encode
from onward_protocol import messages
from onward_protocol.codec import decode_entries
from onward_protocol.ids import derived_id
from onward_protocol.messages import (
    OPEN_MARK,
    Ack,
    Arrived,
    Assign,
    CallbackWait,
    Cancel,
    CancelRequested,
    Checkpoint,
    Due,
    EngineEntry,
    Event,
    HandedBack,
    Outcome,
    Parked,
    Return,
    Returned,
    RunCancelled,
    RunCompleted,
    RunFailed,
    Seen,
    Segment,
    Sleep,
    StepDone,
    StepFailed,
    Wait,
    WaitClosed,
    WaitOpened,
    Wake,
    WorkerFrame,
)

from tests.support.loop import VirtualLoop
from tests.support.noise import noisy_chain
from tests.support.programs import Node, grow, played

RUN, FUNCTION = "run_1", "app/random"
CRASHES_MAX = 3
TICK_S = 0.001


def setting_of(seed: int, tick_s: float = TICK_S) -> Setting:
    """Return when the program of this seed makes its steps durable: half of them SAFE, the others anything."""
    rng = Random(seed)
    if seed % 2:
        return Setting.SAFE
    preset = rng.choice(
        [Setting.PIPELINED, Setting.BLENDED, Setting.PERFORMANT, Setting.OFF, Setting(window=2), Setting(2, window=4)]
    )
    interval, runtime = rng.choice([0, 0, 5, 20]), rng.choice([0, 0, 5, 30])
    if preset.is_off:
        return preset
    return replace(preset, max_interval=interval * tick_s, max_runtime=runtime * tick_s)


class Violation(AssertionError):
    """User code could tell that a crash happened."""


def course_of(host: Host) -> Course:
    """Return what is tested from what user code sees of it."""
    assert isinstance(host, RunHost)
    return host._course  # pyright: ignore[reportPrivateUsage] - a look inside


class Started(set[Step]):
    """The bodies of one residence that were let through and have not ended, and how many that were at most.

    Asking a body how many others there are would be too late: its first line runs a turn of the loop after it was let
    through, and until then another one may have ended.
    """

    most = 0

    def add(self, step: Step) -> None:
        """Another one is let through."""
        super().add(step)
        self.most = max(self.most, len(self))


class Life:
    """What happened in one residence: the code's trace, each item with the number of entries delivered before it."""

    def __init__(self, epoch: int, remembered: int, ordered: int, acked: set[str]) -> None:
        self.epoch = epoch
        self.remembered = remembered
        self.ordered = ordered
        self.acked = acked
        self.trace: list[tuple[int, tuple[Any, ...]]] = []
        self.delivered = 0
        self.bodies = 0
        self.started = Started()
        self.attempts: set[tuple[str, int]] = set()
        self.repeated: set[str] = set()


class Crashes:
    """The world of one program: an engine on paper behind a slow wire, and its worker's deaths. Implements `World`."""

    id = FUNCTION
    is_sync = False
    app = App("app")

    def __init__(self, seed: int, tick_s: float, *, noisy: bool = False) -> None:
        self.chain = noisy_chain(FUNCTION, seed) if noisy else None
        self.rng = Random(seed)
        self.checkpoint = setting_of(seed, tick_s)
        self.retry = Retry(attempts=1)
        self.timeouts = Timeouts()
        self.program: Node = grow(seed)
        self.fn = played(self, self.program)
        self.tick_s = tick_s
        self.lives: list[Life] = []
        self.made: dict[int, tuple[Node, tuple[Any, ...]]] = {}
        self.problems: list[str] = []
        # what the engine has stored
        self.epoch = 0
        self.stored = 0
        self.seen = 0
        self.segments: list[Segment] = []
        self.entries: list[EngineEntry] = []
        self.open: dict[str, Wait] = {}
        self.results: set[str] = set()
        self.outcome: Outcome | None = None
        self.is_parked = False
        self.is_queued = False
        self._has_answered = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._uplink: deque[WorkerFrame] = deque()
        self._downlink: deque[Any] = deque()
        self._cut_in = -1
        self._cut: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._given_back: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._runner: Runner | None = None
        self._closing: list[asyncio.Task[None]] = []
        self._is_frozen = False
        self._is_draining = False
        self._replayed = asyncio.Event()
        self.frames: list[Checkpoint] = []

    # -- stands for a Function

    def make_context(self, host: Any, assign: Assign, state: object) -> Any:
        life = self._life(host)
        if life is not None:
            course_of(host).bodies = life.started
        return host

    def encode_output(self, value: object) -> bytes:
        return encode(value)

    # -- the life of the run

    async def play(self) -> None:
        """Run the program through its crashes to its end, then replay all of it once more."""
        self._begin_life(fresh_worker=True)
        for _ in range(self.rng.randrange(CRASHES_MAX + 1)):
            self._cut = asyncio.get_running_loop().create_future()
            self._cut_in = self.rng.randrange(1, 14)
            patience = self.seconds(self.rng.randrange(1, 60)) if self.rng.random() < 0.5 else None
            await asyncio.wait([self._cut, self.ended], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if self.outcome is None:
                await self._lose_worker(self.rng.choice(["kill", "kill", "reassign", "drain"]))
        self._cut_in = -1
        await self.ended
        self._compare_lives()
        self._count_repetitions()
        await self._replay_everything()
        for task in self._closing:
            await task
        if self.problems:
            raise Violation("; ".join(self.problems[:5]))

    async def _lose_worker(self, how: str) -> None:
        """A worker dies, or is thought dead while it lives on, or hands its run back."""
        self._is_draining = how == "drain"
        if self._is_draining:
            assert self._runner is not None
            self._closing.append(asyncio.create_task(self._runner.drain()))
            await asyncio.wait([self._given_back, self.ended], return_when=asyncio.FIRST_COMPLETED)
        self._lose_frames()
        self._is_draining = False
        if self.outcome is None:
            self._begin_life(fresh_worker=how != "reassign")

    def _lose_frames(self) -> None:
        """Of the frames under way, the first few may still arrive."""
        for _ in range(self.rng.randrange(len(self._uplink) + 1)):
            self._take_up(self._uplink.popleft())
        self._uplink.clear()
        self._downlink.clear()

    def _begin_life(self, fresh_worker: bool) -> None:
        old = self._runner
        if old is None or fresh_worker:
            self._runner = self._new_runner()
            if old is not None:
                self._closing.append(asyncio.create_task(old.close()))
        self.epoch += 1
        self.stored = 0
        self.is_parked = self.is_queued = False
        self._given_back = asyncio.get_running_loop().create_future()
        journal = read(self.segments, self.entries)
        remembered = len(journal.ordered) + len(journal.unseen)
        self.lives.append(Life(self.epoch, remembered, len(journal.ordered), set(self.results)))
        assert self._runner is not None
        self._runner.handle(
            Assign(
                RUN,
                self.epoch,
                FUNCTION,
                1,
                1,
                segments=tuple(self.segments),
                entries=tuple(self.entries),
                started_at_ms=1,
            )
        )

    def _new_runner(self) -> Runner:
        loop = asyncio.get_running_loop()
        box: list[Runner] = []

        def now_ms() -> int:
            return round(loop.time() * 1000)

        runner = Runner(
            {FUNCTION: self},  # type: ignore[dict-item]  # stands for a Function
            send=lambda frame: self._sent(frame) if self._runner is box[0] else None,
            slots=1,
            may_start=lambda: True,
            clock_ms=now_ms,
            wall_ms=lambda: 1_000_000 + now_ms(),
            patience_ms=round(self.tick_s * 20_000) + 20,
            strict=True,
        )
        box.append(runner)
        return runner

    # -- the wire

    def _sent(self, frame: WorkerFrame) -> None:
        if self._is_frozen:
            assert isinstance(frame, Checkpoint), frame
            self.frames.append(frame)
            if frame.outcome is not None:
                self._replayed.set()
            return
        self._uplink.append(frame)
        self._later(self._arrive_up)

    def _later(self, callback: Any, *args: Any) -> None:
        delay = self.seconds(self.rng.randrange(4))
        loop = asyncio.get_running_loop()
        if delay:
            loop.call_later(delay, callback, *args)
        else:
            loop.call_soon(callback, *args)

    def _arrive_up(self) -> None:
        if self._uplink:
            self._take_up(self._uplink.popleft())

    def _take_up(self, frame: WorkerFrame) -> None:
        if isinstance(frame, Checkpoint) and not self._is_frozen:
            self._store(frame)
        elif isinstance(frame, Return) and frame.reason == "evicted":
            self._give_back()
        elif isinstance(frame, Return) and frame.reason == "full":  # its code of the last residence still leaves
            self.is_queued = True
            self._hand_on(frame.epoch, fresh_worker=True)
        elif isinstance(frame, Return) and not (self._is_draining or self.is_queued):  # a wake-up met one on its way
            self.problems.append(f"returned: {frame}")

    def _store(self, frame: Checkpoint) -> None:
        if frame.epoch != self.epoch or self.outcome is not None:
            return
        if frame.seq != self.stored + 1:
            self.problems.append(f"frame {frame.seq} after {self.stored}")
        self.stored = frame.seq
        self.segments.append(Segment(frame.epoch, frame.seq, frame.entries))
        for entry in decode_entries(frame.entries):
            self._apply(entry)
        self._down(Ack(RUN, frame.epoch, frame.seq))
        if self._has_answered and frame.outcome is None:
            self._wake()
        self._has_answered = False
        self._settle_outcome(frame.outcome)
        self._cut_in -= 1
        if self._cut_in == 0 and not self._cut.done():
            self._cut.set_result(None)

    def _settle_outcome(self, outcome: Outcome | None) -> None:
        match outcome:
            case None:
                pass
            case Parked():
                self.is_parked = True
                if len(self.entries) > self.seen:
                    self._wake()
            case HandedBack():
                self.is_queued = True
                self._later(self._hand_on, self.epoch, self.rng.random() < 0.5)
            case _:
                self.outcome = outcome
                if not self.ended.done():
                    self.ended.set_result(None)

    def _hand_on(self, epoch: int, fresh_worker: bool) -> None:
        """Somebody takes a run that its worker does not keep: the same worker, or another."""
        if epoch != self.epoch or self.outcome is not None:
            return
        if self._is_draining:
            self._give_back()
            return
        self._lose_frames()
        self._begin_life(fresh_worker)

    def _give_back(self) -> None:
        if not self._given_back.done():
            self._given_back.set_result(None)

    def _apply(self, entry: Any) -> None:
        match entry:
            case Seen(pos=pos):
                if pos != self.seen + 1 or pos > len(self.entries):
                    self.problems.append(f"marked {pos} after {self.seen} of {len(self.entries)}")
                self.seen = pos
            case StepDone(key=key) | StepFailed(key=key):
                if key in self.results:
                    self.problems.append(f"{key} was recorded twice")
                self.results.add(key)
            case WaitOpened(key=key, wait=wait):
                self._open(key, wait)
            case WaitClosed(key=key):
                self.open.pop(key, None)
            case messages.Started(key=key):
                if key in self.results:
                    self.problems.append(f"{key} was started twice")
                self.results.add(key)
                self._answer(key, key.encode())
            case _:
                pass

    def _open(self, key: str, wait: Wait) -> None:
        if key in self.open:
            self.problems.append(f"{key} was opened twice")
        self.open[key] = wait
        if isinstance(wait, CallbackWait):
            self._answer(key + OPEN_MARK, msgspec.msgpack.encode((wait.token, wait.url)))
        asyncio.get_running_loop().call_later(self.seconds(self.rng.randrange(1, 9)), self._resolve, key)
        self._maybe_cancel()

    def _answer(self, key: str, value: bytes) -> None:
        """Answer what was asked in the commit that takes it."""
        self.entries.append(Returned(len(self.entries) + 1, key, value, self._now_ms()))
        self._has_answered = True

    def _now_ms(self) -> int:
        return 1_000_000 + round(asyncio.get_running_loop().time() * 1000)

    def _resolve(self, key: str) -> None:
        wait = self.open.pop(key, None)
        if wait is None or self.outcome is not None:
            return
        pos, at_ms = len(self.entries) + 1, self._now_ms()
        if isinstance(wait, Sleep):
            self.entries.append(Due(pos, key, at_ms))
        elif isinstance(wait, CallbackWait):
            self.entries.append(Returned(pos, key, b"", at_ms))
        else:
            event = Event(derived_id("evt", RUN, key), "event", b"{}", at_ms, pos)
            self.entries.append(Arrived(pos, key, event, at_ms))
        self._wake()

    def _maybe_cancel(self) -> None:
        if self.rng.random() < 0.02 and not any(isinstance(entry, CancelRequested) for entry in self.entries):
            pos = len(self.entries) + 1
            self.entries.append(CancelRequested(pos, 1000, "tired", 5))
            if self.is_parked or self.is_queued:
                self._wake()
            else:
                self._down(Cancel(RUN, self.epoch, pos, 1000, "tired"))

    def _wake(self) -> None:
        if self.is_queued:  # nobody has it; the next assignment brings the entry
            return
        slot, self.is_parked = self.is_parked, False
        unseen = tuple(entry for entry in self.entries if entry.pos > self.seen)
        self._down(Wake(RUN, self.epoch, unseen, slot))

    def _down(self, frame: Any) -> None:
        if not self._is_frozen:
            self._downlink.append(frame)
            self._later(self._arrive_down)

    def _arrive_down(self) -> None:
        if self._downlink and self._runner is not None:
            self._runner.handle(self._downlink.popleft())

    # -- what user code does

    def seconds(self, pause: int) -> float:
        return pause * self.tick_s

    def _life(self, host: Host) -> Life | None:
        life = self.lives[-1]
        return life if host.epoch == life.epoch and not host.leaving else None

    def executed(self, host: Host, node: Node, args: tuple[Any, ...]) -> int:
        value = len(self.made) + 1
        self.made[value] = (node, args)
        life, course = self._life(host), course_of(host)
        if course.is_sealed:
            self.problems.append("a body started in a sealed run")
        if life is None:  # a worker that is dead by now
            return value
        life.bodies += 1
        [step] = [step for step in course.bodies if step.task is asyncio.current_task()]
        self._note_body(life, step.key, step.attempt)
        if step.key in life.acked:
            self.problems.append(f"acknowledged step {step.key} ran again")
        if course.replay.delivered < life.remembered:
            self.problems.append(f"{step.key} started during the replay")
        return value

    def _note_body(self, life: Life, key: str, attempt: int) -> None:
        """A body that ran in an earlier residence is repeated because of how the last one of these ended."""
        before = next((old for old in self.lives[-2::-1] if (key, attempt) in old.attempts), None)
        if before is not None:
            before.repeated.add(key)
        life.attempts.add((key, attempt))

    def check_value(self, node: Node, args: tuple[Any, ...], value: int) -> None:
        if self.made.get(value) != (node, args):
            self.problems.append(f"step {node.number}{args} got the value of {self.made.get(value)}")

    def check_patch(self, node: Node, is_on: bool) -> None:
        if not is_on:
            self.problems.append(f"a run of the new code was sent the old way at {node.number}")

    def saw(self, host: Host, item: tuple[Any, ...]) -> None:
        life = self._life(host)
        if life is not None:
            replay = course_of(host).replay
            life.delivered = replay.delivered
            life.trace.append((replay.delivered, item))
            if replay.late:
                self.problems.append(f"nobody asked for {sorted(replay.late)}")

    # -- the checks

    def traced(self, life: Life) -> Any:
        """Return what the code saw in this life."""
        return [item for _, item in life.trace]

    def _compare_lives(self) -> None:
        """Up to what was durable, each life saw what the one before it saw, entry for entry."""
        for before, after in zip(self.lives, self.lives[1:], strict=False):
            durable = min(after.ordered, before.delivered)
            old = [item for at, item in before.trace if at < durable]
            new = [item for at, item in after.trace if at < durable]
            size = min(len(old), len(new))
            if old[:size] != new[:size] or (after.delivered >= durable and len(old) != len(new)):
                at = next((i for i in range(size) if old[i] != new[i]), size)
                self.problems.append(f"epoch {after.epoch} differs at {at}: {old[at : at + 2]} then {new[at : at + 2]}")

    def _count_repetitions(self) -> None:
        """The end of a residence costs no more bodies than the setting says."""
        for life in self.lives:
            bound = self.checkpoint.unacked_max + life.started.most - 1
            if len(life.repeated) > max(bound, 0):
                self.problems.append(
                    f"the end of epoch {life.epoch} repeated {sorted(life.repeated)}, more than {bound}"
                )

    async def _replay_everything(self) -> None:
        """The complete journal alone has to lead to the same end, without a body and without a record."""
        first, self._is_frozen = self.outcome, True
        if not _is_proper(first):
            self.problems.append(f"ended with {first}")
        last = self.lives[-1]
        self._begin_life(fresh_worker=True)
        async with asyncio.timeout(1_000 * self.tick_s + 5):
            await self._replayed.wait()
        life = self.lives[-1]
        outcomes = [frame.outcome for frame in self.frames if frame.outcome]
        if outcomes != [first]:
            self.problems.append(f"replay ended with {outcomes}, not {first}")
        written = [
            entry for frame in self.frames for entry in decode_entries(frame.entries) if not isinstance(entry, Seen)
        ]
        if written or life.bodies:
            self.problems.append(f"complete replay executed {life.bodies} bodies and wrote {written}")
        if self.traced(life) != self.traced(last):
            self.problems.append("complete replay has another trace")
        assert self._runner is not None
        await self._runner.close()


def _is_proper(outcome: Outcome | None) -> bool:
    """Tell whether a program may end so: a TaskGroup cancelled twice at once can leak a `CancelledError`."""
    if isinstance(outcome, RunFailed):
        return outcome.failure.type == "CancelledError"
    return isinstance(outcome, RunCompleted | RunCancelled)


async def play(seed: int, tick_s: float = TICK_S, *, noisy: bool = False) -> None:
    """Play the program of `seed`, inside of middleware if `noisy`. Raises `Violation`."""
    await asyncio.wait_for(Crashes(seed, tick_s, noisy=noisy).play(), 60)


def play_in_virtual_time(seed: int, *, noisy: bool = False) -> None:
    """Play one program on asyncio, in virtual time: the same seed does the same thing."""
    loop = VirtualLoop(Random(seed))
    try:
        loop.run_until_complete(play(seed, noisy=noisy))
    finally:
        loop.close()


async def play_many(seeds: Iterable[int], at_once: int = 50) -> dict[int, BaseException]:
    """Play programs beside each other on the running loop, in real time. Returns what went wrong, by seed."""
    left, failed = iter(seeds), dict[int, BaseException]()

    async def lane() -> None:
        for seed in left:
            try:
                await play(seed)
            except Exception as error:  # noqa: BLE001 - reported by the caller
                failed[seed] = error

    await asyncio.gather(*(lane() for _ in range(at_once)))
    return failed


def repeat_command(seed: int, loop: str) -> str:
    """Return the command that plays one seed again."""
    return f"python -m tests.support.crashes {seed} {loop}"


def main(seed: str, loop: str = "virtual") -> None:
    """Play one seed, with the program and every residence's trace printed."""
    if loop == "uvloop":
        import uvloop

        uvloop.run(play(int(seed)))
    else:
        play_in_virtual_time(int(seed), noisy=loop == "noisy")
    print(f"seed {seed}: no violation under {setting_of(int(seed))}")  # noqa: T201 - the answer to a command


if __name__ == "__main__":
    main(*sys.argv[1:])
