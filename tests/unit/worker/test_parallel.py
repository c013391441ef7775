"""Races, completion order and bounded maps inside a run: who wins, what becomes of the others, what is recorded."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

import pytest
from onward.errors import ConfigError, NonDeterminism, RunCancelled, StepFailed
from onward.host import Host
from onward.parallel import Completed, as_completed, race, run_each
from onward_protocol.messages import (
    CancelRequested,
    Due,
    Parked,
    RunFailed,
    Sleep,
    StepDone,
    TimerFired,
    WaitClosed,
    WaitOpened,
)
from onward_protocol.messages import RunCancelled as CancelledOutcome

from tests.support.paper_engine import PaperEngine, Program, call, finished, output_of, quiet, until


async def value(number: int) -> int:
    return number


async def broken() -> None:
    raise ValueError("no")


def step(host: Host, number: int, id: str = "s") -> Coroutine[Any, Any, int]:
    return host.step(call(value, number, id=id))


class Endless:
    """A step's body that only ends by being cancelled."""

    def __init__(self) -> None:
        self.began = 0
        self.cancelled = 0

    async def __call__(self) -> None:
        self.began += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


# -- race


async def test_the_first_wins_and_the_bodies_of_the_others_are_cancelled() -> None:
    endless = Endless()

    async def function(host: Host) -> list[object]:
        return list(await race({"slow": host.step(call(endless.__call__, id="slow")), "fast": step(host, 7)}))

    engine = PaperEngine(Program(function))
    run = engine.start()
    assert await finished(engine) == ["fast", 7]
    assert [type(entry) for entry in run.written] == [StepDone]
    assert (endless.began, endless.cancelled) == (1, 1)


async def test_a_replay_has_the_same_winner_and_starts_no_loser() -> None:
    endless = Endless()

    async def function(host: Host) -> str:
        winner = await race({"slow": host.step(call(endless.__call__, id="slow")), "fast": step(host, 7)})
        await host.wait("w", Sleep(1))
        return winner.name

    engine = PaperEngine(Program(function))
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    engine.restart()
    await quiet(engine)
    engine.wake(lambda pos: Due(pos, "w@0#0"), slot=True)
    assert await finished(engine) == "fast"
    assert endless.began == 1


async def test_the_waits_and_timers_of_the_losers_are_dropped() -> None:
    async def function(host: Host) -> None:
        await race({"wait": host.wait("long", Sleep(60_000)), "timer": asyncio.sleep(60), "step": step(host, 1)})
        await host.wait("next", Sleep(1))

    engine = PaperEngine(Program(function))
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    assert set(run.open) == {"next@0#0"}
    assert [type(entry) for entry in run.written] == [WaitOpened, StepDone, WaitClosed, WaitOpened]
    await engine.runner.close()


async def test_a_timer_can_win() -> None:
    async def function(host: Host) -> str:
        return (await race({"late": asyncio.sleep(0.001), "wait": host.wait("w", Sleep(60_000))})).name

    engine = PaperEngine(Program(function))
    run = engine.start()
    assert await finished(engine) == "late"
    assert [type(entry) for entry in run.written] == [WaitOpened, TimerFired, WaitClosed]


async def test_of_two_that_end_together_the_one_that_ended_first_wins() -> None:
    async def function(host: Host) -> str:
        opened = asyncio.Event()

        async def waiting() -> None:
            await opened.wait()

        async def opening() -> None:
            await step(host, 1)
            opened.set()

        return (await race({"waiting": waiting(), "opening": opening()})).name

    assert await output_of(function) == "opening"


async def test_the_error_of_the_first_is_raised_and_the_others_are_cancelled() -> None:
    endless = Endless()

    async def function(host: Host) -> str:
        try:
            await race({"slow": host.step(call(endless.__call__, id="slow")), "bad": host.step(call(broken, id="bad"))})
        except StepFailed as failed:
            return failed.message
        return "?"

    assert await output_of(function) == "no"
    assert endless.cancelled == 1


async def test_the_others_have_cleaned_up_when_the_winner_is_known() -> None:
    async def function(host: Host) -> list[str]:
        seen: list[str] = []

        async def tidy() -> None:
            try:
                await host.wait("w", Sleep(60_000))
            finally:
                await step(host, 2, "undo")
                seen.append("undone")

        winner = await race({"tidy": tidy(), "fast": step(host, 1)})
        return [*seen, winner.name]

    assert await output_of(function) == ["undone", "fast"]


async def test_what_a_loser_raises_while_it_cleans_up_is_reported_and_does_not_hide_the_winner(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def function(host: Host) -> str:
        async def clumsy() -> None:
            try:
                await host.wait("w", Sleep(60_000))
            finally:
                raise ValueError("clumsy")

        return (await race({"clumsy": clumsy(), "fast": step(host, 1)})).name

    assert await output_of(function) == "fast"
    gc.collect()
    assert "ValueError: clumsy" in caplog.text


async def test_a_shielded_loser_goes_on() -> None:
    async def function(host: Host) -> list[object]:
        fast, kept = asyncio.create_task(step(host, 1)), asyncio.create_task(step(host, 2))
        winner = await race({"kept": asyncio.shield(kept), "fast": fast})
        return [winner.name, await kept]

    assert await output_of(function) == ["fast", 2]


async def test_tasks_can_race_and_are_looked_at_afterwards() -> None:
    async def function(host: Host) -> list[object]:
        one, two = asyncio.create_task(step(host, 1)), asyncio.create_task(step(host, 2))
        winner = await race({"one": one, "two": two, "again": one})
        return [winner.name, one.result(), two.cancelled()]

    assert await output_of(function) == ["one", 1, True]


async def test_a_race_of_nobody_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"ctx\.race: it needs at least one awaitable"):
        await race({})


