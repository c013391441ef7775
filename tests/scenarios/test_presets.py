"""Every preset on the real engine: same results, bounded repetitions, and hand-backs that cost nothing but time."""

import asyncio

import pytest
from onward import App, Checkpoint, Concurrency, Context, EventType, StepFailed, SyncContext, step
from onward.errors import RetryAfter
from onward.testing import TestEngine, TestRun, assert_replay_safe

functions = App("presets")
Go = EventType("presets/go", int)
Job = EventType("presets/job", int)
began: list[int] = []
attempts: list[int] = []

PRESETS = {
    "safe": Checkpoint.SAFE,
    "pipelined": Checkpoint.PIPELINED,
    "blended": Checkpoint.BLENDED,
    "performant": Checkpoint.PERFORMANT,
    "off": Checkpoint.OFF,
}
every_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)


@step
async def add(number: int, more: int) -> int:
    await asyncio.sleep(0)
    return number + more


@step
async def count(number: int) -> None:
    began.append(number)


@step
def add_blocking(number: int, more: int) -> int:
    return number + more


@step
async def hopeless() -> None:
    attempts.append(1)
    raise RetryAfter("20s")


@functions.function(int)
async def child(ctx: Context[int]) -> int:
    return await add(ctx.data, 1)


@functions.function(int)
async def everything(ctx: Context[int]) -> int:
    total = ctx.data
    for _ in range(4):
        total = await add(total, 1)
    total += sum(await asyncio.gather(*(add(0, 1) for _ in range(4))))
    await ctx.sleep("1h")
    await ctx.send(Go(total))
    total += await ctx.invoke(child, 0)
    await asyncio.sleep(3)
    return await add(total, 1)


@functions.function(int)
def everything_blocking(ctx: SyncContext[int]) -> int:
    total = ctx.data
    for _ in range(4):
        total = add_blocking(total, 1)
    total += sum(ctx.gather(*(lambda: add_blocking(0, 1) for _ in range(4))))
    ctx.sleep("1h")
    total += ctx.invoke(child, 0)
    return add_blocking(total, 1)


@functions.function(int)
async def waiting(ctx: Context[int]) -> int:
    await add(1, 1)
    event = await ctx.wait_for_event(Go, timeout="1d")
    await asyncio.sleep(5)
    return 0 if event is None else event.data


@functions.function(int)
async def failing(ctx: Context[int]) -> str:
    await add(1, 1)
    try:
        await hopeless()
    except StepFailed as error:
        return f"{error.type} after {error.attempts}"
    return "impossible"


@step
async def flaky() -> int:
    attempts.append(1)
    if len(attempts) == 1:
        raise RetryAfter("3s")
    return 1


@functions.function(int)
async def pausing(ctx: Context[int]) -> int:
    async def row() -> int:
        return await add(await add(0, 1), 1)

    return sum(await asyncio.gather(flaky(), row()))


@functions.on(Job, concurrency=Concurrency(1), checkpoint=Checkpoint.OFF)
async def one_at_a_time(ctx: Context[int]) -> int:
    for _ in range(3):
        await count(ctx.data)
    return ctx.attempt


async def play(engine: TestEngine) -> list[TestRun[int]]:
    runs = [await engine.start(fn, 1) for fn in (everything, everything_blocking, waiting)]
    await engine.send(Go(7))
    await engine.advance("2h")
    return runs


@every_preset
async def test_results_are_the_same_and_without_a_crash_nothing_runs_twice(preset: Checkpoint) -> None:
    async with TestEngine(functions, checkpoint=preset) as engine:
        runs = await play(engine)
        assert [run.output for run in runs] == [11, 11, 7]
        assert {count for run in runs for count in run.executions.values()} == {1}


@pytest.mark.timeout(8)  # the pause is in the test's time, and must not be waited for in real time
async def test_a_run_that_is_to_leave_lets_a_step_have_its_pause() -> None:
    attempts.clear()
    async with TestEngine(functions, checkpoint=Checkpoint.OFF) as engine:
        run = await engine.start(pausing, 1)
        assert (len(attempts), run.status) == (1, "assigned")
        await engine.advance("3s")
        assert run.output == 3
        assert len(attempts) == 2


@every_preset
async def test_with_crashes_everywhere_results_are_the_same(preset: Checkpoint) -> None:
    async with TestEngine(functions, checkpoint=preset, crash_everywhere=True) as engine:
        runs = await play(engine)
        assert [run.output for run in runs] == [11, 11, 7]
        assert len(engine.sent) == 1
        assert engine.crashes > 3


@every_preset
async def test_a_step_that_asks_for_time_gets_it_and_fails_after_as_many_attempts(preset: Checkpoint) -> None:
    attempts.clear()
    async with TestEngine(functions, checkpoint=preset) as engine:
        run = await engine.start(failing, 1)
        await engine.advance("79s")
        assert (len(attempts), run.status) == (4, "parked")
        await engine.advance("1s")
        assert run.output == "RetryAfter after 5"


async def test_a_run_that_is_handed_back_stays_ahead_of_the_others_and_on_its_first_attempt() -> None:
    began.clear()
    async with TestEngine(functions) as engine:
        runs = await engine.send(*(Job(number) for number in range(3)))
        assert [run.output for run in runs] == [1, 1, 1]
        assert began == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_function_is_replay_safe_although_its_setting_lets_a_crash_repeat_steps() -> None:
    app = App("loose", checkpoint=Checkpoint.PIPELINED)

    @app.function(int)
    async def loose(ctx: Context[int]) -> int:
        return sum([await add(number, 0) for number in range(5)])

    assert assert_replay_safe(loose, 1).output == 10


async def test_crashes_are_tried_under_the_strictest_setting_unless_another_is_asked_for() -> None:
    async with TestEngine(functions, crash_everywhere=True) as engine:
        [run, *_] = await play(engine)
        assert set(run.executions.values()) == {1}
    async with TestEngine(functions, crash_after="add", checkpoint=Checkpoint.PERFORMANT) as engine:
        [run, *_] = await play(engine)
        assert run.output == 11
