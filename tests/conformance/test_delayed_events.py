"""Events that come in later: once, when they are due, unless somebody has taken them back."""

from __future__ import annotations

import msgspec
from onward_engine.model import Status
from onward_engine.store import delayed
from onward_engine.store.port import Accepted, DropEvent, Ingest
from onward_engine.store.work.ingest import REMEMBERED_MS
from onward_protocol.messages import Draft, EventWait, Parked, Sent, WaitOpened

from tests.conformance.driver import Driver

HOUR = 3_600_000


async def send(driver: Driver, name: str, due_at_ms: int, id: str = "", data: object = None) -> Accepted:
    new = msgspec.structs.replace(driver.new_event(name, data, id), due_at_ms=due_at_ms)
    return (await driver.one(Ingest(driver.now, (new,))))[0]


async def pending(driver: Driver) -> list[str]:
    return [item.name for item in await driver.store.items(delayed.KIND, delayed.OWNER)]


async def test_a_delayed_event_starts_what_it_triggers_when_it_is_due(driver: Driver) -> None:
    due = driver.now + HOUR
    accepted = await send(driver, "work.asked", due)
    assert (accepted.runs, accepted.due_at_ms, driver.notices.next_due_at_ms) == ((), due, due)
    assert await driver.store.event(accepted.id) is None
    driver.now = due - 1
    assert (await driver.fire(), await driver.claim("work")) == (0, ())
    driver.now = due
    assert await driver.fire() == 1
    (assignment,) = await driver.claim("work")
    assert [event.id for event in assignment.events] == [accepted.id]
    assert await pending(driver) == []


async def test_a_moment_that_is_over_is_now(driver: Driver) -> None:
    accepted = await send(driver, "work.asked", driver.now - 5)
    assert (len(accepted.runs), accepted.due_at_ms) == (1, 0)


async def test_a_delayed_event_ends_the_waits_that_are_open_when_it_is_due(driver: Driver) -> None:
    await send(driver, "paid", driver.now + HOUR)
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("paid#1", EventWait("paid", after=0)), outcome=Parked())
    assert await driver.status(run) is Status.PARKED
    driver.now += HOUR
    await driver.fire()
    assert await driver.status(run) is Status.READY


async def test_an_id_counts_once_now_and_then(driver: Driver) -> None:
    first = await send(driver, "work.asked", driver.now + HOUR, "mine")
    again = await send(driver, "work.asked", driver.now + HOUR, "mine")
    assert (again.id, again.duplicate, again.due_at_ms) == (first.id, True, first.due_at_ms)
    driver.now += HOUR
    await driver.fire()
    late = await driver.send("work.asked", id="mine")
    assert (late.id, late.duplicate) == (first.id, True)
    assert len(await driver.claim("work")) == 1


async def test_an_id_is_remembered_for_a_day_from_when_its_event_was_due(driver: Driver) -> None:
    await send(driver, "work.asked", driver.now + HOUR, "mine")
    driver.now += HOUR
    await driver.fire()
    driver.now += REMEMBERED_MS - 1
    await driver.fire()
    assert (await driver.send("work.asked", id="mine")).duplicate
    driver.now += 1
    assert not (await driver.send("work.asked", id="mine")).duplicate


async def test_an_id_that_stands_for_another_delayed_event_is_a_conflict(driver: Driver) -> None:
    await send(driver, "work.asked", driver.now + HOUR, "mine", {"n": 1})
    assert (await send(driver, "work.asked", driver.now + HOUR, "mine", {"n": 2})).conflict
    assert await pending(driver) == ["mine"]


async def test_an_event_that_was_taken_back_never_comes_and_its_id_is_free(driver: Driver) -> None:
    await send(driver, "work.asked", driver.now + HOUR, "mine")
    assert await driver.one(DropEvent(driver.now, "mine")) is True
    assert await driver.one(DropEvent(driver.now, "mine")) is False
    assert (await pending(driver), driver.notices.next_due_at_ms) == ([], None)
    again = await send(driver, "work.asked", driver.now + 2 * HOUR, "mine", {"other": True})
    assert (again.duplicate, again.conflict) == (False, False)
    driver.now += HOUR
    assert await driver.fire() == 0


async def test_what_has_come_in_cannot_be_taken_back(driver: Driver) -> None:
    accepted = await send(driver, "work.asked", driver.now + 1)
    driver.now += 1
    await driver.fire()
    assert await driver.one(DropEvent(driver.now, accepted.id)) is False


async def test_a_step_sends_a_delayed_event_once(driver: Driver) -> None:
    run = await driver.running()
    sent = Sent("remind", (Draft("work.asked", b"1", due_at_ms=driver.now + HOUR),))
    await driver.checkpoint(run, 1, sent)
    await driver.checkpoint(run, 2, sent)  # the step ran again after a crash
    assert len(await pending(driver)) == 1
    driver.now += HOUR
    await driver.fire()
    await driver.checkpoint(run, 3, sent)
    assert (len(await driver.claim("work")), await pending(driver)) == (1, [])


async def test_many_are_released_a_bounded_number_at_a_time(driver: Driver) -> None:
    due = driver.now + HOUR
    new = tuple(msgspec.structs.replace(driver.new_event("work.asked"), due_at_ms=due) for _ in range(25))
    await driver.one(Ingest(driver.now, new))
    driver.now = due
    assert [await driver.fire(10) for _ in range(4)] == [10, 10, 5, 0]
    assert len(await driver.claim("work")) == 25
