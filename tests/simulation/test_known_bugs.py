"""What has gone wrong between engines and workers elsewhere, told as stories: outages, lost answers, nobody at home."""

import asyncio
from functools import partial

import pytest
from onward.client import Client
from onward_engine.model import Run, Status
from onward_protocol.messages import StepDone

from tests.support import Direction
from tests.support.cluster import URL
from tests.support.history import frame_of
from tests.support.ledger import now_ms
from tests.support.stage import Stage, play
from tests.support.stories import Act, Await, Call, Fork, Nap, Op, Story

SHORT, LONG = 10, 60_000
BYTES = 1_350
"""Of what follows, each way, at least."""
A_BIT_OF_EVERYTHING: list[Op] = [
    Act("first", SHORT),
    Fork([[Act("left", SHORT)], [Act("right", 2 * SHORT, failures=1, backoff_ms=20)]]),
    Nap(50),
    Call(Story("child", [Act("inner", SHORT)])),
    Await(50),
    Act("last", SHORT),
]


@pytest.mark.parametrize("down_s", [30, 600])
def test_a_worker_comes_back_after_a_long_outage_of_its_engine_and_repeats_nothing(down_s: int) -> None:
    async def scene(stage: Stage) -> int:
        await stage.join()
        await stage.tell(Act("first", SHORT), Act("second", SHORT))
        await stage.began("second")
        stage.cluster.kill_engine()
        await asyncio.sleep(down_s)
        stage.cluster.start_engine()
        back_at_ms = now_ms()
        run = await stage.ended()
        assert (run.status, run.epoch) == (Status.COMPLETED, 1)
        assert [one.step for one in stage.cluster.ledger.executions] == ["first", "second"]
        return now_ms() - back_at_ms

    assert play(scene) < 16_000


def test_waiting_for_a_worker_uses_up_no_attempt() -> None:
    async def scene(stage: Stage) -> None:
        stage.cluster.kill_worker(await stage.join())
        await stage.tell(Act("only", SHORT))
        await asyncio.sleep(3_600)
        await stage.join()
        assert attempts(stage, await stage.ended()) == (1, [1])

    play(scene)


def test_losing_its_worker_uses_up_no_attempt() -> None:
    async def scene(stage: Stage) -> None:
        for losses in range(3):
            worker = await stage.join()
            if not losses:
                await stage.tell(Act("only", 1_000))
            await stage.began("only", times=losses + 1)
            stage.cluster.kill_worker(worker)
        await stage.join()
        assert attempts(stage, await stage.ended()) == (1, [1])

    play(scene)


def attempts(stage: Stage, run: Run) -> tuple[int, list[int]]:
    """Return the attempts of the run, and those of its steps."""
    assert run.status is Status.COMPLETED
    frames = [frame for record in stage.disk.witness.records if (frame := frame_of(record))]
    return run.attempt, [entry.attempts for frame in frames for entry in frame.entries if isinstance(entry, StepDone)]


def test_cancelling_a_run_stops_the_body_that_executes() -> None:
    async def scene(stage: Stage) -> tuple[Run, int | None]:
        await stage.join()
        await stage.tell(Act("endless", LONG))
        execution = await stage.began("endless")
        with stage.network.on_host("client"):
            async with Client(URL) as client:
                await client.cancel(stage.run.id)
        run = await stage.ended()
        await asyncio.sleep(2 * LONG / 1000)
        return run, execution.ended_at_ms

    run, ended_at_ms = play(scene)
    assert run.status is Status.CANCELLED
    assert run.ended_at_ms - run.started_at_ms < 1_000
    assert ended_at_ms is None  # the body never came to its end


@pytest.mark.parametrize("direction", Direction, ids=lambda direction: direction.value)
def test_a_connection_that_breaks_anywhere_repeats_nothing(direction: Direction) -> None:
    """Acknowledgements, assignments and wake-ups of every kind get lost in turn, as do checkpoints and beats."""

    async def scene(stage: Stage, cut_after: int) -> Run:
        worker = await stage.join()
        worker.link.cut(cut_after, direction)
        await stage.tell(*A_BIT_OF_EVERYTHING)
        run = await stage.ended()
        counts = [len(stage.executions(name)) for name in ("first", "left", "right", "inner", "last")]
        connections = {passed.connection for passed in stage.network.trace}
        assert (counts, len(connections)) == ([1, 1, 2, 1, 1], 3), f"cut after {cut_after} bytes"
        return run

    for cut_after in range(1, BYTES, 25):
        assert play(partial(scene, cut_after=cut_after)).status is Status.COMPLETED
