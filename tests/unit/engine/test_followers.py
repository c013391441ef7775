"""Whoever follows a run sees each step as it is stored."""

from __future__ import annotations

import asyncio

from onward_engine.engine import Engine
from onward_protocol.messages import Assign, RunCompleted, Seen, StepDone

from tests.support import Network, simulate
from tests.unit.engine import test_sharing
from tests.unit.engine.peer import NIL, Peer, engine, send
from tests.unit.engine.test_sharing import Office
from tests.unit.engine.web import Answer, ask


def now_ms() -> int:
    return int(asyncio.get_running_loop().time() * 1000 + 1e-4)


async def follow(running: Engine, run: str, cursor: str = "0", wait_ms: int = 30_000) -> Answer:
    return await ask(running.app, "GET", f"/v1/runs/{run}/steps?cursor={cursor}&wait_ms={wait_ms}")


def test_a_step_is_seen_as_soon_as_it_is_stored() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            cursor = "0"
            for seq in (1, 2, 3):
                following = asyncio.create_task(follow(running, run, cursor))
                await asyncio.sleep(1)
                at_ms = now_ms()
                worker.report(run, epoch, seq, StepDone(f"step {seq}", NIL))
                page = (await following).json
                assert [line["key"] for line in page["steps"]] == [f"step {seq}"]
                assert now_ms() - at_ms < 10
                cursor = page["end"]

    simulate(main)


def test_what_was_stored_before_is_given_at_once_and_nothing_twice() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            worker.report(run, epoch, 1, StepDone("a", NIL))
            await asyncio.sleep(1)
            at_ms = now_ms()
            page = (await follow(running, run)).json
            assert ([line["key"] for line in page["steps"]], page["status"]) == (["a"], "assigned")
            assert (now_ms() - at_ms, page["cursor"]) == (0, None)
            assert (await follow(running, run, page["end"], wait_ms=1_000)).json["steps"] == []
            assert now_ms() - at_ms == 1_000

    simulate(main)


def test_the_end_of_a_run_ends_the_waiting_with_the_last_steps() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            following = asyncio.create_task(follow(running, run))
            await asyncio.sleep(1)
            worker.report(run, epoch, 1, StepDone("last", NIL), outcome=RunCompleted(NIL))
            page = (await following).json
            assert [line["key"] for line in page["steps"]] == ["last"]
            at_ms = now_ms()
            over = (await follow(running, run, page["end"])).json
            assert (over["steps"], over["status"], now_ms() - at_ms) == ([], "completed", 0)

    simulate(main)


def test_a_frame_without_lines_does_not_end_the_waiting() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            worker = await Peer(running).connect()
            run = await send(running)
            epoch = (await worker.next(Assign, run)).epoch
            following = asyncio.create_task(follow(running, run))
            await asyncio.sleep(1)
            await ask(running.app, "POST", f"/v1/runs/{run}/cancel")
            assert [line["key"] for line in (await following).json["steps"]] == ["cancel"]
            following = asyncio.create_task(follow(running, run, "1"))
            await asyncio.sleep(1)
            worker.report(run, epoch, 1, Seen(1))
            worker.report(run, epoch, 2, StepDone("clean up", NIL))
            assert [line["key"] for line in (await following).json["steps"]] == ["clean up"]

    simulate(main)


def test_an_unknown_run_cannot_be_followed() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            assert (await follow(running, "run_x")).status == 404

    simulate(main)


def test_an_engine_that_stops_lets_followers_go() -> None:
    async def main(_: Network) -> None:
        async with engine() as running:
            await Peer(running).connect()
            run = await send(running)
            following = asyncio.create_task(follow(running, run))
            await asyncio.sleep(1)
        assert (await following).json["steps"] == []

    simulate(main)


async def _seen_elsewhere_after_ms(here: Engine, there: Engine) -> int:
    worker = await Peer(there).connect()
    run = await send(there)
    epoch = (await worker.next(Assign, run)).epoch
    following = asyncio.create_task(follow(here, run))
    await asyncio.sleep(1.1)
    at_ms = now_ms()
    worker.report(run, epoch, 1, StepDone("a", NIL))
    assert [line["key"] for line in (await following).json["steps"]] == ["a"]
    return now_ms() - at_ms


def test_a_step_that_another_engine_stored_is_seen_at_once() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        assert await _seen_elsewhere_after_ms(here, there) < 50

    test_sharing.play(scene)


def test_a_step_of_which_the_other_engine_could_not_tell_is_found_by_looking() -> None:
    async def scene(here: Engine, there: Engine, _: Office) -> None:
        assert await _seen_elsewhere_after_ms(here, there) <= test_sharing.SWEEP_MS

    test_sharing.play(scene, is_told=False)
