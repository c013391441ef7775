"""The work on Temporal: workflows whose steps are activities, or local activities, as each run is told.

    python -m bench.peers.work.temporal_worker ADDRESS

On uvloop and without the workflow sandbox, which only costs here.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from datetime import timedelta

import uvloop
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from .steps import STEPS, mixed, now_ns

QUEUE = "bench"
LIMIT = timedelta(seconds=60)


@activity.defn
async def tick() -> int:
    return now_ns()


@activity.defn
async def mix(value: int) -> int:
    return mixed(value)


def ticked(is_local: bool) -> Awaitable[int]:
    execute = workflow.execute_local_activity if is_local else workflow.execute_activity
    return execute(tick, start_to_close_timeout=LIMIT)


def mixed_by(is_local: bool, value: int) -> Awaitable[int]:
    execute = workflow.execute_local_activity if is_local else workflow.execute_activity
    return execute(mix, value, start_to_close_timeout=LIMIT)


@workflow.defn(name="ticks")
class Ticks:
    @workflow.run
    async def run(self, count: int, is_local: bool) -> list[int]:
        return [await ticked(is_local) for _ in range(count)]


@workflow.defn(name="ten")
class Ten:
    @workflow.run
    async def run(self, number: int, is_local: bool) -> int:
        value = number
        for _ in range(STEPS):
            value = await mixed_by(is_local, value)
        return value


@workflow.defn(name="first_line")
class FirstLine:
    @workflow.run
    async def run(self, number: int, _is_local: bool) -> tuple[int, int]:
        begun_ns = now_ns()
        return number, begun_ns


@workflow.defn(name="fan")
class Fan:
    @workflow.run
    async def run(self, width: int, is_local: bool) -> tuple[int, int]:
        begun_ns = now_ns()
        first = await mixed_by(is_local, 0)
        parts = await asyncio.gather(*(mixed_by(is_local, first + n) for n in range(width)))
        last = await mixed_by(is_local, sum(parts))
        return now_ns() - begun_ns, last


async def main(address: str) -> None:
    await Worker(
        await Client.connect(address),
        task_queue=QUEUE,
        workflows=[Ticks, Ten, FirstLine, Fan],
        activities=[tick, mix],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ).run()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
