"""Engines and workers under a load of runs with limits, while they are killed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

from onward.errors import EngineRefused, NotConnected

from tests.chaos.arena import Arena, Plan
from tests.limits.work import EVENTS, NOTES, REPLACING, Line, make_task, read, start_worker

KEYS = 100
IN_FLIGHT = 800
REQUEST = 100
CANCELLED = 3
"""So many of each request."""

LOOK_S = 0.05


class LimitsArena(Arena):
    """An arena in which events come in as fast as runs end, until so many have begun."""

    def __init__(self, home: Path, seed: int, plan: Plan) -> None:
        super().__init__(home, seed, plan)
        self.deaths_ns: dict[str, int] = {}
        self.lines: list[Line] = []
        self.ended: set[str] = set()
        self.sent = 0
        self.began = 0
        self._singles: dict[str, str] = {}
        self._places: Counter[str] = Counter()
        self._feeder = Random(seed)

    async def start_worker(self) -> None:
        """Start one more worker."""
        name = f"worker-{next(self._names)}"
        self.workers.append(start_worker(name, self.url, self.home))

    async def kill_worker(self) -> None:
        """Kill a worker; another one takes its place."""
        worker = self.workers.pop(self.rng.randrange(len(self.workers)))
        worker.kill()
        self.deaths_ns[worker.name] = time.monotonic_ns()
        await self.start_worker()

    async def feed(self, admissions: int, kills: int) -> None:
        """Send events until so many runs have begun to do something, and so many kills have met them."""
        while self.began < admissions or len(self.deaths_ns) + len(self.kills) < kills:
            await asyncio.sleep(LOOK_S)
            self.look()
            while self.sent - len(self.ended) < IN_FLIGHT:
                await self._send()

    async def _send(self) -> None:
        tasks = [make_task(self._feeder, self.sent + number, KEYS) for number in range(REQUEST)]
        events = [EVENTS[name](task, id=f"task-{task.number}") for name, task in tasks]
        sent = await self._asked(lambda: self._client.send(*events))
        self.sent += len(events)
        runs = [one.runs[0].id for one in sent]
        for (name, task), run in zip(tasks, runs, strict=True):
            if name == REPLACING:
                self.ended.add(self._singles.get(task.key, run))
                self._singles[task.key] = run
        for run in self._feeder.sample(runs, CANCELLED):
            with suppress(EngineRefused, NotConnected):  # it is over, or nobody is there to be asked
                await self._client.cancel(run)
                self.ended.add(run)

    def look(self) -> None:
        """Read what has been noted since."""
        for path in self.home.joinpath(NOTES).iterdir():
            lines, self._places[path.name] = read(path, self._places[path.name])
            self.lines += lines
            self.began += sum(line.verb == "+" for line in lines)
            self.ended |= {line.run for line in lines if line.verb == "="}
