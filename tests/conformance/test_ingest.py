"""Events: accepted all or none, each starts what it triggers, once."""

from __future__ import annotations

import msgspec
import pytest
from onward_engine.model import Status
from onward_engine.store.port import Ingest, NewEvent, Register, Rejected, StartRun
from onward_protocol.ids import derived_id
from onward_protocol.messages import AppManifest, ConcurrencyLimit, Draft, Event, EventWait, Match, Sent, WaitOpened

from tests.conformance.driver import Driver, function

DAY_MS = 86_400_000


async def test_an_event_starts_every_function_that_it_triggers(driver: Driver) -> None:
    await driver.register(function("a", "order.placed"), function("b", "order.*"), function("c", "other"))
    accepted = await driver.send("order.placed", {"id": 1})
    runs = [await driver.get(run) for run in accepted.runs]
    assert [run.function for run in runs] == ["shop/a", "shop/b"]
    assert driver.notices.queued == {"shop/a", "shop/b"}


async def test_a_function_starts_once_though_two_triggers_match(driver: Driver) -> None:
    await driver.register(function("a", "order.placed", "order.*", "*"))
    assert len((await driver.send("order.placed")).runs) == 1


async def test_an_assignment_carries_the_event_in_its_place_of_the_order(driver: Driver) -> None:
    await driver.send("nothing.listens")
    await driver.send("work.asked", {"n": 1})
    [assignment] = await driver.claim("work")
    [event] = assignment.events
    assert (event.data, event.ord < assignment.run.ord) == (b'{"n":1}', True)


async def test_a_later_event_of_the_same_request_comes_after_the_run_that_the_first_started(driver: Driver) -> None:
    request = (driver.new_event("work.asked"), driver.new_event("follow-up"))
    accepted = await driver.one(Ingest(driver.now, request))
    run = await driver.get(accepted[0].runs[0])
    second = await driver.store.event(accepted[1].id)
    assert second is not None
    assert second.ord > run.ord


async def test_a_minted_id_that_is_ingested_again_changes_nothing(driver: Driver) -> None:
    new = driver.new_event("work.asked")
    first, again = await driver.apply(Ingest(driver.now, (new,)), Ingest(driver.now, (new,)))
    assert (again[0].runs, again[0].duplicate) == (first[0].runs, True)
    assert len(await driver.claim("work")) == 1


async def test_a_repeated_event_id_gets_the_first_answer(driver: Driver) -> None:
    first = await driver.send("work.asked", 1, id="order-17")
    again = await driver.send("work.asked", 1, id="order-17")
    assert (again.id, again.runs, again.duplicate) == (first.id, first.runs, True)


async def test_an_event_id_used_for_another_body_is_a_conflict_and_nothing_is_stored(driver: Driver) -> None:
    await driver.send("work.asked", 1, id="order-17")
    request = (driver.new_event("work.asked", 3, id="fine"), driver.new_event("work.asked", 2, id="order-17"))
    answers = await driver.one(Ingest(driver.now, request))
    assert [answer.conflict for answer in answers] == [False, True]
    assert await driver.store.event("fine") is None
    assert len(await driver.claim("work")) == 1


async def test_two_bodies_under_one_id_in_one_request_are_a_conflict(driver: Driver) -> None:
    request = (driver.new_event("work.asked", 1, id="x"), driver.new_event("work.asked", 2, id="x"))
    answers = await driver.one(Ingest(driver.now, request))
    assert any(answer.conflict for answer in answers)
    assert await driver.claim("work") == ()


async def test_the_same_event_twice_in_one_request_is_one_event(driver: Driver) -> None:
    request = (driver.new_event("work.asked", 1, id="x"), driver.new_event("work.asked", 1, id="x"))
    first, second = await driver.one(Ingest(driver.now, request))
    assert (second.runs, second.duplicate) == (first.runs, True)


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_an_event_id_is_free_again_after_a_day(driver: Driver, is_deleted: bool) -> None:
    first = await driver.send("work.asked", 1, id="daily")
    driver.now += DAY_MS
    if is_deleted:
        await driver.fire()
    second = await driver.send("work.asked", 2, id="daily")
    assert (second.conflict, second.duplicate, len(second.runs)) == (False, False, 1)
    assert second.runs != first.runs
    assert (await driver.send("work.asked", 2, id="daily")).runs == second.runs


