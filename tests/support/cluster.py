"""The real engine and real workers on the virtual network, each a process that can be stopped or killed."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from onward.checkpoint import Checkpoint
from onward.connection.dialer import Dialer
from onward.connection.link import Dial
from onward.worker import Worker
from onward_engine.engine import Engine
from onward_engine.settings import Bounds, Settings
from onward_protocol.limits import Times

from tests.support.controls import NONE, Controls
from tests.support.hosts import Hosts
from tests.support.ledger import Execution, Ledger, now_ms
from tests.support.link import Link
from tests.support.network import Network
from tests.support.server import InOrder
from tests.support.stories import make_app
from tests.support.transport import has_ended
from tests.support.witness import Disk, Witness

PORT = 8484
URL = f"http://127.0.0.1:{PORT}"


@dataclass(eq=False, slots=True)
class Process:
    """One process. `task` is its main task."""

    name: str
    task: asyncio.Task[None]
    link: Link
    is_expected_to_end: bool = False


@dataclass(eq=False, slots=True)
class EngineProcess(Process):
    """A process that serves."""

    engine: Engine | None = None


@dataclass(eq=False, slots=True)
class WorkerProcess(Process):
    """A process that works."""

    worker: Worker | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """A time in which a worker may have lost its runs. An engine's end concerns all workers: then `worker` is empty."""

    worker: str
    began_at_ms: int
    ended_at_ms: int


