"""Somebody who pauses and resumes runs and functions while everything else goes on, and goes wrong."""

from __future__ import annotations

import asyncio

from onward.errors import EngineRefused, NotConnected

from tests.support.errand import Pause, PauseFunction, Request, Resume
from tests.support.history import Told
from tests.support.model import Model
from tests.support.network import Network
from tests.support.simulation import simulate
from tests.support.sources import stream
from tests.support.world import PASSES_MAX, Result


def live(seed: int) -> Result:
    """Simulate one seed. What has been paused is resumed in the end."""

    async def main(network: Network) -> Result:
        return await Meddled(seed, network, keeps_trace=False).live()

    return simulate(main, seed=seed, shuffle=True, passes_max=PASSES_MAX)


class Meddled(Model):
    """One simulation. The marks count what became of runs that were to be paused."""

    def __init__(self, seed: int, network: Network, *, keeps_trace: bool) -> None:
        super().__init__(seed, network, keeps_trace=keeps_trace)
        self._meddling = stream(seed, "meddler")

    async def _tell(self, told: Told, number: int) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super()._tell(told, number))
            group.create_task(self._meddle(told))

    async def _meddle(self, told: Told) -> None:
        rng = self._meddling
        with self._network.on_host("client"):
            for _ in range(rng.randint(1, 4)):
                await asyncio.sleep(rng.uniform(0, 6))
                pausing, resuming = self._pair(told)
                if pausing is None or resuming is None:
                    continue
                outcome = await self._insist(pausing)
                self._cluster.marks[f"pause {outcome}"] += 1
                await asyncio.sleep(rng.choice((0, 0.05, 0.5, 4)))
                await self._insist(resuming)

    def _pair(self, told: Told) -> tuple[Request | None, Request | None]:
        runs = [run for answer in told.answers for run in answer]
        functions = sorted({run.function for run in self._disk.runs()})
        if functions and self._meddling.random() < 0.2:
            function = self._meddling.choice(functions)
            return PauseFunction(function, True), PauseFunction(function, False)
        live = [run.id for run in self._disk.runs() if not run.status.is_terminal]
        if not runs or not live:
            return None, None
        run = self._meddling.choice(live)
        return Pause(run), Resume(run)

    async def _insist(self, request: Request) -> str:
        """Ask until it is answered: only then is it known what is so."""
        while True:
            try:
                return (await self._errand(request))[0]
            except (NotConnected, EngineRefused):
                await asyncio.sleep(0.3)
