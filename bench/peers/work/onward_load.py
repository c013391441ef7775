"""The load on Onward: its own client over HTTP, and the functions of its own benchmarks.

    python -m bench.peers.work.onward_load ENGINE_URL TOKEN_FILE

Runs in flight are what its worker holds, and it holds a hundred. Many runs are asked for as in `bench.throughput`, a
hundred events in a request; of the others each run is a request that stays open.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from onward import Client

from bench.calls import newest_over, outputs
from bench.cluster import PATIENCE
from bench.throughput import BATCH, one_load, taken_s
from bench.work import SEQUENCES, TENS, Job, Started, fan

from . import load
from .steps import now_ns

PRESET = "SAFE"


async def main(url: str, token: str) -> None:
    async with Client(url, token) as client:
        await worker_there(client)
        await load.serve(partial(call, client), questions={**load.QUESTIONS, "tens": partial(tens, client)})


async def worker_there(client: Client) -> None:
    while True:
        if await client.list_workers():
            return
        await asyncio.sleep(0.05)


async def call(client: Client, function: str, argument: int) -> tuple[int, Any]:
    asked_ns = now_ns()
    return asked_ns, await FUNCTIONS[function](client, argument)


async def ticks(client: Client, count: int) -> list[int]:
    return await client.run(SEQUENCES[PRESET], count, timeout=PATIENCE)


async def first_line(client: Client, number: int) -> Any:
    [sent] = await client.send(Started(Job(number)))
    [run] = sent.runs
    return await run.result(timeout=PATIENCE)


async def fan_out(client: Client, width: int) -> tuple[int, int]:
    return await client.run(fan, width, timeout=PATIENCE)


FUNCTIONS: dict[str, Callable[[Client, int], Awaitable[Any]]] = {
    "ticks": ticks,
    "first_line": first_line,
    "fan": fan_out,
}


async def tens(client: Client, _: load.Call, runs: int, in_flight: int) -> dict[str, Any]:
    assert in_flight == BATCH, "what a worker holds is a hundred"
    asked = await one_load(client, PRESET, runs)
    done = await newest_over(client, TENS[PRESET], runs)
    return {"taken_s": taken_s(asked, done), "results": await outputs(client, asked.ids)}


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8").strip()))
