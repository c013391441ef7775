"""Clients and schedules, over a real socket: what docs/schedules.md and docs/triggers.md say of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from onward import Client, SyncClient, Worker
from onward.errors import EngineRefused
from onward.events import moment
from onward_engine import Engine, Settings

from tests.support.pages import Page

SCHEDULES, TRIGGERS = Page("docs/schedules.md"), Page("docs/triggers.md")
PATIENCE = 20


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    settings = Settings(dev=True, port=0, folder=tmp_path, test_clock=True)
    async with Engine(settings) as running:
        yield running


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[Client]:
    async with Client(engine.url) as client:
        yield client


@asynccontextmanager
async def worker(engine: Engine, app: object) -> AsyncGenerator[None]:
    """A worker in this process, whose functions the engine has."""
    registered = asyncio.Event()
    engine.committer.listen(lambda notices: registered.set() if notices.registered else None)
    async with Worker(app, url=engine.url):
        async with asyncio.timeout(PATIENCE):
            await registered.wait()
        yield


async def test_a_schedule_is_paused_looked_at_and_made_up_for(engine: Engine, client: Client) -> None:
    page = SCHEDULES.program()
    async with worker(engine, page.functions):
        now = moment(engine.clock.wall_ms())
        ticks = await page.look_after(client)
        assert len(ticks) == 7
        assert all(tick.endswith("03:00") for tick in ticks)
        begin = now - timedelta(days=10)
        assert await page.make_up(client, begin, now) == 10
        assert await page.make_up(client, begin, now) == 0
        found = await client.list_schedules()
        assert [(one.function, one.number, one.is_paused) for one in found.schedules] == [
            ("shop/clean", 0, False),
            ("shop/clean", 1, False),
            ("shop/nightly", 0, False),
        ]


async def test_the_clock_is_moved_and_ticks_run(engine: Engine, client: Client) -> None:
    page = SCHEDULES.program()
    async with worker(engine, page.functions):
        before = moment(engine.clock.wall_ms())
        assert await client.advance_clock("1d") >= before + timedelta(days=1)
        schedule = await client.get_schedule(page.nightly)
        assert schedule.last_run is not None
        run = await client.wait(schedule.last_run, timeout=PATIENCE)
        assert run.status == "completed"


async def test_a_delayed_event_is_listed_and_taken_back(engine: Engine, client: Client) -> None:
    page = TRIGGERS.program()
    async with worker(engine, page.functions):
        order = page.Order("o1", 5)
        later = datetime.now(UTC) + timedelta(days=2)
        [first, second] = await client.send(page.Reminder(order, delay="1h"), page.Reminder(order, at=later, id="mine"))
        assert (first.runs, second.due_at_ms) == ((), round(later.timestamp() * 1000))
        listed = await client.list_delayed_events()
        assert {one.id for one in listed.events} == {first.id, "mine"}
        await client.take_back("mine")
        with pytest.raises(EngineRefused, match="No event 'mine' waits"):
            await client.take_back("mine")
        await client.advance_clock("1h")
        assert (await client.list_delayed_events()).events == ()
        assert [run.function for run in (await client.list_runs()).runs] == ["shop/audit"]


async def test_the_blocking_client_can_do_the_same(engine: Engine, client: Client) -> None:
    page = SCHEDULES.program()
    async with worker(engine, page.functions):

        def check() -> None:
            blocking = SyncClient(engine.url)
            assert blocking.pause_schedule(page.clean, 1).is_paused
            assert not blocking.resume_schedule("shop/clean", 1).is_paused
            assert len(blocking.list_schedules(function=page.clean).schedules) == 2
            assert len(blocking.next_ticks(page.nightly, limit=3)) == 3
            assert blocking.list_delayed_events().events == ()
            with pytest.raises(EngineRefused, match="no schedule 7"):
                blocking.get_schedule(page.nightly, 7)
            blocking.close()

        await asyncio.to_thread(check)
