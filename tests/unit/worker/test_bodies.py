"""Steps: attempts, delays, and what their bodies may not do."""

import asyncio
import gc
import threading
from functools import partial
from random import Random
from typing import Any

import pytest
from onward.checkpoint import Checkpoint
from onward.config import Retry
from onward.errors import NonRetryable, RetryAfter, StepFailed, StepInsideStep
from onward.host import Host
from onward.run.bodies import Step
from onward.run.course import Course
from onward_protocol.messages import (
    AttemptFailed,
    Due,
    Parked,
    RunFailed,
    Sleep,
    StepDone,
    WaitClosed,
    WorkerLosses,
)
from onward_protocol.messages import StepFailed as FailedEntry

from tests.support.loop import VirtualLoop
from tests.support.paper_engine import PaperEngine, Program, call, finished, output_of, quiet, until

FAST = Retry(attempts=3, backoff=0.001, factor=1, jitter=0)


async def passing() -> None: ...


def failing(times: int, error: Exception | None = None) -> Any:
    """Return a body that fails so many times."""
    left = iter([True] * times)

    async def body() -> str:
        if next(left, False):
            raise error or ValueError("no")
        return "done"

    return body


def step_of(body: Any, **options: Any) -> Program:
    async def function(host: Host) -> Any:
        try:
            return await host.step(call(body, id="s", **options))
        except StepFailed as error:
            return [error.type, error.attempts]

    return Program(function)


async def test_a_failed_attempt_is_repeated_in_process() -> None:
    engine = PaperEngine(step_of(failing(2), retry=FAST))
    run = engine.start()
    assert await finished(engine) == "done"
    assert [type(entry) for entry in run.written] == [AttemptFailed, AttemptFailed, StepDone]
    assert run.written[-1].attempts == 3  # type: ignore[union-attr]


async def test_the_last_attempt_fails_the_step_with_its_error() -> None:
    engine = PaperEngine(step_of(failing(9), retry=FAST))
    engine.start()
    assert await finished(engine) == ["ValueError", 3]


async def test_some_errors_are_not_tried_again() -> None:
    engine = PaperEngine(step_of(failing(9, NonRetryable("wrong address")), retry=FAST))
    engine.start()
    assert await finished(engine) == ["NonRetryable", 1]


class _Unjudged(type):
    """A class whose instances nobody can tell: `isinstance` raises."""

    def __instancecheck__(cls, instance: object) -> bool:
        raise TypeError("who knows?")


class Unjudged(Exception, metaclass=_Unjudged): ...


async def test_a_run_fails_if_nobody_can_say_what_follows_an_attempt() -> None:
    engine = PaperEngine(step_of(failing(9), retry=Retry(attempts=3, on=(Unjudged,))))
    run = engine.start()
    await until(lambda: run.outcome)
    assert isinstance(run.outcome, RunFailed)
    assert "what follows attempt 1 of step 's' failed: TypeError('who knows?')" in run.outcome.failure.message
    await until(lambda: engine.runner.free == engine.slots)


async def test_a_run_fails_if_its_result_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(course: Course, entry: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Course, "_record", record)
    engine = PaperEngine(step_of(passing))
    run = engine.start()
    await until(lambda: run.outcome)
    assert isinstance(run.outcome, RunFailed)
    assert "no room" in run.outcome.failure.message
    await until(lambda: engine.runner.free == engine.slots)


async def test_attempts_count_over_crashes() -> None:
    slow = Retry(attempts=2, backoff=3, factor=1, jitter=0)
    engine = PaperEngine(step_of(failing(9), retry=slow))
    run = engine.start()
    await quiet(engine)
    assert [type(entry) for entry in run.written] == [AttemptFailed]
    old = engine.runner
    engine.restart()
    await old.close()
    assert await finished(engine) == ["ValueError", 2]


async def test_a_long_delay_is_durable_and_the_run_parks() -> None:
    engine = PaperEngine(step_of(failing(1, RetryAfter(60)), retry=FAST))
    run = engine.start()
    await quiet(engine)
    assert run.outcome == Parked()
    assert run.open == {"s@0#0!1": Sleep(60_000)}
    assert len(run.segments) == 1
    engine.wake(lambda pos: Due(pos, "s@0#0!1"), slot=True)
    assert await finished(engine) == "done"
    engine.restart()
    assert await finished(engine) == "done"


