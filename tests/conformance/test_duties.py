"""A duty is one replica's at a time."""

from __future__ import annotations

from onward_engine.store.port import HoldDuty

from tests.conformance.driver import Driver


async def hold(driver: Driver, replica: str, duty: str = "retention") -> int:
    """Ask for a duty for ten seconds; return its epoch."""
    return await driver.one(HoldDuty(driver.now, duty, replica, driver.now + 10_000))


async def test_whoever_has_a_duty_keeps_it_while_it_renews_it(driver: Driver) -> None:
    assert [await hold(driver, "one"), await hold(driver, "other")] == [1, 0]
    driver.now += 9_000
    assert [await hold(driver, "one"), await hold(driver, "other")] == [1, 0]


async def test_a_duty_that_was_not_renewed_goes_to_another_at_the_next_epoch(driver: Driver) -> None:
    await hold(driver, "one")
    driver.now += 10_000
    assert [await hold(driver, "other"), await hold(driver, "one")] == [2, 0]


async def test_duties_are_held_apart(driver: Driver) -> None:
    assert [await hold(driver, "one", "retention"), await hold(driver, "other", "schedules")] == [1, 1]
