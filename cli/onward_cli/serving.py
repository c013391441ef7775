"""A worker at work in this process: its signals, its heartbeat, and its end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog

from onward_cli.fates import is_over
from onward_cli.loops import Signals, leave_now

if TYPE_CHECKING:
    from onward.worker import Worker

    from onward_cli.heart import Heart
    from onward_cli.plan import Plan

POLL_S = 0.5


async def serve(worker: Worker, heart: Heart | None, plan: Plan | None, asked: Callable[[], int]) -> None:
    """Work until a signal asks for the end (`asked`: see `Signals`), or the plan does, if nobody else sees to that."""
    log = structlog.get_logger("onward.worker")

    def finish(number: int) -> None:
        log.info("finishing the running steps; once more to stop at once")
        worker.stop()

    async def give_up(number: int) -> None:
        worker.stop(drain=False)
        await worker.gone()
        leave_now(128 + number)

    tasks: set[asyncio.Task[None]] = set()
    Signals(finish, lambda number: tasks.add(asyncio.create_task(give_up(number))), asked)
    async with AsyncExitStack() as stack:
        if plan is not None:
            stack.callback(asyncio.create_task(_stop_when_over(worker, plan)).cancel)
        if heart is not None:
            await stack.enter_async_context(heart.beating(worker))
        keep_what_is_loaded()
        await worker.run()


def keep_what_is_loaded() -> None:
    """Tell the garbage collector that what is there now stays: modules, functions, classes. A collection that looks
    through all of it stands in the way of every run for more than twenty milliseconds, and finds nothing.
    """
    gc.collect()
    gc.freeze()


async def _stop_when_over(worker: Worker, plan: Plan) -> None:
    """Stop the worker when it has done all that it was asked for. May be cancelled."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while not is_over(  # noqa: ASYNC110 - time passes without an event
        plan, ran_ms=int((loop.time() - began_s) * 1000), idle_ms=worker.health.idle_ms
    ):
        await asyncio.sleep(POLL_S)
    worker.stop()
