"""One simulation of the whole product: a seed decides programs, conditions and faults; in the end all is checked."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onward.checkpoint import PRESETS
from onward.client import Client
from onward.connection.link import Dial
from onward.errors import EngineRefused, NotConnected
from onward.events import Event
from onward_engine.model import Run
from onward_engine.settings import Bounds

from tests.support import controls
from tests.support.audit import differing_answers, leaks, what_is_stored
from tests.support.chaos import GENTLE, WILD, Chaos, Fault
from tests.support.checker import violations
from tests.support.cluster import URL, Cluster
from tests.support.history import History, Told, met
from tests.support.network import Network
from tests.support.simulation import simulate
from tests.support.sources import stream
from tests.support.stories import GO, TOLD, Author, Go, Story, work_ms
from tests.support.tap import Tap
from tests.support.witness import Disk, Witness

PIECEMEAL = Bounds(claim_journal_bytes_max=0, journal_page_bytes=1)
"""Every journal comes behind its assignment, row by row."""

RECOVERY_MS = 45_000
"""After the last repair: a silent peer is given up after 16 s, a worker far into its back-off returns within 20 s."""

PASSES_MAX = 100_000
"""Twenty times what a simulation needs: what goes round more often spins."""

QUIET_MS = 32_000
"""By then a machine that died silently has been given up, and both ends agree about everything: also if an answer to a
Hello was lost, for which a worker waits as long as for any message before it dials again, up to 15 s later.
"""


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

    listens = True
    """Whether the engine has a port, for bytes."""

    tales = (2, 4)
    """How many stories are told."""

    gentle = GENTLE
    wild: Sequence[Fault] = WILD
    """What may happen, if faults are gentle, and if not."""

    cluster_type = Cluster
    chaos_type = Chaos

    is_shared = False
    """Whether several engines share the disk."""

    def __init__(self, seed: int, network: Network, path: Path | None) -> None:
        self._rng = stream(seed, "world")
        self._network = network
        self._witness = Witness()
        self._tap = Tap(network.link)
        self._cancelling = stream(seed, "cancel")
        self._disk = Disk(self._witness, stream(seed, "disk"), path, is_shared=self.is_shared)
        self._is_gentle = self._rng.random() < 0.4
        self._controls = stream(seed, "controls").choices(controls.ALL, controls.WEIGHTS)[0]
        self._checkpoint = stream(seed, "checkpoint").choice(list(PRESETS.values()))
        self._cluster = self.cluster_type(
            network,
            self._disk,
            self._witness,
            slots=self._rng.choice((1, 2, 4)),
            controls=self._controls,
            checkpoint=self._checkpoint,
            park_ttl=stream(seed, "park").choice(("10m", "10m", "200ms")),
            bounds=stream(seed, "bounds").choice((Bounds(), PIECEMEAL)),
            tapped=self._tapped,
            listens=self.listens,
        )
        network.bytes_s = stream(seed, "line").choice((None, None, 20_000))
        self._chaos = self.chaos_type(self._cluster, stream(seed, "chaos"))
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
        self._told = [self._new_tale(author.story(f"tale-{n}"), rng) for n in range(rng.randint(*self.tales))]
        with self._network.on_host("client"):
            self._client = Client(URL)
            await self._await_worker()

    async def _await_worker(self) -> None:
        """What nobody has registered, an event cannot start."""
        while not await self._has_worker():  # noqa: ASYNC110 - asking is what clients do
            await asyncio.sleep(0.1)

    async def _has_worker(self) -> bool:
        try:
            return bool(await self._client.list_workers())
        except NotConnected:
            return False

    async def _rage(self) -> None:
        if self._is_gentle:
            await self._chaos.rage(self.gentle, rounds=3, pause_ms=(3_500, 5_000))
        else:
            await self._chaos.rage(self.wild, rounds=3, pause_ms=(0, 4_000), at_once_max=3)

    def _new_tale(self, story: Story, rng: random.Random) -> Told:
        return Told(story, rng.random() < 0.8, is_cancelled=self._cancelling.random() < 0.15)

    def _tapped(self, worker: str, dial: Dial) -> Dial:
        """Return how a worker connects."""
        return self._tap.on(worker, dial)

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
            if told.is_cancelled:
                await self._cancel(told)

    async def _cancel(self, told: Told) -> None:
        await asyncio.sleep(self._cancelling.choice((0, 0.2, 2)))
        for run in told.answers[0]:
            with contextlib.suppress(NotConnected, EngineRefused):
                await self._ask_to_cancel(run)

    async def _ask_to_cancel(self, run: str) -> None:
        await self._client.cancel(run)

    async def _send(self, event: Event[object], rng: random.Random) -> tuple[str, ...]:
        while True:
            try:
                return await self._ask(event)
            except (NotConnected, EngineRefused):
                await asyncio.sleep(rng.uniform(0.05, 1))

    async def _ask(self, event: Event[object]) -> tuple[str, ...]:
        (sent,) = await self._client.send(event)
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
        problems = [*leaks(self._cluster), *violations(history)]
        with self._network.on_host("client"):
            return [*problems, *await differing_answers(self._disk, self._client)]

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
            overheard=self._tap.overheard,
            complaints=self._witness.complaints,
            controls=self._controls,
            is_honest=not (self._cluster.marks["messages lost"] or self._cluster.marks["messages repeated"]),
        )

    def _fingerprint(self) -> str:
        parts = (self._network.trace, [(one.value, one.began_at_ms) for one in self._cluster.ledger.executions])
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def stream_of(rng: random.Random) -> random.Random:
    """Return randomness of its own."""
    return random.Random(rng.random())
