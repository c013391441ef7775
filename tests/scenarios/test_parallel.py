"""Races, completion order and maps, on the first execution and with a crash after everything that becomes durable."""

from collections.abc import AsyncIterator

import pytest
from onward.testing import TestEngine

from tests.scenarios import parallel as p


@pytest.fixture(params=[False, True], ids=["calm", "crashing"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[TestEngine]:
    p.began.clear()
    p.stopped.clear()
    async with TestEngine(p.functions, crash_everywhere=request.param) as started:
        yield started


async def test_an_event_that_wins_a_race_drops_the_sleep_beside_it(engine: TestEngine) -> None:
    [run] = await engine.send(p.Ordered({"id": 1}))
    await engine.send(p.Paid({"id": 1, "amount": 7}))
    assert run.waits == ["rest@0#0"]
    await engine.advance("2d")
    assert run.output == ["paid", "7"]


async def test_a_sleep_that_wins_a_race_leaves_the_event_to_the_next_wait(engine: TestEngine) -> None:
    [run] = await engine.send(p.Ordered({"id": 1}))
    await engine.advance("1h")
    await engine.send(p.Paid({"id": 1, "amount": 7}))
    assert run.waits == ["rest@0#0"]
    await engine.advance("1d")
    assert run.output == ["late", "7"]


async def test_a_race_of_steps_stops_the_slower_bodies_and_records_the_quicker(engine: TestEngine) -> None:
    raced = await engine.start(p.quickest_step, 4)
    assert raced.output == ("quick", 8)
    assert list(raced.steps) == ["double@0.1#0", "double@0#0"]
    assert p.began == {"racer": 1, "other": 1}
    assert sorted(p.stopped) == ["other", "racer"]


async def test_the_failure_that_comes_first_is_raised_by_the_race(engine: TestEngine) -> None:
    assert (await engine.start(p.quickest_fails, 0)).output == "first"
    assert p.began == {"racer": 1}


async def test_a_child_that_loses_its_race_is_cancelled(engine: TestEngine) -> None:
    run = await engine.start(p.gives_up_on_a_child, 0)
    await engine.advance("1m")
    [child] = [one for one in engine.runs if one.function is p.slow_child]
    assert child.status == "cancelled"
    assert run.waits == ["rest@0#0"]
    await engine.advance("1m")
    assert run.output == "late"


async def test_a_step_that_loses_its_race_is_not_tried_again(engine: TestEngine) -> None:
    run = await engine.start(p.gives_up_on_retries, 0)
    await engine.advance("1m")
    assert run.waits == ["rest@0#0"]
    await engine.advance("1d")
    assert run.output == "late"
    assert p.began == {"later": 1}


async def test_a_loser_has_cleaned_up_when_the_race_is_over(engine: TestEngine) -> None:
    assert (await engine.start(p.cleans_up_after_a_race, 0)).output == [42]


async def test_what_is_completed_comes_in_the_order_of_the_log(engine: TestEngine) -> None:
    run = await engine.start(p.as_they_arrive, 4)
    await engine.advance("1m")
    await engine.send(p.Arrived("ann"))
    await engine.advance("1h")
    assert run.output == ["8", "0:ann", "slept"]
    assert set(run.executions.values()) == {1}


async def test_failures_come_among_what_is_completed(engine: TestEngine) -> None:
    run = await engine.start(p.despite_failures, 4)
    assert run.output == ["0", "1", "3", "4"]


async def test_the_first_failure_of_a_map_cancels_the_rest_and_is_raised(engine: TestEngine) -> None:
    run = await engine.start(p.first_to_fail, 8)
    assert run.waits == ["rest@0#0"]
    await engine.advance("1m")
    assert run.output == "two"
    assert len(run.executions) == 3
