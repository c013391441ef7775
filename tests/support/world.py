"""One simulation of the whole product: a seed decides programs, conditions and faults; in the end all is checked."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from onward.checkpoint import PRESETS
from onward.client import Client
from onward.errors import EngineRefused, NotConnected
from onward.events import Event
from onward_engine.model import Run
from onward_engine.settings import Bounds

from tests.support.audit import differing_answers, leaks, what_is_stored
from tests.support.chaos import GENTLE, WILD, Chaos
from tests.support.checker import violations
from tests.support.cluster import URL, Cluster
from tests.support.history import History, Told, met
from tests.support.network import Network
from tests.support.simulation import simulate
from tests.support.sources import stream
from tests.support.stories import GO, TOLD, Author, Go, work_ms
from tests.support.witness import Disk, Witness

PIECEMEAL = Bounds(claim_journal_bytes_max=0, journal_page_bytes=1)
"""Every journal comes behind its assignment, row by row."""

RECOVERY_MS = 45_000
"""After the last repair: a silent peer is given up after 16 s, a worker far into its back-off returns within 20 s."""

PASSES_MAX = 100_000
"""Twenty times what a simulation needs: what goes round more often spins."""

QUIET_MS = 17_000
"""By then a machine that died silently has been given up, and both ends agree about everything."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a seed. There is no history if something never ended."""

    violations: list[str]
    marks: Counter[str]
    fingerprint: str
    history: History | None


def live(seed: int, folder: Path | None = None) -> Result:
    """Simulate one seed; with a folder the engine keeps everything in SQLite there."""

    async def main(network: Network) -> Result:
        return await World(seed, network, folder and folder / "onward.db").live()

    return simulate(main, seed=seed, shuffle=True, passes_max=PASSES_MAX)


