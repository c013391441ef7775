"""Workers that stand still, and the second connection that keeps their runs meanwhile. Times are the defaults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest
from msgspec.structs import replace
from onward.connection.dialer import Dialer
from onward.connection.guard import Guard
from onward.connection.link import DialFailed, Link, Refused
from onward.watch import Identity
from onward_engine.model import Status

from tests.support import Network, simulate
from tests.support.cluster import URL, WorkerProcess
from tests.support.ledger import now_ms
from tests.support.stage import Stage, play, until
from tests.support.stories import Act, Nap
from tests.support.transport import has_ended

SHORT, LONG = 10, 20_000


def identity_of(process: WorkerProcess) -> Identity:
    assert process.worker is not None
    assert process.worker._daemon is not None
    return process.worker._daemon._conversation.identity


@asynccontextmanager
async def guarded(stage: Stage, who: Identity) -> AsyncGenerator[Guard]:
    """A guard on a machine of its own, until the end of the block."""
    with stage.network.on_host("supervisor"):
        guard = Guard(
            who,
            dial=Dialer(URL, lambda: "", open_socket=stage.network.dial, has_ended=has_ended),
            uniform=lambda low, _: low,
            clock_ms=lambda: int(asyncio.get_running_loop().time() * 1000),
        )
        holding = asyncio.create_task(guard.hold())
    try:
        yield guard
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


async def stand_still(stage: Stage) -> WorkerProcess:
    """Begin a step, with a spare beside; then stop its worker."""
    worker = await stage.join()
    await stage.tell(Act("first", SHORT), Act("second", LONG), Act("third", SHORT))
    await stage.began("second")
    await stage.join()
    stage.cluster.stop(worker)
    return worker


async def everything_once(stage: Stage) -> None:
    run = await stage.ended()
    assert (run.status, run.epoch, run.strikes) == (Status.COMPLETED, 1, 0)
    assert [one.step for one in stage.cluster.ledger.executions] == ["first", "second", "third"]


@pytest.mark.parametrize(
    "fault", ["none", "its connection breaks", "the engine starts anew", "the guard loses its line"]
)
def test_a_worker_that_stands_still_for_two_minutes_loses_nothing_while_it_has_a_guard(fault: str) -> None:
    async def scene(stage: Stage) -> None:
        worker = await stand_still(stage)
        await asyncio.sleep(3)
        async with guarded(stage, identity_of(worker)) as guard:
            await guard.is_welcome.wait()
            await asyncio.sleep(20)
            match fault:
                case "its connection breaks":
                    worker.link.cut()
                case "the engine starts anew":
                    stage.cluster.kill_engine()
                    await asyncio.sleep(1)
                    stage.cluster.start_engine()
                case "the guard loses its line":
                    with stage.network.on_host("supervisor") as line:
                        line.cut()
                case _:
                    pass
            await asyncio.sleep(95)
            assert len(stage.executions("second")) == 1
            stage.cluster.resume(worker)
            await asyncio.sleep(0.5)
        await everything_once(stage)

    play(scene)


def test_without_a_guard_its_runs_are_given_away_after_sixteen_seconds() -> None:
    async def scene(stage: Stage) -> int:
        await stand_still(stage)
        stopped_at_ms = now_ms()
        return (await stage.began("second", times=2)).began_at_ms - stopped_at_ms

    assert 10_000 < play(scene) < 16_100


def test_a_guard_that_goes_without_a_word_leaves_the_worker_as_long_as_any_silent_one() -> None:
    async def scene(stage: Stage) -> int:
        worker = await stand_still(stage)
        async with guarded(stage, identity_of(worker)) as guard:
            await guard.is_welcome.wait()
            await asyncio.sleep(60)
        left_at_ms = now_ms()
        return (await stage.began("second", times=2)).began_at_ms - left_at_ms

    assert 14_900 < play(scene) < 16_100


def test_a_late_end_of_its_guards_older_connection_takes_nothing_from_a_worker() -> None:
    """The older one was silent, so its end is noticed long after the guard is back."""

    async def scene(stage: Stage) -> None:
        worker = await stand_still(stage)
        async with guarded(stage, identity_of(worker)) as guard:
            async with guarded(stage, identity_of(worker)) as older:
                await older.is_welcome.wait()
                await guard.is_welcome.wait()
            worker.link.cut()
            await asyncio.sleep(60)
            assert len(stage.executions("second")) == 1
            stage.cluster.resume(worker)
            await asyncio.sleep(0.5)
        await everything_once(stage)

    play(scene)


def test_a_process_that_is_reported_dead_has_its_runs_handed_on_at_once() -> None:
    """Although its connection seems to be open: the machine is not dead, but a packet was lost."""

    async def scene(stage: Stage) -> int:
        worker = await stand_still(stage)
        stage.cluster.kill_worker(worker, silently=True)
        reported_at_ms = now_ms()
        async with guarded(stage, identity_of(worker)) as guard:
            guard.bye("dead", 137)
            return (await stage.began("second", times=2)).began_at_ms - reported_at_ms

    assert play(scene) < 100


def test_a_worker_that_was_given_up_stops_before_its_next_step_when_it_goes_on() -> None:
    async def scene(stage: Stage) -> None:
        worker = await stand_still(stage)
        async with guarded(stage, identity_of(worker)) as guard:
            await guard.is_welcome.wait()
            await asyncio.sleep(30)
            guard.bye("stalled")
            await stage.began("second", times=2)
        stage.cluster.resume(worker)
        await stage.ended()
        assert {one.worker for one in stage.executions("third")} == {"worker-2"}
        assert stage.run.strikes == 0

    play(scene)


def test_a_worker_that_stands_still_gets_no_runs_until_it_speaks_again() -> None:
    async def scene(stage: Stage) -> None:
        worker = await stage.join()
        stage.cluster.stop(worker)
        async with guarded(stage, identity_of(worker)) as guard:
            await guard.is_welcome.wait()
            await stage.tell(Act("only", SHORT))
            await asyncio.sleep(30)
            assert stage.run.status is Status.QUEUED
            stage.cluster.resume(worker)
        await stage.began("only")
        await stage.ended()

    play(scene)


def test_a_run_that_wakes_up_in_a_worker_that_stands_still_goes_on_elsewhere() -> None:
    async def scene(stage: Stage) -> None:
        worker = await stage.join()
        await stage.tell(Act("before", SHORT), Nap(10_000), Act("after", SHORT))
        await until(lambda: bool(stage.disk.runs()) and stage.run.status is Status.PARKED)
        await stage.join()
        stage.cluster.stop(worker)
        async with guarded(stage, identity_of(worker)):
            run = await stage.ended()
        assert (run.epoch, [one.worker for one in stage.executions("after")]) == (2, ["worker-2"])

    play(scene)


@pytest.mark.parametrize("wrong", [{"session": "ses_guessed"}, {"instance": "wrk_unknown"}])
def test_who_does_not_know_the_session_is_no_guard(wrong: dict[str, str]) -> None:
    async def scene(stage: Stage) -> None:
        worker = await stage.join()
        guard = Guard(
            replace(identity_of(worker), **wrong),
            dial=Dialer(URL, lambda: "", open_socket=stage.network.dial, has_ended=has_ended),
            uniform=lambda low, _: low,
            clock_ms=lambda: 0,
        )
        with pytest.raises(Refused, match="No worker process is known"):
            await guard.hold()

    play(scene)


def test_a_guard_comes_back_when_it_was_told_to() -> None:
    tried_at_s: list[float] = []

    async def busy() -> Link:
        tried_at_s.append(asyncio.get_running_loop().time())
        raise DialFailed("the engine answered HTTP 503", 7_000)

    async def main(network: Network) -> None:
        guard = Guard(
            Identity("wrk_a", "ses_a", 1, 5_000),
            dial=busy,
            uniform=lambda low, _: low,
            clock_ms=lambda: round(asyncio.get_running_loop().time() * 1000),
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(15):
                await guard.hold()

    simulate(main)
    assert [round(at_s - tried_at_s[0]) for at_s in tried_at_s] == [0, 7, 14]
