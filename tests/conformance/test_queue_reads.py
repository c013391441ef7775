"""What people ask about the queue: where a run stands, who holds the places, and how much waits."""

from __future__ import annotations

from msgspec.structs import replace
from onward_engine.model import Run
from onward_engine.rules.flow.facts import Awaited, Backlog, Holders, Line, Queued
from onward_engine.store.port import CancelRun, PauseRun
from onward_protocol.messages import (
    ConcurrencyLimit,
    DebounceRule,
    EventWait,
    FairRule,
    FunctionManifest,
    Parked,
    Sleep,
    WaitOpened,
)

from tests.conformance.driver import Driver, function

KEYED = function("keyed", "keyed.asked", concurrency=(ConcurrencyLimit(1, "event.data.customer"),))
SHARED = ConcurrencyLimit(1, scope="app")


async def one_of(driver: Driver, customer: str) -> str:
    return (await driver.send("keyed.asked", {"customer": customer})).runs[0]


async def claimed(driver: Driver, name: str = "keyed") -> list[Run]:
    return [one.run for one in await driver.claim(name)]


def key(customer: str) -> str:
    return f'concurrency shop/keyed event.data.customer="{customer}"'


async def test_a_claimable_run_knows_how_many_stand_before_it(driver: Driver) -> None:
    runs = [await driver.start("work") for _ in range(3)]
    await driver.start("child")
    stands = [await driver.store.queued(run) for run in runs]
    assert stands == [Queued("ready", 1, driver.now, ahead=ahead) for ahead in range(3)]


async def test_no_more_are_counted_before_it_than_are_asked_for(driver: Driver) -> None:
    runs = [await driver.start("work") for _ in range(3)]
    assert await driver.store.queued(runs[-1], 1) == Queued("ready", 1, driver.now, ahead=1)
    assert await driver.store.queued(runs[-1], 0) == Queued("ready", 1, driver.now, ahead=0)


async def test_a_run_in_line_counts_those_of_its_own_line(driver: Driver) -> None:
    await driver.register(KEYED)
    runs = {customer: [await one_of(driver, customer) for _ in range(3)] for customer in ("ann", "bob")}
    stands = [await driver.store.queued(run) for run in runs["bob"][1:]]
    assert stands == [Queued("limited", 1, 0, key("bob"), ahead) for ahead in range(2)]


async def test_a_run_that_is_not_queued_stands_nowhere(driver: Driver) -> None:
    run = await driver.running()
    assert await driver.store.queued(run.id) is None
    assert await driver.store.queued("run_unheard_of") is None


async def test_held_and_later_runs_tell_their_state(driver: Driver) -> None:
    held, lost = await driver.start("child"), await driver.running()
    await driver.one(PauseRun(driver.now, held))
    await driver.orphan(grace_ms=1_000)
    states = [await driver.store.queued(run) for run in (held, lost.id)]
    assert [one and one.state for one in states] == ["held", "later"]
    assert states[1] is not None
    assert states[1].due_at_ms == driver.now + 1_000


async def test_a_run_that_gathers_events_names_what_it_gathers_for(driver: Driver) -> None:
    await driver.register(replace(function("calm", "calm.asked"), debounce=DebounceRule(1_000)))
    run = (await driver.send("calm.asked")).runs[0]
    assert await driver.store.queued(run) == Queued("gathering", 1, 0, "debounce shop/calm")


async def test_the_holders_of_a_key_are_told_in_the_order_of_acceptance(driver: Driver) -> None:
    await driver.register(replace(KEYED, concurrency=(ConcurrencyLimit(3, "event.data.customer"),)))
    runs = [await one_of(driver, "ann") for _ in range(4)]
    await claimed(driver)
    assert await driver.store.holders(key("ann")) == Holders(3, 0, tuple(runs[:3]))
    assert (await driver.store.holders(key("ann"), limit=2)).runs == tuple(runs[:2])
    assert await driver.store.holders(key("nobody")) == Holders()


