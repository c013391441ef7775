"""Workers move from one connection to the next, and engines are replaced, while runs go on."""

import asyncio
from itertools import pairwise

from onward_engine.model import Status

from tests.support.ledger import now_ms
from tests.support.stage import Stage, play, until
from tests.support.stories import Act

SHORT, MINUTE = 10, 60_000


def newest(stage: Stage) -> int:
    """The generation of the only worker's connection."""
    assert stage.cluster.engine is not None
    assert stage.cluster.engine.engine is not None
    [connection] = stage.cluster.engine.engine.connections
    return connection.generation


def everything_once(stage: Stage) -> bool:
    """Every run completed where it began, and every step was executed once."""
    runs, executions = stage.disk.runs(), stage.cluster.ledger.executions
    assert [run for run in runs if run.status is not Status.COMPLETED or run.epoch != 1] == []
    return len({(one.run, one.step) for one in executions}) == len(executions) > 0


def test_a_connection_is_replaced_after_an_hour_more_or_less_and_runs_do_not_notice() -> None:
    async def scene(stage: Stage) -> list[int]:
        await stage.join()
        await stage.tell(*(Act(f"s{n}", 20 * MINUTE) for n in range(9)))
        moved_at_ms = [now_ms()]
        while len(moved_at_ms) < 3:
            await asyncio.sleep(60)
            if newest(stage) > len(moved_at_ms):
                moved_at_ms.append(now_ms())
        while not stage.run.status.is_terminal:  # noqa: ASYNC110 - in virtual time a look costs nothing
            await asyncio.sleep(60)
        assert everything_once(stage)
        return moved_at_ms

    minutes = [(later - earlier) / MINUTE for earlier, later in pairwise(play(scene))]
    assert 0.9 * 60 - 1 <= min(minutes) < max(minutes) <= 1.1 * 60 + 1


def test_the_next_connection_is_open_before_the_old_one_is_left() -> None:
    """So the worker is never away, and no step has to wait for it."""

    async def scene(stage: Stage) -> None:
        stage.network.latency_ms = (40, 40)
        worker = await stage.join(connection_age="1s")
        await stage.tell(*(Act(f"s{n}", 100) for n in range(60)))
        while not stage.disk.runs() or not stage.run.status.is_terminal:
            assert worker.worker is not None
            assert worker.worker.state == "connected"
            await asyncio.sleep(0.01)
        assert newest(stage) > 5
        assert everything_once(stage)

    play(scene)


def test_beats_and_results_go_to_the_newest_connection_while_the_old_one_is_still_open() -> None:
    """What was on its way when the worker moved is sent again there, and stored once."""

    async def scene(stage: Stage) -> None:
        stage.network.latency_ms = (300, 300)
        await stage.join(connection_age="2s")
        await stage.tell(*(Act(f"s{n}", 50) for n in range(40)))
        run = await stage.ended()
        assert run.seq == 41  # the results, and the end: after so many steps it has a frame of its own
        assert newest(stage) > 5
        assert everything_once(stage)

    play(scene)


def test_a_drain_may_last_longer_than_every_lease() -> None:
    """Its beats go on, so that nobody takes the run from a worker that finishes its step."""

    async def scene(stage: Stage) -> None:
        worker = await stage.join(drain_timeout="10m")
        await stage.tell(Act("long", 5 * MINUTE), Act("after", SHORT))
        await stage.began("long")
        assert worker.worker is not None
        stage.cluster.retire(worker)
        worker.worker.stop()
        spare = await stage.join()
        while not worker.task.done():  # noqa: ASYNC110 - in virtual time a look costs nothing
            await asyncio.sleep(1)
        run = await stage.ended()
        assert (run.status, run.epoch) == (Status.COMPLETED, 2)
        assert [(one.step, one.worker) for one in stage.cluster.ledger.executions] == [
            ("long", worker.name),
            ("after", spare.name),
        ]

    play(scene)


def test_engines_that_are_replaced_under_load_fail_no_run_and_repeat_no_step() -> None:
    async def scene(stage: Stage) -> None:
        for _ in range(3):
            await stage.join()
        telling = asyncio.create_task(tell_stories(stage, 40))
        for _ in range(5):
            await asyncio.sleep(0.7)
            await stage.cluster.stop_engine()
            stage.cluster.start_engine()
        await telling
        await until(lambda: len(stage.disk.runs()) == 40 and all(run.status.is_terminal for run in stage.disk.runs()))
        assert everything_once(stage)
        assert {run.strikes for run in stage.disk.runs()} == {0}

    play(scene)


async def tell_stories(stage: Stage, count: int) -> None:
    for n in range(count):
        await stage.tell(*(Act(f"s{k}", 60) for k in range(5)), id=f"story-{n}")
        await asyncio.sleep(0.1)
