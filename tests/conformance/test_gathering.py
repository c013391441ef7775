"""Runs that gather events: one run of many events, begun by time or by their number."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from onward_engine.model import Assignment, Run, Status
from onward_engine.rules.flow.entry import BATCH, DEBOUNCE
from onward_engine.store.port import (
    Accepted,
    EventFilter,
    Ingest,
    KeptEvent,
    NewEvent,
    PauseFunction,
    PauseRun,
    Purge,
    Repeat,
    ResumeRun,
    RunFilter,
)
from onward_engine.store.work import gathering
from onward_protocol.limits import KIB
from onward_protocol.messages import (
    BatchRule,
    CancelRule,
    ConcurrencyLimit,
    DebounceRule,
    Draft,
    Failure,
    FairRule,
    FunctionManifest,
    IdempotencyRule,
    RateRule,
    RunCompleted,
    RunFailed,
    Sent,
    Trigger,
)

from tests.conformance.driver import Driver

DONE = RunCompleted(b"\xc0")
SECOND = 1_000
QUIET = DebounceRule(10 * SECOND)
WINDOW = DebounceRule(10 * SECOND, deliver="all")
FIVE = BatchRule(5, 60 * SECOND)


class _Data(msgspec.Struct):
    n: int

    @classmethod
    def of(cls, data: bytes) -> int:
        return msgspec.json.decode(data, type=cls).n


async def offered(driver: Driver, *more: FunctionManifest, **options: Any) -> None:
    """Register `shop/gather`, which `told` triggers, and others."""
    await driver.register(FunctionManifest("shop/gather", (Trigger("told"),), **options), *more)


def told(driver: Driver, n: int, *, ts_ms: int | None = None, **data: object) -> NewEvent:
    new = driver.new_event("told", {"n": n, **data})
    event = msgspec.structs.replace(new.event, ts_ms=driver.now if ts_ms is None else ts_ms)
    return msgspec.structs.replace(new, event=event)


async def tell(driver: Driver, *numbers: int, **options: Any) -> list[str]:
    """Send an event for each number at once; return which run each was answered with."""
    accepted = await driver.one(Ingest(driver.now, tuple(told(driver, n, **options) for n in numbers)))
    return [run for one in accepted for run in one.runs]


async def wait(driver: Driver, ms: int) -> None:
    """Let time pass, and what is due happen at its time."""
    until_ms = driver.now + ms
    await driver.fire()
    while (due_at_ms := driver.notices.next_due_at_ms) is not None and due_at_ms <= until_ms:
        driver.now = max(driver.now, due_at_ms)
        await driver.fire()
    driver.now = until_ms


def numbers_of(assignment: Assignment) -> list[int]:
    return [_Data.of(event.data) for event in assignment.events]


async def begun(driver: Driver) -> list[list[int]]:
    """Which events the runs have that a worker can take now; they go on."""
    return [numbers_of(assignment) for assignment in await driver.claim("gather")]


async def runs(driver: Driver) -> list[Run]:
    """All runs of the function, oldest first."""
    return list(reversed((await driver.store.runs(RunFilter(function="shop/gather", limit=1_000))).runs))


async def kept(driver: Driver) -> dict[int, int]:
    """How many runs are kept of each event that there is."""
    page = (await driver.store.events(EventFilter(limit=5_000))).events
    return {_number(one): one.runs for one in page}


def _number(one: KeptEvent) -> int:
    return _Data.of(one.event.data)


# -- debounce: the newest event ----------------------------------------------------------------------------------------


async def test_a_burst_becomes_one_run_with_the_newest_event(driver: Driver) -> None:
    await offered(driver, debounce=QUIET)
    first = await tell(driver, 1)
    for n in (2, 3):
        await wait(driver, 9 * SECOND)
        assert await tell(driver, n) == first
    await wait(driver, 10 * SECOND - 1)
    assert await begun(driver) == []
    await wait(driver, 1)
    assert await begun(driver) == [[3]]
    assert [run.id for run in await runs(driver)] == first


async def test_the_newest_is_so_by_its_own_time_whenever_it_comes(driver: Driver) -> None:
    await offered(driver, debounce=QUIET)
    now = driver.now
    for n, ts_ms in ((1, now), (2, now + 500), (3, now + 200), (4, now + 500), (5, now - 7)):
        await tell(driver, n, ts_ms=ts_ms)
    await wait(driver, 10 * SECOND)
    assert await begun(driver) == [[4]]  # of two with the same time it is the later one
    assert await kept(driver) == {1: 0, 2: 0, 3: 0, 4: 1, 5: 0}


async def test_a_late_event_extends_the_quiet_period_all_the_same(driver: Driver) -> None:
    await offered(driver, debounce=QUIET)
    await tell(driver, 1)
    await wait(driver, 9 * SECOND)
    await tell(driver, 2, ts_ms=1)
    await wait(driver, 9 * SECOND)
    assert await begun(driver) == []
    await wait(driver, 1 * SECOND)
    assert await begun(driver) == [[1]]


async def test_the_timeout_counts_from_the_first_event(driver: Driver) -> None:
    await offered(driver, debounce=msgspec.structs.replace(QUIET, timeout_ms=25 * SECOND))
    for n in range(5):
        await tell(driver, n)
        await wait(driver, 6 * SECOND)
    assert await begun(driver) == [[4]]
    assert [run.created_at_ms for run in await runs(driver)] == [1_000_000]


async def test_each_value_of_the_key_is_quiet_by_itself(driver: Driver) -> None:
    await offered(driver, debounce=DebounceRule(10 * SECOND, "event.data.who"))
    await tell(driver, 1, who="a")
    await wait(driver, 5 * SECOND)
    await tell(driver, 2, who="b")
    await wait(driver, 5 * SECOND)
    assert await begun(driver) == [[1]]
    await wait(driver, 5 * SECOND)
    assert await begun(driver) == [[2]]


async def test_a_run_that_waits_for_a_worker_still_takes_a_newer_event(driver: Driver) -> None:
    await offered(driver, debounce=QUIET)
    first = await tell(driver, 1)
    await wait(driver, 3_600 * SECOND)
    assert await tell(driver, 2) == first
    assert await begun(driver) == [[2]]
    assert await tell(driver, 3) != first
    await wait(driver, 10 * SECOND)
    assert await begun(driver) == [[3]]


async def test_how_urgent_a_run_is_its_newest_event_says(driver: Driver) -> None:
    await offered(driver, debounce=DebounceRule(10 * SECOND, "event.data.who"), priority="event.data.p")
    await tell(driver, 1, who="a", p=0)
    await tell(driver, 2, who="b", p=0)
    await tell(driver, 3, who="b", p="urgent")
    await wait(driver, 10 * SECOND)
    assert await begun(driver) == [[3], [1]]


async def test_fair_turns_begin_when_a_run_could(driver: Driver) -> None:
    await offered(driver, batch=BatchRule(1, SECOND, "event.data.n"), fair=FairRule("event.data.who"))
    await tell(driver, 1, 2, 3, who="noisy")
    await tell(driver, 4, who="quiet")
    assert await begun(driver) == [[1], [4], [2], [3]]


async def test_a_run_that_stands_in_line_still_takes_a_newer_event(driver: Driver) -> None:
    await offered(driver, debounce=QUIET, concurrency=(ConcurrencyLimit(1),))
    await tell(driver, 1)
    await wait(driver, 10 * SECOND)
    (running,) = await driver.claim("gather")
    second = await tell(driver, 2)
    await wait(driver, 60 * SECOND)
    assert await tell(driver, 3) == second
    await driver.checkpoint(running.run, 1, outcome=DONE)
    assert await begun(driver) == [[3]]


async def test_an_event_that_finds_a_run_overdue_joins_it_and_does_not_hold_it_up(driver: Driver) -> None:
    await offered(driver, debounce=QUIET)
    first = await tell(driver, 1)
    driver.now += 10 * SECOND  # and nobody has fired the timers yet
    assert await tell(driver, 2) == first
    await driver.fire()
    assert await begun(driver) == [[2]]


async def test_what_is_overdue_together_happens_in_its_order(driver: Driver) -> None:
    await offered(driver, debounce=QUIET)
    late = msgspec.structs.replace(told(driver, 2, ts_ms=driver.now + 5), due_at_ms=driver.now + 5 * SECOND)
    await driver.one(Ingest(driver.now, (told(driver, 1), late)))
    driver.now += 20 * SECOND
    while await driver.fire():
        pass
    await tell(driver, 3)
    assert (await begun(driver), await kept(driver)) == ([[3]], {1: 0, 2: 0, 3: 1})


async def test_nothing_is_left_of_a_key_when_its_run_has_begun(driver: Driver) -> None:
    await offered(driver, debounce=QUIET)
    await tell(driver, 1)
    await wait(driver, 10 * SECOND)
    await begun(driver)
    await wait(driver, 120 * SECOND)
    assert (await driver.store.items(DEBOUNCE, "debounce shop/gather"), driver.notices.next_due_at_ms) == ([], None)


# -- debounce: the whole window ----------------------------------------------------------------------------------------


async def test_a_run_can_get_all_events_of_its_window(driver: Driver) -> None:
    await offered(driver, debounce=WINDOW)
    for n in (1, 2, 3):
        await tell(driver, n, ts_ms=10 - n)
    await wait(driver, 10 * SECOND)
    assert await begun(driver) == [[1, 2, 3]]  # in the order in which they came
    assert await kept(driver) == {1: 1, 2: 1, 3: 1}


async def test_a_window_takes_a_thousand_events_and_then_begins(driver: Driver) -> None:
    await offered(driver, debounce=WINDOW)
    first, last = (await tell(driver, *range(1_002)))[::1001]
    assert first != last
    assert [len(numbers) for numbers in await begun(driver)] == [1_000]
    await wait(driver, 10 * SECOND)
    assert await begun(driver) == [[1_000, 1_001]]


async def test_a_full_window_that_waits_for_a_worker_takes_no_more(driver: Driver) -> None:
    await offered(driver, debounce=WINDOW)
    (first,) = set(await tell(driver, *range(1_000)))
    assert await tell(driver, 1_000) != [first]


# -- batch -------------------------------------------------------------------------------------------------------------


async def test_eight_events_in_batches_of_five_are_five_and_three_at_the_timeout(driver: Driver) -> None:
    await offered(driver, batch=FIVE)
    await tell(driver, *range(8))
    assert await begun(driver) == [[0, 1, 2, 3, 4]]
    await wait(driver, 60 * SECOND - 1)
    assert await begun(driver) == []
    await wait(driver, 1)
    assert await begun(driver) == [[5, 6, 7]]
    assert await driver.store.items(BATCH, "batch shop/gather") == []


async def test_every_event_is_answered_with_its_run(driver: Driver) -> None:
    await offered(driver, batch=FIVE)
    answers = await tell(driver, *range(8))
    assert [run.id for run in await runs(driver)] == [answers[0], answers[5]]
    assert (set(answers[:5]), set(answers[5:])) == ({answers[0]}, {answers[5]})


async def test_an_event_says_which_runs_it_joined(driver: Driver) -> None:
    await offered(driver, batch=FIVE)
    (first,) = set(await tell(driver, 1, 2))
    events = sorted((await driver.store.events(EventFilter())).events, key=_number)
    assert [await driver.store.joined(one.event.id) for one in events] == [(), (first,)]
    assert await driver.store.joined("evt_unknown") == ()


async def test_batches_are_apart_by_their_key(driver: Driver) -> None:
    await offered(driver, batch=BatchRule(2, 60 * SECOND, "event.data.who"))
    for n, who in enumerate("abba"):
        await tell(driver, n, who=who)
    assert await begun(driver) == [[0, 3], [1, 2]]


async def test_an_event_that_the_batch_does_not_want_starts_a_run_alone(driver: Driver) -> None:
    await offered(driver, batch=BatchRule(2, 60 * SECOND, when="event.data.n < 10"))
    await tell(driver, 1, 99, 2)
    assert await begun(driver) == [[1, 2], [99]]


async def test_a_condition_that_cannot_be_read_is_as_good_as_a_false_one(driver: Driver) -> None:
    await offered(driver, batch=BatchRule(2, 60 * SECOND, when="event.data.n < event.data.text"))
    await tell(driver, 1, text="x")
    assert await begun(driver) == [[1]]
    await tell(driver, 2, text="x")
    (unclear,) = driver.notices.unclear
    assert unclear.reason.startswith("option 'batch', when: ")


async def test_a_batch_of_one_begins_at_once(driver: Driver) -> None:
    await offered(driver, batch=BatchRule(1, 60 * SECOND))
    await tell(driver, 1, 2)
    assert await begun(driver) == [[1], [2]]


async def test_a_batch_begins_before_it_is_too_large_for_a_worker(driver: Driver) -> None:
    await offered(driver, batch=BatchRule(1_000, 60 * SECOND))
    await tell(driver, *range(40), text="x" * (500 * KIB))
    await wait(driver, 60 * SECOND)
    assert [len(numbers) for numbers in await begun(driver)] == [32, 8]


async def test_what_a_run_holds_counts_all_its_events(driver: Driver) -> None:
    await offered(driver, batch=FIVE)
    await tell(driver, *range(5), text="x" * 10_000)
    (run,) = await runs(driver)
    assert 50_000 < run.state_bytes < 51_000


# -- what may happen meanwhile -----------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("options", [{"debounce": WINDOW}, {"batch": FIVE}], ids=["debounce", "batch"])


@BOTH
async def test_a_run_that_gathers_is_seen_and_can_be_cancelled(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    (first,) = set(await tell(driver, 1, 2))
    assert [(run.id, run.status, run.events[:1] != ()) for run in await runs(driver)] == [(first, Status.QUEUED, True)]
    assert await driver.cancel(first) == "cancelled"
    assert await tell(driver, 3) != [first]
    await wait(driver, 60 * SECOND)
    assert await begun(driver) == [[3]]


@BOTH
async def test_a_cancelled_run_leaves_nothing_behind(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    (run,) = await tell(driver, 1)
    await driver.cancel(run)
    await wait(driver, 60 * SECOND)
    assert (await begun(driver), driver.notices.next_due_at_ms) == ([], None)


@BOTH
async def test_a_paused_run_gathers_on_and_begins_when_it_is_resumed(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    (run,) = await tell(driver, 1)
    await driver.one(PauseRun(driver.now, run))
    assert await tell(driver, 2) == [run]
    await wait(driver, 60 * SECOND)
    assert await begun(driver) == []
    await driver.one(ResumeRun(driver.now, run))
    assert await begun(driver) == [[1, 2]]


@BOTH
async def test_a_run_that_is_resumed_while_it_gathers_waits_for_its_time(
    driver: Driver, options: dict[str, Any]
) -> None:
    await offered(driver, **options)
    (run,) = await tell(driver, 1)
    await driver.one(PauseRun(driver.now, run))
    await driver.one(ResumeRun(driver.now, run))
    assert await begun(driver) == []
    await wait(driver, 60 * SECOND)
    assert await begun(driver) == [[1]]


@BOTH
async def test_a_paused_function_gathers_on(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    await driver.one(PauseFunction(driver.now, "shop/gather", is_paused=True))
    await tell(driver, 1, 2)
    await wait(driver, 60 * SECOND)
    assert await begun(driver) == []
    await driver.one(PauseFunction(driver.now, "shop/gather", is_paused=False))
    assert await begun(driver) == [[1, 2]]


@BOTH
async def test_a_run_is_late_only_from_when_it_could_begin(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, start_timeout_ms=5 * SECOND, **options)
    (run,) = await tell(driver, 1)
    await wait(driver, 9 * SECOND)
    assert await driver.status(run) is Status.QUEUED
    await wait(driver, 60 * SECOND)
    assert (await driver.get(run)).cancel_reason == "it did not start within 5 s"
    assert (await driver.get(run)).ended_at_ms - 1_000_000 in (15 * SECOND, 65 * SECOND)


@BOTH
async def test_an_event_can_cancel_a_run_that_gathers(driver: Driver, options: dict[str, Any]) -> None:
    rule = CancelRule("dropped", ("who",), timeout_ms=SECOND)
    await offered(driver, cancel_on=(rule,), **options)
    (run,) = await tell(driver, 1, who="a")
    await wait(driver, 5 * SECOND)  # the rule's own time has not begun yet
    await driver.send("dropped", {"who": "b"})
    assert await driver.status(run) is Status.QUEUED
    await driver.send("dropped", {"who": "a"})
    assert await driver.status(run) is Status.CANCELLED


async def test_the_newest_event_is_the_one_that_a_rule_is_about(driver: Driver) -> None:
    await offered(driver, debounce=QUIET, cancel_on=(CancelRule("dropped", ("who",)),))
    (run,) = await tell(driver, 1, who="a")
    await tell(driver, 2, who="b")
    await driver.send("dropped", {"who": "a"})
    assert await driver.status(run) is Status.QUEUED
    await wait(driver, 10 * SECOND)
    await tell(driver, 3, who="c")  # it is due, and takes another one
    await driver.send("dropped", {"who": "b"})
    assert await driver.status(run) is Status.QUEUED
    await driver.send("dropped", {"who": "c"})
    assert await driver.status(run) is Status.CANCELLED


@BOTH
async def test_a_function_that_nobody_offers_any_more_keeps_its_run(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    await tell(driver, 1)
    await driver.register()
    await wait(driver, 60 * SECOND)
    assert await begun(driver) == [[1]]


async def test_new_code_loses_no_event_that_was_gathered_before_it(driver: Driver) -> None:
    await offered(driver, debounce=WINDOW)
    await tell(driver, 1, 2)
    await offered(driver, debounce=msgspec.structs.replace(WINDOW, deliver="last"))
    await tell(driver, 3, 4)
    await wait(driver, 10 * SECOND)
    assert await begun(driver) == [[1, 2], [4]]
    assert await kept(driver) == {1: 1, 2: 1, 3: 0, 4: 1}


@BOTH
async def test_an_event_that_comes_again_changes_nothing(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    op = Ingest(driver.now, (told(driver, 1), told(driver, 2)))
    first, again = await driver.apply(op, op)
    assert again == tuple(Accepted(one.id, one.runs, duplicate=True) for one in first)
    await wait(driver, 60 * SECOND)
    assert await begun(driver) == [[1, 2]]


@BOTH
async def test_what_a_step_sends_is_gathered_once(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, FunctionManifest("shop/sender"), **options)
    run = await driver.running("sender")
    op = driver.frame(run, 1, Sent("s", tuple(Draft("told", b'{"n":%d}' % n) for n in (1, 2))))
    for _ in range(2):
        await driver.one(op)
    await wait(driver, 60 * SECOND)
    assert await begun(driver) == [[1, 2]]


@BOTH
async def test_a_delayed_event_is_gathered_when_it_comes_in(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    late = msgspec.structs.replace(told(driver, 2), due_at_ms=driver.now + 5 * SECOND)
    await driver.one(Ingest(driver.now, (told(driver, 1), late)))
    await wait(driver, 60 * SECOND)
    assert await begun(driver) == [[1, 2]]


@BOTH
async def test_a_rerun_has_the_same_events(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    (run,) = set(await tell(driver, 1, 2, 3))
    await wait(driver, 60 * SECOND)
    (first,) = await driver.claim("gather")
    await driver.one(Repeat(driver.now, "run_again", run))
    (again,) = await driver.claim("gather")
    assert (again.events, again.run.state_bytes) == (first.events, first.run.state_bytes)
    assert await kept(driver) == {1: 2, 2: 2, 3: 2}


@BOTH
async def test_a_failure_is_handled_with_all_events(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, FunctionManifest("shop/rescue"), on_failure="shop/rescue", **options)
    await tell(driver, 1, 2, 3)
    await wait(driver, 60 * SECOND)
    (failed,) = await driver.claim("gather")
    await driver.checkpoint(failed.run, 1, outcome=RunFailed(Failure("E", "")))
    (rescue,) = await driver.claim("rescue")
    assert (rescue.events, rescue.run.state_bytes) == (failed.events, failed.run.state_bytes)


@BOTH
async def test_events_are_kept_as_long_as_their_run(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    await tell(driver, 1, 2, 3)
    await wait(driver, 60 * SECOND)
    (assignment,) = await driver.claim("gather")
    await driver.one(Purge(driver.now, driver.now, driver.now))
    assert await kept(driver) == {1: 1, 2: 1, 3: 1}
    await driver.checkpoint(assignment.run, 1, outcome=DONE)
    driver.now += 1
    await driver.one(Purge(driver.now, driver.now, driver.now))
    assert (await runs(driver), await kept(driver)) == ([], {})


async def test_an_event_that_was_replaced_is_not_kept_for_its_run(driver: Driver) -> None:
    await offered(driver, debounce=QUIET)
    await tell(driver, 1, 2)
    driver.now += SECOND
    await driver.one(Purge(driver.now, driver.now, driver.now))
    assert await kept(driver) == {2: 1}


async def test_an_event_that_is_old_when_it_is_replaced_goes_at_once(driver: Driver) -> None:
    await offered(driver, debounce=QUIET)
    await tell(driver, 1)
    driver.now += 8 * 24 * 3_600 * SECOND  # and no worker has come yet
    assert (await driver.one(Purge(driver.now, 0, driver.now))).events == 0
    await tell(driver, 2)
    assert await kept(driver) == {2: 1}


async def test_a_rate_counts_runs_and_not_the_events_that_join_them(driver: Driver) -> None:
    await offered(driver, debounce=QUIET, rate_limit=RateRule(1, 3_600 * SECOND))
    (first,) = set(await tell(driver, 1, 2, 3))
    await wait(driver, 10 * SECOND)
    assert await begun(driver) == [[3]]
    (second,) = await tell(driver, 4)
    assert (await driver.status(second), second != first) == (Status.SKIPPED, True)


async def test_an_event_whose_key_has_been_seen_joins_its_run_and_not_the_gathering_one(driver: Driver) -> None:
    await offered(driver, debounce=QUIET, idempotency=IdempotencyRule("event.data.n", 3_600 * SECOND))
    (first,) = set(await tell(driver, 1, 2, 1))
    await wait(driver, 10 * SECOND)
    assert await begun(driver) == [[2]]
    assert set(await tell(driver, 1, 2)) == {first}
    assert set(await tell(driver, 3)) != {first}


async def test_a_key_that_cannot_be_read_skips_the_function(driver: Driver) -> None:
    await offered(driver, debounce=DebounceRule(SECOND, "event.data.n + event.data.who"))
    assert await tell(driver, 1, who="a") == []
    (unclear,) = driver.notices.unclear
    assert unclear.reason.startswith("option 'debounce', key: ")
    assert await kept(driver) == {1: 0}


@BOTH
async def test_its_item_says_which_run_it_is_and_when_it_begins(driver: Driver, options: dict[str, Any]) -> None:
    await offered(driver, **options)
    (run,) = set(await tell(driver, 1, 2))
    (kind,) = options
    (item,) = await driver.store.items(kind, f"{kind} shop/gather")
    found = gathering.gathered_of(item)
    assert (found.run, found.count, found.since_ms) == (run, 2, driver.now)
    assert item.due_at_ms == driver.now + (10 if kind == "debounce" else 60) * SECOND