async def test_a_run_that_is_cancelled_in_a_race_cancels_everybody() -> None:
    seen: list[str] = []

    async def function(host: Host) -> None:
        async def racer(name: str) -> None:
            try:
                await host.wait(name, Sleep(60_000))
            finally:
                seen.append(name)

        try:
            await race({name: racer(name) for name in ("a", "b")})
        except RunCancelled:
            seen.append("race")
            raise

    engine = PaperEngine(Program(function))
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    engine.wake(lambda pos: CancelRequested(pos, 1_000, "tired"), slot=True)
    assert await finished(engine) == CancelledOutcome("tired")
    assert seen == ["a", "b", "race"]


async def test_an_evicted_race_leaves_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async def function(host: Host) -> None:
        await race({name: host.wait(name, Sleep(60_000)) for name in ("a", "b")})

    engine = PaperEngine(Program(function))
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    await engine.runner.close()
    assert set(run.open) == {"a@0.0#0", "b@0.1#0"}
    assert caplog.text == ""


# -- as_completed


async def test_what_ends_first_comes_first_on_a_replay_too() -> None:
    async def function(host: Host) -> list[str]:
        async def wait(name: str) -> str:
            await host.wait(name, Sleep(60_000))
            return name

        return [done.result() async for done in Completed(asyncio.create_task(wait(name)) for name in "abc")]

    engine = PaperEngine(Program(function))
    engine.start()
    await quiet(engine)
    engine.wake(lambda pos: Due(pos, "b@0.1#0"))
    engine.wake(lambda pos: Due(pos, "c@0.2#0"))
    engine.wake(lambda pos: Due(pos, "a@0.0#0"), slot=True)
    assert await finished(engine) == ["b", "c", "a"]
    engine.restart()
    assert await finished(engine) == ["b", "c", "a"]


async def test_a_failure_is_raised_where_its_result_is_taken_and_the_next_ones_still_come() -> None:
    async def function(host: Host) -> list[object]:
        tasks = [asyncio.create_task(one) for one in (host.step(call(broken, id="bad")), step(host, 1), step(host, 2))]
        ends = [done async for done in Completed(tasks)]
        return [type(done.exception()).__name__ if done.exception() else done.result() for done in ends]

    assert await output_of(function) == ["StepFailed", 1, 2]


async def test_after_a_break_the_rest_goes_on() -> None:
    async def function(host: Host) -> list[int]:
        tasks = [asyncio.create_task(step(host, number)) for number in (1, 2)]
        async for done in Completed(tasks):
            assert done is tasks[0]
            break
        return await asyncio.gather(*tasks)

    assert await output_of(function) == [1, 2]


async def test_whoever_stops_waiting_for_the_next_one_can_ask_again() -> None:
    async def function(host: Host) -> list[int]:
        ends = Completed([asyncio.create_task(step(host, 1))])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                assert (await anext(ends)).done()
        return [done.result() async for done in ends]

    assert await output_of(function) == [1]


async def test_a_set_of_coroutines_is_refused_and_a_set_of_tasks_is_not() -> None:
    async def function(host: Host) -> list[int]:
        tasks = {asyncio.create_task(step(host, number)) for number in range(3)}
        return [done.result() async for done in as_completed(tasks)]

    assert await output_of(function) == [0, 1, 2]
    coroutines = {value(number) for number in range(3)}
    with pytest.raises(NonDeterminism, match="give it a list"):
        as_completed(coroutines)
    for coroutine in coroutines:
        coroutine.close()


async def test_the_same_task_twice_comes_once_and_nothing_is_fine() -> None:
    async def function(host: Host) -> list[int]:
        task = asyncio.create_task(step(host, 1))
        nothing = [done async for done in Completed(list[asyncio.Task[int]]())]
        return [*(done.result() for done in nothing), *[done.result() async for done in Completed([task, task])]]

    assert await output_of(function) == [1]


# -- map


async def test_the_first_failure_of_a_map_cancels_the_rest_and_drops_their_waits() -> None:
    async def function(host: Host) -> None:
        async def one(number: int) -> None:
            await step(host, number)
            if number == 2:
                raise ValueError("two")
            await host.wait(f"w{number}", Sleep(60_000))

        try:
            await run_each(one, range(4), None)
        finally:
            await host.wait("last", Sleep(1))

    engine = PaperEngine(Program(function))
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    assert set(run.open) == {"last@0#0"}
    engine.wake(lambda pos: Due(pos, "last@0#0"), slot=True)
    outcome = await finished(engine)
    assert isinstance(outcome, RunFailed)
    assert (outcome.failure.type, outcome.failure.message) == ("ValueError", "two")


async def test_an_item_of_a_map_keeps_its_key_whatever_the_limit() -> None:
    keys: dict[int | None, list[str]] = {}
    for limit in (None, 1, 2):

        async def function(host: Host, limit: int | None = limit) -> None:
            async def one(number: int) -> str:
                await step(host, number)
                return host.key("k")

            keys[limit] = await run_each(one, range(3), limit)

        await output_of(function)
    assert keys[None] == keys[1] == keys[2] == ["k@0.0#0", "k@0.1#0", "k@0.2#0"]
