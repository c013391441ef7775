"""Time limits, changes of code, scopes and cancellations: calm, and with a crash after everything durable."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from onward.testing import TestEngine

from tests.scenarios import limits as f


@pytest.fixture(params=[False, True], ids=["calm", "crashing"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[TestEngine]:
    f.ran.clear()
    async with TestEngine(f.functions, crash_everywhere=request.param) as started:
        yield started


def seen() -> list[Any]:
    """What has run, each once: a crash repeats what was in flight."""
    return list(dict.fromkeys(f.ran))


async def test_a_step_that_takes_too_long_is_tried_again(engine: TestEngine) -> None:
    assert (await engine.start(f.hurries, 0)).output == 3
    assert seen() == [1, 2, 3]


async def test_a_silent_step_is_tried_again_and_goes_on_where_it_was() -> None:
    f.ran.clear()
    async with TestEngine(f.functions) as engine:
        assert (await engine.start(f.listens, 0)).output == "half of it"


async def test_a_step_gives_up_when_its_total_time_is_over(engine: TestEngine) -> None:
    run = await engine.start(f.gives_up_in_time, 0)
    await engine.advance("2h")
    assert run.output == "ConnectionError after 5"
    assert f.ran == [1, 2, 3, 4, 5]


async def test_durable_timeouts_nest_and_outlive_their_workers(engine: TestEngine) -> None:
    run = await engine.start(f.asks_until_evening, 0)
    assert run.status == "parked"
    await engine.advance("9h")
    assert run.output == ["asked", "reminded", "reminded", "closed"]
    assert f.ran == run.output


async def test_an_answer_in_time_ends_both_timeouts(engine: TestEngine) -> None:
    run = await engine.start(f.asks_until_evening, 0)
    await engine.advance("4h")
    await engine.send(f.Answered("yes"))
    assert run.output == ["asked", "reminded", "yes"]
    await engine.advance("1d")
    assert f.ran == run.output


async def test_a_durable_timeout_ends_the_waits_of_threads(engine: TestEngine) -> None:
    run = await engine.start(f.asks_in_a_thread, 0)
    await engine.advance("9h")
    assert run.output == ["asked", "closed"]
    assert seen() == run.output


async def test_a_new_run_takes_every_change(engine: TestEngine) -> None:
    runs = [await engine.start(fn, "") for fn in (f.changed, f.changed_in_a_thread)]
    await engine.advance("1h")
    assert [run.output for run in runs] == [[True, "between", True, True, True], [True, "between", True, True]]


async def test_agents_with_the_same_tools_get_their_own_answers(engine: TestEngine) -> None:
    run = await engine.start(f.agents, 3)
    assert run.output == [["ann 0", "ann 1", "ann 2"], ["bob 0", "bob 1", "bob 2"]]
    assert sorted(set(f.ran)) == ["ann 0", "ann 1", "ann 2", "bob 0", "bob 1", "bob 2"]


async def test_cancelling_a_parent_cancels_its_child_and_both_clean_up_once(engine: TestEngine) -> None:
    run = await engine.start(f.parent, 0)
    await engine.cancel(run, "enough")
    assert [one.status for one in engine.runs] == ["cancelled", "cancelled"]
    assert sorted(set(f.ran)) == ["and another", "child cleans up", "one more", "parent cleans up: enough"]


async def test_a_cancelled_thread_cleans_up_once(engine: TestEngine) -> None:
    run = await engine.start(f.cleans_up_in_a_thread, 0)
    await engine.cancel(run)
    assert run.status == "cancelled"
    assert seen() == ["thread cleans up"]


async def test_clean_up_ends_with_its_time(engine: TestEngine) -> None:
    run = await engine.start(f.sleeps_in_its_clean_up, 0)
    await engine.cancel(run)
    assert run.waits == ["sleep@0#1"]
    await engine.advance("2h")
    assert run.status == "cancelled"
    assert f.ran == ["first"]


async def test_a_run_that_is_cancelled_without_clean_up_runs_no_step_any_more(engine: TestEngine) -> None:
    run = await engine.start(f.parent, 0)
    await engine.cancel(run, cleanup=0)
    assert run.status == "cancelled"
    assert "parent cleans up: " not in f.ran