async def test_a_long_delay_that_is_under_way_is_waited_for_after_a_crash() -> None:
    engine = PaperEngine(step_of(failing(1, RetryAfter(60)), retry=FAST))
    run = engine.start()
    await quiet(engine)
    old = engine.runner
    engine.restart()
    await old.close()
    await quiet(engine)
    assert run.outcome == Parked()
    engine.wake(lambda pos: Due(pos, "s@0#0!1"), slot=True)
    assert await finished(engine) == "done"


async def test_a_step_that_is_cancelled_during_its_delay_closes_it() -> None:
    async def function(host: Host) -> str:
        task = asyncio.create_task(host.step(call(failing(1, RetryAfter(60)), id="s", retry=FAST)))
        await host.wait("w", Sleep(1))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return "over"

    engine = PaperEngine(Program(function))
    run = engine.start()
    await quiet(engine)
    engine.wake(lambda pos: Due(pos, "w@0#0"), slot=True)
    assert await finished(engine) == "over"
    assert WaitClosed("s@0.0#0!1") in run.written
    assert run.open == {}


async def test_the_step_in_flight_fails_when_its_worker_died_too_often() -> None:
    engine = PaperEngine(step_of(failing(0)))
    run = engine.start()
    run.write(lambda pos: WorkerLosses(pos, 5))
    old = engine.runner
    engine.restart()
    await old.close()
    assert await finished(engine) == ["WorkerLost", 1]
    assert [type(entry) for entry in run.written] == [FailedEntry]


async def test_a_loss_is_charged_to_the_step_in_flight_and_not_to_the_ones_behind_it() -> None:
    async def function(host: Host) -> list[Any]:
        failed: list[str] = []
        for name in ("first", "second"):
            try:
                await host.step(call(failing(0), id=name))
            except StepFailed as error:
                failed.append(f"{name} {error.type}")
        return failed

    engine = PaperEngine(Program(function))
    run = engine.start()
    run.write(lambda pos: WorkerLosses(pos, 5))
    old = engine.runner
    engine.restart()
    await old.close()
    assert await finished(engine) == ["first WorkerLost"]


async def test_a_loss_is_charged_once() -> None:
    engine = PaperEngine(step_of(failing(0), retry=Retry(attempts=3, backoff=3, factor=1, jitter=0)))
    run = engine.start()
    run.write(lambda pos: WorkerLosses(pos, 5))
    for _ in range(2):
        old = engine.runner
        engine.restart()
        await old.close()
        await quiet(engine)
    assert await finished(engine) == "done"
    assert [type(entry) for entry in run.written] == [AttemptFailed, StepDone]


async def test_an_unencodable_result_fails_the_attempt_with_the_steps_name() -> None:
    async def body() -> Any:
        return object()

    engine = PaperEngine(step_of(body))
    engine.start()
    assert await finished(engine) == ["CodecError", 1]


async def test_a_result_that_is_too_large_names_the_step_and_is_not_tried_again() -> None:
    async def body() -> bytes:
        return b"x" * 100

    engine = PaperEngine(step_of(body, retry=FAST), output_bytes_max=50)
    run = engine.start()
    assert await finished(engine) == ["PayloadTooLarge", 1]
    failed = run.written[0]
    assert isinstance(failed, FailedEntry)
    assert "'s' has 102 bytes; 50 are allowed" in failed.failure.message


async def test_a_stray_cancellation_is_a_failure_of_the_attempt() -> None:
    async def body() -> None:
        raise asyncio.CancelledError

    engine = PaperEngine(step_of(body))
    engine.start()
    assert await finished(engine) == ["CancelledError", 1]


@pytest.mark.parametrize("executor", ["loop", "thread"])
async def test_leaving_the_process_is_a_failure_of_the_attempt(executor: str) -> None:
    def body() -> None:
        raise SystemExit(3)

    engine = PaperEngine(step_of(body, executor=executor))
    engine.start()
    assert await finished(engine) == ["SystemExit", 1]


