"""Steps that begin where the code asks for them: what is won, and that nobody can tell."""

import asyncio
import gc
from collections.abc import Callable, Generator
from typing import Any

from onward.attempt import current_step
from onward.checkpoint import Checkpoint
from onward.config import Retry
from onward.host import Host
from onward.run.course import Course
from onward.run.residence import Residence
from onward_protocol.messages import RunCancelled, StepDone

from tests.support.paper_engine import PaperEngine, Program, call, finished, until

Code = Callable[[Host], Any]


async def one() -> int:
    return 1


async def outcome_of(code: Code, checkpoint: Checkpoint = Checkpoint.PIPELINED) -> Any:
    engine = PaperEngine(Program(code, checkpoint=checkpoint))
    engine.start()
    return await finished(engine)


async def turns_of(code: Code) -> int:
    """How many turns of the loop the code lasts, after the one that it begins in."""
    turns = 0

    async def function(host: Host) -> int:
        before = turns
        await code(host)
        return turns - before

    engine = PaperEngine(Program(function, checkpoint=Checkpoint.PIPELINED), clock_ms=lambda: 0)
    engine.start()
    while engine.runs["run_1"].outcome is None:
        turns += 1
        await asyncio.sleep(0)
    found: int = await finished(engine)
    return found


async def test_a_lone_step_that_does_not_wait_takes_no_turn_of_the_loop() -> None:
    async def code(host: Host) -> None:
        assert [await host.step(call(one)) for _ in range(8)] == [1] * 8

    assert await turns_of(code) == 0


async def test_the_loop_turns_at_least_once_in_a_window() -> None:
    async def code(host: Host) -> None:
        for _ in range(64):
            await host.step(call(one))

    assert await turns_of(code) >= 4


async def test_the_loop_turns_when_steps_take_time() -> None:
    now_ms, turns = 0, 0

    async def slow() -> int:
        nonlocal now_ms
        now_ms += 2
        return turns

    async def code(host: Host) -> bool:
        return len({await host.step(call(slow)) for _ in range(4)}) > 1

    engine = PaperEngine(Program(code, checkpoint=Checkpoint.PIPELINED), clock_ms=lambda: now_ms)
    engine.start()
    while engine.runs["run_1"].outcome is None:
        turns += 1
        await asyncio.sleep(0)
    assert await finished(engine) is True


async def test_a_body_has_a_task_of_its_own_from_its_first_line_on() -> None:
    async def body(asker: int) -> bool:
        mine = asyncio.current_task()
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        return asyncio.current_task() is mine and id(mine) != asker

    async def code(host: Host) -> bool:
        me = asyncio.current_task()
        is_own = await host.step(call(body, id(me)))
        return is_own and asyncio.current_task() is me

    assert await outcome_of(code) is True


async def test_a_body_that_waits_or_fails_goes_on_as_any_other() -> None:
    attempts: list[int] = []

    async def body() -> int:
        attempts.append(current_step().attempt)
        if len(attempts) > 1:
            await asyncio.sleep(0)
        if len(attempts) < 3:
            raise ValueError("no")
        return 7

    async def code(host: Host) -> int:
        found: int = await host.step(call(body, retry=Retry(attempts=3, backoff=0.001, jitter=0)))
        return found

    assert await outcome_of(code) == 7
    assert attempts == [1, 2, 3]


async def test_a_task_that_has_still_to_hear_of_its_cancellation_starts_nothing() -> None:
    ran: list[int] = []

    async def body() -> None:
        ran.append(1)

    async def code(host: Host) -> str:
        me = asyncio.current_task()
        assert me is not None
        me.cancel()
        try:
            await host.step(call(body))
        except asyncio.CancelledError:
            me.uncancel()
        return "cancelled"

    assert await outcome_of(code) == "cancelled"
    assert ran == []


class Both:
    """Drives two coroutines in one task, as libraries with a scheduler of their own do."""

    def __init__(self, *coros: Any) -> None:
        self._coros = coros

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        waiting = [(coro, coro.send(None)) for coro in self._coros]
        found: list[Any] = []
        for coro, wanted in waiting:
            yield wanted
            try:
                coro.send(None)
            except StopIteration as end:
                found.append(end.value)
        return found


async def test_coroutines_that_are_driven_by_hand_both_ask_before_one_begins() -> None:
    order: list[str] = []

    async def body(name: str) -> str:
        order.append(f"body {name}")
        return name

    async def ask(host: Host, name: str) -> str:
        order.append(f"ask {name}")
        found: str = await host.step(call(body, name))
        return found

    async def code(host: Host) -> list[Any]:
        return await Both(ask(host, "a"), ask(host, "b"))

    assert await outcome_of(code) == ["a", "b"]
    assert order[:2] == ["ask a", "ask b"]


async def test_what_a_body_wakes_in_its_run_goes_on_before_its_result_is_there() -> None:
    order: list[str] = []

    async def code(host: Host) -> None:
        woken = asyncio.Event()

        async def body() -> None:
            woken.set()

        async def waiting() -> None:
            await woken.wait()
            order.append("woken")

        task = asyncio.create_task(waiting())
        await asyncio.sleep(0)
        await host.step(call(body))
        order.append("result")
        await task

    await outcome_of(code)
    assert order == ["woken", "result"]


async def test_a_large_result_waits_for_no_other_one() -> None:
    async def large() -> bytes:
        return bytes(1_000)

    async def code(host: Host) -> None:
        for _ in range(5):
            await host.step(call(large))

    engine = PaperEngine(Program(code, checkpoint=Checkpoint.PIPELINED))
    run = engine.start()
    await finished(engine)
    assert len(run.segments) >= 5
    assert all(isinstance(entry, StepDone) for entry in run.written)


async def test_a_run_that_is_over_needs_no_garbage_collector() -> None:
    async def code(host: Host) -> None:
        await asyncio.gather(*(host.step(call(one)) for _ in range(3)))
        await host.step(call(one))

    engine = PaperEngine(Program(code, checkpoint=Checkpoint.PIPELINED))
    gc.collect()
    gc.disable()
    try:
        engine.start()
        await until(lambda: engine.runs["run_1"].outcome is not None and engine.runner.free == engine.slots)
        await asyncio.sleep(0)
        assert not [found for found in gc.get_objects() if isinstance(found, Course | Residence)]
    finally:
        gc.enable()
    await engine.runner.close()


async def test_what_a_run_has_left_behind_can_still_ask_and_is_told_that_it_is_over() -> None:
    hosts: list[Host] = []

    async def code(host: Host) -> None:
        hosts.append(host)
        await host.step(call(one))

    engine = PaperEngine(Program(code))
    run = engine.start()
    await finished(engine)
    assert not isinstance(run.outcome, RunCancelled)
    assert hosts[0].leaving
    hosts[0].show(b"\x01")
    assert hosts[0].now_ms() > 0
