"""Several engines on one database at the same moment: nothing is done twice, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest
from onward_engine.model import Item, Status
from onward_engine.rules.waits import SIGNAL
from onward_engine.store.memory_tables import MemoryTables
from onward_engine.store.port import AnswerCallback, Claim, Ingest, Register, RunFilter, SendSignal, StartRun
from onward_engine.store.postgres import PostgresStore, values
from onward_protocol.messages import (
    AppManifest,
    CallbackWait,
    ConcurrencyLimit,
    EventWait,
    Invoke,
    Parked,
    RunCompleted,
    SignalWait,
    Sleep,
    StepDone,
    WaitOpened,
)

from tests.conformance.driver import Driver, function
from tests.conformance.test_differential import APP, FLOWS, Chaos, is_a_bug
from tests.support.limits import broken_limits

BATCHES = 25
ROUNDS = 15

PROMISES = {
    "queued, but nobody will claim it": """
        SELECT ord FROM live LEFT JOIN queue USING (ord)
        WHERE live.status IN ('queued', 'orphaned', 'ready') AND queue.ord IS NULL""",
    "assigned, but queued": "SELECT ord FROM live JOIN queue USING (ord) WHERE live.status IN ('assigned', 'parked')",
    "assigned to nobody": "SELECT ord FROM live WHERE status = 'assigned' AND holder = ''",
    "parked without a wait": """
        SELECT ord FROM live WHERE status = 'parked' AND NOT EXISTS (SELECT FROM wait WHERE wait.ord = live.ord)""",
    "neither alive nor over, or both": """
        SELECT ord FROM run LEFT JOIN live USING (ord) LEFT JOIN ended USING (ord)
        WHERE (live.ord IS NULL) = (ended.ord IS NULL)""",
    "something of a run that is over": """
        SELECT ord FROM (SELECT ord FROM queue UNION SELECT ord FROM wait UNION SELECT ord FROM place) AS row
        WHERE NOT EXISTS (SELECT FROM live WHERE live.ord = row.ord)""",
    "a journal with a gap": """
        SELECT run FROM journal LEFT JOIN live ON live.ord = run LEFT JOIN ended ON ended.ord = run
        GROUP BY run HAVING count(*) <> max(coalesce(live.tail, ended.tail)) OR count(*) <> max(n)""",
    "an end of a child that its caller waits for still": """
        SELECT wait.ord FROM wait JOIN run ON run.id = wait.child JOIN ended ON ended.ord = run.ord""",
}


async def broken_promises(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url, server_settings={"search_path": "onward"})
    try:
        found = {promise: await connection.fetch(query) for promise, query in PROMISES.items()}
        return {promise: len(rows) for promise, rows in found.items() if rows}
    finally:
        await connection.close()


async def rows_of(store: PostgresStore, url: str) -> MemoryTables:
    """Return what a database has, as a store in memory would have it."""
    tables = MemoryTables()
    for app in await store.functions():
        tables.put_app(app)
    for run in (await store.runs(RunFilter(limit=100_000))).runs:
        tables.add_run(run)
    connection = await asyncpg.connect(url, server_settings={"search_path": "onward"})
    for row in await connection.fetch("SELECT ord, function, rank, state, due_at_ms, flow_key, fair_key FROM queue"):
        tables.put_queue_row(values.queue_row(tuple(row)))
    for key, ord, name, is_taken in await connection.fetch("SELECT flow_key, ord, function, is_taken FROM place"):
        tables.put_place(key, ord, name, bool(is_taken))
    for row in await connection.fetch("SELECT kind, owner, name, due_at_ms, body FROM item"):
        tables.put_item(Item(*row))
    await connection.close()
    return tables


@pytest.fixture
async def drivers(postgres_url: str) -> AsyncIterator[list[Driver]]:
    """Three engines' stores."""
    async with AsyncExitStack() as stack:
        stores = [PostgresStore(postgres_url) for _ in range(3)]
        for store in stores:
            await store.open()
            stack.push_async_callback(store.close)
        drivers = [Driver(store) for store in stores]
        for number, driver in enumerate(drivers):
            driver._ids = itertools.count(1_000 * (number + 1))
        await drivers[0].register(function("work", "asked"), function("child"))
        yield drivers


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("app", [APP, FLOWS], ids=["plain", "flows"])
async def test_no_promise_is_broken_when_all_of_them_do_anything(
    drivers: list[Driver], postgres_url: str, seed: int, app: AppManifest
) -> None:
    await drivers[0].one(Register(1, app))

    async def work(driver: Driver, number: int) -> None:
        chaos = Chaos(seed * 10 + number, app)
        chaos.count = 1_000_000 * (number + 1)
        for _ in range(BATCHES):
            runs = (await driver.store.runs(RunFilter(limit=40))).runs
            outcomes = await driver.apply(*chaos.batch([run for run in runs if not run.status.is_terminal] or runs))
            assert [outcome for outcome in outcomes if is_a_bug(outcome)] == []

    await asyncio.gather(*(work(driver, number) for number, driver in enumerate(drivers)))
    assert await broken_promises(postgres_url) == {}
    store = drivers[0].store
    assert isinstance(store, PostgresStore)
    assert list(broken_limits(await rows_of(store, postgres_url))) == []


