"""The functions that the benchmarks run: `worker run bench.work:functions`."""

from __future__ import annotations

import time

from onward import App, Context, step

functions = App("bench")


@step
async def tick() -> int:
    """Nothing but the moment at which the body ran, in nanoseconds."""
    return time.perf_counter_ns()


@functions.function(int)
async def sequence(ctx: Context[int]) -> list[int]:
    return [await tick() for _ in range(ctx.data)]
