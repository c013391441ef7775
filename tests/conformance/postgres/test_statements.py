"""How often the database is asked: what happens all the time costs few round trips, and no table is read through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace
from onward_engine.model import Status
from onward_engine.store.port import Claim, EventFilter, Ingest, NewEvent, Rejected, RunFilter, StartRun
from onward_engine.store.postgres import PostgresStore
from onward_protocol.messages import ConcurrencyLimit, Event, FairRule, RunCompleted, StepDone, ThrottleRule

from tests.conformance.driver import Driver, function


class Asked(Driver):
    """Counts the statements of each batch."""

    store: PostgresStore

    def __init__(self, store: PostgresStore) -> None:
        super().__init__(store)
        self.asked = 0

    async def apply(self, *ops: Any) -> tuple[Any, ...]:
        self.asked = 0
        outcomes = await super().apply(*ops)
        await asyncio.sleep(0)  # the driver counts in the loop's next turn
        return outcomes

    async def watch(self) -> None:
        await self.apply()
        connection = self.store._link._connection
        assert connection is not None
        connection.add_query_logger(self._count)

    def _count(self, query: object) -> None:
        del query
        self.asked += 1


@pytest.fixture
async def driver(postgres_url: str) -> AsyncIterator[Asked]:
    store = PostgresStore(postgres_url)
    await store.open()
    driver = Asked(store)
    await driver.register(function("work", "asked"), function("child"))
    await driver.watch()
    yield driver
    await store.close()


async def test_a_frame_of_a_run_that_goes_on_is_one_statement(driver: Asked) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, StepDone("a", b""))
    assert driver.asked == 1


async def test_any_number_of_such_frames_is_one_statement(driver: Asked) -> None:
    await driver.apply(*[StartRun(1, f"run_{number}", "shop/work", b"") for number in range(20)])
    runs = [assignment.run for assignment in await driver.claim("work")]
    await driver.apply(*[driver.frame(run, seq, StepDone("a", b"")) for run in runs for seq in (1, 2, 3)])
    assert driver.asked == 1
    assert {(await driver.get(run)).steps for run in runs} == {3}


async def test_an_event_its_run_and_the_claim_of_it_are_four(driver: Asked) -> None:
    """Begin with the locks, read, write, commit."""
    ingest = Ingest(1, (driver.new_event("asked", 1),))
    _, claimed = await driver.apply(ingest, Claim(1, "claim", "wrk_a", 1, ("shop/work",), 1))
    assert (len(claimed), driver.asked) == (1, 4)


async def test_the_end_of_a_run_is_four(driver: Asked) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, StepDone("a", b""), outcome=RunCompleted(b"\x01"))
    assert driver.asked == 4


async def test_a_claim_from_a_backlog_is_six(driver: Asked) -> None:
    await driver.apply(*[StartRun(1, f"run_{number}", "shop/work", b"") for number in range(200)])
    assert len(await driver.claim("work", limit=100)) == 100
    assert driver.asked == 6


OWN = [ConcurrencyLimit(1)]
SHARED = [ConcurrencyLimit(1, scope="app"), ConcurrencyLimit(5, "event.data.k")]


@pytest.mark.parametrize(("limits", "ending"), [(OWN, 4), (SHARED, 6)], ids=["own", "shared"])
async def test_limits_cost_two_more_for_the_locks_of_their_keys(
    driver: Asked, limits: list[ConcurrencyLimit], ending: int
) -> None:
    """Whose keys these are is looked up before, where a limit is not the function's own."""
    await driver.register(function("work", "asked", concurrency=limits), function("child"))
    await driver.send("nothing")  # now the functions are known
    claims = [Claim(1, f"claim_{number}", "wrk_a", 1, ("shop/work",), 1) for number in range(2)]
    _, first = await driver.apply(Ingest(1, (driver.new_event("asked", {"k": 1}),)), claims[0])
    assert (len(first), driver.asked) == (1, 6)
    _, second = await driver.apply(Ingest(1, (driver.new_event("asked", {"k": 1}),)), claims[1])
    assert (len(second), driver.asked) == (0, 6)
    await driver.checkpoint(first[0].run, 1, StepDone("a", b""), outcome=RunCompleted(b"\x01"))
    assert driver.asked == ending
    assert len(await driver.claim("work")) == 1


