"""Time, order and errors of the virtual loop."""

import asyncio
import contextlib
import os
import random
import secrets
import signal
import threading
import time
import uuid
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from tests.support import Deadlock, Endless, Network, VirtualLoop, simulate

T = TypeVar("T")


def run(coro: Coroutine[Any, Any, T], *, seed: int = 0, shuffle: bool = False) -> T:
    return simulate(lambda _: coro, seed=seed, shuffle=shuffle)


def virtual_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def test_thirty_days_pass_in_no_time() -> None:
    async def main() -> tuple[float, float]:
        before_s, wall_s = virtual_loop().time(), time.time()
        await asyncio.sleep(30 * 86_400)
        return virtual_loop().time() - before_s, time.time() - wall_s

    started_s = time.perf_counter()
    assert run(main()) == (30 * 86_400, 30 * 86_400)
    assert time.perf_counter() - started_s < 1


def test_a_deadline_far_away_is_met_exactly() -> None:
    async def main() -> float:
        loop = virtual_loop()
        deadline_s = loop.time() + 10 * 365 * 86_400 + 0.1
        await asyncio.sleep(deadline_s - loop.time())
        return loop.time() - deadline_s

    assert run(main()) == 0


def test_timers_of_one_moment_fire_in_the_order_they_were_set() -> None:
    assert run(order_of_timers(20)) == list(range(20))


def test_a_shuffled_loop_fires_timers_of_one_moment_in_an_order_given_by_the_seed() -> None:
    orders = [run(order_of_timers(20), seed=seed, shuffle=True) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(20))


async def order_of_timers(count: int) -> list[int]:
    fired: list[int] = []
    when = virtual_loop().time() + 1
    for number in range(count):
        virtual_loop().call_at(when, fired.append, number)
    await asyncio.sleep(2)
    return fired


def test_a_shuffled_loop_mixes_ready_tasks_but_never_callbacks() -> None:
    async def main() -> tuple[list[int], list[int]]:
        stepped: list[int] = []
        called: list[int] = []

        async def step(number: int) -> None:
            stepped.append(number)

        tasks = [asyncio.create_task(step(number)) for number in range(20)]
        for number in range(20):
            virtual_loop().call_soon(called.append, number)
        await asyncio.wait(tasks)
        return stepped, called

    stepped, called = run(main(), shuffle=True)
    assert called == list(range(20)) != stepped
    assert sorted(stepped) == called


def test_yielding_once_lets_earlier_callbacks_run_in_a_shuffled_loop_too() -> None:
    async def step(seen: list[bool]) -> None:
        done: list[bool] = []
        virtual_loop().call_soon(done.append, True)
        await asyncio.sleep(0)
        seen.append(bool(done))

    async def main() -> list[bool]:
        seen: list[bool] = []
        await asyncio.gather(*(step(seen) for _ in range(30)))
        return seen

    assert run(main(), shuffle=True) == [True] * 30


def test_a_task_group_cancels_its_tasks_in_the_same_order_every_time() -> None:
    async def child(number: int, ended: list[int]) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(number)

    async def main() -> list[int]:
        ended: list[int] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1), asyncio.TaskGroup() as group:
                for number in range(50):
                    group.create_task(child(number, ended))
        return ended

    assert run(main()) == list(range(50))


def test_a_deadlock_is_an_error_that_says_who_waits_where() -> None:
    async def forgotten() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(forgotten(), name="left behind")

    with pytest.raises(Deadlock, match=r"left behind: .*forgotten at .*locks\.py:\d+"):
        run(main())


def test_polling_for_ever_is_an_error() -> None:
    async def main(_: Network) -> None:
        while True:  # noqa: ASYNC110 - the fault to be found
            await asyncio.sleep(0.1)

    with pytest.raises(Endless, match="main"):
        simulate(main, passes_max=1_000)


def test_an_error_carries_the_seed_that_produced_it() -> None:
    async def main() -> None:
        raise ValueError("found")

    with pytest.raises(ValueError, match="found") as caught:
        run(main(), seed=4711)
    assert "seed=4711" in caught.value.__notes__[-1]


def test_a_task_that_failed_unseen_fails_the_simulation() -> None:
    async def fail() -> None:
        raise ValueError("nobody looks")

    async def main() -> None:
        asyncio.create_task(fail(), name="unseen").add_done_callback(lambda _: None)
        await asyncio.sleep(1)

    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="nobody looks")):
        run(main())


def test_a_callback_that_failed_fails_the_simulation() -> None:
    async def main() -> None:
        virtual_loop().call_soon([].pop)
        await asyncio.sleep(1)

    with pytest.RaisesGroup(IndexError):
        run(main())


def test_tasks_left_over_are_cancelled_oldest_first() -> None:
    ended: list[str] = []

    async def linger(name: str) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(60)
            ended.append(name)

    async def main() -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(linger(name)) for name in ("first", "second")]
        await asyncio.sleep(0)
        return tasks

    assert all(task.cancelled() for task in run(main()))
    assert ended == ["first", "second"]


def test_a_task_that_ignores_its_cancellation_is_an_error() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        asyncio.create_task(stubborn(), name="stubborn").add_done_callback(lambda _: None)
        await asyncio.sleep(0)

    with pytest.raises(Deadlock, match="ignored its cancellation"):
        run(main())


def test_randomness_repeats_with_the_seed_and_returns_to_what_it_was() -> None:
    async def main() -> tuple[object, ...]:
        return random.random(), secrets.token_bytes(4), os.urandom(4), uuid.uuid4()

    state = random.getstate()
    assert run(main(), seed=1) == run(main(), seed=1)
    assert not set(run(main(), seed=1)) & set(run(main(), seed=2))
    assert random.getstate() == state
    assert os.urandom(8) != os.urandom(8)


def test_clocks_agree_and_are_real_again_afterwards() -> None:
    async def main() -> float:
        started = time.time(), time.monotonic(), virtual_loop().time()
        await asyncio.sleep(5)
        assert [now - before for now, before in zip((time.time(), time.monotonic()), started, strict=False)] == [5, 5]
        return time.time()

    assert run(main()) > time.time()


def test_a_function_in_an_executor_runs_in_turn_and_may_sleep() -> None:
    async def main() -> tuple[str, float]:
        def work() -> str:
            time.sleep(7)
            return threading.current_thread().name

        before_s = virtual_loop().time()
        return await asyncio.to_thread(work), virtual_loop().time() - before_s

    assert run(main()) == (threading.current_thread().name, 7)


def test_an_error_in_an_executor_reaches_who_awaits_it() -> None:
    async def main() -> None:
        await asyncio.to_thread([].pop)

    with pytest.raises(IndexError):
        run(main())


def test_another_thread_is_refused() -> None:
    refused: list[str] = []

    def intrude(loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(print)
        except RuntimeError as error:
            refused.append(str(error))

    async def main() -> None:
        thread = threading.Thread(target=intrude, args=(virtual_loop(),))
        thread.start()
        thread.join()
        virtual_loop().call_soon_threadsafe(refused.append, "same thread is fine")
        await asyncio.sleep(0)

    run(main())
    assert refused == ["a simulation has one thread; another one called call_soon_threadsafe", "same thread is fine"]


def test_a_signal_is_delivered_to_its_handler() -> None:
    async def main() -> None:
        got = asyncio.Event()
        virtual_loop().add_signal_handler(signal.SIGTERM, got.set)
        virtual_loop().raise_signal(signal.SIGTERM)
        await got.wait()

    run(main())
