"""A program is forked at each of its steps, waits and messages: every fork ends like the run itself."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from onward import App, Context, EventType, Retry, StepFailed, step
from onward.testing import TestEngine, TestRun
from onward_engine.rules.forks import _calls

functions = App("forked", retry=Retry(attempts=2, backoff="1m"))
Told = EventType("forked/told", str)
bodies: Counter[str] = Counter()


@step
async def part(name: str) -> str:
    bodies[name] += 1
    return name


@step
async def broken(name: str) -> str:
    bodies[name] += 1
    raise RuntimeError(name)


@functions.function(str)
async def child(ctx: Context[str]) -> str:
    return await part(f"child {ctx.data}")


async def branch(ctx: Context[int], name: str) -> str:
    first = await part(f"{name} 1")
    await ctx.sleep("1m", id=f"nap {name}")
    return first + await part(f"{name} 2")


@functions.function(int)
async def work(ctx: Context[int]) -> list[str]:
    found = [await part("begin")]
    found += await asyncio.gather(branch(ctx, "left"), branch(ctx, "right"), ctx.invoke(child, "one"))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(broken("broken"))
            group.create_task(branch(ctx, "beside"))
    except* StepFailed:
        found.append("failed")
    winner = await ctx.race(soon=ctx.sleep("5m", id="soon"), late=branch(ctx, "raced"))
    await ctx.send(Told("told"))
    started = await ctx.start(child, "two")
    found += [winner.name, str(bool(started.id)), await part("end")]
    return found


async def keys_of(engine: TestEngine, run: TestRun[list[str]]) -> list[str]:
    page = await engine._engine.store.journal(run.id)
    assert page.next is None
    return _calls(page.segments)


@pytest.mark.parametrize("crash_everywhere", [False, True])
async def test_each_fork_ends_like_the_run_and_repeats_only_what_it_has_not_kept(crash_everywhere: bool) -> None:
    bodies.clear()
    async with TestEngine(functions, crash_everywhere=crash_everywhere) as engine:
        run = await engine.start(work, 1)
        await engine.advance("1h")
        whole = Counter(bodies)
        keys = await keys_of(engine, run)
        assert len(keys) >= 15
        for place, key in enumerate(keys):
            bodies.clear()
            fork = await engine.fork(run, key)
            await engine.advance("1h")
            assert fork.output == run.output, key
            assert bodies.keys() <= whole.keys(), key
            assert crash_everywhere or bodies <= whole, key  # a crash repeats what was in flight beside it
            if place:
                assert bodies["begin"] == 0, key
        assert (bodies["left 2"], bodies["end"]) == (0, 1), "nothing is left of the last one but its end"


async def test_a_fork_of_a_fork_of_a_fork_ends_like_the_run() -> None:
    async with TestEngine(functions) as engine:
        run = await engine.start(work, 1)
        await engine.advance("1h")
        fork = run
        for key in ("part@0.0#1", "soon@0#0", "send:forked/told@0#0"):
            known = await keys_of(engine, fork)
            fork = await engine.fork(fork, key if key in known else known[-1])
            await engine.advance("1h")
            assert fork.output == run.output, key
        bodies.clear()
        last = await engine.fork(fork, (await keys_of(engine, fork))[3])
        await engine.advance("1h")
        assert last.output == run.output
        assert bodies["begin"] == 0
