"""One field of the crash matrix: a scene under a checkpoint setting, without a fault first, and then with one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from onward.checkpoint import Checkpoint
from onward.client import Client
from onward.errors import EngineRefused, NotConnected
from onward.events import Event
from onward_engine.rules.watches import is_reserved
from onward_protocol.limits import Times
from onward_protocol.messages import CallbackWait

from tests.support.audit import differing_answers, leaks, returned, what_is_stored
from tests.support.checker import violations
from tests.support.cluster import URL, Cluster, Loss
from tests.support.faults import Blow
from tests.support.history import History, Stored, Told
from tests.support.ledger import now_ms
from tests.support.network import Network
from tests.support.simulation import simulate
from tests.support.sources import stream
from tests.support.stories import ANSWER, GO, SIGNAL, TOLD, Go, Op, Story, hears
from tests.support.tap import Said, Tap
from tests.support.witness import Disk, Witness

TALE = "tale"
PASSES_MAX = 100_000
NEVER_MS = 1 << 60

BEGIN_S = 0.1
"""The story is told then: a worker is connected, if nothing is wrong."""

GO_AFTER_S = 0.05
"""So much later its event comes; the wait for it may be open, or still to come."""

RESTART_S = 0.02
"""After so long somebody starts again what has died."""

LAST_WORDS_S = 0.05
"""When everything is over, the last acknowledgement arrives within this."""

QUIET_S = 17
"""Within this both ends have told each other what they hold, and what was late has arrived."""

PATIENCE_MS = 60_000

AGAIN_MS = Times().reconnect_cap_ms
"""A connection that breaks right after an outage may be tried again so much later."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A story, and what else goes on: `stir` begins together with it. A fault at the same time may cost `late_ms`."""

    plan: list[Op]
    park_ttl: str = "10m"
    stir: Callable[[Play], Awaitable[None]] | None = None
    late_ms: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """How a play went until it was over. `returned` are the results of all runs, without the numbers."""

    said: tuple[Said, ...]
    commits: int
    over_at_ms: int
    returned: list[tuple[str, list[str]]]
    problems: list[str]


def rehearse(scene: Scene, checkpoint: Checkpoint) -> Record:
    """Play without a fault."""

    async def main(network: Network) -> Record:
        return await Play(network, scene, checkpoint).live()

    return simulate(main, passes_max=PASSES_MAX)


def problems_of(scene: Scene, checkpoint: Checkpoint, blows: Sequence[Blow], expected: Record, path: Path) -> list[str]:
    """Play with a fault at each point; return what goes otherwise than it may. A store on disk is at `path`."""
    late_ms = scene.late_ms + sum(blow.fault.late_ms for blow in blows) + AGAIN_MS * (len(blows) - 1)

    async def main(network: Network) -> Record:
        play = Play(network, scene, checkpoint, path if any(blow.is_on_disk for blow in blows) else None)
        for number, blow in enumerate(blows):
            blow.strike(play)
            if blow.fault.outlasts_grace or number > 0:  # of two, one may keep a worker away from the other's engine
                play.losses.append(Loss("", number, NEVER_MS))
        return await play.live(expected.over_at_ms, late_ms)

    record = simulate(main, passes_max=PASSES_MAX)
    if not record.problems and record.returned != expected.returned:
        return [f"returned {record.returned}, without the fault {expected.returned}"]
    return record.problems


