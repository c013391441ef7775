"""Limits that are set while the engine runs: they count at once and for good, and let in who waits for a higher one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from onward_engine.store.port import LIMIT_LOG, LimitSet, SetLimit
from onward_engine.store.work import limits, offers
from onward_protocol.messages import (
    ConcurrencyLimit,
    FunctionManifest,
    RunCompleted,
    SingletonRule,
    ThrottleRule,
    Trigger,
)

from tests.conformance.driver import Driver, function

LIMITED = function("narrow", "narrow.asked", concurrency=(ConcurrencyLimit(1),))
KEYED = function("keyed", "keyed.asked", concurrency=(ConcurrencyLimit(1, "event.data.customer"),))
THROTTLED = FunctionManifest("shop/slow", throttle=ThrottleRule(1, 60_000))


async def set_limit(driver: Driver, limit: int | None, name: str = "narrow", option: str = "concurrency:0") -> LimitSet:
    return await driver.one(SetLimit(driver.now, f"shop/{name}", option, limit, "ann"))


async def drain(driver: Driver) -> int:
    """Fire what is due until nothing is; return in how many transactions."""
    count = 0
    while await driver.fire():
        count += 1
    return count


async def ids(driver: Driver, name: str = "narrow") -> list[str]:
    return [one.run.id for one in await driver.claim(name)]


async def test_a_raised_limit_lets_in_who_waits_in_their_order(driver: Driver) -> None:
    await driver.register(LIMITED)
    runs = [await driver.start("narrow") for _ in range(4)]
    assert await ids(driver) == runs[:1]
    assert await set_limit(driver, 3) == LimitSet("set", declared=1)
    assert driver.notices.next_due_at_ms == driver.now, "the alarm rings at once"
    await drain(driver)
    assert await ids(driver) == runs[1:3]


async def test_a_lowered_limit_takes_nothing_from_who_is_at_work(driver: Driver) -> None:
    await driver.register(replace(LIMITED, concurrency=(ConcurrencyLimit(2),)))
    runs = [await driver.start("narrow") for _ in range(3)]
    [first, second] = [one.run for one in await driver.claim("narrow")]
    await set_limit(driver, 1)
    await driver.checkpoint(first, 1, outcome=RunCompleted(b"\xc0"))
    assert await ids(driver) == [], "there is one at work"
    await driver.checkpoint(second, 1, outcome=RunCompleted(b"\xc0"))
    assert await ids(driver) == runs[2:]


async def test_a_lowered_limit_counts_for_all_that_only_wait_for_a_worker(driver: Driver) -> None:
    await driver.register(replace(LIMITED, concurrency=(ConcurrencyLimit(10),)))
    runs = [await driver.start("narrow") for _ in range(5)]
    await set_limit(driver, 2)
    assert await ids(driver) == runs[:2]
    assert await ids(driver) == []


async def test_a_limit_that_was_set_survives_registrations_and_goes_when_it_is_set_back(driver: Driver) -> None:
    await driver.register(LIMITED)
    await set_limit(driver, 2)
    await driver.register(replace(LIMITED, concurrency=(ConcurrencyLimit(5),)))
    runs = [await driver.start("narrow") for _ in range(4)]
    assert await ids(driver) == runs[:2]
    assert await set_limit(driver, None) == LimitSet("set", declared=5, before=2)
    await drain(driver)
    assert await ids(driver) == runs[2:]


async def test_a_limit_that_rises_with_new_code_lets_in_who_waits(driver: Driver) -> None:
    await driver.register(LIMITED)
    runs = [await driver.start("narrow") for _ in range(3)]
    await ids(driver)
    await driver.register(replace(LIMITED, concurrency=(ConcurrencyLimit(2),)))
    await drain(driver)
    assert await ids(driver) == runs[1:2]


async def test_a_limit_that_is_gone_from_the_code_lets_in_everybody(driver: Driver) -> None:
    await driver.register(KEYED)
    runs = [await one_of(driver, "ann") for _ in range(3)]
    await ids(driver, "keyed")
    await driver.register(replace(KEYED, concurrency=()))
    await drain(driver)
    assert await ids(driver, "keyed") == runs[1:]


async def test_all_keys_of_a_limit_are_looked_at_a_bounded_number_in_a_transaction(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINES_MAX", 2)
    await driver.register(KEYED)
    runs = [await one_of(driver, f"customer {number}") for number in range(5) for _ in range(2)]
    assert len(await ids(driver, "keyed")) == 5
    await set_limit(driver, 2, "keyed")
    assert await drain(driver) >= 3
    assert sorted(await ids(driver, "keyed")) == sorted(runs[1::2])


async def test_long_lines_are_let_in_before_more_lines_are_looked_at(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINES_MAX", 2)
    monkeypatch.setattr(offers, "LET_IN_MAX", 3)
    await driver.register(KEYED)
    for customer in range(8):
        for _ in range(8):
            await one_of(driver, f"customer {customer}")
    await ids(driver, "keyed")
    await set_limit(driver, 100, "keyed")
    let_in = [0]
    while await driver.fire():
        let_in.append(len(await driver.claim("keyed", limit=1_000)))
        assert let_in[-1] <= 2 * 3
    assert sum(let_in) == 8 * 7


async def test_a_throttle_that_is_raised_counts_from_the_start_before(driver: Driver) -> None:
    await driver.register(THROTTLED)
    runs = [await driver.start("slow") for _ in range(2)]
    assert await ids(driver, "slow") == runs[:1]
    await set_limit(driver, 60, "slow", "throttle")
    await drain(driver)
    driver.now += 999
    await drain(driver)
    assert await ids(driver, "slow") == []
    driver.now += 1
    await drain(driver)
    assert await ids(driver, "slow") == runs[1:]


async def test_a_throttle_that_is_lowered_lets_nobody_in_that_was_not_let_in_before(driver: Driver) -> None:
    await driver.register(replace(THROTTLED, throttle=ThrottleRule(60, 60_000, burst=10)))
    runs = [await driver.start("slow") for _ in range(20)]
    assert await ids(driver, "slow") == runs[:10]
    await set_limit(driver, 1, "slow", "throttle")
    driver.now += 59_999
    await drain(driver)
    assert await ids(driver, "slow") == []
    driver.now += 1
    await drain(driver)
    assert await ids(driver, "slow") == runs[10:11]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"throttle": ThrottleRule(1, 3_600_000)}, {"throttle": ThrottleRule(1, 1_000)}),
        ({"throttle": ThrottleRule(1, 3_600_000)}, {"throttle": ThrottleRule(1, 3_600_000, burst=2)}),
        ({"throttle": ThrottleRule(1, 3_600_000)}, {}),
        ({"singleton": SingletonRule()}, {}),
    ],
)
async def test_whatever_new_code_says_of_a_limit_lets_in_who_waits(
    driver: Driver, before: dict[str, Any], after: dict[str, Any]
) -> None:
    await driver.register(FunctionManifest("shop/new", (Trigger("new"),), **before))
    runs = [await driver.start("new") for _ in range(2)]
    assert await ids(driver, "new") == runs[:1]
    await driver.register(FunctionManifest("shop/new", (Trigger("new"),), **after))
    driver.now += 1_000
    await drain(driver)
    assert await ids(driver, "new") == runs[1:]


async def test_the_newest_changes_of_a_limit_are_kept_with_who_made_them(driver: Driver) -> None:
    await driver.register(LIMITED)
    for limit in range(2, 30):
        await set_limit(driver, limit)
    await set_limit(driver, None)
    [item] = await driver.store.items(LIMIT_LOG, "shop/narrow")
    changes = limits.changes_of(item)
    assert len(changes) == limits.KEPT_MAX
    assert [(one.by, one.before, one.after) for one in changes[:2]] == [("ann", 29, None), ("ann", 28, 29)]


async def test_setting_the_same_limit_again_changes_nothing(driver: Driver) -> None:
    await driver.register(LIMITED)
    await set_limit(driver, 2)
    told = [driver.notices.registered]
    assert await set_limit(driver, 2) == LimitSet("set", declared=1, before=2)
    told.append(driver.notices.registered)
    assert told == [True, False], "others have nothing to look at"
    [item] = await driver.store.items(LIMIT_LOG, "shop/narrow")
    assert len(limits.changes_of(item)) == 1


@pytest.mark.parametrize(
    ("name", "option", "limit", "verdict"),
    [
        ("unheard of", "concurrency:0", 1, "unknown_function"),
        ("narrow", "concurrency:1", 1, "unknown_option"),
        ("narrow", "throttle", 1, "unknown_option"),
        ("narrow", "concurrency:0", 0, "impossible"),
        ("narrow", "concurrency:0", -1, "impossible"),
    ],
)
async def test_what_cannot_be_set_is_not(driver: Driver, name: str, option: str, limit: int, verdict: str) -> None:
    await driver.register(LIMITED)
    assert (await set_limit(driver, limit, name, option)).verdict == verdict
    assert await driver.store.items(LIMIT_LOG, "shop/narrow") == []


async def one_of(driver: Driver, customer: str) -> str:
    return (await driver.send("keyed.asked", {"customer": customer})).runs[0]
