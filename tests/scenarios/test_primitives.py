"""What each primitive does, on the first execution and with a crash after everything that becomes durable."""

from collections.abc import AsyncIterator

import pytest
from onward.testing import TestEngine, assert_replay_safe, run

from tests.scenarios import primitives as p


@pytest.fixture(params=[False, True], ids=["calm", "crashing"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[TestEngine]:
    p.attempts.clear()
    p.cleaned.clear()
    async with TestEngine(p.functions, crash_everywhere=request.param) as started:
        yield started


async def test_a_failed_step_is_retried_with_its_policy(engine: TestEngine) -> None:
    flaky = await engine.start(p.retries, 2)
    await engine.advance("1m")
    assert flaky.output == "after 3"
    assert len(p.attempts) == 3


async def test_an_exhausted_step_raises_step_failed_where_it_was_called(engine: TestEngine) -> None:
    flaky = await engine.start(p.retries, 99)
    await engine.advance("1m")
    assert flaky.output == "OSError after 3"
    assert len(p.attempts) == 3


async def test_non_retryable_stops_at_once_and_carries_data(engine: TestEngine) -> None:
    assert (await engine.start(p.gives_up, 0)).output == "never {'why': 'closed'}"
    assert len(p.attempts) == 1


async def test_retry_after_parks_the_run_for_as_long_as_it_says(engine: TestEngine) -> None:
    waiting = await engine.start(p.waits_to_retry, 0)
    assert waiting.status == "parked"
    await engine.advance("59m")
    assert waiting.status == "parked"
    await engine.advance("1m")
    assert waiting.output == "ok"
    assert len(p.attempts) == 2


async def test_a_wait_takes_the_event_that_matches_the_runs_own(engine: TestEngine) -> None:
    [mine, other] = await engine.send(p.Ordered({"id": 1}), p.Ordered({"id": 2}))
    await engine.send(p.Paid({"id": 2, "amount": 7}))
    assert mine.status == "parked"
    assert other.output == "paid 7"
    await engine.advance("1h")
    assert mine.output == "unpaid"


async def test_an_event_sent_together_with_the_trigger_is_not_missed(engine: TestEngine) -> None:
    [ordered] = await engine.send(p.Ordered({"id": 1}), p.Paid({"id": 1, "amount": 5}))
    assert ordered.output == "paid 5"


async def test_a_loop_of_waits_gets_each_event_once_and_not_its_own_trigger(engine: TestEngine) -> None:
    [first, *_] = await engine.send(p.Noted(1), p.Noted(2), p.Noted(3))
    await engine.send(p.Noted(4))
    await engine.advance("1h")
    assert first.output == [1, 2, 3, 4]


async def test_a_child_gives_its_result_or_its_failure(engine: TestEngine) -> None:
    good, bad = await engine.start(p.parent, 4), await engine.start(p.parent, -1)
    await engine.advance("1m")
    assert (good.output, bad.output) == ("8", "child: negative")


async def test_events_are_sent_once(engine: TestEngine) -> None:
    sender = await engine.start(p.sends, 1)
    ids = sender.output
    assert [event.name for event in engine.sent] == ["test/noted", "test/noted"]
    assert len(set(ids)) == 2
    assert sum(one.function is p.notes for one in engine.runs) == 2


async def test_map_keeps_the_order_and_repeats_only_what_was_in_flight(engine: TestEngine) -> None:
    mapped = await engine.start(p.maps, 7)
    assert mapped.output == [6 * n for n in range(7)]
    assert len(mapped.executions) == 14
    in_flight = 3 - 1  # beside the step whose end the crash follows
    assert mapped.executions.total() <= 14 + in_flight * engine.crashes


async def test_the_first_failure_of_a_task_group_cancels_the_rest(engine: TestEngine) -> None:
    failed = await engine.start(p.first_failure_wins, 0)
    assert failed.output == "stop"
    assert set(failed.executions.values()) == {1}


async def test_asyncio_timeouts_work_around_durable_calls(engine: TestEngine) -> None:
    timed = await engine.start(p.times_out, 4)
    await engine.advance("1m")
    assert timed.output == "timed out 8"


async def test_time_chance_and_ids_are_the_same_on_replay(engine: TestEngine) -> None:
    now, one, two, uuid = (await engine.start(p.repeatable, 0)).output
    assert now <= engine.now
    assert one != two
    assert uuid.version == 4


async def test_a_sync_function_sleeps_and_fans_out(engine: TestEngine) -> None:
    sync = await engine.start(p.sync_all, 1)
    assert sync.status == "parked"
    await engine.advance("1m")
    assert sync.output == [3, 0, 3, 6, 9]
    assert sync.executions.total() <= 5 + engine.crashes


async def test_a_cancelled_run_cleans_up_with_steps_and_ends_cancelled(engine: TestEngine) -> None:
    cancellable = await engine.start(p.cancellable, 0)
    await engine.cancel(cancellable)
    assert cancellable.status == "cancelled"
    assert "42" in p.cleaned


def test_run_replaces_steps_by_their_id() -> None:
    assert run(p.parent, 4, steps={"double": 99}).output == "99"


def test_a_replay_safe_function_passes_the_check() -> None:
    assert assert_replay_safe(p.repeatable, 0).output[0].tzinfo is not None
