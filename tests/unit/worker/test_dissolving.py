"""Runs that are over: nothing of them is left, and what their code has left behind does no harm."""

import asyncio
import gc

from onward.checkpoint import Checkpoint
from onward.host import Host
from onward.run.course import Course
from onward.run.residence import Residence
from onward_protocol.messages import RunCancelled

from tests.support.paper_engine import PaperEngine, Program, call, finished, until


async def one() -> int:
    return 1


async def test_a_run_that_is_over_needs_no_garbage_collector() -> None:
    async def code(host: Host) -> None:
        await asyncio.gather(*(host.step(call(one)) for _ in range(3)))
        await host.step(call(one))

    engine = PaperEngine(Program(code, checkpoint=Checkpoint.PIPELINED))
    gc.collect()
    gc.disable()
    try:
        engine.start()
        await until(lambda: engine.runs["run_1"].outcome is not None and engine.runner.free == engine.slots)
        await asyncio.sleep(0)
        assert not [found for found in gc.get_objects() if isinstance(found, Course | Residence)]
    finally:
        gc.enable()
    await engine.runner.close()


async def test_what_a_run_has_left_behind_can_still_ask_and_is_told_that_it_is_over() -> None:
    hosts: list[Host] = []

    async def code(host: Host) -> None:
        hosts.append(host)
        await host.step(call(one))

    engine = PaperEngine(Program(code))
    run = engine.start()
    await finished(engine)
    assert not isinstance(run.outcome, RunCancelled)
    assert hosts[0].leaving
    hosts[0].show(b"\x01")
    assert hosts[0].now_ms() > 0