@pytest.mark.parametrize("position", range(5))
@pytest.mark.parametrize("ts_ms", [1, 2**70], ids=["a text", "a number"])
async def test_what_the_database_cannot_store_is_refused_alone(driver: Asked, position: int, ts_ms: int) -> None:
    ops: list[Any] = [StartRun(1, f"run_{number}", "shop/work", b"") for number in range(4)]
    event = Event("evt_bad", "asked", b"1", ts_ms, 0, key="" if ts_ms > 1 else "a\0b")
    ops.insert(position, Ingest(1, (NewEvent(event),)))
    outcomes = list(await driver.apply(*ops))
    assert isinstance(outcomes.pop(position), Rejected)
    assert outcomes == [f"run_{number}" for number in range(4)]
    assert await driver.store.event("evt_bad") is None


async def test_no_hot_statement_reads_a_table_through(driver: Asked) -> None:
    """Plans are made while tables are empty, and kept."""
    limited = replace(function("limited", "asked", concurrency=SHARED), throttle=ThrottleRule(1, 60_000))
    fair = replace(function("fair", "asked", concurrency=OWN), fair=FairRule("event.name"))
    await driver.register(function("work", "asked"), limited, fair)
    for name in ("asked", "asked"):
        await driver.send(name, {"k": 1})
    for assignment in await driver.claim("limited", "fair"):
        await driver.checkpoint(assignment.run, 1, StepDone("a", b""), outcome=RunCompleted(b"\x01"))
    driver.now += 60_000
    await driver.fire()
    run = await driver.running()
    await driver.send("asked")
    await driver.claim("work")
    await driver.checkpoint(run, 1, StepDone("a", b""), outcome=RunCompleted(b"\x01"))
    connection = driver.store._link._connection
    assert connection is not None
    query = "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement LIKE '%unnest%'"
    prepared = await connection.fetch(query)
    assert prepared
    for name, count in prepared:
        arguments = f"({', '.join(['NULL'] * count)})" if count else ""
        plan = await connection.fetch(f"EXPLAIN EXECUTE {name} {arguments}")
        scans = [line for (line,) in plan if "Seq Scan on" in line and "Seq Scan on catalog" not in line]
        assert scans == [], "\n".join(line for (line,) in plan)


WANTED = (
    RunFilter(),
    RunFilter(function="f"),
    RunFilter(status=(Status.PARKED,)),
    RunFilter(status=(Status.COMPLETED,)),
    RunFilter(status=(Status.FAILED,)),
    RunFilter(ids=("run_1",)),
    RunFilter(prefix="run_000000000000"),
    RunFilter(tags=(("key", "value"),)),
)


async def test_no_list_reads_a_table_through_or_sorts_more_than_its_window(driver: Asked) -> None:
    for wanted in WANTED:
        await driver.store.runs(wanted)
    for events in (EventFilter(), EventFilter(name="asked")):
        await driver.store.events(events)
    connection = driver.store._reads._link._connection
    assert connection is not None
    query = "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements"
    query += " WHERE statement LIKE 'SELECT %AS found%' AND statement NOT LIKE '%prepared%'"
    prepared = await connection.fetch(query)
    assert len(prepared) == 2 * (len(WANTED) + 2)
    for name, statement, count in prepared:
        plan = await connection.fetch(f"EXPLAIN EXECUTE {name} ({', '.join(['NULL'] * count)})")
        lines = [line for (line,) in plan]
        assert [line for line in lines if "Seq Scan on" in line] == [], "\n".join(lines)
        is_sorted = "wanted (id)" in statement or "chr(127)" in statement  # by id: few runs
        assert is_sorted or not [line for line in lines if "Sort" in line], "\n".join(lines)


async def test_no_question_about_the_queue_reads_a_table_through(driver: Asked) -> None:
    run, line = await driver.start("work"), await driver.start("work")
    await driver.register(function("work", "asked", concurrency=OWN))
    store, functions = driver.store, [f"shop/f{number}" for number in range(50)]
    await store.queued(run)
    await store.queued((await driver.send("asked")).runs[0])
    await store.queued((await driver.send("asked")).runs[0])
    await store.holders("concurrency shop/work")
    await store.awaited(line)
    await store.backlog(functions)
    await store.lines("shop/work")
    await store.shares("shop/work")
    connection = store._reads._link._connection
    assert connection is not None
    query = "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements"
    query += " WHERE statement ~ ' (queue|place|wait) ' AND statement !~ 'prepared'"
    prepared = await connection.fetch(query)
    assert len(prepared) == 9
    for name, count in prepared:
        plan = await connection.fetch(f"EXPLAIN EXECUTE {name} ({', '.join(['NULL'] * count)})")
        assert [line for (line,) in plan if "Seq Scan on" in line] == [], "\n".join(line for (line,) in plan)
