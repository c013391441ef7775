"""What users of other durable engines have met and must not meet here, with and without crashes."""

from collections.abc import AsyncIterator
from itertools import groupby

import pytest
from onward.testing import TestEngine

from tests.scenarios import known_bugs as bugs


@pytest.fixture(autouse=True)
def clean() -> None:
    bugs.bodies.clear()
    bugs.seen.clear()
    bugs.gate.clear()


@pytest.fixture(params=[False, True], ids=["calm", "crashing"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[TestEngine]:
    async with TestEngine(bugs.functions, crash_everywhere=request.param) as started:
        yield started


async def test_each_step_has_all_of_its_attempts_whatever_the_steps_before_needed(engine: TestEngine) -> None:
    run = await engine.start(bugs.retried_one_after_another, 0)
    await engine.advance("1h")
    assert run.output == ["a", "b", "c"]
    assert bugs.bodies == {"a": 3, "b": 3, "c": 3}
    assert set(bugs.seen) == {1}  # none of it was an attempt of the run


async def test_a_value_looks_the_same_on_the_first_execution_and_on_a_replay(engine: TestEngine) -> None:
    run = await engine.start(bugs.looks_at_values, 0)
    await engine.advance("1m")
    assert run.output == 5
    assert len(set(bugs.seen)) == 1


async def test_gather_runs_each_of_two_steps_once(engine: TestEngine) -> None:
    assert (await engine.start(bugs.two_at_once, 0)).output == ["left", "right"]
    assert bugs.bodies == {"left": 1, "right": 1}


async def test_parallel_steps_survive_a_crash_after_any_of_them() -> None:
    async with TestEngine(bugs.functions) as calm:
        expected = await calm.start(bugs.many_at_once, 0)
    assert len(expected.steps) > 14
    for key in expected.steps:
        async with TestEngine(bugs.functions, crash_after=key) as engine:
            run = await engine.start(bugs.many_at_once, 0)
            assert (engine.crashes, run.output, run.steps) == (1, expected.output, expected.steps)
            assert run.executions[key] == 1


async def test_a_finally_block_runs_at_the_end_and_not_at_every_step(engine: TestEngine) -> None:
    run = await engine.start(bugs.with_finally, 0)
    await engine.advance("5m")
    assert run.status == "completed"
    assert bugs.seen.count("over") == 1
    assert bugs.seen.count("leaving") <= engine.crashes


async def test_an_error_of_any_class_is_caught_in_the_same_words_on_a_replay(engine: TestEngine) -> None:
    assert (await engine.start(bugs.catches_its_own_error, 0)).output == "Declined"
    assert set(bugs.seen) == {("Declined", "the bank said 51", 1)}


async def test_code_that_blocks_all_threads_of_asyncio_does_not_hold_up_sync_steps() -> None:
    async with TestEngine(bugs.functions) as engine:
        assert all((await engine.start(bugs.beside_blocked_threads, 0)).output)


async def test_a_place_is_free_again_when_its_run_has_ended_however_often_workers_died(engine: TestEngine) -> None:
    runs = await engine.send(*(bugs.Queued(n) for n in range(4)))
    assert [run.output for run in runs] == [0, 1, 2, 3]
    assert [number for number, _ in groupby(number for _, number in bugs.seen)] == [0, 1, 2, 3]