async def test_no_run_is_claimed_twice(drivers: list[Driver]) -> None:
    await drivers[0].apply(*[StartRun(1, f"run_{number}", "shop/work", b"") for number in range(60)])

    async def claim(driver: Driver, worker: str) -> list[str]:
        taken: list[str] = []
        while len(found := await driver.one(Claim(1, f"{worker}{len(taken)}", worker, 1, ("shop/work",), 3))):
            taken += [assignment.run.id for assignment in found]
        return taken

    taken = await asyncio.gather(*(claim(driver, f"wrk_{number}") for number, driver in enumerate(drivers)))
    ids = [id for one in taken for id in one]
    assert len(ids) == len(set(ids))
    left = await drivers[0].claim("work")
    assert len(ids) + len(left) == 60


async def test_a_claim_that_found_others_at_work_is_told_to_look_again(
    drivers: list[Driver], postgres_url: str
) -> None:
    await drivers[0].start("work")
    other = await asyncpg.connect(postgres_url, server_settings={"search_path": "onward"})
    async with other.transaction():
        await other.execute("SELECT FROM live FOR UPDATE")
        assert await drivers[1].claim("work") == ()
        assert drivers[1].notices.queued == {"shop/work"}
    await other.close()
    assert len(await drivers[1].claim("work")) == 1


async def test_a_caller_of_many_that_others_have_started_ends_with_all_of_them(drivers: list[Driver]) -> None:
    run = await drivers[0].running()
    calls = [WaitOpened(f"call#{number}", Invoke("shop/child", b"")) for number in range(80)]
    await drivers[0].checkpoint(run, 1, *calls, outcome=Parked())
    await drivers[1].cancel(run, cleanup_ms=0)
    ended = await drivers[2].store.runs(RunFilter(function="shop/child", status=(Status.CANCELLED,), limit=200))
    assert len(ended.runs) == len(calls)


async def test_an_event_and_a_wait_for_it_that_come_at_the_same_moment_meet(drivers: list[Driver]) -> None:
    for number in range(ROUNDS):
        run = await drivers[0].running()
        wait = WaitOpened("w", EventWait(f"go{number}", after=0))
        parked = drivers[0].checkpoint(run, 1, wait, outcome=Parked())
        await asyncio.gather(parked, drivers[1].send(f"go{number}"), drivers[2].send("asked"))
        assert await drivers[0].status(run) is Status.READY
        await drivers[0].claim("work")


async def test_the_end_of_a_child_and_its_callers_wait_that_come_at_the_same_moment_meet(drivers: list[Driver]) -> None:
    for _ in range(ROUNDS):
        parent = await drivers[0].running()
        await drivers[0].checkpoint(parent, 1, WaitOpened("c", Invoke("shop/child", b"\x80")))
        [child] = await drivers[1].claim("child", instance="wrk_b")
        end = drivers[1].frame(child.run, 1, outcome=RunCompleted(b"\x01"), instance="wrk_b")
        parked = drivers[0].checkpoint(parent, 2, outcome=Parked())
        await asyncio.gather(parked, drivers[1].one(end))
        assert await drivers[2].status(parent) is Status.READY
        await drivers[0].admit(parent)


async def test_a_limit_holds_whoever_starts_claims_and_ends(drivers: list[Driver], postgres_url: str) -> None:
    await drivers[0].register(function("alone", concurrency=[ConcurrencyLimit(2)]))

    async def work(driver: Driver, number: int) -> int:
        done = 0
        for _ in range(12):
            await driver.start("alone")
            for assignment in await driver.claim("alone", instance=f"wrk_{number}"):
                end = driver.frame(assignment.run, 1, outcome=RunCompleted(b""), instance=f"wrk_{number}")
                await driver.one(end)
                done += 1
            assert await broken_promises(postgres_url) == {}
        return done

    done = sum(await asyncio.gather(*(work(driver, number) for number, driver in enumerate(drivers))))
    while found := await drivers[0].claim("alone"):
        for assignment in found:
            await drivers[0].checkpoint(assignment.run, 1, outcome=RunCompleted(b""))
            done += 1
    assert done == 36


