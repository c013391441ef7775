"""The clock of a test engine on a database: moved by hand, and refused when others have clocks of their own."""

from __future__ import annotations

from onward_engine.engine import Engine
from onward_engine.model import Status
from onward_engine.settings import Settings
from onward_engine.store.port import Register, RunFilter
from onward_protocol.messages import AppManifest, FunctionManifest, Schedule

from tests.unit.engine.peer import Peer, park, send
from tests.unit.engine.web import ask

HOUR_MS = 3_600_000


def engine(url: str) -> Engine:
    return Engine(Settings(postgres=url, test_clock=True), listens=False)


async def advance(running: Engine, ms: int) -> int:
    answer = await ask(running.app, "POST", "/v1/test/clock", {"advance_ms": ms})
    return answer.status


async def test_timers_and_ticks_fire_when_the_clock_is_moved(postgres_url: str) -> None:
    async with engine(postgres_url) as running:
        worker = await Peer(running).connect()
        run = await send(running)
        await park(worker, run, ms=2 * HOUR_MS)
        nightly = FunctionManifest("clock/hourly", schedules=(Schedule("@hourly"),))
        await running.committer.commit(Register(running.clock.wall_ms(), AppManifest("clock", "1", (nightly,))))
        before_ms = running.clock.wall_ms()
        assert await advance(running, 3 * HOUR_MS) == 200
        assert running.clock.wall_ms() - before_ms >= 3 * HOUR_MS
        found = await running.store.run(run)
        assert found is not None
        assert found.status is not Status.PARKED
        ticks = await running.store.runs(RunFilter(function="clock/hourly"))
        assert len(ticks.runs) == 3


async def test_it_is_not_moved_beside_another_engine(postgres_url: str) -> None:
    async with engine(postgres_url), engine(postgres_url) as second:
        assert await advance(second, HOUR_MS) == 409