class Play:
    """One performance."""

    def __init__(self, network: Network, scene: Scene, checkpoint: Checkpoint, path: Path | None = None) -> None:
        network.latency_ms = (1, 1)
        self.losses: list[Loss] = []
        self.tap = Tap(network.link)
        self.disk = Disk(Witness(), stream(0, "disk"), path)
        self.cluster = Cluster(
            network,
            self.disk,
            self.disk.witness,
            slots=2,
            checkpoint=checkpoint,
            park_ttl=scene.park_ttl,
            tapped=self.tap.on,
        )
        self._scene = scene
        self._unacked_max = checkpoint.unacked_max
        self._told = Told(Story(TALE, scene.plan), has_id=True)
        self._died = asyncio.Event()
        self._began_at_ms = now_ms()

    async def live(self, expected_ms: int = PATIENCE_MS, late_ms: int = 0) -> Record:
        """Play to the end, and look at what is left. After a fault both may come later."""
        self.cluster.start_engine()
        self.cluster.start_worker()
        with self.cluster.network.on_host("client"):
            self._client = Client(URL)
        restarting, answering = asyncio.create_task(self._restart()), asyncio.create_task(self._answer())
        stuck = await self._settle(expected_ms + late_ms)
        over_at_ms = now_ms() - self._began_at_ms
        await asyncio.sleep(LAST_WORDS_S)
        said, commits = tuple(self.tap.said), self.disk.commits
        await asyncio.sleep(max(QUIET_S, late_ms / 1000))
        problems = stuck or await self._found()
        restarting.cancel()
        answering.cancel()
        await self._client.close()
        self.cluster.bury()
        stored = what_is_stored(self.disk)
        return Record(said, commits, over_at_ms, [] if stuck else returned(stored), problems)

    # -- for faults ------------------------------------------------------------------------------------------------

    def kill_worker(self, name: str) -> None:
        """Kill a worker; if there is no other one, one more takes its place."""
        self.losses.append(Loss(name, now_ms(), NEVER_MS))
        self.cluster.kill_worker(self.cluster.worker(name), is_heard=True)
        self._died.set()

    def kill_engine(self) -> None:
        """Kill the engine; another one takes its place."""
        if self.cluster.engine is not None:  # else it is stopping already
            self.cluster.kill_engine()
            self._died.set()

    async def _restart(self) -> None:
        while True:
            await self._died.wait()
            self._died.clear()
            await asyncio.sleep(RESTART_S)
            if self.cluster.engine is None:
                self.cluster.start_engine()
            if not self.cluster.workers:
                self.cluster.start_worker()

    # -- the story -------------------------------------------------------------------------------------------------

    async def _settle(self, over_ms_max: int) -> list[str]:
        """Return when everything is over; name what is not."""
        acting = [asyncio.create_task(self._tell()), asyncio.create_task(self._stir())]
        try:
            await self._over(acting, over_ms_max)
        except TimeoutError:
            runs = [(run.function, run.status, run.holder, run.epoch, run.seq) for run in self.disk.runs()]
            return [f"not over after {over_ms_max} ms: {runs}"]
        return [f"{process.name} ended by itself: {process.task}" for process in self.cluster.ended()]

    async def _over(self, acting: list[asyncio.Task[None]], ms_max: int) -> None:
        async with asyncio.timeout(ms_max / 1000):
            await asyncio.wait(acting)
            while not all(run.status.is_terminal for run in self.disk.runs()):
                self.disk.witness.changed.clear()
                await self.disk.witness.changed.wait()

    async def _stir(self) -> None:
        await asyncio.sleep(BEGIN_S)
        if self._scene.stir is not None:
            await self._scene.stir(self)

    async def _tell(self) -> None:
        with self.cluster.network.on_host("client"):
            await asyncio.sleep(BEGIN_S)
            while not await self._has_worker():  # noqa: ASYNC110 - what nobody has registered, an event cannot start
                await asyncio.sleep(0.01)
            self._told.answers.append(await self._send(TOLD(self._told.story, id="told")))
            await asyncio.sleep(GO_AFTER_S)
            await self._send(GO(Go(TALE), id="go"))
            [run] = self._told.answers[-1]
            for number in range(1, hears(self._scene.plan) + 1):
                await self._signal(run, number)

    async def _has_worker(self) -> bool:
        try:
            return bool(await self._client.list_workers())
        except NotConnected:
            return False

    async def _send(self, event: Event[object]) -> tuple[str, ...]:
        while True:
            try:
                (sent,) = await self._client.send(event)
            except (NotConnected, EngineRefused):
                await asyncio.sleep(0.01)
            else:
                return tuple(run.id for run in sent.runs)

    async def _signal(self, run: str, number: int) -> None:
        while True:
            try:
                await self._client.signal(SIGNAL, number, run=run, id=f"signal {number}")
            except (NotConnected, EngineRefused):
                await asyncio.sleep(0.01)
            else:
                return

    async def _answer(self) -> None:
        """Answer every callback that stands, as long as the play goes on."""
        with self.cluster.network.on_host("client"):
            while True:
                await asyncio.sleep(0.01)
                tokens = self._tokens()
                for token in tokens:
                    with suppress(NotConnected, EngineRefused):
                        await self._client.resolve_callback(token, ANSWER)
                if not tokens:
                    self.disk.witness.changed.clear()
                    await self.disk.witness.changed.wait()

    def _tokens(self) -> list[str]:
        waits = [wait for run in self.disk.runs() for wait in self.disk.tables.waits_of(run.ord)]
        return [wait.wait.token for wait in waits if isinstance(wait.wait, CallbackWait) and not is_reserved(wait.key)]

    # -- the end ---------------------------------------------------------------------------------------------------

    async def _found(self) -> list[str]:
        stored = what_is_stored(self.disk)
        with self.cluster.network.on_host("client"):
            answers = await differing_answers(self.disk, self._client)
        return [*leaks(self.cluster), *self._violations(stored), *answers]

    def _violations(self, stored: dict[str, Stored]) -> list[str]:
        history = History(
            told=[self._told],
            stored=stored,
            ledger=self.cluster.ledger,
            records=self.disk.witness.records,
            finished=self.disk.witness.finished,
            losses=self.losses,
            is_gentle=False,
            unacked_max=self._unacked_max,
            overheard=self.tap.overheard,
        )
        return violations(history)
