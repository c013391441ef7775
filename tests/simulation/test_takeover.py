"""Who goes on with a run whose worker or engine is gone, when, and what is executed again."""

import asyncio

import pytest
from onward_engine.model import Status

from tests.support import Direction
from tests.support.ledger import now_ms
from tests.support.stage import Stage, play, until
from tests.support.stories import Act, Await, Nap

SHORT, LONG = 10, 5_000


def test_a_killed_worker_costs_only_the_step_in_flight_and_that_starts_again_within_a_moment() -> None:
    async def scene(stage: Stage) -> int:
        worker = await stage.join()
        await stage.tell(Act("first", SHORT), Act("second", LONG))
        await stage.join()
        killed_at_ms = (await stage.began("second")).began_at_ms
        stage.cluster.kill_worker(worker)
        again = await stage.began("second", times=2)
        await stage.ended()
        assert (len(stage.executions("first")), len(stage.executions("second"))) == (1, 2)
        return again.began_at_ms - killed_at_ms

    assert 1_000 <= play(scene) < 1_100


def test_a_worker_that_vanished_is_given_up_after_sixteen_seconds() -> None:
    async def scene(stage: Stage) -> int:
        worker = await stage.join()
        await stage.tell(Act("only", LONG))
        await stage.join()
        vanished_at_ms = (await stage.began("only")).began_at_ms
        stage.cluster.kill_worker(worker, silently=True)
        return (await stage.began("only", times=2)).began_at_ms - vanished_at_ms

    assert 15_000 <= play(scene) < 16_100


@pytest.mark.parametrize("down_s", [0, 0.9, 3])
def test_an_engine_that_starts_anew_repeats_nothing(down_s: float) -> None:
    async def scene(stage: Stage) -> None:
        await stage.join()
        await stage.tell(Act("first", SHORT), Act("second", 2_000), Act("third", SHORT))
        await stage.began("second")
        stage.cluster.kill_engine()
        await asyncio.sleep(down_s)
        stage.cluster.start_engine()
        run = await stage.ended()
        assert (run.status, run.epoch) == (Status.COMPLETED, 1)
        assert [one.step for one in stage.cluster.ledger.executions] == ["first", "second", "third"]

    play(scene)


def test_a_worker_that_stood_still_begins_nothing_for_a_run_that_it_has_lost() -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await stage.join()
        await stage.tell(Act("first", SHORT), Act("second", LONG), Act("third", SHORT))
        await stage.join()
        await stage.began("second")
        stage.cluster.stop(sleeper)
        await stage.began("second", times=2)
        stage.cluster.resume(sleeper)
        await stage.ended()
        assert [one.worker for one in stage.executions("third")] == ["worker-2"]

    play(scene)


def test_the_late_result_of_a_worker_that_has_lost_its_run_is_not_kept() -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await stage.join()
        await stage.tell(Act("only", LONG))
        await stage.join()
        await stage.began("only")
        stage.cluster.stop(sleeper)
        again = await stage.began("only", times=2)
        stage.cluster.resume(sleeper)
        run = await stage.ended()
        assert again.value.encode() in run.output

    play(scene)


def test_a_step_is_not_tried_again_in_a_worker_without_a_lease() -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await stage.join()
        await stage.tell(Act("shaky", LONG, failures=2, backoff_ms=1))
        await stage.join()
        await stage.began("shaky")
        stage.cluster.stop(sleeper)
        await stage.began("shaky", times=2)
        stage.cluster.resume(sleeper)
        await stage.ended()
        assert [one.worker for one in stage.executions("shaky")] == ["worker-1", "worker-2", "worker-2"]

    play(scene)


def test_a_worker_whose_socket_went_while_it_stood_still_counts_that_from_before_it() -> None:
    async def scene(stage: Stage) -> None:
        sleeper = await stage.join()
        await stage.tell(Act("shaky", 1_000, failures=2, backoff_ms=300))
        await stage.join()
        await stage.began("shaky")
        stage.cluster.stop(sleeper)
        sleeper.link.cut()
        sleeper.link.refuse()
        await stage.began("shaky", times=2)
        stage.cluster.resume(sleeper)
        await stage.ended()
        assert [one.worker for one in stage.executions("shaky")] == ["worker-1", "worker-2", "worker-2"]

    play(scene)


def test_a_step_is_tried_again_in_its_worker_once_it_has_a_lease_again() -> None:
    async def scene(stage: Stage) -> None:
        worker = await stage.join()
        await stage.tell(Act("shaky", 1_000, failures=1, backoff_ms=50))
        await stage.began("shaky")
        worker.link.cut()
        worker.link.refuse()
        await asyncio.sleep(3)
        assert len(stage.executions("shaky")) == 1
        worker.link.heal()
        run = await stage.ended()
        assert (run.epoch, len(stage.executions("shaky"))) == (1, 2)

    play(scene)


def test_a_wake_up_that_was_lost_with_its_connection_is_given_again() -> None:
    async def scene(stage: Stage) -> None:
        worker = await stage.join()
        await stage.tell(Act("before", SHORT), Nap(2_000), Act("after", SHORT))
        await until(lambda: bool(stage.disk.runs()) and stage.run.status is Status.PARKED)
        worker.link.black_hole(Direction.TO_CLIENT)
        await until(lambda: stage.run.status is Status.ASSIGNED)
        await asyncio.sleep(0.01)
        worker.link.heal()
        run = await stage.ended()
        assert (run.epoch, len(stage.executions("before")), len(stage.executions("after"))) == (1, 1, 1)

    play(scene)


def test_an_assignment_that_died_with_the_engine_is_given_again_as_soon_as_its_worker_is_back() -> None:
    async def scene(stage: Stage) -> int:
        worker = await stage.join()
        await asyncio.sleep(1)  # what its arrival causes is durable
        stage.disk.crash_at(1, "after", stage.cluster.kill_engine)
        telling = asyncio.create_task(stage.tell(Act("only", SHORT)))
        await until(lambda: stage.cluster.engine is None)
        assert stage.run.status is Status.ASSIGNED
        stage.cluster.start_engine()
        await stage.connected(worker)
        back_at_ms = now_ms()
        began_at_ms = (await stage.began("only")).began_at_ms
        await telling
        return began_at_ms - back_at_ms

    assert play(scene) < 100


def test_a_parked_run_survives_its_worker() -> None:
    async def scene(stage: Stage) -> None:
        worker = await stage.join()
        await stage.tell(Act("before", SHORT), Await(60_000), Act("after", SHORT))
        await stage.join()
        await until(lambda: bool(stage.disk.runs()) and stage.run.status is Status.PARKED)
        stage.cluster.kill_worker(worker)
        run = await stage.ended()
        assert (run.epoch, len(stage.executions("before")), len(stage.executions("after"))) == (2, 1, 1)

    play(scene)
