"""Runs that kill their workers: they wait, they are alone, and in the end the step that does it fails."""

import asyncio
from itertools import pairwise

from onward_engine.model import Status

from tests.support.stage import Stage, play
from tests.support.stories import Act

SHORT, LONG = 10, 3_600_000


async def kill_under(stage: Stage, step: str, times: int) -> list[int]:
    """Let a worker after the other die as soon as it runs `step`; return when it began each time."""
    began: list[int] = []
    while len(began) < times:
        worker = stage.cluster.workers[0] if stage.cluster.workers else await stage.join()
        execution = await stage.began(step, times=len(began) + 1)
        began.append(execution.began_at_ms)
        stage.cluster.kill_worker(worker)
    return began


def test_a_step_that_kills_five_workers_without_progress_fails_and_the_run_goes_on() -> None:
    """The first loss comes after progress. The fifth one without it fails the first of four attempts; each further one
    costs a worker that has told of the failed attempt before, and one that fails it.
    """

    async def scene(stage: Stage) -> int:
        await stage.join()
        await stage.tell(Act("first", SHORT), Act("deadly", LONG), Act("last", SHORT))
        killing = asyncio.create_task(kill_under(stage, "deadly", times=100))
        run = await stage.ended()
        killing.cancel()
        assert run.status is Status.COMPLETED
        assert b"failed:deadly" in run.output
        assert (len(stage.executions("first")), len(stage.executions("last"))) == (1, 1)
        return len(stage.executions("deadly"))

    assert play(scene) == 1 + 5 + 2 * 3


def test_from_the_second_strike_on_a_run_waits_one_two_and_four_seconds() -> None:
    async def scene(stage: Stage) -> list[int]:
        await stage.join()
        await stage.tell(Act("deadly", LONG))
        return await kill_under(stage, "deadly", times=5)

    began = play(scene)
    assert [round((after - before) / 1000) for before, after in pairwise(began)] == [1, 1, 2, 4]


def test_a_worker_that_gets_a_suspect_run_gets_nothing_else_until_the_run_has_survived_a_second() -> None:
    async def scene(stage: Stage) -> int:
        await stage.join()
        await stage.tell(Act("deadly", 5_000))
        await kill_under(stage, "deadly", times=2)
        await stage.join()
        third = (await stage.began("deadly", times=3)).began_at_ms
        await stage.tell(Act("calm", SHORT), id="another")
        return (await stage.began("calm")).began_at_ms - third

    assert 1_000 <= play(scene) < 1_100


def test_losses_with_progress_never_strike() -> None:
    async def scene(stage: Stage) -> int:
        strikes: list[int] = []
        worker = await stage.join()
        await stage.tell(*(Act(f"s{n}", 50) for n in range(12)))
        for n in range(8):
            await stage.began(f"s{n + 1}", times=1)
            strikes.append(stage.run.strikes)
            stage.cluster.kill_worker(worker)
            worker = await stage.join()
        assert (await stage.ended()).epoch == 9
        return sum(strikes)

    assert play(scene) == 0


def test_engines_that_start_anew_never_strike_even_if_the_worker_is_gone_meanwhile() -> None:
    async def scene(stage: Stage) -> int:
        strikes: list[int] = []
        worker = await stage.join()
        await stage.tell(Act("only", 7_000))
        for times in range(1, 4):
            await stage.began("only", times=times)
            strikes.append(stage.run.strikes)
            stage.cluster.kill_engine()
            stage.cluster.kill_worker(worker)
            stage.cluster.start_engine()
            worker = await stage.join()
        assert (await stage.ended()).epoch == 4
        return sum(strikes)

    assert play(scene) == 0


def test_a_holder_that_comes_back_in_time_costs_its_run_no_strike() -> None:
    async def scene(stage: Stage) -> tuple[int, int]:
        worker = await stage.join()
        await stage.tell(Act("only", 30_000))
        await stage.began("only")
        for _ in range(5):
            worker.link.cut()
            await asyncio.sleep(2)
        run = await stage.ended()
        return run.strikes, run.epoch

    assert play(scene) == (0, 1)
