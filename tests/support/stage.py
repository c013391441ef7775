"""A cluster that plays one story, for scenarios written by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from onward.client import Client
from onward.errors import NotConnected
from onward_engine.model import Run

from tests.support.cluster import URL, Cluster, WorkerProcess
from tests.support.ledger import Execution
from tests.support.network import Network
from tests.support.simulation import simulate
from tests.support.sources import stream
from tests.support.stories import TOLD, Op, Story
from tests.support.witness import Disk, Witness

T = TypeVar("T")

STEP_S = 0.001
PATIENCE_S = 300.0


class Stage:
    """One story on one cluster, with 1 ms between everybody."""

    def __init__(self, network: Network) -> None:
        network.latency_ms = (1, 1)
        witness = Witness()
        self.network = network
        self.disk = Disk(witness, stream(0, "disk"), None)
        self.cluster = Cluster(network, self.disk, witness, slots=2)
        self.cluster.start_engine()

    async def tell(self, *plan: Op, id: str = "told") -> None:
        """Tell a story until it is accepted. One with the same `id` is the same story."""
        with self.network.on_host("client"):
            async with Client(URL) as client:
                while True:
                    with contextlib.suppress(NotConnected):
                        await client.send(TOLD(Story("tale", list(plan)), id=id))
                        return
                    await asyncio.sleep(0.1)

    async def join(self, **options: Any) -> WorkerProcess:
        """Start one more worker, with options of `Worker`; returns when it is connected."""
        worker = self.cluster.start_worker(**options)
        await self.connected(worker)
        return worker

    async def connected(self, process: WorkerProcess) -> None:
        """Return when the worker knows that it is connected."""
        assert process.worker is not None
        await until(lambda: process.worker is not None and process.worker.state == "connected")

    async def began(self, step: str, times: int = 1) -> Execution:
        """Return the execution of a step that is the `times`-th one, when it has begun."""
        await until(lambda: len(self.executions(step)) >= times)
        return self.executions(step)[times - 1]

    async def ended(self) -> Run:
        """Return the run when everything is over."""
        await until(lambda: all(run.status.is_terminal for run in self.disk.runs()))
        return self.run

    def executions(self, step: str) -> list[Execution]:
        """Return all executions of a step so far."""
        return [one for one in self.cluster.ledger.executions if one.step == step]

    @property
    def run(self) -> Run:
        """The run of the story."""
        return self.disk.runs()[0]


def play(scene: Callable[[Stage], Awaitable[T]]) -> T:
    """Play a scene from beginning to end; bodies that began wrongly are an error."""

    async def main(network: Network) -> T:
        stage = Stage(network)
        result = await scene(stage)
        complaints = [problem for one in stage.cluster.ledger.executions for problem in one.complaints]
        assert not complaints
        stage.cluster.bury()
        return result

    return simulate(main)


async def until(condition: Callable[[], bool]) -> None:
    """Return within a millisecond after the condition has become true."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - in virtual time a look costs nothing
            await asyncio.sleep(STEP_S)
