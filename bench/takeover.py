"""How soon does somebody go on when a worker or the engine is gone, and is anything repeated that was finished?

    python -m bench.takeover [--workers 200] [--silent 10] [--engines 50] [--runs 200] [--smoke]

- A worker gets a SIGKILL in the middle of a step, and a spare one is connected: the time until the spare begins that
  step. No attempt is used up.
- The bytes of some workers vanish at one moment, as behind a dead switch, at default settings: the time until another
  worker begins their steps. It takes 16 s, so `--smoke` leaves it out.
- The engine gets a SIGKILL while runs are in flight, and is started again at once: the time from the moment at which it
  listens until every run has begun its next step. No step that was finished runs again.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from onward.sync_client import SyncRunHandle

from tests.support.proxy import InBackground, Proxy

from . import report
from .cluster import START_S, WORK, Cluster, engine_process
from .lab import medians, percentile, site
from .recovery import wait_for
from .report import Answer, Figure
from .work import BEAT_S, Pulse, Stop, mixed, pulse, stop

PATIENCE = "2m"
STEPS = 16
STEADY_S = 1.1
"""A worker whose connection has lasted for a second comes back at once: a shorter one belongs to the outage before."""


async def measure(workers: int, silent: int, engines: int, runs: int) -> Answer:
    async with site() as here:
        machine = [await here.primitives()]
        killed = await asyncio.to_thread(kill_workers, here.cluster, workers)
        vanished = await asyncio.to_thread(silence_workers, here.cluster, silent) if silent else []
        restarts = await asyncio.to_thread(kill_engines, here.cluster, engines, runs)
        machine.append(await here.primitives())
    flowing = [one.flowing_ms for one in restarts]
    return Answer(
        figures=(
            Figure("worker killed, p50", percentile(killed, 50), "ms"),
            Figure("worker killed, p99", percentile(killed, 99), "ms", at_most=1_500),
            *(Figure("worker silent, slowest", max(vanished), "ms", at_most=16_000) for _ in vanished[:1]),
            Figure(f"engine killed under {runs} runs, all flow, p50", percentile(flowing, 50), "ms"),
            Figure(f"engine killed under {runs} runs, all flow, slowest", max(flowing), "ms", at_most=3_000),
            Figure("engine killed, until it listens, p50", percentile([one.down_ms for one in restarts], 50), "ms"),
            Figure("engine killed, steps repeated", sum(one.repeated for one in restarts), "steps", at_most=0),
        ),
        primitives=medians(machine),
        checksum=report.checksum([workers, silent, engines, runs]),
        details={"killed_ms": killed, "silent_ms": vanished, "flowing_ms": flowing},
    )


# -- workers -----------------------------------------------------------------------------------------------------------


def kill_workers(running: Cluster, kills: int) -> list[float]:
    """Kill one worker after the other; the spare one is the next."""
    found: list[float] = []
    with ExitStack() as stack:
        doomed = stack.enter_context(running.worker())
        for number in range(kills):
            where = Stop(1, str(running.home / f"kill-{number}"))
            handle = running.client.start(stop, where)
            wait_for(where)
            spare = stack.enter_context(running.worker())
            killed_ns = time.monotonic_ns()
            doomed.kill()
            found.append((_back_ns(running, handle) - killed_ns) / 1e6)
            doomed = spare
    return found


def silence_workers(running: Cluster, count: int) -> list[float]:
    """Let all bytes of so many workers vanish at once, each in the middle of a step; one spare takes all their runs."""
    port = int(running.url.rpartition(":")[2])
    stops = [Stop(1, str(running.home / f"silent-{number}")) for number in range(count)]
    with ExitStack() as stack:
        lines = [stack.enter_context(InBackground(Proxy(port))) for _ in stops]
        command = ("onward", "run", WORK, "--concurrency", "1")
        for line in lines:
            stack.enter_context(_killed_at_the_end(running, line.url, command))
        handles = [running.client.start(stop, where) for where in stops]
        for where in stops:
            wait_for(where)
        with running.worker():
            silent_ns = time.monotonic_ns()
            for line in lines:
                line.do(Proxy.black_hole)
            return [(_back_ns(running, handle) - silent_ns) / 1e6 for handle in handles]


@contextmanager
def _killed_at_the_end(running: Cluster, url: str, command: tuple[str, ...]) -> Generator[None]:
    with running.worker_of(*command, url=url) as child:
        yield
        child.kill()  # it cannot leave politely: nothing that it says arrives


def _back_ns(running: Cluster, handle: SyncRunHandle[tuple[int, int]]) -> int:
    """Return when the step ran again; it is still its first attempt."""
    value, back_ns = handle.result(timeout=PATIENCE)
    report.check(value == mixed(0), "the value before a lost worker")
    attempts = [line.attempts for line in running.client.steps(handle.id)]
    report.check(attempts == [1, 1], f"attempts {attempts}: a lost worker must not use any")
    return back_ns


# -- the engine --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Restart:
    """One kill of the engine."""

    down_ms: float
    flowing_ms: float
    repeated: int


def kill_engines(running: Cluster, kills: int, runs: int) -> list[Restart]:
    """Kill the engine, each time with so many runs in flight, and start it again at once."""
    rng = random.Random(kills)
    found: list[Restart] = []
    with ExitStack() as stack, running.worker(concurrency=runs):
        alive = running.engine
        for number in range(kills):
            notes = running.home / f"pulse-{number}"
            handles = [running.client.start(pulse, Pulse(n, STEPS, str(notes))) for n in range(runs)]
            _wait_for_all(notes, runs)
            time.sleep(STEADY_S + rng.uniform(0, 1))
            killed_ns = time.monotonic_ns()
            alive.kill()
            alive.wait()
            alive = stack.enter_context(engine_process(running.home, running.url, running.environment))
            listens_ns = _listens_ns(running)
            for n, handle in enumerate(handles):
                report.check(handle.result(timeout=PATIENCE) == _beaten(n), f"the result of run {n}")
            found.append(_restart(notes, killed_ns, listens_ns))
    return found


def _restart(notes: Path, killed_ns: int, listens_ns: int) -> Restart:
    began = [tuple(map(int, line.split())) for line in notes.read_text().splitlines()]
    counts = Counter((number, n) for number, n, _ in began)
    flowing: defaultdict[int, int] = defaultdict(lambda: 1 << 62)
    for number, _, at_ns in began:
        if at_ns > listens_ns:
            flowing[number] = min(flowing[number], at_ns)
    back_ns = max(flowing.values(), default=listens_ns)
    return Restart(
        down_ms=(listens_ns - killed_ns) / 1e6,
        flowing_ms=(back_ns - listens_ns) / 1e6,
        repeated=sum(counts.values()) - len(counts),
    )


def _beaten(number: int) -> int:
    return sum(mixed(number + n) for n in range(STEPS))


def _wait_for_all(notes: Path, runs: int) -> None:
    end = time.monotonic() + START_S
    while not notes.exists() or len({line.split()[0] for line in notes.read_text().splitlines()}) < runs:
        report.check(time.monotonic() < end, f"not all of {runs} runs began")
        time.sleep(BEAT_S / 5)


def _listens_ns(running: Cluster) -> int:
    """Return the moment from which on the engine takes connections."""
    port = int(running.url.rpartition(":")[2])
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return time.monotonic_ns()
        time.sleep(0.002)
    raise SystemExit("the engine did not start again")


if __name__ == "__main__":
    report.main("takeover", __doc__ or "", measure, workers=(200, 1), silent=(10, 0), engines=(50, 1), runs=(200, 20))
