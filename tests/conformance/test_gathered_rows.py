"""Events that join runs that others began, limits that are set by hand: what every store keeps of them."""

from __future__ import annotations

from onward_engine.model import Run, Status
from onward_engine.store.port import RunFilter, Store
from onward_engine.store.tables import QueueRow, QueueState, Tables
from onward_protocol.messages import Event

from tests.conformance.driver import Driver
from tests.conformance.rows import do, do_one, operations

__all__ = ["operations"]


async def gathering(driver: Driver) -> Run:
    [run] = (await driver.send("work.asked")).runs
    found = await driver.get(run)
    row = QueueRow(found.ord, found.function, 1, QueueState.GATHERED, flow_key="debounce shop/work")
    await do(driver, lambda tables: tables.put_queue_row(row))
    return found


async def test_a_gathered_run_is_in_the_queue_and_nobody_claims_it(driver: Driver) -> None:
    run = await gathering(driver)
    assert await driver.claim("work") == ()
    row = await do_one(driver, lambda tables: tables.queue_row(run.ord))
    assert (row.state, row.flow_key) == (QueueState.GATHERED, "debounce shop/work")


async def test_a_run_takes_more_events_until_it_is_claimed(driver: Driver) -> None:
    run = await gathering(driver)
    second, third = (await driver.send("other")).id, (await driver.send("other")).id
    events = (*run.events, second)
    await do(driver, lambda tables: tables.put_events(run, events))
    assert (await driver.get(run)).events == events

    def take_the_last(tables: Tables) -> tuple[str, ...]:
        tables.put_events(run, (third,))
        return tables.full(tables.run_at(run.ord)).events

    assert await do_one(driver, take_the_last) == (third,)
    row = QueueRow(run.ord, run.function, 1, QueueState.OPEN)
    await do(driver, lambda tables: tables.put_queue_row(row))
    [assignment] = await driver.claim("work")
    assert [event.id for event in assignment.events] == [third]


async def test_a_run_takes_more_events_in_the_batch_that_makes_it(driver: Driver) -> None:
    event = (await driver.send("other")).id

    def make(tables: Tables) -> tuple[str, ...]:
        run = Run(id="run_new", function="shop/work", ord=tables.next_ord(), events=("evt_x",), input=b"\xc0")
        tables.add_run(run)
        tables.put_events(run, (event, "evt_x"))
        tables.put_run(run)
        tables.put_queue_row(QueueRow(run.ord, run.function, 1, QueueState.OPEN))
        return tables.full(run).events

    assert await do_one(driver, make) == (event, "evt_x")
    assert (await driver.get("run_new")).events == (event, "evt_x")


async def test_an_event_knows_the_runs_that_it_joined(driver: Driver) -> None:
    event = (await driver.send("other")).id
    await do(driver, lambda tables: tables.join_event(event, "run_a"))

    def join(tables: Tables) -> tuple[str, ...]:
        tables.join_event(event, "run_b")
        tables.keep_event(event)
        return tables.joined(event)

    assert await do_one(driver, join) == ("run_a", "run_b")
    assert await do_one(driver, lambda tables: tables.joined(event)) == ("run_a", "run_b")
    kept = await do_one(driver, lambda tables: tables.release_event(event))
    assert kept.runs == 0


async def test_an_event_joins_runs_in_the_batch_in_which_it_comes(driver: Driver) -> None:
    def come(tables: Tables) -> tuple[str, ...]:
        tables.add_event(Event("evt_new", "other", b"{}", 1, tables.next_ord()), driver.now, 0)
        tables.join_event("evt_new", "run_a")
        return tables.joined("evt_new")

    assert await do_one(driver, come) == ("run_a",)
    assert await do_one(driver, lambda tables: tables.joined("evt_new")) == ("run_a",)


async def test_an_event_that_is_not_there_joins_nothing(driver: Driver) -> None:
    await do(driver, lambda tables: tables.join_event("evt_nobody", "run_a"))
    assert await do_one(driver, lambda tables: tables.joined("evt_nobody")) == ()


async def test_a_limit_that_was_set_is_in_the_catalog_until_it_is_taken_back(driver: Driver) -> None:
    limits = {("shop/work", "concurrency:0"): 3, ("shop/work", "throttle"): 7}
    for (function, option), limit in limits.items():
        await do(driver, lambda tables, f=function, o=option, n=limit: tables.set_limit(f, o, n))  # type: ignore[misc]
    assert await do_one(driver, lambda tables: dict(tables.catalog().limits)) == limits
    got = await do(
        driver,
        lambda tables: tables.set_limit("shop/work", "throttle", None),
        lambda tables: tables.set_limit("shop/work", "concurrency:0", 0),
        lambda tables: dict(tables.catalog().limits),
    )
    assert got[2] == {("shop/work", "concurrency:0"): 0}
    await driver.register()
    assert await do_one(driver, lambda tables: dict(tables.catalog().limits)) == got[2]


async def test_skipped_runs_are_listed_by_their_status(driver: Driver, store: Store) -> None:
    run = await driver.get(await driver.start("work"))
    await driver.start("work")

    def skip(tables: Tables) -> None:
        tables.drop_queue_row(run.ord)
        found = tables.run_at(run.ord)
        tables.end_run(Run(id=run.id, function=run.function, ord=found.ord, status=Status.SKIPPED, ended_at_ms=1))

    await do(driver, skip)
    page = await store.runs(RunFilter(status=(Status.SKIPPED,)))
    assert [found.id for found in page.runs] == [run.id]
