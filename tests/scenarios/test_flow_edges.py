"""What the pages on flow control say about the edges: cancelling, pausing, repeating, and options that meet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from onward import (
    App,
    Batch,
    Concurrency,
    Context,
    Debounce,
    Event,
    EventType,
    Fair,
    Function,
    Idempotency,
    Priority,
    RateLimit,
    Retry,
    RunCancelled,
    Singleton,
    Throttle,
    Timeouts,
    step,
)
from onward.testing import TestEngine, TestRun

REPO = "event.data.repo"


@dataclass
class Push:
    repo: str = "api"
    commit: str = ""
    rank: Any = 0


Pushed = EventType("ci/pushed", Push)


def pushes(count: int, **fields: Any) -> list[Event[Push]]:
    return [Pushed(Push(commit=str(number), **fields)) for number in range(count)]


def busy(**options: Any) -> Function[Push, str]:
    """Return a function that is at work for five seconds, and then cleans up for two if it was cancelled."""

    @App("ci").on(Pushed, **options)
    async def build(ctx: Context[Push]) -> str:
        try:
            await asyncio.sleep(5)
        except RunCancelled:
            await asyncio.sleep(2)
            raise
        return " ".join(event.data.commit for event in ctx.events)

    return build


def statuses(runs: list[TestRun[Any]]) -> list[str]:
    return [run.status for run in runs]


# -- places


async def test_a_cancelled_run_has_its_place_until_it_has_cleaned_up() -> None:
    async with TestEngine(busy(concurrency=Concurrency(1))) as engine:
        runs = await engine.send(*pushes(2))
        await engine.cancel(runs[0])
        await engine.advance(1)
        assert statuses(runs) == ["assigned", "queued"]
        await engine.advance(1)
        assert statuses(runs) == ["cancelled", "assigned"]


async def test_who_is_cancelled_in_the_line_leaves_it_at_once() -> None:
    async with TestEngine(busy(concurrency=Concurrency(1))) as engine:
        runs = await engine.send(*pushes(3))
        await engine.cancel(runs[1])
        await engine.advance(5)
        assert statuses(runs) == ["completed", "cancelled", "assigned"]


@pytest.mark.parametrize(("of", "next"), [("step", "assigned"), ("run", "queued")])
async def test_a_paused_run_gives_its_place_back_unless_it_is_held_to_the_end(of: Any, next: str) -> None:
    async with TestEngine(busy(concurrency=Concurrency(1, of=of))) as engine:
        runs = await engine.send(*pushes(2))
        await engine.pause(runs[0])
        assert statuses(runs) == ["queued", next]


@pytest.mark.parametrize(("delay", "next"), [(4, "queued"), (6, "completed")])
async def test_the_place_is_kept_for_a_short_delay_between_attempts(delay: int, next: str) -> None:
    failed: list[str] = []

    @step(retry=Retry(attempts=2, backoff=delay, factor=1, jitter=0))
    async def fail_once(commit: str) -> str:
        if commit == "0" and not failed:
            failed.append(commit)
            raise ValueError(commit)
        return commit

    @App("ci").on(Pushed, concurrency=Concurrency(1))
    async def build(ctx: Context[Push]) -> str:
        return await fail_once(ctx.data.commit)

    async with TestEngine(build) as engine:
        runs = await engine.send(*pushes(2))
        assert runs[1].status == next
        await engine.advance(delay)
        assert statuses(runs) == ["completed", "completed"]


async def test_a_lower_limit_stops_nobody_and_lets_nobody_in() -> None:
    function = busy(concurrency=Concurrency(3))
    async with TestEngine(function) as engine:
        runs = await engine.send(*pushes(4))
        await engine.set_limit(function, "concurrency", 1)
        assert statuses(runs) == [*["assigned"] * 3, "queued"]
        await engine.advance(5)
        assert statuses(runs) == [*["completed"] * 3, "assigned"]


async def test_a_fork_stands_in_line_as_a_new_run_does() -> None:
    async with TestEngine(busy(concurrency=Concurrency(1))) as engine:
        runs = await engine.send(*pushes(2))
        again = await engine.rerun(runs[0])
        assert statuses([*runs, again]) == ["assigned", "queued", "queued"]
        await engine.advance("15s")
        assert statuses([*runs, again]) == ["completed"] * 3


# -- starts


async def test_only_starts_are_throttled_and_not_who_goes_on() -> None:
    @App("ci").on(Pushed, throttle=Throttle(1, "10s"))
    async def build(ctx: Context[Push]) -> str:
        for _ in range(5):
            await ctx.sleep(1)
        return ctx.data.commit

    async with TestEngine(build, crash_everywhere=True) as engine:
        runs = await engine.send(*pushes(2))
        await engine.advance("9s")
        assert statuses(runs) == ["completed", "queued"]


async def test_who_is_cancelled_before_it_starts_uses_nothing_of_a_throttle_up() -> None:
    async with TestEngine(busy(throttle=Throttle(1, "10s"))) as engine:
        runs = await engine.send(*pushes(3))
        await engine.cancel(runs[1])
        await engine.advance("10s")
        assert statuses(runs) == ["completed", "cancelled", "assigned"]


async def test_a_rerun_waits_for_a_throttle() -> None:
    async with TestEngine(busy(throttle=Throttle(1, "10s"))) as engine:
        [run] = await engine.send(*pushes(1))
        again = await engine.rerun(run)
        seen: list[str] = []
        for seconds in (9, 1):
            await engine.advance(seconds)
            seen.append(again.status)
        assert seen == ["queued", "assigned"]


async def test_a_rerun_is_not_counted_by_a_rate_limit() -> None:
    async with TestEngine(busy(rate_limit=RateLimit(2, "1m"))) as engine:
        [run] = await engine.send(*pushes(1))
        for _ in range(3):
            await engine.rerun(run)
        runs = await engine.send(*pushes(2))
        assert statuses(runs) == ["assigned", "skipped"]


async def test_an_event_that_joins_is_not_counted_by_a_rate_limit() -> None:
    async with TestEngine(busy(rate_limit=RateLimit(1, "1m"), debounce=Debounce("1s"))) as engine:
        [run] = await engine.send(*pushes(5))
        await engine.advance("6s")
        assert run.output == "4"
        [next] = await engine.send(*pushes(1))
        assert statuses([next]) == ["skipped"]


# -- gathering


async def test_an_event_that_comes_while_the_run_is_at_work_makes_a_new_one() -> None:
    async with TestEngine(busy(debounce=Debounce("2s"))) as engine:
        [first] = await engine.send(Pushed(Push(commit="a")))
        await engine.advance("3s")
        [next] = await engine.send(Pushed(Push(commit="b")))
        await engine.advance("7s")
        assert [first.output, next.output] == ["a", "b"]


@pytest.mark.parametrize("options", [{"debounce": Debounce("2s", deliver="all")}, {"batch": Batch(9, "2s")}])
async def test_a_paused_run_goes_on_gathering(options: dict[str, Any]) -> None:
    async with TestEngine(busy(**options)) as engine:
        [run] = await engine.send(Pushed(Push(commit="a")))
        await engine.pause(run)
        await engine.advance("1s")
        await engine.send(Pushed(Push(commit="b")))
        await engine.advance("1h")
        assert run.status == "queued"
        await engine.resume(run)
        await engine.advance("5s")
        assert run.output == "a b"


@pytest.mark.parametrize("options", [{"debounce": Debounce("2s", deliver="all")}, {"batch": Batch(9, "2s")}])
async def test_a_rerun_has_the_same_events_and_gathers_no_more(options: dict[str, Any]) -> None:
    async with TestEngine(busy(**options)) as engine:
        [run] = await engine.send(*pushes(3))
        await engine.advance("7s")
        again = await engine.rerun(run)
        [other] = await engine.send(Pushed(Push(commit="x")))
        await engine.advance("7s")
        assert [run.output, again.output, other.output] == ["0 1 2", "0 1 2", "x"]


async def test_a_debounced_run_may_begin_late_and_still_takes_the_newest_event() -> None:
    function = busy(debounce=Debounce("2s"))
    async with TestEngine(function) as engine:
        await engine.pause(function)
        [run] = await engine.send(Pushed(Push(commit="a")))
        await engine.advance("1h")
        [same] = await engine.send(Pushed(Push(commit="b")))
        await engine.resume(function)
        await engine.advance("5s")
        assert same is run
        assert run.output == "b"


async def test_an_event_of_a_known_key_does_not_prolong_the_quiet_time() -> None:
    async with TestEngine(busy(debounce=Debounce("4s"), idempotency=Idempotency("event.data.commit"))) as engine:
        [run] = await engine.send(Pushed(Push(commit="a")))
        for _ in range(3):
            await engine.advance("1s")
            assert await engine.send(Pushed(Push(commit="a"))) == [run]
        await engine.advance("1s")
        assert run.status == "assigned"


async def test_the_time_to_start_counts_from_the_end_of_the_quiet_time() -> None:
    function = busy(debounce=Debounce("10s"), timeouts=Timeouts(start="5s"))
    async with TestEngine(function) as engine:
        await engine.pause(function)
        [run] = await engine.send(*pushes(1))
        seen: list[str] = []
        for seconds in (14, 1):
            await engine.advance(seconds)
            seen.append(run.status)
        assert seen == ["queued", "cancelled"]


async def test_a_thousand_events_begin_at_once() -> None:
    async with TestEngine(busy(debounce=Debounce("1h", deliver="all"))) as engine:
        runs = await engine.send(*pushes(1_001))
        await engine.advance("5s")
        assert statuses(runs) == ["completed", "queued"]
        assert len(runs[0].output.split()) == 1_000


async def test_the_limits_of_a_batch_look_at_its_first_event() -> None:
    async with TestEngine(busy(batch=Batch(2, "1m"), concurrency=Concurrency(1, key=REPO))) as engine:
        first = await engine.send(Pushed(Push("api")), Pushed(Push("web")))
        other = await engine.send(Pushed(Push("web")), Pushed(Push("api")))
        same = await engine.send(Pushed(Push("api")), Pushed(Push("api")))
        assert statuses([*first, *other, *same]) == ["assigned", "assigned", "queued"]


async def test_a_condition_that_cannot_be_evaluated_is_as_good_as_a_false_one() -> None:
    async with TestEngine(busy(batch=Batch(9, "1m", when="event.data.rank > 1"))) as engine:
        [run] = await engine.send(Pushed(Push(rank="high")))
        assert run.status == "assigned"


# -- order


async def test_who_has_begun_goes_on_before_all_new_runs() -> None:
    @App("ci").on(Pushed, concurrency=Concurrency(1), priority=Priority("event.data.rank"))
    async def build(ctx: Context[Push]) -> str:
        await asyncio.sleep(2)
        await ctx.sleep(1)
        await asyncio.sleep(2)
        return ctx.data.commit

    async with TestEngine(build) as engine:
        [old] = await engine.send(Pushed(Push(commit="old", rank=-600)))
        new = await engine.send(*pushes(3, rank=600))
        await engine.advance("4s")  # the old one's sleep is over, while a new one is at work
        assert statuses([old, *new])[:2] == ["assigned", "parked"]


async def test_a_number_out_of_range_counts_as_its_end_and_a_word_starts_nothing() -> None:
    async with TestEngine(busy(concurrency=Concurrency(1), priority=Priority("event.data.rank"))) as engine:
        await engine.send(*pushes(1))
        low, high = await engine.send(Pushed(Push(rank=599)), Pushed(Push(rank=1e9)))
        assert await engine.send(Pushed(Push(rank="soon"))) == []
        await engine.advance("5s")
        assert statuses([low, high]) == ["queued", "assigned"]


async def test_a_rerun_stands_where_a_new_run_of_its_event_would() -> None:
    function = busy(concurrency=Concurrency(1), fair=Fair(REPO))
    async with TestEngine(function) as engine:
        [first] = await engine.send(Pushed(Push("api")))
        runs = await engine.send(*pushes(3, repo="web"))
        again = await engine.rerun(first)
        await engine.advance("10s")
        assert statuses([*runs, again]).count("assigned") == 1
        assert again.status == "assigned"


# -- singletons, idempotency


async def test_a_third_one_cancels_the_second_before_it_has_begun() -> None:
    async with TestEngine(busy(singleton=Singleton(mode="cancel"))) as engine:
        runs = [run for push in pushes(3) for run in await engine.send(push)]
        assert statuses(runs) == ["assigned", "cancelled", "queued"]  # the first one cleans up
        await engine.advance("2s")
        assert statuses(runs) == ["cancelled", "cancelled", "assigned"]


async def test_a_paused_run_is_not_over() -> None:
    async with TestEngine(busy(singleton=Singleton())) as engine:
        [run] = await engine.send(*pushes(1))
        await engine.pause(run)
        [next] = await engine.send(*pushes(1))
        assert (run.status, next.status) == ("queued", "skipped")


async def test_what_is_asked_for_by_name_waits_for_the_one_before() -> None:
    function = busy(singleton=Singleton(mode="cancel"))
    async with TestEngine(function) as engine:
        [run] = await engine.send(*pushes(1))
        asked = await engine.start(function, Push(commit="asked"))
        again = await engine.rerun(run)
        assert statuses([run, asked, again]) == ["assigned", "queued", "queued"]
        await engine.advance("10s")
        assert statuses([run, asked, again]) == ["completed", "completed", "assigned"]


async def test_a_newcomer_that_is_too_much_cancels_nobody() -> None:
    async with TestEngine(busy(singleton=Singleton(mode="cancel"), rate_limit=RateLimit(1, "1m"))) as engine:
        runs = await engine.send(*pushes(2))
        assert statuses(runs) == ["assigned", "skipped"]


async def test_what_was_skipped_has_not_used_its_key_up() -> None:
    function = busy(singleton=Singleton(), idempotency=Idempotency("event.data.commit"))
    async with TestEngine(function) as engine:
        [run] = await engine.send(Pushed(Push(commit="a")))
        [skipped] = await engine.send(Pushed(Push(commit="b")))
        await engine.advance("5s")
        [next] = await engine.send(Pushed(Push(commit="b")))
        assert statuses([run, skipped, next]) == ["completed", "skipped", "assigned"]


async def test_later_events_do_not_prolong_the_time_of_a_key() -> None:
    async with TestEngine(busy(idempotency=Idempotency(REPO, ttl="1h"))) as engine:
        [first] = await engine.send(*pushes(1))
        await engine.advance("50m")
        [joined] = await engine.send(*pushes(1))
        await engine.advance("10m")
        [next] = await engine.send(*pushes(1))
        assert joined is first
        assert next is not first
