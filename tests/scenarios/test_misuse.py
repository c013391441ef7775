"""What is called in a wrong way or place: the run fails with one sentence that names the call and the option."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from onward import App, Context, Retry, RetryAfter, SyncContext, step
from onward.testing import TestEngine

ONCE = Retry(attempts=1)


@step(retry=ONCE)
async def inner() -> int:
    return 1


@step(retry=ONCE)
def inner_plain() -> int:
    return 1


@step(retry=ONCE)
async def calls_a_step() -> int:
    return await inner()


@step(retry=ONCE)
def calls_a_step_in_its_thread() -> int:
    return inner_plain()


@step(retry=ONCE)
async def returns_a_lock() -> Any:
    return threading.Lock()


@step(retry=ONCE)
async def asks_for_the_past() -> None:
    raise RetryAfter(-1)


async def sleeps_in_a_step(ctx: Context[int]) -> None:
    async def naps() -> None:
        await ctx.sleep("1s")

    await ctx.step.options(retry=ONCE).run("nap", naps)


async def asks_without_await(ctx: Context[int]) -> None:
    answer: Any = ctx.patch("change")  # type checkers find this mistake
    if answer:
        await inner()


async def enters_a_long_scope(ctx: Context[int]) -> None:
    with ctx.scope("agent" * 10):
        await inner()


async def limits_for_too_long(ctx: Context[int]) -> None:
    async with ctx.timeout("400d"):
        await inner()


async def limits_a_call(ctx: Context[int]) -> None:
    await ctx.step.options(heartbeat="often").run("inner", inner)


ASYNC: list[tuple[Callable[[Context[int]], Coroutine[Any, Any, object]], list[str]]] = [
    (lambda ctx: ctx.sleep("soon"), ["ctx.sleep", "'duration'", "'soon' is not a duration"]),
    (lambda ctx: ctx.sleep("367d"), ["ctx.sleep", "duration", "is not between"]),
    (lambda ctx: ctx.step.run("", inner), ["step", "the name ''"]),
    (limits_for_too_long, ["ctx.timeout", "duration", "is not between"]),
    (limits_a_call, ["ctx.step.options", "'heartbeat'", "'often' is not a duration"]),
    (enters_a_long_scope, ["ctx.scope", "more than 40 bytes"]),
    (asks_without_await, ["ctx.patch('change')", "await"]),
    (lambda _: calls_a_step(), ["step 'inner' was called inside the body of step 'calls_a_step'"]),
    (lambda _: calls_a_step_in_its_thread.aio(), ["step 'inner_plain'", "body of step 'calls_a_step_in_its_thread'"]),
    (sleeps_in_a_step, ["ctx.sleep was called inside the body of step 'nap'"]),
    (lambda _: returns_a_lock(), ["result of step 'returns_a_lock'", "lock"]),
    (lambda _: asks_for_the_past(), ["RetryAfter, option 'delay'", "negative"]),
    (lambda _: asyncio.to_thread(inner_plain), ["async function"]),
]


def uses_a_thread_of_its_own(ctx: SyncContext[int]) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            ctx.sleep("1s")
        except BaseException as error:  # noqa: BLE001 - shown by the function
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    raise errors[0]


def passes_its_context_to_a_thread(ctx: SyncContext[int]) -> None:
    from concurrent.futures import ThreadPoolExecutor
    from contextvars import copy_context

    with ThreadPoolExecutor(1) as pool:
        pool.submit(copy_context().run, inner_plain).result()


SYNC: list[tuple[Callable[[SyncContext[int]], object], list[str]]] = [
    (lambda ctx: ctx.sleep(-1), ["ctx.sleep", "'duration'", "negative"]),
    (lambda ctx: ctx.timeout("x"), ["ctx.timeout", "'duration'"]),
    (uses_a_thread_of_its_own, ["ctx.sleep", "outside of the run"]),
    (passes_its_context_to_a_thread, ["a thread that is not one of the run's own", "ctx.gather"]),
]


@pytest.mark.parametrize("number", range(len(ASYNC)))
async def test_a_misuse_in_async_code_fails_the_run_with_one_sentence(number: int) -> None:
    code, said = ASYNC[number]
    app = App("misuse")

    @app.function(int)
    async def function(ctx: Context[int]) -> None:
        await code(ctx)

    async with TestEngine(app) as engine:
        run = await engine.start(function, 1)
        assert run.status == "failed"
        for words in said:
            assert words in str(run.error)


@pytest.mark.parametrize("number", range(len(SYNC)))
async def test_a_misuse_in_threads_fails_the_run_with_one_sentence(number: int) -> None:
    code, said = SYNC[number]
    app = App("misuse")

    @app.function(int)
    def function(ctx: SyncContext[int]) -> None:
        code(ctx)

    async with TestEngine(app) as engine:
        run = await engine.start(function, 1)
        assert run.status == "failed"
        for words in said:
            assert words in str(run.error)
