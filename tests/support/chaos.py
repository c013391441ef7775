"""What goes wrong in a simulation: faults with names, chosen and timed by a seed, each noted with the state it met."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from tests.support.cluster import Cluster, Loss, WorkerProcess
from tests.support.ledger import now_ms
from tests.support.link import Direction, Link
from tests.support.witness import Moment

Fault = Callable[["Chaos"], Awaitable[None]]

AFTERMATH_MS = 20_000
"""When a fault is over, its last consequence (a silent peer is given up, a lease ends) comes at most so much later."""

NEVER_MS = 1 << 60


class Chaos:
    """Breaks a cluster for a while."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self.cluster = cluster
        self.rng = rng
        self.losses: list[Loss] = []
        self.usual_delay_ms: tuple[float, float] = (0, 0)

    async def rage(
        self, faults: Sequence[Fault], *, rounds: int, pause_ms: tuple[int, int], at_once_max: int = 1
    ) -> None:
        """Let `rounds` groups of faults happen, each of at most `at_once_max` at the same time."""
        self.usual_delay_ms = self.cluster.disk.delay_ms
        for _ in range(rounds):
            await self.pause(*pause_ms)
            chosen = [self.rng.choice(faults) for _ in range(self.rng.randint(1, at_once_max))]
            await asyncio.gather(*(fault(self) for fault in chosen))
        await self.pause(*pause_ms)

    def end(self) -> None:
        """Repair everything."""
        self.cluster.network.heal()
        if self.cluster.engine is None:
            self.cluster.start_engine()
        if not self.cluster.workers:
            self.cluster.start_worker()

    # -- for faults ------------------------------------------------------------------------------------------------

    async def pause(self, low_ms: int, high_ms: int) -> None:
        """Wait a moment."""
        await asyncio.sleep(self.rng.uniform(low_ms, high_ms) / 1000)

    def someone(self) -> WorkerProcess:
        """Choose a worker; start one if there is none."""
        return self.rng.choice(self.cluster.workers) if self.cluster.workers else self.cluster.start_worker()

    def mark(self, fault: str, worker: WorkerProcess | None = None) -> None:
        """Note that a fault met the states in which runs are now."""
        marks = self.cluster.marks
        marks[fault] += 1
        for status in {run.status for run in self.cluster.disk.runs()}:
            if not status.is_terminal:
                marks[f"{fault} x {status}"] += 1
        if worker is not None and self.cluster.ledger.running(worker.name):
            marks[f"{fault} x body"] += 1

    def lose(self, worker: WorkerProcess | None, began_at_ms: int, ended_at_ms: int) -> None:
        """Note a time in which a worker (None: all) may have lost its runs."""
        self.losses.append(Loss(worker.name if worker else "", began_at_ms, ended_at_ms))


# -- the network -----------------------------------------------------------------------------------------------------


async def cut(chaos: Chaos) -> None:
    """A connection breaks."""
    worker = chaos.someone()
    chaos.mark("cut", worker)
    chaos.lose(worker, now_ms(), now_ms() + AFTERMATH_MS)
    worker.link.cut()


async def cut_at_a_byte(chaos: Chaos) -> None:
    """A connection breaks in the middle of a message."""
    worker, began_at_ms = chaos.someone(), now_ms()
    direction = chaos.rng.choice(tuple(Direction))
    worker.link.cut(chaos.rng.randint(1, 500), direction)
    for _ in range(100):
        await asyncio.sleep(0.05)
        if not worker.link._cuts:
            chaos.mark(f"cut {direction.value}", worker)
            break
    worker.link._cuts.clear()
    chaos.lose(worker, began_at_ms, now_ms() + AFTERMATH_MS)


async def half_open(chaos: Chaos) -> None:
    """A connection breaks for the worker, and the engine does not hear of it."""
    worker = chaos.someone()
    chaos.mark("half open", worker)
    chaos.lose(worker, now_ms(), now_ms() + AFTERMATH_MS)
    for connection in worker.link.connections:
        connection.break_for_client()


async def client_cut(chaos: Chaos) -> None:
    """The client's connection breaks, now or in the middle of what is said next."""
    link = chaos.cluster.network.link("client")
    chaos.mark("client cut")
    link.cut(chaos.rng.choice((0, chaos.rng.randint(1, 600))))


