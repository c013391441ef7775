"""Conditions: of triggers, which an event meets or not, and of waits, which compare it with the run's own event."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from onward_engine.model import Run, Status
from onward_engine.store.port import Ingest, Register, Rejected, StartRun
from onward_protocol.messages import (
    AppManifest,
    Arrived,
    Draft,
    EventWait,
    Failed,
    FunctionManifest,
    Parked,
    RunCompleted,
    Sent,
    Trigger,
    Wait,
    WaitOpened,
)

from tests.conformance.driver import Driver, function

LARGE = "event.data.total > 100"


def when(id: str, *conditions: str, event: str = "order.placed") -> FunctionManifest:
    """Describe a function with a trigger for each condition."""
    return FunctionManifest(f"shop/{id}", tuple(Trigger(event, condition) for condition in conditions))


async def started(driver: Driver, data: Any) -> list[str]:
    """Send an event and return what it starts."""
    accepted = await driver.send("order.placed", data)
    return [(await driver.get(run)).function.removeprefix("shop/") for run in accepted.runs]


async def parked(driver: Driver, wait: Wait) -> Run:
    run = await driver.running()
    applied = await driver.checkpoint(run, 1, WaitOpened("w0", wait), outcome=Parked())
    assert applied.status is Status.PARKED
    return run


def entry_of(driver: Driver) -> Arrived | Failed:
    """Return the entry that the one run of the latest commit is woken with."""
    [woken] = driver.notices.woken
    [entry] = woken.entries
    assert isinstance(entry, Arrived | Failed)
    return entry


# -- triggers


async def test_a_condition_decides_which_events_start_a_function(driver: Driver) -> None:
    await driver.register(when("large", LARGE), when("every", ""))
    assert await started(driver, {"total": 101}) == ["every", "large"]
    assert await started(driver, {"total": 100}) == ["every"]


async def test_each_trigger_of_a_function_has_its_own_condition_and_one_is_enough(driver: Driver) -> None:
    await driver.register(when("some", "event.data.kind == 'a'", "event.data.kind == 'b'", "event.data.total > 5"))
    found = [await started(driver, data) for data in ({"kind": "a"}, {"kind": "b", "total": 9}, {"kind": "c"})]
    assert found == [["some"], ["some"], []]


@pytest.mark.parametrize("name", ["order.*", "*"])
async def test_a_prefix_may_have_a_condition(driver: Driver, name: str) -> None:
    await driver.register(when("some", "event.name.endsWith('.placed') && event.data.n == 1", event=name))
    assert (await started(driver, {"n": 1}), await started(driver, {"n": 2})) == (["some"], [])


async def test_a_condition_that_cannot_be_evaluated_skips_its_function_and_is_noted(driver: Driver) -> None:
    await driver.register(when("large", LARGE), when("every", ""))
    assert await started(driver, {"total": "much"}) == ["every"]
    [unclear] = driver.notices.unclear
    assert (unclear.function, unclear.run) == ("shop/large", "")
    assert "does not work with string and int, at character 18 of the expression" in unclear.reason


async def test_a_condition_that_cannot_be_evaluated_never_fails_who_sends(driver: Driver) -> None:
    await driver.register(when("large", LARGE), function("work"))
    run = await driver.running()
    sent = Sent("s", (Draft("order.placed", b"{}"), Draft("order.placed", b'{"total":200}')))
    applied = await driver.checkpoint(run, 1, sent, outcome=RunCompleted(b""))
    assert (applied.status, driver.notices.queued) == (Status.COMPLETED, {"shop/large"})
    assert len(driver.notices.unclear) == 1


async def test_a_repeated_event_answers_with_the_same_runs(driver: Driver) -> None:
    await driver.register(when("large", LARGE), when("small", "event.data.total <= 100"))
    answers = [await driver.send("order.placed", {"total": 7}, id="evt_mine") for _ in range(2)]
    assert answers[0].runs == answers[1].runs != ()


async def test_an_invalid_condition_is_refused_at_registration_by_function_and_option(driver: Driver) -> None:
    op = Register(driver.now, AppManifest("shop", "1", (when("large", "event.data.total >"),)))
    [outcome] = await driver.apply(op)
    assert isinstance(outcome, Rejected)
    assert outcome.message.startswith("shop/large, option 'when' of its trigger order.placed: it ends too early")


# -- waits


async def test_a_wait_with_an_invalid_expression_fails_with_the_reason_and_leaves_the_others(driver: Driver) -> None:
    run = await driver.running()
    good, bad = EventWait("x", where="async.data.n > 1"), EventWait("x", where="async.data.n >")
    await driver.checkpoint(run, 1, WaitOpened("w0", good), WaitOpened("w1", bad))
    entry = entry_of(driver)
    assert isinstance(entry, Failed)
    assert (entry.key, entry.failure.type) == ("w1", "InvalidExpression")
    assert "option 'where': it ends too early, at character 15" in entry.failure.message
    await driver.send("x", {"n": 2})
    assert entry_of(driver).key == "w0"


async def test_a_wait_ends_with_the_first_event_that_its_expression_is_true_of(driver: Driver) -> None:
    run = await parked(driver, EventWait("paid", where="async.data.total > 10 && async.data.user == 'ann'"))
    for data in ({"total": 11, "user": "bob"}, {"total": 10, "user": "ann"}, {}, [1], "text", None):
        await driver.send("paid", data)
    assert (await driver.get(run)).pos == 0
    event = await driver.send("paid", {"user": "ann", "total": 10.5})
    entry = entry_of(driver)
    assert isinstance(entry, Arrived)
    assert entry.event.id == event.id


async def test_an_expression_compares_with_the_runs_own_event(driver: Driver) -> None:
    await driver.register(function("order", "order.placed"))
    runs: list[Run] = []
    for id, total in ((1, 5), (2, 50)):
        await driver.send("order.placed", {"id": id, "total": total})
        [claimed] = await driver.claim("order")
        runs.append(claimed.run)
        wait = EventWait("paid", where="async.data.id == event.data.id && async.data.total >= event.data.total")
        await driver.checkpoint(claimed.run, 1, WaitOpened("w0", wait), outcome=Parked())
    await driver.send("paid", {"id": 2, "total": 49})
    assert not driver.notices.woken
    await driver.send("paid", {"id": 2, "total": 50})
    assert [woken.run for woken in driver.notices.woken] == [runs[1].id]


async def test_a_run_without_an_event_compares_with_its_input(driver: Driver) -> None:
    await driver.register(function("order"))
    await driver.one(StartRun(driver.now, "run_x", "shop/order", msgspec.msgpack.encode({"id": 7})))
    [claimed] = await driver.claim("order")
    wait = EventWait("paid", where="async.data.id == event.data.id")
    await driver.checkpoint(claimed.run, 1, WaitOpened("w0", wait), outcome=Parked())
    await driver.send("paid", {"id": 8})
    assert not driver.notices.woken
    await driver.send("paid", {"id": 7.0})
    assert [woken.run for woken in driver.notices.woken] == ["run_x"]


async def test_a_wait_with_an_expression_looks_back_too(driver: Driver) -> None:
    for n in (1, 2, 3):
        await driver.send("paid", {"n": n})
    run = await driver.running()
    await driver.checkpoint(run, 1, WaitOpened("w", EventWait("paid", where="async.data.n > 1", after=0)))
    entry = entry_of(driver)
    assert isinstance(entry, Arrived)
    assert entry.event.data == b'{"n":2}'


async def test_an_expression_that_cannot_be_evaluated_on_an_event_is_noted_and_waits_on(driver: Driver) -> None:
    run = await parked(driver, EventWait("paid", where="async.data.total > 10"))
    event = await driver.send("paid", {"total": "much"})
    [unclear] = driver.notices.unclear
    assert (unclear.function, unclear.event, unclear.run) == (run.function, event.id, run.id)
    assert "> does not work with string and int" in unclear.reason
    await driver.send("paid", {"total": 11})
    assert [woken.run for woken in driver.notices.woken] == [run.id]


async def test_a_trigger_and_the_event_that_is_waited_for_may_come_in_one_request(driver: Driver) -> None:
    await driver.register(function("order", "order.placed"))
    request = (driver.new_event("order.placed", {"id": 1}), driver.new_event("paid", {"id": 1}))
    accepted = await driver.one(Ingest(driver.now, request))
    [claimed] = await driver.claim("order")
    wait = EventWait("paid", where="async.data.id == event.data.id", after=claimed.events[0].ord)
    await driver.checkpoint(claimed.run, 1, WaitOpened("w0", wait))
    entry = entry_of(driver)
    assert isinstance(entry, Arrived)
    assert entry.event.id == accepted[1].id