async def test_a_place_of_a_shared_limit_is_offered_before_it_is_taken(driver: Driver) -> None:
    await driver.register(function("first", concurrency=(SHARED,)), function("second", concurrency=(SHARED,)))
    run = await driver.start("first")
    assert await driver.store.holders("concurrency shop/") == Holders(0, 1)
    await claimed(driver, "first")
    assert await driver.store.holders("concurrency shop/") == Holders(1, 0, (run,))


async def test_a_parked_run_tells_what_it_waits_for_and_not_what_it_is_watched_for(driver: Driver) -> None:
    await driver.register(FunctionManifest("shop/work", finish_timeout_ms=60_000))
    run = await driver.running()
    waits = (WaitOpened("a", EventWait("paid", timeout_ms=9)), WaitOpened("b", Sleep(5)))
    await driver.checkpoint(run, 1, *waits, outcome=Parked())
    assert await driver.store.awaited(run.id) == [
        Awaited("a", "event", "paid", driver.now + 9),
        Awaited("b", "sleep", "", driver.now + 5),
    ]
    assert await driver.store.awaited("run_unheard_of") == []


async def test_the_backlog_counts_each_state_and_names_the_oldest(driver: Driver) -> None:
    await driver.register(KEYED, function("work"), function("child"))
    begun = driver.now
    for _ in range(3):
        await one_of(driver, "ann")
        driver.now += 10
    paused = await driver.start("work")
    await driver.one(PauseRun(driver.now, paused))
    await driver.start("child")
    assert await driver.store.backlog(["shop/keyed", "shop/work", "shop/none"]) == {
        "shop/keyed": [Backlog("ready", 1, begun), Backlog("limited", 2, begun + 10)],
        "shop/work": [Backlog("held", 1, driver.now)],
    }


async def test_the_lines_of_a_function_come_by_key_in_pages(driver: Driver) -> None:
    await driver.register(KEYED)
    for customer, count in (("ann", 1), ("bob", 2), ("cid", 3), ("dan", 4)):
        for _ in range(count):
            await one_of(driver, customer)
    page = await driver.store.lines("shop/keyed", limit=2)
    assert page == [Line(key("bob"), 1), Line(key("cid"), 2)]
    assert await driver.store.lines("shop/keyed", page[-1].key) == [Line(key("dan"), 3)]
    assert await driver.store.lines("shop/none") == []


async def test_the_keys_by_which_runs_take_turns_come_in_pages(driver: Driver) -> None:
    await driver.register(replace(function("fair", "fair.asked"), fair=FairRule("event.data.customer")))
    for customer, count in (("ann", 1), ("bob", 2), ("cid", 3)):
        for _ in range(count):
            await driver.send("fair.asked", {"customer": customer})
    await driver.claim("fair", limit=3)  # one of each
    page = await driver.store.shares("shop/fair", limit=1)
    assert page == [Line('"bob"', 1)]
    assert await driver.store.shares("shop/fair", page[-1].key) == [Line('"cid"', 2)]
    assert await driver.store.shares("shop/work") == []


async def test_what_is_purged_is_left_alone_once_it_has_begun(driver: Driver) -> None:
    begun, waiting = await driver.running(), await driver.start("work")
    ops = [CancelRun(driver.now, run, "purged", 0, is_for_waiting=True) for run in (begun.id, waiting, "run_none")]
    assert await driver.apply(*ops) == ("begun", "cancelled", "unknown")
    assert await driver.one(CancelRun(driver.now, waiting, "", 0, is_for_waiting=True)) == "terminal"


async def test_places_that_are_given_back_are_told_for_each_key(driver: Driver) -> None:
    await driver.register(KEYED)
    for customer in ("ann", "bob"):
        await one_of(driver, customer)
    await one_of(driver, "ann")
    first, second = await claimed(driver)
    await driver.apply(*(CancelRun(driver.now, run.id, "", 0) for run in (first, second)))
    assert sorted(driver.notices.freed) == [key("ann"), key("bob")]