async def black_hole(chaos: Chaos) -> None:
    """Bytes vanish, in one direction or both."""
    await _disturb(chaos, "black hole", lambda link, ways: link.black_hole(*ways))


async def stall(chaos: Chaos) -> None:
    """Bytes are held back, in one direction or both, and arrive late."""
    await _disturb(chaos, "stall", lambda link, ways: link.stall(*ways))


async def refuse(chaos: Chaos) -> None:
    """The connection breaks, and new ones are refused."""

    def disturb(link: Link, _: tuple[Direction, ...]) -> None:
        link.cut()
        link.refuse()

    await _disturb(chaos, "refuse", disturb)


async def delay(chaos: Chaos) -> None:
    """Everything takes long."""
    await _disturb(chaos, "delay", lambda link, _: link.delay(50, chaos.rng.choice((200, 1_000, 3_000))))


async def messages_lost(chaos: Chaos) -> None:
    """Something between the two loses some messages, and the connection lives on."""
    await _disturb_messages(chaos, "messages lost", 0.1, 0)


async def messages_repeated(chaos: Chaos) -> None:
    """Something between the two brings some messages twice, and the connection lives on."""
    await _disturb_messages(chaos, "messages repeated", 0, 0.1)


async def _disturb_messages(chaos: Chaos, name: str, lost: float, repeated: float) -> None:
    worker, began_at_ms = chaos.someone(), now_ms()
    chaos.mark(name, worker)
    worker.link.lose_and_repeat(lost, repeated)
    await chaos.pause(500, 12_000)
    chaos.cluster.repair(worker)
    chaos.lose(worker, began_at_ms, now_ms() + AFTERMATH_MS)


async def _disturb(chaos: Chaos, name: str, disturb: Callable[[Link, tuple[Direction, ...]], object]) -> None:
    worker, began_at_ms = chaos.someone(), now_ms()
    ways = chaos.rng.choice(((), (Direction.TO_CLIENT,), (Direction.TO_SERVER,)))
    chaos.mark(name, worker)
    disturb(worker.link, ways)
    await chaos.pause(*chaos.rng.choice(((50, 700), (700, 2_000), (5_000, 14_000), (16_000, 30_000))))
    chaos.cluster.repair(worker)
    chaos.lose(worker, began_at_ms, now_ms() + AFTERMATH_MS)


# -- workers ---------------------------------------------------------------------------------------------------------


async def worker_killed(chaos: Chaos) -> None:
    """A worker dies between two callbacks; its system says so."""
    await _replace(chaos, "worker killed", chaos.cluster.kill_worker)


async def worker_vanished(chaos: Chaos) -> None:
    """A worker's machine dies; nobody says so."""
    await _replace(chaos, "worker vanished", lambda worker: chaos.cluster.kill_worker(worker, silently=True))


async def worker_left(chaos: Chaos) -> None:
    """A worker leaves as it should."""
    await _replace(chaos, "worker left", lambda worker: _leave(chaos, worker))


async def worker_stopped(chaos: Chaos) -> None:
    """A worker stands still, perhaps for longer than its lease, and goes on as if nothing had happened."""
    worker, began_at_ms = chaos.someone(), now_ms()
    chaos.mark("worker stopped", worker)
    chaos.cluster.stop(worker)
    await chaos.pause(*chaos.rng.choice(((10, 500), (800, 3_000), (10_000, 14_000), (16_000, 30_000))))
    chaos.cluster.resume(worker)
    chaos.lose(worker, began_at_ms, now_ms() + AFTERMATH_MS)


async def worker_joined(chaos: Chaos) -> None:
    """One more worker comes."""
    if len(chaos.cluster.workers) < 4:
        chaos.mark("worker joined")
        chaos.cluster.start_worker()


async def _replace(chaos: Chaos, name: str, end: Callable[[WorkerProcess], object]) -> None:
    worker = chaos.someone()
    chaos.mark(name, worker)
    chaos.lose(worker, now_ms(), NEVER_MS)
    end(worker)
    await chaos.pause(*chaos.rng.choice(((1, 50), (500, 3_000))))
    chaos.cluster.start_worker()