class World:
    """One simulation."""

    def __init__(self, seed: int, network: Network, path: Path | None) -> None:
        self._rng = stream(seed, "world")
        self._network = network
        self._witness = Witness()
        self._disk = Disk(self._witness, stream(seed, "disk"), path)
        self._is_gentle = self._rng.random() < 0.4
        self._checkpoint = stream(seed, "checkpoint").choice(list(PRESETS.values()))
        self._cluster = Cluster(
            network,
            self._disk,
            self._witness,
            slots=self._rng.choice((1, 2, 4)),
            limit=self._rng.choice((None, None, 1, 2)),
            checkpoint=self._checkpoint,
            bounds=stream(seed, "bounds").choice((Bounds(), PIECEMEAL)),
        )
        network.bytes_s = stream(seed, "line").choice((None, None, 20_000))
        self._chaos = Chaos(self._cluster, stream(seed, "chaos"))
        self._told: list[Told] = []

    async def live(self) -> Result:
        """Work, break, repair, check."""
        await self._begin()
        clients = [asyncio.create_task(self._tell(told, number)) for number, told in enumerate(self._told)]
        await self._rage()
        self._chaos.end()
        stuck = await self._settle(clients)
        history = None if stuck else self._history()
        problems = [*stuck, *(await self._found(history) if history else ())]
        await self._client.close()
        self._cluster.bury()
        marks = self._cluster.marks + met(self._witness.records)
        return Result(problems, marks, self._fingerprint(), history)

    async def _begin(self) -> None:
        rng = self._rng
        self._network.latency_ms = rng.choice(((0, 0), (0, 5), (5, 30)))
        self._network.fragment_bytes = rng.choice((None, None, 7, 100))
        self._disk.delay_ms = rng.choice(((0, 0), (0, 2), (0, 20)))
        self._cluster.start_engine()
        for _ in range(rng.randint(1, 3)):
            self._cluster.start_worker()
        author = Author(stream_of(rng))
        self._told = [Told(author.story(f"tale-{n}"), rng.random() < 0.8) for n in range(rng.randint(2, 4))]
        with self._network.on_host("client"):
            self._client = Client(URL)
            while not await self._has_worker():  # noqa: ASYNC110 - asking is what clients do
                await asyncio.sleep(0.1)

    async def _has_worker(self) -> bool:
        try:
            return bool(await self._client.list_workers())
        except NotConnected:
            return False

    async def _rage(self) -> None:
        if self._is_gentle:
            await self._chaos.rage(GENTLE, rounds=3, pause_ms=(3_500, 5_000))
        else:
            await self._chaos.rage(WILD, rounds=3, pause_ms=(0, 4_000), at_once_max=3)

    # -- the client ------------------------------------------------------------------------------------------------

    async def _tell(self, told: Told, number: int) -> None:
        """Tell a story, perhaps twice, and end one wait of it some time before or after it begins."""
        rng = stream_of(self._rng)
        with self._network.on_host("client"):
            await asyncio.sleep(rng.uniform(0, 8))
            event = TOLD(told.story, id=f"told-{number}" if told.has_id else "")
            for _ in range(2 if told.has_id and rng.random() < 0.3 else 1):
                told.answers.append(await self._send(event, rng))
            await asyncio.sleep(rng.choice((0, 0.5, 3, 9)))
            await self._send(GO(Go(told.story.tale), id=f"go-{number}"), rng)

    async def _send(self, event: Event[object], rng: random.Random) -> tuple[str, ...]:
        while True:
            try:
                (sent,) = await self._client.send(event)
            except (NotConnected, EngineRefused):
                await asyncio.sleep(rng.uniform(0.05, 1))
            else:
                return tuple(run.id for run in sent.runs)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def _settle(self, clients: list[asyncio.Task[None]]) -> list[str]:
        """Wait until everything has ended; name what has not."""
        bound_ms = RECOVERY_MS + sum(work_ms(told.story.plan) for told in self._told)
        try:
            async with asyncio.timeout(bound_ms / 1000):
                await asyncio.gather(*clients)
                while not all(run.status.is_terminal for run in self._disk.runs()):
                    self._witness.changed.clear()
                    await self._witness.changed.wait()
        except TimeoutError:
            return self._stuck(bound_ms)
        await asyncio.sleep(QUIET_MS / 1000)
        return [f"{process.name} ended by itself: {process.task}" for process in self._cluster.ended()]

    def _stuck(self, bound_ms: int) -> list[str]:
        held = {
            process.name: list(process.worker._daemon._runner.held())
            for process in self._cluster.workers
            if process.worker and process.worker._daemon
        }
        stuck = [self._where(run) for run in self._disk.runs() if not run.status.is_terminal]
        return [f"not over {bound_ms} ms after the last repair", *stuck, f"workers hold {held}"]

    def _where(self, run: Run) -> str:
        tables = self._disk.tables
        waits = [wait.key for wait in tables.waits_of(run.ord)]
        return (
            f"stuck: {run.id} of {run.function} is {run.status} at epoch {run.epoch}, seq {run.seq}, pos {run.pos}, "
            f"seen {run.seen}, holder {run.holder}/{run.generation}, waits {waits}, queue {tables.queue_row(run.ord)}"
        )

    async def _found(self, history: History) -> list[str]:
        with self._network.on_host("client"):
            answers = await differing_answers(self._disk, self._client)
        return [*leaks(self._cluster), *violations(history), *answers]

    def _history(self) -> History:
        return History(
            told=self._told,
            stored=what_is_stored(self._disk),
            ledger=self._cluster.ledger,
            records=self._witness.records,
            finished=self._witness.finished,
            losses=self._chaos.losses,
            is_gentle=self._is_gentle,
            unacked_max=self._checkpoint.unacked_max,
        )

    def _fingerprint(self) -> str:
        parts = (self._network.trace, [(one.value, one.began_at_ms) for one in self._cluster.ledger.executions])
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def stream_of(rng: random.Random) -> random.Random:
    """Return randomness of its own."""
    return random.Random(rng.random())
