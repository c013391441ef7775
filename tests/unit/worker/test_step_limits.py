"""How long an attempt of a step may take, its sign of life, and what its body knows of itself."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from onward import ConfigError, Retry, StepAttempt, Timeouts, current_step, step
from onward.app import App
from onward.errors import StepFailed, StepTimeout
from onward.host import Host
from onward_protocol.messages import AttemptFailed, StepDone

from tests.support.paper_engine import PaperEngine, Program, call, finished, quiet, until

TWICE = Retry(attempts=2, backoff=0.001, factor=1, jitter=0)


def step_of(body: Any, **options: Any) -> Program:
    async def function(host: Host) -> Any:
        try:
            return await host.step(call(body, id="s", **options))
        except StepFailed as error:
            return [error.type, str(error), error.attempts]

    return Program(function)


async def result_of(body: Any, **options: Any) -> Any:
    engine = PaperEngine(step_of(body, **options))
    engine.start()
    try:
        return await finished(engine)
    finally:
        await engine.runner.close()


async def for_ever() -> str:
    await asyncio.Event().wait()
    return "never"


async def takes_one(ctx: Any) -> None: ...


# -- timeout


async def test_an_attempt_that_takes_too_long_is_cancelled_and_tried_again() -> None:
    cancelled: list[int] = []

    async def body() -> str:
        try:
            return await for_ever() if not cancelled else "quick"
        except asyncio.CancelledError:
            cancelled.append(current_step().attempt)
            raise

    assert await result_of(body, retry=TWICE, timeout_ms=5) == "quick"
    assert cancelled == [1]


async def test_the_last_attempt_that_takes_too_long_fails_the_step() -> None:
    type, message, attempts = await result_of(for_ever, retry=TWICE, timeout_ms=5)
    assert (type, attempts) == ("StepTimeout", 2)
    assert "step 's' did not end within 0.005 s" in message


async def test_a_policy_may_leave_timeouts_out() -> None:
    retry = Retry(attempts=5, never_on=StepTimeout)
    assert (await result_of(for_ever, retry=retry, timeout_ms=5))[2] == 1


async def test_an_attempt_in_time_leaves_no_alarm_behind() -> None:
    async def body() -> str:
        await asyncio.sleep(0)
        return "done"

    assert await result_of(body, timeout_ms=60_000) == "done"


async def test_what_a_body_makes_of_its_cancellation_does_not_count() -> None:
    async def swallows() -> str:
        try:
            return await for_ever()
        except asyncio.CancelledError:
            return "as if nothing had happened"

    async def wraps() -> str:
        try:
            return await for_ever()
        except asyncio.CancelledError:
            raise ConnectionError("closed") from None

    assert (await result_of(swallows, timeout_ms=5))[0] == "StepTimeout"
    assert (await result_of(wraps, timeout_ms=5))[0] == "StepTimeout"


async def test_task_groups_of_the_next_attempt_cannot_believe_that_they_were_cancelled() -> None:
    async def body() -> int:
        task = asyncio.current_task()
        assert task is not None
        if not task.cancelling() and current_step().attempt == 1:
            await for_ever()
        return task.cancelling()

    assert await result_of(body, retry=TWICE, timeout_ms=50) == 0


async def test_the_thread_of_a_late_body_runs_on_and_its_result_is_dropped() -> None:
    release, ended = threading.Event(), threading.Event()

    def body() -> str:
        if current_step().attempt == 1:
            release.wait(20)
            ended.set()
            return "late"
        return "second"

    engine = PaperEngine(step_of(body, retry=TWICE, timeout_ms=20), slots=1)
    run = engine.start()
    assert await finished(engine) == "second"
    await quiet(engine)
    assert engine.runner.free == 0, "its thread still works for the run"
    assert [type(entry) for entry in run.written] == [AttemptFailed, StepDone]
    release.set()
    await until(lambda: engine.runner.free == 1)
    assert ended.is_set()
    await engine.runner.close()


async def test_a_run_with_a_thread_left_over_keeps_its_slot_while_it_sleeps() -> None:
    from onward_protocol.messages import Due, Sleep

    release = threading.Event()

    async def function(host: Host) -> Any:
        try:
            await host.step(call(lambda: release.wait(20), id="s", timeout_ms=5))
        except StepFailed:
            await host.wait("nap", Sleep(60_000))
        return "woke"

    engine = PaperEngine(Program(function), slots=1)
    run = engine.start()
    await until(lambda: run.open)
    await quiet(engine)
    assert engine.runner.free == 0
    release.set()
    await until(lambda: engine.runner.free == 1)
    engine.wake(lambda pos: Due(pos, "nap@0#0"), slot=True)
    assert await finished(engine) == "woke"
    await engine.runner.close()


async def test_time_in_which_a_body_waits_for_a_thread_does_not_count() -> None:
    release = threading.Event()

    async def function(host: Host) -> Any:
        first = call(lambda: release.wait(20), id="first")
        second = call(lambda: "done", id="second", timeout_ms=20)
        return await asyncio.gather(host.step(first), host.step(second))

    engine = PaperEngine(Program(function))
    engine.runner.step_threads = ThreadPoolExecutor(1)
    engine.start()
    await asyncio.sleep(0.06)
    release.set()
    assert await finished(engine) == [True, "done"]
    await engine.runner.close()


# -- heartbeat


async def test_a_body_without_a_sign_of_life_fails() -> None:
    type, message, _ = await result_of(for_ever, heartbeat_ms=5)
    assert type == "StepTimeout"
    assert "gave no heartbeat for 0.005 s" in message


async def test_a_body_that_gives_signs_of_life_may_take_as_long_as_it_likes() -> None:
    async def body() -> str:
        for _ in range(20):
            await asyncio.sleep(0.01)
            current_step().heartbeat()
        return "done"

    assert await result_of(body, heartbeat_ms=150) == "done"


async def test_a_thread_gives_signs_of_life_too() -> None:
    def body() -> str:
        for _ in range(20):
            time.sleep(0.01)
            current_step().heartbeat()
        return "done"

    assert await result_of(body, heartbeat_ms=150) == "done"


async def test_the_next_attempt_goes_on_where_the_last_one_was() -> None:
    async def body() -> list[Any]:
        here = current_step()
        if here.attempt < 3:
            here.heartbeat({"offset": here.attempt})
            here.heartbeat()
            raise ValueError("broke off")
        return [here.details, here.max_attempts]

    retry = Retry(attempts=3, backoff=0.001, jitter=0)
    assert await result_of(body, retry=retry, heartbeat_ms=60_000) == [{"offset": 2}, 3]


# -- what a body knows of itself


async def test_a_body_has_an_idempotency_key_that_is_the_same_on_each_attempt() -> None:
    seen: list[StepAttempt] = []

    def body() -> None:
        seen.append(current_step())
        if len(seen) == 1:
            raise ValueError

    await result_of(body, retry=TWICE)
    assert [(one.id, one.key, one.run_id, one.attempt) for one in seen] == [
        ("s", "s@0#0", "run_1", 1),
        ("s", "s@0#0", "run_1", 2),
    ]


def test_outside_of_a_run_a_step_is_an_ordinary_function() -> None:
    @step(heartbeat="1s")
    def plain() -> int:
        current_step().heartbeat(3)
        return current_step().attempt

    assert plain() == 1


# -- total time


async def test_no_attempt_starts_after_the_total_time() -> None:
    async def body() -> None:
        await asyncio.sleep(0.02)
        raise ValueError

    retry = Retry(attempts=21, backoff=0.05, factor=1, jitter=0, max_time=0.1)
    assert (await result_of(body, retry=retry))[2] == 2


async def test_the_total_time_counts_over_crashes() -> None:
    async def body() -> None:
        raise ValueError

    now = [1_000_000]
    options: dict[str, Any] = {"wall_ms": lambda: now[0], "clock_ms": lambda: now[0]}
    retry = Retry(attempts=21, backoff=4, factor=1, jitter=0, max_time="1h")
    engine = PaperEngine(step_of(body, retry=retry), **options)
    run = engine.start()
    await until(lambda: run.written)
    await engine.runner.close()
    now[0] += 3_600_000
    engine.restart()
    assert (await finished(engine))[2] == 2


# -- declarations


@pytest.mark.parametrize(
    ("declare", "names"),
    [
        (lambda: step(timeout="soon")(for_ever), ["step 'for_ever'", "'timeout'"]),
        (lambda: step(heartbeat=0)(for_ever), ["step 'for_ever'", "heartbeat"]),
        (lambda: step(timeout="367d")(for_ever), ["step 'for_ever'", "timeout"]),
        (lambda: step(for_ever).with_options(timeout=-1), ["step 'for_ever'", "'timeout'"]),
        (lambda: step(retry=3)(for_ever), ["step 'for_ever'", "'retry'", "3 is not a Retry"]),  # type: ignore[call-overload]
        (lambda: step(executor="process")(for_ever), ["step 'for_ever'", "'executor'", "not in a process"]),
        (lambda: App("a", retry=3), ["App 'a'", "'retry'", "3 is not a Retry"]),  # type: ignore[arg-type]
        (lambda: App("a").function(int, timeouts="1h")(takes_one), ["function 'a/takes_one'", "'timeouts'"]),  # type: ignore[arg-type]
        (lambda: App("a").function(int, retry=3)(takes_one), ["function 'a/takes_one'", "'retry'"]),  # type: ignore[arg-type]
        (lambda: Timeouts(step="later"), ["Timeouts", "'step'"]),
        (lambda: Timeouts(finish=0), ["Timeouts", "finish"]),
        (lambda: Retry(max_time=-1), ["Retry", "'max_time'"]),
        (lambda: Retry(on="ValueError"), ["Retry", "'on'", "ValueError"]),  # type: ignore[arg-type]
    ],
)
def test_a_limit_that_cannot_be_is_refused_where_it_is_written(declare: Any, names: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        declare()
    for name in names:
        assert name in str(caught.value)


def test_a_function_says_how_long_the_attempts_of_its_steps_may_take() -> None:
    app = App("a", timeouts=Timeouts(step="30s", finish="1h"))

    @app.function(int)
    async def own(ctx: Any) -> None: ...

    @app.function(int, timeouts=Timeouts(step="5s"))
    async def other(ctx: Any) -> None: ...

    assert own.timeouts == Timeouts(step="30s", finish="1h")
    assert (other.timeouts.step_ms, other.timeouts.finish_ms) == (5_000, 3_600_000)
