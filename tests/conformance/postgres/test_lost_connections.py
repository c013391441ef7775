"""A connection that is lost at any moment: what was stored is known before anybody hears of it, and stored once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from onward_engine.model import Status
from onward_engine.store.port import Claim, StartRun
from onward_engine.store.postgres import PostgresStore
from onward_protocol.messages import RunCompleted, StepDone

from tests.conformance.driver import Driver, function
from tests.support.postgres import PostgresServer
from tests.support.word_proxy import Place, WordProxy

places = pytest.mark.parametrize("place", ["request", "answer"])


@pytest.fixture
async def proxy(postgres: PostgresServer) -> AsyncIterator[WordProxy]:
    async with WordProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
async def driver(postgres: PostgresServer, postgres_url: str, proxy: WordProxy) -> AsyncIterator[Driver]:
    store = PostgresStore(postgres.url(postgres_url.rpartition("/")[2], port=proxy.port))
    await store.open()
    driver = Driver(store)
    await driver.register(function("work", "asked"), function("child"))
    yield driver
    await store.close()


@places
async def test_a_lost_commit_is_answered_as_it_came_out(driver: Driver, proxy: WordProxy, place: Place) -> None:
    await driver.start("work")
    proxy.cut_at(b"COMMIT\0", place)
    [assignment] = await driver.claim("work")
    assert proxy.cuts == 1
    assert assignment.run.epoch == (await driver.get(assignment.run)).epoch == 1


@places
async def test_what_a_lost_commit_was_about_happens_once(driver: Driver, proxy: WordProxy, place: Place) -> None:
    run = await driver.running()
    proxy.cut_at(b"COMMIT\0", place)
    end = driver.frame(run, 1, StepDone("a", b"\x01"), outcome=RunCompleted(b"\x02"))
    start = StartRun(driver.now, "run_s", "shop/child", b"")
    applied, started = await driver.apply(end, start)
    assert (applied.verdict, started, proxy.cuts) == ("applied", "run_s", 1)
    page = await driver.store.journal(run.id)
    assert (len(page.segments), await driver.status(run)) == (1, Status.COMPLETED)
    assert len(await driver.claim("child")) == 1


@places
async def test_a_lone_frame_whose_answer_is_lost_is_stored_once(driver: Driver, proxy: WordProxy, place: Place) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, StepDone("a", b""))
    proxy.cut_at(b"a mark in the frame", place)
    applied = await driver.checkpoint(run, 2, StepDone("b", b"a mark in the frame"))
    assert (applied.seq, proxy.cuts) == (2, 1)
    assert applied.verdict == ("applied" if place == "request" else "duplicate")
    assert len((await driver.store.journal(run.id)).segments) == 2


@pytest.mark.parametrize("word", [b"BEGIN", b"nextval", b"INSERT INTO"])
async def test_any_statement_may_be_lost(driver: Driver, proxy: WordProxy, word: bytes) -> None:
    await driver.start("work")
    for place in ("request", "answer"):
        proxy.cut_at(word, place)
        await driver.send("asked")
        await driver.start("work")
    assert len(await driver.claim("work")) == 5


async def test_numbers_that_a_crashed_server_gives_out_again_do_not_keep_a_batch_for_ever(
    driver: Driver, proxy: WordProxy, postgres: PostgresServer, postgres_url: str
) -> None:
    await driver.start("work")
    proxy.cut_at(b"COMMIT\0", "request")
    starting = asyncio.create_task(driver.start("work"))
    while not proxy.cuts:  # noqa: ASYNC110 - the proxy shares this loop, and refuses before anybody dials again
        await asyncio.sleep(0)
    proxy.refuse()
    database = postgres_url.rpartition("/")[2]
    await postgres.execute("SELECT setval('onward.ord', 2, false)", database)  # as it was before all that is forgotten
    other = PostgresStore(postgres_url)
    await other.open()
    await other.apply([StartRun(driver.now, "run_of_another", "shop/work", b"")])
    await other.close()
    proxy.heal()
    async with asyncio.timeout(10):
        await starting
    assert len(await driver.claim("work")) == 3


async def test_a_store_outlives_its_server(driver: Driver, postgres: PostgresServer) -> None:
    run = await driver.running()
    postgres.kill()
    waiting = asyncio.create_task(driver.checkpoint(run, 1, StepDone("a", b"")))
    reading = asyncio.create_task(driver.get(run))
    done, _ = await asyncio.wait((waiting, reading), timeout=0.2)
    assert not done
    await asyncio.to_thread(postgres.start)
    assert (await waiting).verdict == "applied"
    assert (await reading).id == run.id


async def test_a_server_that_kills_its_backends_loses_nothing(driver: Driver, postgres: PostgresServer) -> None:
    runs = [await driver.running() for _ in range(3)]
    postgres.kill_backends()
    outcomes = await driver.apply(*[driver.frame(run, 1, StepDone("a", b"")) for run in runs])
    assert [outcome.verdict for outcome in outcomes] == ["applied"] * 3


async def test_a_store_that_is_cancelled_while_it_waits_can_be_closed(driver: Driver, proxy: WordProxy) -> None:
    proxy.stall()
    claim = Claim(1, "claim", "wrk_a", 1, ("shop/work",), 1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(driver.apply(claim), 0.1)
    proxy.heal()
    assert await driver.apply(claim) == ((),)
