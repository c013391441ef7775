"""The work on Restate: one service, served over HTTP/2, on which the server and the service stream both ways.

    python -m bench.peers.work.restate_app PORT asyncio|uvloop

serves it with Hypercorn, set as Restate's documentation has it for production, in one process. Granian, another ASGI
server, takes `app` from here. Step bodies are coroutines: a plain function would be moved to a thread.
"""

from __future__ import annotations

import asyncio
import sys

import restate

from .steps import STEPS, mixed, now_ns

work = restate.Service("work")
UNLIMITED = 2**31 - 1


async def tick() -> int:
    return now_ns()


async def mix(value: int) -> int:
    return mixed(value)


@work.handler()
async def ticks(ctx: restate.Context, count: int) -> list[int]:
    return [await ctx.run_typed("tick", tick) for _ in range(count)]


@work.handler()
async def ten(ctx: restate.Context, number: int) -> int:
    value = number
    for _ in range(STEPS):
        value = await ctx.run_typed("mix", mix, value=value)
    return value


@work.handler()
async def first_line(ctx: restate.Context, number: int) -> list[int]:
    begun_ns = now_ns()
    return [number, begun_ns]


@work.handler()
async def fan(ctx: restate.Context, width: int) -> list[int]:
    begun_ns = now_ns()
    first = await ctx.run_typed("first", mix, value=0)
    parts = await restate.gather(*(ctx.run_typed("part", mix, value=first + n) for n in range(width)))
    last = await ctx.run_typed("last", mix, value=sum([await part for part in parts]))
    return [now_ns() - begun_ns, last]


app = restate.app(services=[work])


def serve(port: str, loop: str) -> None:
    import hypercorn
    import hypercorn.asyncio
    import uvloop

    config = hypercorn.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.h2_max_concurrent_streams = UNLIMITED
    config.keep_alive_max_requests = UNLIMITED
    config.keep_alive_timeout = UNLIMITED
    run = uvloop.run if loop == "uvloop" else asyncio.run
    run(hypercorn.asyncio.serve(app, config))


if __name__ == "__main__":
    serve(*sys.argv[1:])
