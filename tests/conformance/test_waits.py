"""Waits: opened, ended once by an event, a child or their time, and never lost in between."""

from __future__ import annotations

import pytest
from onward_engine.model import Run, Status
from onward_engine.store.port import CancelRun, FireTimers, Ingest
from onward_protocol.messages import (
    Arrived,
    CallbackWait,
    Draft,
    Due,
    EventWait,
    Match,
    Parked,
    RunCompleted,
    Seen,
    Sent,
    SignalWait,
    Sleep,
    StepDone,
    TimedOut,
    Wait,
    WaitClosed,
    WaitOpened,
)

from tests.conformance.driver import OTHER, WORKER, Driver

AFFINITY_MS = 250


async def parked(driver: Driver, *waits: Wait) -> Run:
    """Return a run that is parked with these waits, under the keys w0, w1 ..."""
    run = await driver.running()
    opened = [WaitOpened(f"w{n}", wait) for n, wait in enumerate(waits)]
    assert (await driver.checkpoint(run, 1, *opened, outcome=Parked())).status is Status.PARKED
    return run


async def test_a_sleep_ends_when_it_is_due_and_not_before(driver: Driver) -> None:
    run = await parked(driver, Sleep(1_000))
    due = driver.now + 1_000
    assert driver.notices.next_due_at_ms == due
    driver.now = due - 1
    assert await driver.fire() == 0
    driver.now = due
    assert await driver.fire() == 1
    [woken] = driver.notices.woken
    assert (woken.status, woken.holder, woken.entries) == (Status.READY, WORKER, (Due(1, "w0", due),))
    assert await driver.status(run) is Status.READY


async def test_a_sleep_until_a_past_moment_is_over_at_once(driver: Driver) -> None:
    run = await driver.running()
    applied = await driver.checkpoint(run, 1, WaitOpened("w", Sleep(0, driver.now - 5)), outcome=Parked())
    assert applied.status is Status.READY
    assert await driver.admit(run) == (Due(1, "w", driver.now),)


async def test_timers_fire_in_the_order_in_which_they_are_due(driver: Driver) -> None:
    run = await parked(driver, Sleep(300), Sleep(100), Sleep(200))
    driver.now += 1_000
    await driver.fire()
    entries = await driver.admit(run)
    assert entries is not None
    assert [(entry.pos, entry.key) for entry in entries if isinstance(entry, Due)] == [(1, "w1"), (2, "w2"), (3, "w0")]


async def test_timers_fire_no_more_than_asked_for_and_the_rest_later(driver: Driver) -> None:
    await parked(driver, *[Sleep(ms) for ms in range(1, 11)])
    driver.now += 100
    assert [await driver.fire(limit=4) for _ in range(4)] == [4, 4, 2, 0]


async def test_an_event_ends_the_wait_that_it_matches_and_no_other(driver: Driver) -> None:
    run = await parked(
        driver, EventWait("paid", (Match("order.id", b"17"),)), EventWait("paid", (Match("order.id", b"18"),))
    )
    await driver.send("paid", {"order": {"id": 18}})
    entries = await driver.admit(run)
    assert entries is not None
    [entry] = entries
    assert isinstance(entry, Arrived)
    assert (entry.key, entry.event.data) == ("w1", b'{"order":{"id":18}}')


@pytest.mark.parametrize(
    ("match", "data", "is_over"),
    [
        ((), {"a": 1}, True),
        ((Match("a", b"1"),), {"a": 1.0}, True),
        ((Match("a", b'"1"'),), {"a": 1}, False),
        ((Match("a", b"null"),), {}, True),
        ((Match("a", b'{"x":1,"y":2}'),), {"a": {"y": 2, "x": 1}}, True),
        ((Match("a", b"1"), Match("b", b"2")), {"a": 1, "b": 2}, True),
        ((Match("a", b"1"), Match("b", b"2")), {"a": 1, "b": 3}, False),
        ((Match("a", b'"' + b"x" * 500 + b'"'),), {"a": "x" * 500}, True),
        ((Match("a.0", b"5"),), {"a": [5]}, True),
    ],
)
async def test_equalities_compare_json_values(
    driver: Driver, match: tuple[Match, ...], data: object, is_over: bool
) -> None:
    run = await parked(driver, EventWait("paid", match))
    await driver.send("paid", data)
    assert await driver.status(run) is (Status.READY if is_over else Status.PARKED)


async def test_an_event_of_another_name_ends_nothing(driver: Driver) -> None:
    run = await parked(driver, EventWait("paid"))
    await driver.send("paid.not")
    assert await driver.status(run) is Status.PARKED


