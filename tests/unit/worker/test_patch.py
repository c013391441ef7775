"""Changed code and runs in flight: which of them take the new way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from onward.config import Retry
from onward.errors import ConfigError
from onward.host import Host
from onward.patch import Patch
from onward_protocol.messages import Due, Parked, Patched, Sleep, StepDone

from tests.support.paper_engine import PaperEngine, Program, call, finished, until

Code = Callable[[Host], Awaitable[Any]]


async def new_way() -> str:
    return "new"


async def old_way() -> str:
    return "old"


def version(code: Code) -> Program:
    """Return the function with this code: in all its versions it has one name."""
    code.__code__ = code.__code__.replace(co_qualname="function")
    return Program(code)


async def before(host: Host) -> str:
    """The code before the change: a step, a sleep, a step."""
    first = await host.step(call(old_way, id="first"))
    await host.wait("nap", Sleep(1_000))
    return f"{first}, {await host.step(call(old_way, id='second'))}"


async def after(host: Host) -> str:
    """The code after it: the first step became another one."""
    if await host.patch("change"):
        first = await host.step(call(new_way, id="first-again"))
    else:
        first = await host.step(call(old_way, id="first"))
    await host.wait("nap", Sleep(1_000))
    return f"{first}, {await host.step(call(old_way, id='second'))}"


async def parked(code: Code) -> PaperEngine:
    engine = PaperEngine(version(code))
    run = engine.start()
    await until(lambda: run.outcome == Parked())
    return engine


async def wake(engine: PaperEngine, code: Code | None = None) -> Any:
    """Continue the run, on another worker that has `code`; return its result."""
    if code is not None:
        engine.runs["run_1"].write(lambda pos: Due(pos, "nap@0#0"))
        return await continued(engine, code)
    engine.wake(lambda pos: Due(pos, "nap@0#0"), slot=True)
    return await finished(engine)


async def continued(engine: PaperEngine, code: Code) -> Any:
    """Continue the run on another worker that has `code`; return its result."""
    engine.programs["app/fn"] = version(code)  # type: ignore[index]  # a dict in this test
    engine.restart()
    return await finished(engine)


async def test_a_new_run_takes_the_new_way_and_says_so_once() -> None:
    engine = await parked(after)
    assert await wake(engine) == "new, old"
    marks = [entry for entry in engine.runs["run_1"].written if isinstance(entry, Patched)]
    assert marks == [Patched("patch:change", is_on=True)]


async def test_a_replay_takes_the_way_that_was_taken() -> None:
    assert await wake(await parked(after), after) == "new, old"


async def test_a_run_that_had_gone_on_from_there_keeps_to_the_old_way() -> None:
    engine = await parked(before)
    assert await wake(engine, after) == "old, old"
    assert not any(isinstance(entry, Patched) for entry in engine.runs["run_1"].written)


async def test_a_run_that_waits_behind_the_change_has_gone_on_from_there() -> None:
    async def waited(host: Host) -> str:
        await host.wait("nap", Sleep(1_000))
        await host.wait("other", Sleep(9_000))
        return "?"

    async def changed(host: Host) -> str:
        await host.wait("nap", Sleep(1_000))
        return f"new: {await host.patch('change')}"

    engine = await parked(waited)
    run = engine.runs["run_1"]
    engine.wake(lambda pos: Due(pos, "nap@0#0"), slot=True)
    await until(lambda: "other@0#0" in run.open)
    assert await continued(engine, changed) == "new: False"


async def test_a_task_at_the_change_learns_from_what_another_one_is_woken_by() -> None:
    async def waited(host: Host) -> None:
        await asyncio.gather(host.wait("nap", Sleep(1_000)), host.wait("other", Sleep(9_000)))

    async def changed(host: Host) -> str:
        is_new = asyncio.create_task(host.patch("change"))
        await host.wait("nap", Sleep(1_000))
        return f"new: {await is_new}"

    assert await wake(await parked(waited), changed) == "new: False"


async def test_the_first_answer_holds_at_every_place_of_the_name() -> None:
    async def twice(host: Host) -> list[bool]:
        one = await host.patch("change")
        await host.step(call(old_way, id="first"))
        await host.wait("nap", Sleep(1_000))
        return [one, await host.patch("change"), await host.patch("another")]

    assert await wake(await parked(before), twice) == [False, False, True]


async def test_tasks_that_ask_at_once_get_the_same_answer() -> None:
    async def code(host: Host) -> list[bool]:
        impatient = asyncio.create_task(host.patch("change"))
        asking = asyncio.gather(host.patch("change"), host.patch("change"))
        await asyncio.sleep(0)
        impatient.cancel()
        await host.wait("nap", Sleep(1_000))
        return [*await asking]

    assert await wake(await parked(code), code) == [True, True]


async def test_a_change_that_every_run_has_passed_can_be_taken_out() -> None:
    async def finally_new(host: Host) -> str:
        first = await host.step(call(new_way, id="first-again"))
        await host.wait("nap", Sleep(1_000))
        return f"{first}, {await host.step(call(old_way, id='second'))}"

    began = asyncio.get_running_loop().time()
    assert await wake(await parked(after), finally_new) == "new, old"
    assert asyncio.get_running_loop().time() - began < 0.9, "nothing was waited for"


async def test_a_run_that_failed_before_it_had_recorded_anything_decides_anew() -> None:
    release = asyncio.Event()

    async def hangs() -> str:
        await release.wait()
        return "old"

    async def running(host: Host) -> str:
        return str(await host.step(call(hangs, id="first")))

    engine = PaperEngine(version(running))
    engine.start()
    await until(engine.runner.held)
    engine.programs["app/fn"] = version(after)  # type: ignore[index]  # a dict in this test
    engine.restart()
    await until(lambda: engine.runs["run_1"].outcome == Parked())
    assert await wake(engine) == "new, old"


@pytest.mark.parametrize("backoff", [3, 60])
async def test_a_failed_attempt_behind_the_change_shows_the_old_way(backoff: int) -> None:
    attempts: list[None] = []

    async def fails_once() -> str:
        attempts.append(None)
        if len(attempts) == 1:
            raise ValueError
        return "old"

    async def old(host: Host) -> str:
        retry = Retry(attempts=2, backoff=backoff, jitter=0)
        return str(await host.step(call(fails_once, id="first", retry=retry)))

    async def new(host: Host) -> str:
        return "new" if await host.patch("change") else await old(host)

    engine = PaperEngine(version(old))
    run = engine.start()
    await until(lambda: run.written)
    if backoff > 5:  # a durable wait; a shorter one is in memory
        await until(lambda: run.outcome == Parked())
        run.write(lambda pos: Due(pos, "first@0#0!1"))
    assert await continued(engine, new) == "old"


async def test_the_mark_travels_before_what_rests_on_it() -> None:
    engine = await parked(after)
    kinds = [type(entry) for entry in engine.runs["run_1"].written]
    assert kinds.index(Patched) < kinds.index(StepDone)


def test_an_answer_that_is_not_awaited_is_neither_true_nor_false() -> None:
    async def answer() -> bool:
        return True

    with pytest.raises(ConfigError, match=r"ctx\.patch\('change'\) is asked without `await`"):
        bool(Patch("change", answer()))
