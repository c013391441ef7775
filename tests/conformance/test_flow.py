"""Limits, throttles and the order of those who wait, on every store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from onward_engine.model import Run, Status
from onward_engine.store.port import Claim, PauseFunction
from onward_protocol.messages import (
    AppManifest,
    ConcurrencyLimit,
    Failed,
    FairRule,
    FunctionManifest,
    HandedBack,
    Invoke,
    Parked,
    RunCompleted,
    Sleep,
    ThrottleRule,
    Trigger,
    WaitOpened,
)

from tests.conformance.driver import OTHER, WORKER, Driver

DONE = RunCompleted(b"\xc0")
ENVIRONMENT = ConcurrencyLimit(2, scope="environment")


class Numbered(msgspec.Struct):
    k: str
    n: int


def function(name: str, *limits: ConcurrencyLimit, **options: Any) -> FunctionManifest:
    return FunctionManifest(f"shop/{name}", (Trigger(name),), tuple(limits), **options)


async def claimed(driver: Driver, *functions: str, limit: int = 100, **options: Any) -> list[Run]:
    """Claim as often as there may be more."""
    runs: list[Run] = []
    while found := await driver.claim(*functions, limit=limit - len(runs), **options):
        runs += [one.run for one in found]
    return runs


async def numbers(driver: Driver, runs: Sequence[Run]) -> list[object]:
    """Return the data of the events of runs."""
    found = [await driver.store.event(run.events[0]) for run in runs]
    return [msgspec.json.decode(event.data) for event in found if event]


async def end(driver: Driver, *runs: Run) -> None:
    for run in runs:
        await driver.checkpoint(run, 1, outcome=DONE, instance=run.holder)


async def test_two_limits_hold_both(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(3), ConcurrencyLimit(1, "event.data")))
    for customer in "xxyyzzww":
        await driver.send("a", customer)
    first = await claimed(driver, "a")
    assert await numbers(driver, first) == ["x", "y", "z"]
    await end(driver, first[0])
    assert await numbers(driver, await claimed(driver, "a")) == ["x"]
    await end(driver, first[1])
    assert await numbers(driver, await claimed(driver, "a")) == ["y"]


async def test_who_waits_for_one_limit_is_not_in_the_way_of_the_other(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(1, "event.data"), ConcurrencyLimit(2)))
    for customer in "x" * 50 + "y":
        await driver.send("a", customer)
    first = await claimed(driver, "a")
    assert await numbers(driver, first) == ["x", "y"]


async def test_who_is_behind_one_that_waits_for_another_key_gets_a_free_place(driver: Driver) -> None:
    limits = (ConcurrencyLimit(1, "event.data.k"), ConcurrencyLimit(1, "event.data.n", of="run"))
    await driver.register(function("a", *limits))
    await driver.send("a", {"k": "x", "n": 1})
    [asleep] = await claimed(driver, "a")
    await driver.checkpoint(asleep, 1, WaitOpened("nap@0#0", Sleep(10)), outcome=Parked())
    for n in (2, 1, 1, 3):
        await driver.send("a", {"k": "x", "n": n})
    await end(driver, *await claimed(driver, "a"))
    assert await numbers(driver, await claimed(driver, "a")) == [{"k": "x", "n": 3}]


async def test_one_at_a_time_of_a_key_keeps_the_order_of_acceptance_under_two_limits(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(1, "event.data.k"), ConcurrencyLimit(2)))
    for n in range(30):
        await driver.send("a", {"k": "xyz"[n % 3], "n": n})
    seen: dict[str, list[int]] = {"x": [], "y": [], "z": []}
    while runs := await claimed(driver, "a"):
        for data in await numbers(driver, runs):
            known = msgspec.convert(data, Numbered)
            seen[known.k].append(known.n)
        await end(driver, *runs[::-1])
    assert sum(map(len, seen.values())) == 30
    assert all(order == sorted(order) for order in seen.values())


async def test_functions_share_a_limit_of_the_environment(driver: Driver) -> None:
    await driver.register(function("a", ENVIRONMENT), function("b", ENVIRONMENT))
    for name in "ab" * 3:
        await driver.send(name)
    first = await claimed(driver, "a", "b")
    assert len(first) == 2
    await end(driver, *first)
    assert len(await claimed(driver, "b")) == 2
    assert await claimed(driver, "a") == []


async def test_a_limit_of_an_app_leaves_another_app_alone(driver: Driver) -> None:
    limit = ConcurrencyLimit(1, scope="app")
    await driver.register(function("a", limit), function("b", limit))
    bank = FunctionManifest("bank/c", (Trigger("c"),), (limit,))
    await driver.one(msgspec.structs.replace(driver.registering(), app=AppManifest("bank", "1", (bank,))))
    for name in "abc":
        await driver.send(name)
    assert len(await claimed(driver, "a", "b")) == 1
    assert len(await driver.one(Claim(driver.now, "claim_bank", WORKER, 1, ("bank/c",), 10))) == 1


async def test_queued_runs_of_a_function_without_a_worker_hold_no_shared_place(driver: Driver) -> None:
    await driver.register(function("a", ENVIRONMENT), function("b", ENVIRONMENT))
    for _ in range(5):
        await driver.send("a")
    for _ in range(5):
        await driver.send("b")
    assert [run.function for run in await claimed(driver, "b")] == ["shop/b"] * 2


async def test_a_shared_place_that_somebody_else_has_taken_meanwhile_is_waited_for(driver: Driver) -> None:
    await driver.register(function("a", ENVIRONMENT), function("b", ENVIRONMENT))
    for name in "aabb":
        await driver.send(name)
    first = await claimed(driver, "b")
    assert await claimed(driver, "a", instance=OTHER) == []
    await end(driver, *first)
    assert driver.notices.queued == {"shop/a"}
    assert len(await claimed(driver, "a", instance=OTHER)) == 2


async def test_a_run_that_sleeps_gives_its_place_back_and_waits_for_one_again(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(1)))
    for n in range(2):
        await driver.send("a", n)
    first = (await claimed(driver, "a"))[0]
    await driver.checkpoint(first, 1, WaitOpened("nap@0#0", Sleep(10)), outcome=Parked())
    second = (await claimed(driver, "a"))[0]
    driver.now += 10
    await driver.fire()
    assert await driver.admit(await driver.get(first)) is None
    await end(driver, second)
    assert await driver.admit(await driver.get(first)) is not None


async def test_a_run_that_has_slept_goes_before_new_ones_that_wait_for_a_worker(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(1)))
    await driver.send("a", 0)
    [slept] = await claimed(driver, "a")
    await driver.checkpoint(slept, 1, WaitOpened("nap@0#0", Sleep(10)), outcome=Parked())
    await driver.send("a", 1)
    await driver.one(PauseFunction(driver.now, "shop/a", is_paused=True))
    driver.now += 10
    await driver.fire()
    assert await driver.admit(await driver.get(slept)) is not None


async def test_a_limit_of_whole_runs_is_held_while_they_sleep(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(1, of="run")))
    for n in range(2):
        await driver.send("a", n)
    first = (await claimed(driver, "a"))[0]
    await driver.checkpoint(first, 1, WaitOpened("nap@0#0", Sleep(10)), outcome=Parked())
    assert await claimed(driver, "a") == []
    driver.now += 10
    await driver.fire()
    assert await driver.admit(await driver.get(first)) is not None
    await driver.checkpoint(await driver.get(first), 2, outcome=DONE)
    assert await numbers(driver, await claimed(driver, "a")) == [1]


async def test_a_limit_of_whole_runs_is_given_back_by_a_cancel(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(1, of="run", scope="app")))
    for n in range(3):
        await driver.send("a", n)
    first = (await claimed(driver, "a"))[0]
    await driver.checkpoint(first, 1, WaitOpened("nap@0#0", Sleep(10_000)), outcome=Parked())
    assert await claimed(driver, "a") == []
    await driver.cancel(first, cleanup_ms=0)
    assert await numbers(driver, await claimed(driver, "a")) == [1]


async def test_a_throttle_spreads_starts_and_no_steps(driver: Driver) -> None:
    await driver.register(function("a", throttle=ThrottleRule(2, 1_000)))
    begin_ms = driver.now
    for n in range(4):
        await driver.send("a", n)
    begun: list[int] = []
    for _ in range(200):
        await driver.fire()
        for run in await claimed(driver, "a"):
            begun.append(driver.now - begin_ms)
            await driver.checkpoint(run, 1, outcome=HandedBack())
            again = (await claimed(driver, "a"))[0]
            assert again.id == run.id
            await end(driver, again)
        driver.now += 10
    assert begun == [0, 500, 1_000, 1_500]


async def test_a_throttle_counts_what_begins_and_not_what_could(driver: Driver) -> None:
    await driver.register(function("a", throttle=ThrottleRule(1, 1_000)))
    for n in range(5):
        await driver.send("a", n)
    for _ in range(10):
        driver.now += 1_000
        await driver.fire()
    assert await numbers(driver, await claimed(driver, "a")) == [0]


async def test_a_throttle_has_a_burst_and_a_key(driver: Driver) -> None:
    await driver.register(function("a", throttle=ThrottleRule(1, 1_000, burst=2, key="event.data")))
    for customer in "xxxyy":
        await driver.send("a", customer)
    assert await numbers(driver, await claimed(driver, "a")) == ["x", "x", "y", "y"]
    driver.now += 1_000
    await driver.fire()
    assert await numbers(driver, await claimed(driver, "a")) == ["x"]


async def test_a_cancelled_run_leaves_its_start_to_the_next(driver: Driver) -> None:
    await driver.register(function("a", throttle=ThrottleRule(1, 1_000)))
    first = (await driver.send("a", 0)).runs[0]
    await driver.send("a", 1)
    await driver.cancel(first)
    assert await numbers(driver, await claimed(driver, "a")) == [1]


def rings_at_ms(driver: Driver) -> int | None:
    return driver.notices.next_due_at_ms


async def test_a_throttle_rings_for_nobody_while_those_in_front_wait_for_a_worker(driver: Driver) -> None:
    await driver.register(function("a", throttle=ThrottleRule(1, 1_000)))
    for n in range(3):
        await driver.send("a", n)
    assert rings_at_ms(driver) is None
    await claimed(driver, "a")
    assert rings_at_ms(driver) == driver.now + 1_000
    driver.now += 1_000
    await driver.fire()
    assert rings_at_ms(driver) is None
    assert await numbers(driver, await claimed(driver, "a")) == [1]


async def test_what_a_throttle_keeps_is_forgotten(driver: Driver) -> None:
    await driver.register(function("a", throttle=ThrottleRule(1, 1_000)))
    await driver.send("a")
    await claimed(driver, "a")
    driver.now += 2_000
    await driver.fire()
    assert (await driver.store.items("throttle", "throttle shop/a", limit=1)) == []


async def test_an_urgent_run_is_before_everything(driver: Driver) -> None:
    await driver.register(function("a", priority="event.data.p"), function("b"))
    for n in range(5):
        await driver.send("b", n)
    for p in (0, 10, "urgent"):
        await driver.send("a", {"p": p})
    first = await claimed(driver, "a", "b", limit=1)
    assert await numbers(driver, first) == [{"p": "urgent"}]


async def test_a_priority_moves_a_run_in_time(driver: Driver) -> None:
    await driver.register(function("a", priority="event.data.p"))
    for p, later_ms in ((0, 5_000), (-20, 5_000), (8, 5_000), (0, 0)):
        await driver.send("a", {"p": p})
        driver.now += later_ms
    assert await numbers(driver, await claimed(driver, "a")) == [{"p": 0}, {"p": 8}, {"p": 0}, {"p": -20}]


async def test_a_priority_holds_within_the_line_of_a_limit(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(1), priority="event.data"))
    await driver.send("a", 0)
    runs = await claimed(driver, "a")
    for p in (0, 300, 2):
        await driver.send("a", p)
    order: list[object] = []
    while runs:
        order += await numbers(driver, runs)
        await end(driver, *runs)
        runs = await claimed(driver, "a")
    assert order == [0, 300, 2, 0]


async def test_an_urgent_run_goes_before_those_that_wait_only_for_a_slot(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(3), priority="event.data"))
    for p in (0, 0, 0, 0, "urgent"):
        await driver.send("a", p)
    first = await claimed(driver, "a", limit=1)
    assert await numbers(driver, first) == ["urgent"]
    assert len(await claimed(driver, "a")) == 2
    await end(driver, *first)
    assert len(await claimed(driver, "a")) == 1


@pytest.mark.parametrize("limits", [(), (ConcurrencyLimit(1),)], ids=["free", "limited"])
async def test_a_noisy_tenant_leaves_the_others_their_turns(
    driver: Driver, limits: tuple[ConcurrencyLimit, ...]
) -> None:
    await driver.register(function("a", *limits, fair=FairRule("event.data")))
    for tenant in "n" * 20 + "q" * 3:
        await driver.send("a", tenant)
    order: list[object] = []
    while runs := await claimed(driver, "a", limit=1):
        order += await numbers(driver, runs)
        await end(driver, *runs)
    assert order[:7] == ["n", "q", "n", "q", "n", "q", "n"]


async def test_a_key_that_cannot_be_read_skips_the_function_and_says_so(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(1, "event.data.n + 1")))
    answer = await driver.send("a", {"n": "text"})
    assert answer.runs == ()
    assert [unclear.function for unclear in driver.notices.unclear] == ["shop/a"]


async def test_a_run_that_has_to_start_starts_whatever_its_key_is(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(1, "event.data.n + 1")))
    run = await driver.start("a", msgspec.msgpack.encode({"n": "text"}))
    assert [one.id for one in await claimed(driver, "a")] == [run]


async def test_places_survive_a_lost_worker_and_are_given_back_once(driver: Driver) -> None:
    await driver.register(function("a", ENVIRONMENT, ConcurrencyLimit(1, "event.data", of="run")))
    for customer in "xxy":
        await driver.send("a", customer)
    first = await claimed(driver, "a")
    await driver.orphan(grace_ms=0)
    driver.now += 1
    again = await claimed(driver, "a", instance=OTHER)
    assert [run.id for run in again] == [run.id for run in first]
    await end(driver, *again)
    assert await numbers(driver, await claimed(driver, "a")) == ["x"]
    assert await driver.status(first[0]) is Status.COMPLETED


@pytest.mark.parametrize("limits", [(ConcurrencyLimit(1, of="run"),), (ConcurrencyLimit(1, scope="app", of="run"),)])
async def test_a_child_that_needs_its_callers_place_is_refused_and_does_not_wait_for_ever(
    driver: Driver, limits: tuple[ConcurrencyLimit, ...]
) -> None:
    await driver.register(function("a", *limits))
    run = (await driver.start("a"), await claimed(driver, "a"))[1][0]
    opened = WaitOpened("call@0#0", Invoke("shop/a", b"\xc0"))
    await driver.checkpoint(run, 1, opened, outcome=Parked())
    entries = await driver.admit(await driver.get(run))
    assert entries is not None
    answer = entries[0]
    assert isinstance(answer, Failed)
    assert answer.failure.type == "WaitsForItself"
    assert "'concurrency'" in answer.failure.message
    await driver.checkpoint(await driver.get(run), 2, outcome=DONE)
    assert await claimed(driver, "a") == []


async def test_a_child_under_the_same_limit_goes_on_where_there_is_room(driver: Driver) -> None:
    await driver.register(function("a", ConcurrencyLimit(2, of="run")))
    run = (await driver.start("a"), await claimed(driver, "a"))[1][0]
    await driver.checkpoint(run, 1, WaitOpened("call@0#0", Invoke("shop/a", b"\xc0")), outcome=Parked())
    assert len(await claimed(driver, "a")) == 1