async def test_leaving_the_process_in_the_function_fails_the_run() -> None:
    async def function(host: Host) -> None:
        raise SystemExit(3)

    outcome = await output_of(function)
    assert isinstance(outcome, RunFailed)
    assert "sys.exit" in outcome.failure.message


async def test_a_durable_call_inside_a_body_is_refused() -> None:
    async def function(host: Host) -> str:
        async def body() -> str:
            with pytest.raises(StepInsideStep):
                await host.step(call(failing(0)))
            with pytest.raises(StepInsideStep):
                await asyncio.create_task(host.wait("w", Sleep(1)))
            return "refused"

        return str(await host.step(call(body)))

    assert await output_of(function) == "refused"


async def test_a_sync_body_runs_in_a_thread_of_its_own_pool() -> None:
    def body() -> str:
        return threading.current_thread().name

    engine = PaperEngine(step_of(body))
    engine.start()
    assert (await finished(engine)).startswith("step")


async def test_a_sync_body_that_returns_an_awaitable_is_awaited() -> None:
    async def inner() -> int:
        return 5

    engine = PaperEngine(step_of(partial(inner), executor="thread"))
    engine.start()
    assert await finished(engine) == 5


async def test_a_body_sees_the_context_variables_of_its_caller() -> None:
    from contextvars import ContextVar

    tenant: ContextVar[str] = ContextVar("tenant", default="nobody")

    async def function(host: Host) -> list[Any]:
        tenant.set("ann")

        async def body() -> str:
            return tenant.get()

        return [await host.step(call(body)), await host.step(call(tenant.get, id="sync"))]

    assert await output_of(function) == ["ann", "ann"]


async def test_a_cancelled_sync_body_runs_on_and_keeps_the_slot_until_it_ends() -> None:
    release, began = threading.Event(), threading.Event()

    def body() -> None:
        began.set()
        release.wait(10)

    async def function(host: Host) -> str:
        async with asyncio.timeout(0.02):
            await host.step(call(body))
        return "not reached"

    engine = PaperEngine(Program(function), slots=1)
    engine.start()
    outcome = await finished(engine)
    assert isinstance(outcome, RunFailed)
    assert outcome.failure.type == "TimeoutError"
    assert began.is_set()
    await quiet(engine)
    assert engine.runner.free == 0
    release.set()
    await until(lambda: engine.runner.free)


def test_a_body_that_was_about_to_start_when_the_run_was_sealed_does_not() -> None:
    ran: list[int] = []

    async def function(host: Host) -> None:
        async def body() -> None:
            ran.append(1)

        await host.step(call(body))

    async def main() -> None:
        engine = PaperEngine(Program(function))
        engine.start()
        while not engine.runner._runs["run_1"].course.bodies:  # noqa: ASYNC110 - until their tasks are made
            await asyncio.sleep(0)
        await engine.runner.close()

    loop = VirtualLoop(Random(1))
    loop.run_until_complete(main())
    loop.close()
    assert ran == []


async def test_a_barrier_is_durable_before_and_after() -> None:
    order: list[str] = []

    async def function(host: Host) -> None:
        async def note(name: str) -> None:
            order.append(name)

        await host.step(call(note, "before"))
        await host.step(call(note, "charge", id="charge", barrier=True))
        await host.step(call(note, "after", id="after"))

    engine = PaperEngine(Program(function, checkpoint=Checkpoint.PIPELINED), auto=False)
    engine.start()
    for expected in (["before"], ["before", "charge"], ["before", "charge", "after"]):
        await quiet(engine)
        assert order == expected
        engine.store()
    await quiet(engine)
    await engine.runner.close()


async def test_steps_that_have_ended_need_no_garbage_collector() -> None:
    left: list[int] = []

    async def function(host: Host) -> None:
        for _ in range(20):
            await host.step(call(passing))
        left.append(sum(isinstance(one, Step) for one in gc.get_objects()))

    gc.collect()
    gc.disable()
    try:
        engine = PaperEngine(Program(function))
        engine.start()
        await finished(engine)
    finally:
        gc.enable()
    assert left[0] <= 2