async def test_timers_are_fired_once(drivers: list[Driver]) -> None:
    await drivers[0].apply(*[StartRun(1, f"run_{number}", "shop/work", b"") for number in range(30)])
    runs = [assignment.run for assignment in await drivers[0].claim("work")]
    sleeps = WaitOpened("s", Sleep(10))
    await drivers[0].apply(*[drivers[0].frame(run, 1, sleeps, outcome=Parked()) for run in runs])
    for driver in drivers:
        driver.now += 1_000
    fired = await asyncio.gather(*(driver.fire(20) for driver in drivers))
    fired += [await drivers[0].fire() for _ in range(2)]
    assert sum(fired) == 30
    assert {(await drivers[0].get(run)).pos for run in runs} == {1}


async def test_the_same_request_at_two_engines_is_accepted_once(drivers: list[Driver]) -> None:
    for number in range(ROUNDS):
        event = drivers[0].new_event("asked", 1, id=f"mine_{number}")
        answers = await asyncio.gather(*(driver.one(Ingest(driver.now, (event,))) for driver in drivers))
        assert len({answer[0].runs for answer in answers}) == 1
        assert sorted(answer[0].duplicate for answer in answers) == [False, True, True]


async def test_the_same_run_that_two_engines_start_is_started_once(drivers: list[Driver]) -> None:
    for number in range(ROUNDS):
        start = StartRun(1, f"run_mine_{number}", "shop/work", b"")
        assert await asyncio.gather(*(driver.one(start) for driver in drivers)) == [f"run_mine_{number}"] * 3
    assert len((await drivers[0].store.runs(RunFilter(limit=1000))).runs) == ROUNDS


async def test_a_frame_of_a_run_that_has_gone_elsewhere_is_stale_although_this_engine_wrote_it_last(
    drivers: list[Driver],
) -> None:
    run = await drivers[0].running()
    await drivers[0].checkpoint(run, 1, StepDone("a", b""))
    assert await drivers[1].give_back(run)
    [taken] = await drivers[1].claim("work", instance="wrk_b")
    assert taken.run.epoch == 2
    other = await drivers[0].running()
    late, fine = drivers[0].frame(run, 2, StepDone("b", b"")), drivers[0].frame(other, 1, StepDone("a", b""))
    outcomes = await drivers[0].apply(late, fine)
    assert [outcome.verdict for outcome in outcomes] == ["stale", "applied"]
    assert (await drivers[1].get(run)).steps == 1


async def test_functions_that_another_engine_registers_are_known_at_once(drivers: list[Driver]) -> None:
    await drivers[0].register(function("fresh", "fresh.asked"))
    assert len((await drivers[1].send("fresh.asked")).runs) == 1


async def test_a_signal_and_the_wait_for_it_meet_whoever_comes_first(drivers: list[Driver]) -> None:
    here, there, elsewhere = drivers
    for _ in range(ROUNDS):
        run = await here.running()
        signal = SendSignal(there.now, run.id, "go", b"\x01", "once")
        await asyncio.gather(
            here.checkpoint(run, 1, WaitOpened("s", SignalWait("go"))), there.one(signal), elsewhere.one(signal)
        )
        assert (await here.get(run)).pos == 1
        assert await there.store.items("signal", run.id) == []


async def test_signals_without_a_run_reach_one_waiting_run_each(drivers: list[Driver]) -> None:
    runs = [await drivers[0].running() for _ in range(6)]
    for run in runs:
        await drivers[0].checkpoint(run, 1, WaitOpened("s", SignalWait("go")), outcome=Parked())

    async def send(driver: Driver) -> str:
        while (found := await driver.store.waiter(SIGNAL, b"go")) is not None:
            op = SendSignal(driver.now, found, "go", b"\x01", is_for_waiter=True)
            signalled = await driver.one(op)
            if signalled.verdict == "delivered":
                return signalled.run
        return ""

    reached = [run for _ in range(2) for run in await asyncio.gather(*map(send, drivers))]
    assert sorted(reached) == sorted(run.id for run in runs)


async def test_a_callback_is_answered_once_by_all_of_them(drivers: list[Driver]) -> None:
    run = await drivers[0].running()
    await drivers[0].checkpoint(run, 1, WaitOpened("c", CallbackWait("token")))
    answers = await asyncio.gather(*(driver.one(AnswerCallback(driver.now, "token", b"\x01")) for driver in drivers))
    assert sorted(answers) == ["answered", "repeated", "repeated"]
    assert (await drivers[0].get(run)).pos == 2  # that it is open, and the answer