async def test_one_event_ends_the_waits_of_many_runs(driver: Driver) -> None:
    runs = [await parked(driver, EventWait("go")) for _ in range(20)]
    await driver.send("go")
    assert {woken.run for woken in driver.notices.woken} == {run.id for run in runs}


async def test_a_wait_ends_once_by_event_or_by_time_never_by_both(driver: Driver) -> None:
    run = await parked(driver, EventWait("paid", timeout_ms=1_000))
    driver.now += 1_000
    await driver.apply(FireTimers(driver.now), Ingest(driver.now, (driver.new_event("paid"),)))
    assert await driver.admit(run) == (TimedOut(1, "w0", driver.now),)
    assert await driver.fire() == 0


async def test_an_event_before_the_time_is_over_removes_the_timer(driver: Driver) -> None:
    run = await parked(driver, EventWait("paid", timeout_ms=1_000))
    await driver.send("paid")
    driver.now += 1_000
    assert await driver.fire() == 0
    assert (await driver.get(run)).pos == 1


async def test_look_back_finds_the_oldest_event_behind_the_cursor(driver: Driver) -> None:
    ords: list[int] = []
    for n in range(4):
        event = await driver.store.event((await driver.send("paid", {"n": n})).id)
        assert event is not None
        ords.append(event.ord)
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", EventWait("paid", after=ords[1])), outcome=Parked())
    entries = await driver.admit(run)
    assert entries is not None
    assert [entry.event.data for entry in entries if isinstance(entry, Arrived)] == [b'{"n":2}']


async def test_look_back_sees_only_what_matches(driver: Driver) -> None:
    await driver.send("paid", {"id": 1})
    run = await parked(driver, EventWait("paid", (Match("id", b"2"),), after=0))
    await driver.send("paid", {"id": 2})
    assert await driver.status(run) is Status.READY


async def test_look_back_ends_after_a_week(driver: Driver) -> None:
    await driver.send("paid", 1)
    driver.now += 7 * 86_400_000
    await driver.send("paid", 2)
    driver.now += 1
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", EventWait("paid", after=0)), outcome=Parked())
    entries = await driver.admit(run)
    assert entries is not None
    assert [entry.event.data for entry in entries if isinstance(entry, Arrived)] == [b"2"]


async def test_without_look_back_a_wait_starts_now(driver: Driver) -> None:
    await driver.send("paid")
    run = await parked(driver, EventWait("paid"))
    assert (await driver.get(run)).pos == 0


async def test_an_event_in_the_batch_before_the_wait_is_found_and_one_behind_it_too(driver: Driver) -> None:
    run = await driver.running()
    wait = EventWait("paid", after=run.ord)
    await driver.apply(
        Ingest(driver.now, (driver.new_event("paid", 1),)),
        driver.frame(run, 1, WaitOpened("w0", wait), WaitOpened("w1", EventWait("paid"))),
        Ingest(driver.now, (driver.new_event("paid", 2),)),
    )
    [woken] = driver.notices.woken
    arrived = [(e.key, e.event.data) for e in woken.entries if isinstance(e, Arrived)]
    assert arrived == [("w0", b"1"), ("w1", b"2")]


