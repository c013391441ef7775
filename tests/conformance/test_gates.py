"""Gates: an event that would start a run joins an earlier one, is skipped, or takes its place."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from onward_engine.model import Run, Status
from onward_engine.rules.flow.entry import IDEMPOTENCY, RATE
from onward_engine.rules.flow.keys import SINGLETON
from onward_engine.store.port import (
    EventFilter,
    FireTimers,
    Ingest,
    KeptEvent,
    NewEvent,
    PauseRun,
    Purge,
    Rejected,
    Repeat,
    RunFilter,
    SetLimit,
    StartRun,
)
from onward_protocol.messages import (
    Draft,
    Event,
    Failure,
    FunctionManifest,
    IdempotencyRule,
    RateRule,
    RunCompleted,
    RunFailed,
    Sent,
    SingletonRule,
    Trigger,
)

from tests.conformance.driver import Driver

DONE = RunCompleted(b"\xc0")
MINUTE = 60_000


async def offered(driver: Driver, *more: FunctionManifest, **options: Any) -> None:
    """Register `shop/guarded`, which `asked` triggers, and others."""
    await driver.register(FunctionManifest("shop/guarded", (Trigger("asked"),), **options), *more)


async def ask(driver: Driver, key: object = 1) -> Run:
    """Send an event and return the one run that it is answered with."""
    (run,) = (await driver.send("asked", {"key": key})).runs
    return await driver.get(run)


async def finish(driver: Driver, name: str = "guarded") -> None:
    """Let a worker take everything there is, and complete it."""
    for assignment in await driver.claim(name):
        await driver.checkpoint(assignment.run, 1, outcome=DONE)


async def states(driver: Driver, name: str = "guarded") -> list[Status]:
    """How the runs of a function stand, oldest first."""
    found = (await driver.store.runs(RunFilter(function=f"shop/{name}", limit=1_000))).runs
    return [run.status for run in reversed(found)]


def next_due(driver: Driver) -> int | None:
    """When something is due next, as of the last commit."""
    return driver.notices.next_due_at_ms


async def kept_events(driver: Driver) -> list[KeptEvent]:
    return list((await driver.store.events(EventFilter())).events)


async def set_limit(driver: Driver, limit: int | None) -> None:
    await driver.one(SetLimit(driver.now, "shop/guarded", "rate_limit", limit))


# -- idempotency -------------------------------------------------------------------------------------------------------

ONCE = IdempotencyRule("event.data.key", 24 * 60 * MINUTE)


async def test_events_with_one_key_have_one_run(driver: Driver) -> None:
    await offered(driver, idempotency=ONCE)
    first = await ask(driver)
    assert (await ask(driver)).id == first.id
    assert (await ask(driver, 2)).id != first.id
    assert await states(driver) == [Status.QUEUED] * 2


async def test_a_key_has_its_run_also_when_that_is_over(driver: Driver) -> None:
    await offered(driver, idempotency=ONCE)
    first = await ask(driver)
    await finish(driver)
    assert (await ask(driver)).id == first.id
    assert await driver.claim("guarded") == ()


async def test_a_key_may_have_another_run_when_its_time_is_over(driver: Driver) -> None:
    await offered(driver, idempotency=ONCE)
    first = await ask(driver)
    driver.now += ONCE.ttl_ms - 1
    assert (await ask(driver)).id == first.id
    driver.now += 1
    assert (await ask(driver)).id != first.id


async def test_what_is_known_of_a_key_is_forgotten_with_its_time(driver: Driver) -> None:
    await offered(driver, idempotency=ONCE)
    await ask(driver)
    owner = "idempotency shop/guarded event.data.key=1"
    assert len(await driver.store.items(IDEMPOTENCY, owner)) == 1
    assert next_due(driver) == driver.now + ONCE.ttl_ms
    driver.now += ONCE.ttl_ms
    await driver.fire()
    assert (await driver.store.items(IDEMPOTENCY, owner), next_due(driver)) == ([], None)


async def test_an_event_that_joins_a_run_is_kept_by_itself_and_says_which_run_it_joined(driver: Driver) -> None:
    await offered(driver, idempotency=ONCE)
    first = await ask(driver)
    event = driver.new_event("asked", {"key": 1})
    op = Ingest(driver.now, (event,))
    for (accepted,) in await driver.apply(op, op):  # as often as it comes
        assert accepted.runs == (first.id,)
    assert (await driver.get(first)).events != (event.event.id,)
    (kept,) = [one for one in await kept_events(driver) if one.event.id == event.event.id]
    assert kept.runs == 0


async def test_equal_values_are_one_key_however_they_are_written(driver: Driver) -> None:
    await offered(driver, idempotency=ONCE)
    texts = [b'{"key":{"a":1,"b":2.0}}', b'{ "key": {"b":2, "a":1.0} }']
    events = [NewEvent(Event(f"evt_x{n}", "asked", text, driver.now, 0)) for n, text in enumerate(texts)]
    first, second = await driver.one(Ingest(driver.now, tuple(events)))
    assert first.runs == second.runs


async def test_a_skipped_run_does_not_use_its_key_up(driver: Driver) -> None:
    await offered(driver, idempotency=ONCE, rate_limit=RateRule(1, MINUTE))
    await ask(driver, "a")
    assert (await ask(driver, "b")).status is Status.SKIPPED
    driver.now += MINUTE
    assert (await ask(driver, "b")).status is Status.QUEUED


# -- singleton ---------------------------------------------------------------------------------------------------------

ALONE = SingletonRule("event.data.key")
NEWEST = SingletonRule("event.data.key", "cancel")


async def test_a_newcomer_is_skipped_while_a_run_of_its_key_is_not_over(driver: Driver) -> None:
    await offered(driver, singleton=ALONE)
    first = await ask(driver)
    second = await ask(driver)
    assert (second.status, second.ended_at_ms) == (Status.SKIPPED, driver.now)
    assert second.cancel_reason == f"option 'singleton': run {first.id} of its key is not over"
    assert (await ask(driver, 2)).status is Status.QUEUED
    await finish(driver)
    assert (await ask(driver)).status is Status.QUEUED


async def test_of_fifty_at_once_one_runs(driver: Driver) -> None:
    await offered(driver, singleton=ALONE)
    await driver.one(Ingest(driver.now, tuple(driver.new_event("asked", {"key": 1}) for _ in range(50))))
    assert await states(driver) == [Status.QUEUED] + [Status.SKIPPED] * 49
    assert len(await driver.claim("guarded")) == 1


async def test_a_newcomer_cancels_the_older_run_and_begins_when_that_is_over(driver: Driver) -> None:
    await offered(driver, singleton=NEWEST)
    await ask(driver)
    (assignment,) = await driver.claim("guarded")
    second = await ask(driver)
    older = await driver.get(assignment.run)
    assert older.cancel_reason == "a newer run of its key has come"
    assert await driver.claim("guarded") == ()  # the older one cleans up
    await driver.checkpoint(older, 1, outcome=DONE)
    assert [one.run.id for one in await driver.claim("guarded")] == [second.id]


async def test_of_fifty_newcomers_the_last_one_runs(driver: Driver) -> None:
    await offered(driver, singleton=NEWEST)
    accepted = await driver.one(Ingest(driver.now, tuple(driver.new_event("asked", {"key": 1}) for _ in range(50))))
    assert await states(driver) == [Status.CANCELLED] * 49 + [Status.QUEUED]
    assert [(one.run.id,) for one in await driver.claim("guarded")] == [accepted[-1].runs]


async def test_a_run_whose_key_had_a_skipped_newcomer_is_not_in_its_way_later(driver: Driver) -> None:
    await offered(driver, singleton=ALONE)
    await ask(driver)
    await ask(driver)
    await finish(driver)
    assert await driver.store.items(SINGLETON, "singleton shop/guarded event.data.key=1") == []


async def test_a_paused_run_still_holds_its_key(driver: Driver) -> None:
    await offered(driver, singleton=ALONE)
    first = await ask(driver)
    await driver.one(PauseRun(driver.now, first.id))
    assert (await ask(driver)).status is Status.SKIPPED


async def test_whatever_has_to_start_stands_in_line_behind_the_run_of_its_key(driver: Driver) -> None:
    await offered(driver, singleton=ALONE)
    input = msgspec.msgpack.encode({"key": 1})
    first, second = [await driver.start("guarded", input) for _ in range(2)]
    assert [one.run.id for one in await driver.claim("guarded")] == [first]
    assert (await ask(driver)).status is Status.SKIPPED  # although no event has started the first
    assert await driver.status(second) is Status.QUEUED
    assert await driver.claim("guarded") == ()


async def test_a_run_that_is_only_offered_its_place_is_the_one_run_of_its_key(driver: Driver) -> None:
    await offered(driver, singleton=SingletonRule(), priority="0")
    await driver.start("guarded")
    assert (await ask(driver)).status is Status.SKIPPED
    assert len(await driver.claim("guarded")) == 1


async def test_a_rerun_of_a_skipped_run_begins(driver: Driver) -> None:
    await offered(driver, singleton=ALONE)
    await ask(driver)
    skipped = await ask(driver)
    await finish(driver)
    assert await driver.one(Repeat(driver.now, "run_again", skipped.id)) == "run_again"
    (assignment,) = await driver.claim("guarded")
    assert [event.id for event in assignment.events] == list(skipped.events)


# -- rate limit --------------------------------------------------------------------------------------------------------

TWO_A_MINUTE = RateRule(2, MINUTE, "event.data.key")


async def test_surplus_events_are_skipped_and_say_why(driver: Driver) -> None:
    await offered(driver, rate_limit=TWO_A_MINUTE)
    runs = [await ask(driver) for _ in range(3)]
    assert [run.status for run in runs] == [Status.QUEUED, Status.QUEUED, Status.SKIPPED]
    assert runs[2].cancel_reason == "option 'rate_limit': 2 in 60 s have started already"
    assert driver.notices.finished == [runs[2].id]
    assert [(one.what, one.function) for one in driver.notices.happened] == [("skipped", "shop/guarded")]
    assert (await ask(driver, 2)).status is Status.QUEUED


async def test_the_window_slides(driver: Driver) -> None:
    await offered(driver, rate_limit=TWO_A_MINUTE)
    begun = driver.now
    verdicts: list[bool] = []
    for at_ms in (0, 50_000, 59_999, 60_000, 60_001, 109_999, 110_000, 120_000):
        driver.now = begun + at_ms
        verdicts.append((await ask(driver)).status is Status.QUEUED)
    assert verdicts == [True, True, False, True, False, False, True, True]


async def test_a_limit_that_was_set_by_hand_counts_at_once(driver: Driver) -> None:
    await offered(driver, rate_limit=TWO_A_MINUTE)
    assert [(await ask(driver)).status for _ in range(3)][2] is Status.SKIPPED
    await set_limit(driver, 3)
    assert [(await ask(driver)).status for _ in range(2)] == [Status.QUEUED, Status.SKIPPED]
    await set_limit(driver, None)
    assert (await ask(driver)).status is Status.SKIPPED


async def test_starts_are_forgotten_when_they_count_no_longer(driver: Driver) -> None:
    await offered(driver, rate_limit=TWO_A_MINUTE)
    await ask(driver)
    assert next_due(driver) == driver.now + MINUTE
    driver.now += MINUTE
    await driver.fire()
    assert await driver.store.items(RATE, "rate shop/guarded event.data.key=1") == []


async def test_only_events_are_counted(driver: Driver) -> None:
    await offered(driver, rate_limit=RateRule(1, MINUTE))
    for n in range(3):
        await driver.one(StartRun(driver.now, f"run_s{n}", "shop/guarded", b"\xc0"))
    assert [(await ask(driver)).status for _ in range(2)] == [Status.QUEUED, Status.SKIPPED]


async def test_a_skipped_run_starts_no_failure_handler_and_cannot_be_cancelled(driver: Driver) -> None:
    await offered(driver, FunctionManifest("shop/rescue"), rate_limit=RateRule(1, MINUTE), on_failure="shop/rescue")
    await ask(driver)
    skipped = await ask(driver)
    assert (await driver.cancel(skipped), await states(driver, "rescue")) == ("terminal", [])


# -- what comes how ever -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"idempotency": IdempotencyRule("event.data.key + 1", MINUTE)},
        {"singleton": SingletonRule("event.data.key + 1")},
        {"rate_limit": RateRule(1, MINUTE, "event.data.key + 1")},
    ],
    ids=["idempotency", "singleton", "rate_limit"],
)
async def test_a_key_that_cannot_be_read_skips_the_function_and_harms_nobody(
    driver: Driver, options: dict[str, Any]
) -> None:
    await offered(driver, FunctionManifest("shop/other", (Trigger("asked"),)), **options)
    accepted = await driver.send("asked", {"key": "text"}, id="e1")
    assert (await states(driver), await states(driver, "other")) == ([], [Status.QUEUED])
    (unclear,) = driver.notices.unclear
    (option,) = options
    assert unclear.reason.startswith(f"option '{option}', key: ")
    assert (len(accepted.runs), [one.runs for one in await kept_events(driver)]) == (1, [1])


async def test_an_event_that_comes_twice_changes_nothing_twice(driver: Driver) -> None:
    await offered(driver, singleton=NEWEST)
    op = Ingest(driver.now, (driver.new_event("asked", {"key": 1}),))
    first, second = await driver.apply(op, op)
    assert first[0].runs == second[0].runs
    assert await states(driver) == [Status.QUEUED]


async def test_what_a_step_sends_passes_the_gates_once(driver: Driver) -> None:
    await offered(driver, FunctionManifest("shop/sender"), rate_limit=RateRule(2, MINUTE))
    run = await driver.running("sender")
    drafts = tuple(Draft("asked", msgspec.json.encode({"key": n})) for n in range(3))
    op = driver.frame(run, 1, Sent("s", drafts))
    for _ in range(2):
        await driver.one(op)
    assert await states(driver) == [Status.QUEUED, Status.QUEUED, Status.SKIPPED]


async def test_a_delayed_event_meets_the_gates_when_it_comes_in(driver: Driver) -> None:
    await offered(driver, rate_limit=RateRule(1, MINUTE))
    new = driver.new_event("asked", {"key": 1})
    await driver.one(Ingest(driver.now, (msgspec.structs.replace(new, due_at_ms=driver.now + 1_000),)))
    assert (await ask(driver)).status is Status.QUEUED
    driver.now += 1_000
    await driver.one(FireTimers(driver.now))
    assert await states(driver) == [Status.QUEUED, Status.SKIPPED]


async def test_a_failed_run_gives_its_key_back_before_its_handler_begins(driver: Driver) -> None:
    await offered(driver, FunctionManifest("shop/rescue"), singleton=ALONE, on_failure="shop/rescue")
    await ask(driver)
    (assignment,) = await driver.claim("guarded")
    await driver.checkpoint(assignment.run, 1, outcome=RunFailed(Failure("E", "")))
    assert (await ask(driver)).status is Status.QUEUED
    assert await states(driver, "rescue") == [Status.QUEUED]


async def test_a_skipped_run_is_kept_as_long_as_any_other_and_its_event_with_it(driver: Driver) -> None:
    await offered(driver, rate_limit=RateRule(1, MINUTE))
    await ask(driver)
    await finish(driver)
    await ask(driver)
    driver.now += MINUTE
    purged = await driver.one(Purge(driver.now, driver.now, driver.now))
    assert (purged.runs, await states(driver), await kept_events(driver)) == (2, [], [])


async def test_poison_in_a_batch_takes_back_what_it_did_at_the_gates(driver: Driver) -> None:
    await offered(driver, rate_limit=RateRule(1, MINUTE))
    poisoned = Ingest(
        driver.now, (driver.new_event("asked", {"key": 1}), NewEvent(Event("e\ud800", "asked", b"1", 0, 0)))
    )
    outcomes = await driver.apply(poisoned, Ingest(driver.now, (driver.new_event("asked", {"key": 2}),)))
    assert isinstance(outcomes[0], Rejected)
    assert await states(driver) == [Status.QUEUED]