def _leave(chaos: Chaos, worker: WorkerProcess) -> None:
    assert worker.worker is not None
    chaos.cluster.retire(worker)
    chaos.cluster.resume(worker)
    worker.worker.stop(drain=chaos.rng.random() < 0.7)


# -- the engine and its disk -----------------------------------------------------------------------------------------


async def engine_killed(chaos: Chaos) -> None:
    """The engine dies between two callbacks, and is started again."""
    if chaos.cluster.engine is None:
        return
    chaos.mark("engine killed")
    began_at_ms = now_ms()
    chaos.cluster.kill_engine()
    await _restart(chaos, began_at_ms)


async def engine_killed_before_commit(chaos: Chaos) -> None:
    """The engine dies with a batch that is not durable."""
    await _kill_in_commit(chaos, "before")


async def engine_killed_after_commit(chaos: Chaos) -> None:
    """The engine dies with a batch that is durable, and of which nobody has heard."""
    await _kill_in_commit(chaos, "after")


async def engine_stopped(chaos: Chaos) -> None:
    """The engine is told to stop, and another one is started."""
    if chaos.cluster.engine is None:
        return
    chaos.mark("engine stopped")
    began_at_ms = now_ms()
    await chaos.cluster.stop_engine()
    await _restart(chaos, began_at_ms)


async def engine_stood_still(chaos: Chaos) -> None:
    """The engine does nothing for a while, and goes on as if nothing had happened."""
    engine = chaos.cluster.engine
    if engine is None:
        return
    chaos.mark("engine stood still")
    began_at_ms = now_ms()
    chaos.cluster.stop(engine)
    await chaos.pause(*chaos.rng.choice(((50, 900), (2_000, 8_000), (13_000, 20_000))))
    chaos.cluster.resume(engine)
    chaos.lose(None, began_at_ms, now_ms() + AFTERMATH_MS)


async def disk_slow(chaos: Chaos) -> None:
    """Commits take long for a while."""
    disk, began_at_ms = chaos.cluster.disk, now_ms()
    chaos.mark("disk slow")
    disk.delay_ms = chaos.rng.choice(((10, 100), (200, 800), (1_000, 3_000)))
    await chaos.pause(1_000, 6_000)
    disk.delay_ms = chaos.usual_delay_ms
    chaos.lose(None, began_at_ms, now_ms() + AFTERMATH_MS)


async def _kill_in_commit(chaos: Chaos, moment: Moment) -> None:
    cluster, began_at_ms = chaos.cluster, now_ms()
    if cluster.engine is None or cluster.disk.has_crash:
        return
    killed = asyncio.Event()

    def kill() -> None:
        if cluster.engine is not None:  # else it is stopping already
            killed.set()
            chaos.mark(f"engine killed {moment} commit")
            cluster.kill_engine()

    cluster.disk.crash_at(chaos.rng.randint(1, 6), moment, kill)
    try:
        async with asyncio.timeout(8):
            await killed.wait()
    except TimeoutError:
        cluster.disk.forget_crash()
        return
    await _restart(chaos, began_at_ms)


async def _restart(chaos: Chaos, began_at_ms: int) -> None:
    await chaos.pause(*chaos.rng.choice(((1, 100), (100, 1_500))))
    if chaos.cluster.engine is None:
        chaos.cluster.start_engine()
    chaos.lose(None, began_at_ms, now_ms() + AFTERMATH_MS)


GENTLE: tuple[Fault, ...] = (
    cut,
    cut_at_a_byte,
    half_open,
    client_cut,
    engine_killed,
    engine_killed_before_commit,
    engine_killed_after_commit,
    engine_stopped,
)
"""From these everybody is back before anybody else may take a run: nothing is repeated."""

WILD: tuple[Fault, ...] = (
    *GENTLE,
    black_hole,
    stall,
    refuse,
    delay,
    worker_killed,
    worker_killed,
    worker_vanished,
    worker_left,
    worker_stopped,
    worker_stopped,
    worker_joined,
    engine_stood_still,
    disk_slow,
)
"""These together, several at once."""
