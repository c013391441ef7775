"""Keys are the same on every version of Python and on every loop: a run may go on where another version began it."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from onward.errors import NonDeterminism
from onward.host import Host
from onward.parallel import Completed, race, run_each
from onward_protocol.messages import RunFailed

from tests.support.paper_engine import output_of


async def key(host: Host) -> str:
    await asyncio.sleep(0)
    return host.key("k")


async def gathered(host: Host) -> list[str]:
    first = host.key("k")
    return [first, *await asyncio.gather(key(host), key(host)), host.key("k")]


async def grouped(host: Host) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(key(host)) for _ in range(2)]
    return [task.result() for task in tasks]


async def nested(host: Host) -> list[str]:
    return [*await asyncio.gather(grouped(host), grouped(host)), await key(host)]  # type: ignore[list-item]


async def waited_for(host: Host) -> list[str]:
    return [await asyncio.wait_for(key(host), 5), host.key("k"), *await asyncio.wait_for(gathered(host), 5)]


async def waited_for_nothing(host: Host) -> list[str]:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(key(host), 0)
    return [await asyncio.create_task(key(host))]


async def shielded(host: Host) -> list[str]:
    return [await asyncio.shield(key(host)), await key(host)]


async def timed(host: Host) -> list[str]:
    async with asyncio.timeout(5):
        return [await key(host)]


async def raced(host: Host) -> list[str]:
    done, _ = await asyncio.wait([asyncio.create_task(key(host)) for _ in range(12)])
    return [task.result() for task in done]


async def raced_by_name(host: Host) -> list[str]:
    winner = await race({name: gathered(host) for name in ("a", "b")})
    return [winner.name, *winner.value, host.key("k")]


async def completed(host: Host) -> list[str]:
    return [done.result() async for done in Completed(asyncio.ensure_future(key(host)) for _ in range(3))]


async def mapped(host: Host) -> list[str]:
    return await run_each(lambda _: key(host), range(3), 2)


GOLDEN: list[tuple[Callable[[Host], Awaitable[Any]], list[Any]]] = [
    (gathered, ["k@0#0", "k@0.0#0", "k@0.1#0", "k@0#1"]),
    (grouped, ["k@0.0#0", "k@0.1#0"]),
    (nested, [["k@0.0.0#0", "k@0.0.1#0"], ["k@0.1.0#0", "k@0.1.1#0"], "k@0#0"]),
    (waited_for, ["k@0#0", "k@0#1", "k@0#2", "k@0.0#0", "k@0.1#0", "k@0#3"]),
    (waited_for_nothing, ["k@0.0#0"]),
    (shielded, ["k@0.0#0", "k@0#0"]),
    (timed, ["k@0#0"]),
    (raced_by_name, ["a", "k@0.0#0", "k@0.0.0#0", "k@0.0.1#0", "k@0.0#1", "k@0#0"]),
    (completed, ["k@0.0#0", "k@0.1#0", "k@0.2#0"]),
    (mapped, ["k@0.0#0", "k@0.1#0", "k@0.2#0"]),
]


def runners() -> list[Any]:
    found: list[Any] = [pytest.param(asyncio.run, id="asyncio")]
    try:
        import uvloop
    except ImportError:
        return found
    return [*found, pytest.param(uvloop.run, id="uvloop")]


@pytest.mark.parametrize("run", runners())
@pytest.mark.parametrize(("function", "keys"), GOLDEN, ids=lambda value: getattr(value, "__name__", ""))
def test_keys_are_golden(run: Callable[..., Any], function: Any, keys: list[Any]) -> None:
    assert run(output_of(function)) == keys


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@pytest.mark.parametrize(("function", "keys"), GOLDEN, ids=lambda value: getattr(value, "__name__", ""))
def test_eager_tasks_have_the_same_keys(function: Any, keys: list[Any]) -> None:
    async def main() -> Any:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - not in 3.11
        return await output_of(function)

    if function is waited_for_nothing:
        pytest.skip("the child runs before it can be cancelled")
    assert asyncio.run(main()) == keys


def test_sets_of_tasks_iterate_alike_in_every_run() -> None:
    assert asyncio.run(output_of(raced)) == asyncio.run(output_of(raced))


async def test_timers_of_wait_for_and_timeout_have_the_keys_of_their_branch() -> None:
    async def function(host: Host) -> list[str]:
        await asyncio.wait_for(asyncio.sleep(0), 5)
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return [host.key("timer")]

    assert await output_of(function) == ["timer@0#2"]


async def test_as_completed_of_coroutines_is_refused_and_ours_is_named() -> None:
    async def function(host: Host) -> None:
        for next_one in asyncio.as_completed([key(host)]):
            await next_one

    outcome = await output_of(function)
    assert isinstance(outcome, RunFailed)
    assert outcome.failure.type == NonDeterminism.__name__
    assert "ctx.as_completed" in outcome.failure.message


async def test_as_completed_of_tasks_is_not() -> None:
    async def function(host: Host) -> list[str]:
        tasks = [asyncio.create_task(key(host)) for _ in range(3)]
        return [await next_one for next_one in asyncio.as_completed(tasks)]

    assert len(await output_of(function)) == 3


async def test_a_task_made_in_a_callback_is_refused() -> None:
    async def function(host: Host) -> str:
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[str] = loop.create_future()

        def callback() -> None:
            try:
                loop.create_task(key(host)).cancel()
            except NonDeterminism as error:
                seen.set_result(error.message)

        loop.call_soon(callback)
        return await seen

    assert "callback" in await output_of(function)


async def test_a_thread_with_the_runs_context_cannot_make_durable_calls() -> None:
    async def function(host: Host) -> str:
        def blocking() -> None:
            host.block(lambda: key(host))

        try:
            await asyncio.to_thread(blocking)
        except Exception as error:  # noqa: BLE001 - shown by the test
            return type(error).__name__
        return "allowed"

    assert await output_of(function) == "OnwardError"


async def test_tasks_outside_of_runs_are_the_loops_own() -> None:
    async def function(host: Host) -> None: ...

    await output_of(function)
    task = asyncio.get_running_loop().create_task(asyncio.sleep(0))
    assert type(task) is asyncio.Task
    await task