class Cluster:
    """Everything that runs in one simulation, and what it is made of."""

    def __init__(
        self,
        network: Network,
        disk: Disk,
        witness: Witness,
        *,
        slots: int,
        controls: Controls = NONE,
        checkpoint: Checkpoint = Checkpoint.SAFE,
        park_ttl: str = "10m",
        bounds: Bounds | None = None,
        tapped: Callable[[str, Dial], Dial] = lambda _worker, dial: dial,
        listens: bool = True,
    ) -> None:
        loop: Any = asyncio.get_running_loop()
        self.network = network
        self.disk = disk
        self.witness = witness
        self.hosts = Hosts(loop)
        self.ledger = Ledger(self._inspect)
        self.engine: EngineProcess | None = None
        self.workers: list[WorkerProcess] = []
        self.marks: Counter[str] = Counter()
        self._slots = slots
        self._controls = controls
        self._checkpoint = checkpoint
        self._park_ttl = park_ttl
        self._settings = Settings(dev=True, port=PORT, bounds=bounds or Bounds(), retention_ms=0)
        self._tapped = tapped
        self._listens = listens
        self._numbers: Counter[str] = Counter()
        self._past: list[Process] = []
        self._dead: set[Process] = set()
        self._engine_started_at_ms = 0

    @property
    def engines(self) -> list[EngineProcess]:
        """The engines that have been started and not ended."""
        return [self.engine] if self.engine is not None else []

    # -- engine ------------------------------------------------------------------------------------------------------

    def start_engine(self) -> EngineProcess:
        """Start the next engine on what the disk holds."""
        assert self.engine is None, "one engine at a time"
        store = self.disk.mount()
        self._engine_started_at_ms = now_ms() if self._past else 0
        name = self._name("engine")
        with self.network.on_host(name) as link:
            sock = self.network.bind(port=PORT) if self._listens else None
            engine = Engine(self._settings, store, random_bytes=os.urandom, listens=self._listens, sock=sock)
            process = EngineProcess(name, asyncio.create_task(_serve(engine)), link, engine=engine)
        self.engine = process
        return process

    def kill_engine(self) -> None:
        """End it between two callbacks. Its connections break at once, as a dead process' do."""
        process = self._take_engine()
        self._kill(process)
        if process.engine is not None and process.engine._web is not None:
            process.engine._web.close_listeners()
        self.network.cut()
        self.disk.unmount()

    async def stop_engine(self) -> None:
        """End it politely."""
        process = self._take_engine()
        assert process.engine is not None
        self.resume(process)
        with self.network.on_host(process.name):
            stopping = asyncio.create_task(process.engine.stop())
        await asyncio.wait([stopping, process.task])
        stopping.result()

    def _take_engine(self) -> EngineProcess:
        process, self.engine = self.engine, None
        assert process is not None, "there is no engine"
        process.is_expected_to_end = True
        self._past.append(process)
        return process

    # -- workers -----------------------------------------------------------------------------------------------------

    def start_worker(self, **options: Any) -> WorkerProcess:
        """Start one more worker, with options of `Worker`."""
        name = self._name("worker")
        with self.network.on_host(name) as link:
            worker = Worker(
                make_app(self.ledger, name, self._controls),
                url=URL,
                concurrency=self._slots,
                checkpoint=self._checkpoint,
                park_ttl=self._park_ttl,
                dial=self._tapped(name, Dialer(URL, lambda: "", open_socket=self.network.dial, has_ended=has_ended)),
                **options,
            )
            process = WorkerProcess(name, asyncio.create_task(worker.run()), link, worker=worker)
        self.workers.append(process)
        return process

    def kill_worker(self, process: WorkerProcess, *, silently: bool = False, is_heard: bool = False) -> None:
        """End it between two callbacks. `silently` takes its machine with it: nobody ends its connections. If it
        `is_heard`, what it has written arrives; otherwise it is lost.
        """
        self.retire(process)
        self._kill(process)
        if silently:
            process.link.black_hole()
        elif is_heard:
            process.link.hang_up()
        else:
            process.link.cut()

    def worker(self, name: str) -> WorkerProcess:
        """Return the worker of that name, dead or alive."""
        everybody: list[Process] = [*self.workers, *self._past]
        return next(one for one in everybody if one.name == name and isinstance(one, WorkerProcess))

    def retire(self, process: WorkerProcess) -> None:
        """Expect it to end. May be repeated."""
        if process in self.workers:
            self.workers.remove(process)
            process.is_expected_to_end = True
            self._past.append(process)

    # -- all of them -------------------------------------------------------------------------------------------------

    def stop(self, process: Process) -> None:
        """Let it stand still, as SIGSTOP does."""
        self.hosts.stop(process.name)

    def resume(self, process: Process) -> None:
        """Let it go on, unless it is dead."""
        if process not in self._dead:
            self.hosts.resume(process.name)

    def repair(self, process: Process) -> None:
        """End the faults of its link; a dead machine stays silent."""
        if process not in self._dead:
            process.link.heal()

    def _kill(self, process: Process) -> None:
        self._dead.add(process)
        self.hosts.stop(process.name)

    # -- the end -----------------------------------------------------------------------------------------------------

    def ended(self) -> list[Process]:
        """Return who ended by itself: nobody should."""
        living: list[Process] = [*self.workers, *self.engines]
        return [process for process in living if process.task.done()]

    def bury(self) -> None:
        """Note nothing from now on, and let the dead go on so that their tasks can be cancelled. An engine that was
        killed while it started must not go on starting.
        """
        self.ledger.is_closed = True
        self.network.cut()
        for process in self._dead:
            if isinstance(process, EngineProcess) and process.engine is not None and process.engine._life is not None:
                process.task.cancel()
                process.engine._life.cancel()
        self.hosts.bury()

    def _name(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{kind}-{self._numbers[kind]}"

    def _inspect(self, execution: Execution) -> None:
        """Look at a body that begins: it is not too far ahead of what is durable, and nobody else has its run."""
        if not self.hosts.wakes_up(execution.worker):
            execution.complaints += self._unsafe(execution)
        if self.hosts.wakes_up(execution.worker):
            return  # it had decided to begin before it was stopped
        if now_ms() - self._engine_started_at_ms < Times().lease_ms:
            return  # an engine that starts waits for a holder less long than the holder's lease may last
        run, values = execution.run, self.witness.values
        if (run, execution.step) in values:
            execution.complaints.append(f"its result was durable already: {values[run, execution.step]}")
        newest = max((one.epoch for one in self.ledger.executions if one.run == run), default=0)
        if execution.epoch < newest:
            execution.complaints.append(f"epoch {execution.epoch} although epoch {newest} has begun a step")

    def _unsafe(self, execution: Execution) -> Iterator[str]:
        """Say what else a crash at this moment would repeat, if that is too much."""
        same = self.ledger.by_step[execution.run, execution.step]
        if any(one.epoch == execution.epoch for one in same):
            return  # the next attempt of a body that has begun
        ahead = [one for one in self.ledger.executions if self._is_ahead(one, execution)]
        if len(ahead) >= self._checkpoint.unacked_max:
            yield f"{len(ahead)} results before it are not durable: {[one.value for one in ahead]}"
        yield from (f"the barrier {one.value} is not durable" for one in ahead if one.is_barrier)
        for value in execution.builds_on:
            step, has_number, number = value.partition("#")
            if has_number and self.witness.values.get((execution.run, step)) != value:
                origin = self.ledger.by_number[int(number)]
                if execution.is_barrier or origin.epoch != execution.epoch:
                    yield f"builds on {value}, which is not durable"

    def _is_ahead(self, one: Execution, other: Execution) -> bool:
        """Tell whether one has ended in the residence in which the other begins, and its result is not durable.

        Those that begin at the same moment were let through together, however soon one of them ends.
        """
        is_result = one.ended_at_ms is not None and not one.is_raised and one.began_at_ms < other.began_at_ms
        is_here = (one.run, one.epoch) == (other.run, other.epoch)
        return is_result and is_here and self.witness.values.get((one.run, one.step)) != one.value


async def _serve(engine: Engine) -> None:
    await engine.start()
    if engine._web is not None:
        state = engine._web._server.server_state
        state.connections, state.tasks = InOrder(), InOrder()  # type: ignore[assignment]  # sets iterate by address
    await engine.ended()