async def test_a_resolved_wait_of_a_running_run_is_told_at_once(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", EventWait("paid")))
    await driver.send("paid")
    [woken] = driver.notices.woken
    assert (woken.status, woken.epoch, len(woken.entries)) == (Status.ASSIGNED, run.epoch, 1)


async def test_a_resolved_wait_of_an_orphaned_run_waits_for_whoever_comes(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", EventWait("paid")))
    await driver.orphan()
    await driver.send("paid")
    assert (await driver.status(run), driver.notices.woken) == (Status.ORPHANED, [])
    driver.now += 1_000
    [assignment] = await driver.claim("work", instance=OTHER)
    assert len(assignment.entries) == 1


async def test_a_run_that_parks_before_it_saw_an_entry_is_ready_at_once(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", EventWait("paid")), WaitOpened("s", Sleep(60_000)))
    await driver.send("paid")
    applied = await driver.checkpoint(run, 2, outcome=Parked())
    assert applied.status is Status.READY
    assert [(woken.status, len(woken.entries)) for woken in driver.notices.woken] == [(Status.READY, 0)]
    entries = await driver.admit(run)
    assert entries is not None
    await driver.checkpoint(run, 3, Seen(1), StepDone("a", b""), outcome=Parked())
    assert await driver.status(run) is Status.PARKED


async def test_only_the_holder_gets_a_woken_run_at_first_and_then_anybody(driver: Driver) -> None:
    run = await parked(driver, Sleep(100))
    driver.now += 100
    await driver.fire()
    assert await driver.claim("work", instance=OTHER) == ()
    driver.now += AFFINITY_MS
    [assignment] = await driver.claim("work", instance=OTHER)
    assert (assignment.run.epoch, len(assignment.entries)) == (run.epoch + 1, 1)
    assert [(fenced.epoch, fenced.holder) for fenced in driver.notices.fenced] == [(run.epoch, WORKER)]
    assert await driver.admit(run) is None


async def test_a_woken_run_that_nobody_holds_is_claimable_at_once(driver: Driver) -> None:
    run = await parked(driver, Sleep(100))
    await driver.give_back(run, "evicted")
    assert await driver.status(run) is Status.PARKED
    driver.now += 100
    await driver.fire()
    assert (driver.notices.woken, driver.notices.queued) == ([], {"shop/work"})
    assert len(await driver.claim("work", instance=OTHER)) == 1


async def test_a_woken_run_is_admitted_once(driver: Driver) -> None:
    run = await parked(driver, Sleep(1))
    driver.now += 1
    await driver.fire()
    assert await driver.admit(run) is not None
    assert await driver.admit(run) is None
    assert await driver.status(run) is Status.ASSIGNED


async def test_a_closed_wait_never_ends(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", EventWait("paid", timeout_ms=50)))
    await driver.checkpoint(run, 2, WaitClosed("w"))
    driver.now += 100
    assert await driver.fire() == 0
    await driver.send("paid")
    assert (await driver.get(run)).pos == 0


async def test_a_wait_opened_again_by_a_replay_keeps_its_time(driver: Driver) -> None:
    run = await parked(driver, Sleep(1_000))
    await driver.give_back(run, "evicted")
    driver.now += 400
    await driver.cancel(run)
    [again] = await driver.claim("work")
    await driver.checkpoint(again.run, 1, Seen(1), WaitOpened("w0", Sleep(1_000)))
    driver.now += 600
    assert await driver.fire() == 1


async def test_a_wait_opened_again_after_it_ended_unseen_ends_once(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", Sleep(100)))
    await driver.give_back(run)
    [again] = await driver.claim("work")
    driver.now += 100
    await driver.fire()
    await driver.checkpoint(again.run, 1, WaitOpened("w", Sleep(100)))
    driver.now += 1_000
    assert await driver.fire() == 0
    assert (await driver.get(run)).pos == 1


@pytest.mark.parametrize("wait", [SignalWait("approve", 500), EventWait("x", (), 500)])
async def test_every_wait_with_a_time_ends_by_it(driver: Driver, wait: Wait) -> None:
    run = await parked(driver, wait)
    driver.now += 500
    await driver.fire()
    assert await driver.admit(run) == (TimedOut(1, "w0", driver.now),)


@pytest.mark.parametrize("wait", [SignalWait("approve"), CallbackWait("token"), EventWait("x")])
async def test_no_wait_is_without_an_end(driver: Driver, wait: Wait) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", wait))
    assert driver.notices.next_due_at_ms == driver.now + 366 * 86_400_000


async def test_the_waits_of_a_run_that_ended_are_gone(driver: Driver) -> None:
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", EventWait("paid", timeout_ms=100)))
    await driver.checkpoint(run, 2, outcome=RunCompleted(b""))
    assert driver.notices.next_due_at_ms is None
    await driver.send("paid")
    assert (await driver.get(run)).pos == 0


async def test_two_waits_of_a_run_may_take_the_same_event(driver: Driver) -> None:
    run = await parked(driver, EventWait("paid"), EventWait("paid", (Match("id", b"1"),)))
    await driver.send("paid", {"id": 1})
    entries = await driver.admit(run)
    assert entries is not None
    assert [entry.key for entry in entries if isinstance(entry, Arrived)] == ["w0", "w1"]


async def test_an_event_that_a_cancelled_run_waits_for_does_not_reach_it(driver: Driver) -> None:
    run = await parked(driver, EventWait("paid"))
    await driver.apply(CancelRun(driver.now, run.id, "no", 0), Ingest(driver.now, (driver.new_event("paid"),)))
    assert (await driver.get(run)).pos == 0


async def test_a_sent_event_wakes_another_run_in_the_same_commit(driver: Driver) -> None:
    waiting = await parked(driver, EventWait("news"))
    sender = await driver.running()
    await driver.checkpoint(sender, 1, Sent("s", (Draft("news", b"1"),)), outcome=RunCompleted(b""))
    assert [woken.run for woken in driver.notices.woken] == [waiting.id]