async def test_an_answer_is_remembered_after_functions_have_changed(driver: Driver) -> None:
    first = await driver.send("work.asked", 1, id="x")
    await driver.register(function("new", "work.asked"))
    assert (await driver.send("work.asked", 1, id="x")).runs == first.runs


async def test_text_that_is_not_unicode_is_refused_with_its_request(driver: Driver) -> None:
    bad = NewEvent(Event("evt_\ud800", "work.asked", b"1", 1, 0))
    [outcome] = await driver.apply(Ingest(driver.now, (driver.new_event("work.asked"), bad)))
    assert isinstance(outcome, Rejected)
    assert await driver.claim("work") == ()


async def test_a_function_that_its_app_no_longer_has_is_not_started(driver: Driver) -> None:
    await driver.register(function("other"))
    assert (await driver.send("work.asked")).runs == ()


async def test_an_unchanged_manifest_is_no_news(driver: Driver) -> None:
    await driver.register(function("work", "work.asked"), function("child"))
    assert not driver.notices.registered
    await driver.register(function("work", "work.asked"))
    assert driver.notices.registered


async def test_two_apps_stand_beside_each_other(driver: Driver) -> None:
    await driver.one(Register(driver.now, AppManifest("billing", "1", (function("x", "work.asked"),))))
    assert [app.name for app in await driver.store.functions()] == ["billing", "shop"]
    assert len((await driver.send("work.asked")).runs) == 2


async def test_a_manifest_that_cannot_be_honoured_is_rejected(driver: Driver) -> None:
    app = AppManifest("shop", "2", (function("work", concurrency=[ConcurrencyLimit(0)]),))
    [outcome] = await driver.apply(Register(driver.now, app))
    assert isinstance(outcome, Rejected)
    assert [a.run.function for a in [*await driver.claim("work")]] == []
    assert (await driver.send("work.asked")).runs != ()


async def test_an_unknown_function_cannot_be_started(driver: Driver) -> None:
    [outcome] = await driver.apply(StartRun(driver.now, "run_x", "shop/nobody", b""))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, "shop/nobody" in outcome.message) == ("unknown_function", True)


async def test_a_start_that_is_repeated_is_the_same_run(driver: Driver) -> None:
    op = StartRun(driver.now, "run_x", "shop/work", b"\x01")
    assert await driver.apply(op, msgspec.structs.replace(op, input=b"\x02")) == ("run_x", "run_x")
    [assignment] = await driver.claim("work")
    assert (assignment.run.input, assignment.events) == (b"\x01", ())


async def test_a_run_id_that_a_caller_took_is_not_taken_from_its_run(driver: Driver) -> None:
    event = driver.new_event("work.asked")
    taken = derived_id("run", event.event.id, "shop/work")
    await driver.one(StartRun(driver.now, taken, "shop/child", b"\xc0"))
    [outcome] = await driver.apply(Ingest(driver.now, (event,)))
    assert isinstance(outcome, Rejected)
    assert await driver.store.event(event.event.id) is None
    assert (await driver.get(taken)).function == "shop/child"


async def test_what_a_step_sends_is_accepted_with_its_frame(driver: Driver) -> None:
    await driver.register(function("work"), function("heard", "news"))
    run = await driver.running()
    await driver.checkpoint(run, 1, Sent("s", (Draft("news", b'{"n":1}'), Draft("news", b'{"n":2}'))))
    heard = await driver.claim("heard")
    assert [a.events[0].data for a in heard] == [b'{"n":1}', b'{"n":2}']
    assert [a.events[0].ts_ms for a in heard] == [driver.now, driver.now]


async def test_what_a_step_sends_again_after_a_crash_is_not_accepted_twice(driver: Driver) -> None:
    await driver.register(function("work"), function("heard", "news"))
    run = await driver.running()
    await driver.checkpoint(run, 1, Sent("s", (Draft("news", b"1"),)))
    await driver.give_back(run)
    [again] = await driver.claim("work")
    await driver.checkpoint(again.run, 1, Sent("s", (Draft("news", b"1"),)))
    assert len(await driver.claim("heard")) == 1


async def test_a_run_can_wait_for_what_it_sends_itself(driver: Driver) -> None:
    run = await driver.running()
    wait = WaitOpened("w", EventWait("news", (Match("id", b"7"),)))
    await driver.checkpoint(run, 1, wait, Sent("s", (Draft("news", b'{"id":7}'),)))
    [woken] = driver.notices.woken
    assert (woken.run, woken.status, [entry.pos for entry in woken.entries]) == (run.id, Status.ASSIGNED, [1])
